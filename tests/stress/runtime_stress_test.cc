// Runtimes that start, and end with all kinds of work in flight, a few hundred times.

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "tests/support/random_work.h"

BOOST_AUTO_TEST_SUITE(runtime_stress)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr int kRuntimes = kScale == 1 ? 500 : 200;

// What a runtime is busy with. It and what its fibers wait for outlive the runtime.
class Work {
 public:
  explicit Work(unsigned seed) : random_(seed) {}

  // Starts fibers everywhere, and returns, or throws, sooner or later.
  void begin_and_leave() {
    for (unsigned count = random_() % 30; count > 0; --count) start(random_, random_() % 4 == 0);
    switch (random_() % 5) {
      case 0:
        return;
      case 1:
        throw Failure("in the middle");
      case 2:
        return sleep_for(Duration(random_() % 300'000));
      default:
        for (unsigned turns = random_() % 50; turns > 0; --turns) yield();
    }
  }

  // When the runtime has ended.
  void check() {
    for (auto& task : kept_) {
      ended_ += task.done();
      try {
        task.get();
        ++results_;
      } catch (const TaskCancelled&) {
        ++cancelled_;
      }
    }
    BOOST_TEST(ended_ == kept_.size());
    kept_.clear();
    BOOST_TEST(present_ == 0);
    BOOST_TEST(wrong_ == 0);
    BOOST_TEST(begun_cleanups_ == ended_cleanups_);
  }

  static int results() { return results_; }
  static int cancelled() { return cancelled_; }

 private:
  static unsigned draw(Random& random) { return static_cast<unsigned>(random()); }

  static Scheduler* anywhere(Random& random) {
    const auto schedulers = Runtime::current().schedulers();
    return schedulers[random() % schedulers.size()];
  }

  // What is kept is looked at after the end.
  void start(Random& random, bool keep) {
    auto f = [this, seed = draw(random), present = Present(present_)] { live(seed); };
    auto task = spawn(std::move(f), {.on = anywhere(random)});
    if (!keep) return task.detach();
    kept_.push_back(std::move(task));
  }

  void live(unsigned seed) {
    Random random(seed);
    struct Cleanup {
      Cleanup(Work& its_work, Random& its_random) : work(its_work), random(its_random) {}
      ~Cleanup() { work.clean_up(random); }
      Work& work;
      Random& random;
    };
    std::optional<Cleanup> cleanup;
    if (random() % 3 == 0) cleanup.emplace(*this, random);
    try {
      for (;;) do_something(random);
    } catch (const std::exception&) {  // the other side ended first
    }
  }

  void do_something(Random& random) {
    switch (random() % 12) {
      case 0:
        return sleep_for(Duration(random() % 100'000));
      case 1:
        return event_.wait();
      case 2:
        return semaphore_.release(), semaphore_.acquire();
      case 3:
        queue_.push(draw(random));
        return (void)queue_.try_pop_for(10us);
      case 4:
        return run_in_executor([&] { std::this_thread::yield(); });
      case 5:
        return ask_elsewhere(random);
      case 6:
        return post_elsewhere(random);
      case 7:
        return (void)Scheduler::current().call_later(Duration(random() % 50'000),
                                                     [present = Present(present_)] { yield(); });
      case 8:
        return talk(random);
      case 9:
        if (starts_ < 200) ++starts_, start(random, false);
        return yield();
      case 10: {
        const std::unique_lock lock(mutex_);
        return yield();
      }
      default:
        return accept_in_vain();
    }
  }

  void ask_elsewhere(Random& random) {
    const unsigned value = draw(random);
    auto task = spawn(
        [value, present = Present(present_)] {
          yield();
          return value + 1;
        },
        {.on = anywhere(random)});
    if (random() % 2) wrong_ += task.get() != value + 1;
  }

  void post_elsewhere(Random& random) {
    anywhere(random)->post([this, seed = draw(random), present = Present(present_)] {
      Random its(seed);
      try {
        ask_elsewhere(its);
      } catch (const TaskCancelled&) {
      }
    });
    yield();
  }

  // With one on another scheduler, until both have had enough.
  void talk(Random& random) {
    auto [mine, its] = UnixStream::pair();
    auto echo = spawn(
        [stream = std::move(its), present = Present(present_)]() mutable {
          char byte[1];
          while (stream.read_some(byte) > 0) stream.write_all("x");
        },
        {.on = anywhere(random)});
    for (unsigned turns = random() % 5; turns > 0; --turns) {
      char byte[1];
      mine.write_all("x");
      mine.read_exactly(byte);
    }
    mine.close();
    echo.get();
  }

  void accept_in_vain() {
    TcpListener listener("127.0.0.1:0");
    listener.accept();
  }

  // On the way out, cancelled or not: it may wait for others that are on their way out.
  void clean_up(Random& random) noexcept {
    ++begun_cleanups_;
    shield([&] {
      auto elsewhere = spawn([] { return 7; }, {.on = anywhere(random)});
      switch (random() % 4) {
        case 0:
          wrong_ += run_in_executor([] { return 7; }) != 7;
          break;
        case 1:
          sleep_for(Duration(random() % 1000));
          break;
        case 2: {
          const std::lock_guard lock(mutex_);
          yield();
          break;
        }
        default:
          elsewhere.wait();
      }
    });
    ++ended_cleanups_;
  }

  static inline std::atomic<int> results_{0}, cancelled_{0};

  Random random_;
  Event event_;
  Semaphore semaphore_{0};
  Mutex mutex_;
  Queue<unsigned> queue_{3};
  std::vector<Task<void>> kept_;
  std::size_t ended_ = 0;
  std::atomic<int> starts_{0}, present_{0}, wrong_{0}, begun_cleanups_{0}, ended_cleanups_{0};
};

RunOptions some_options(Random& random) {
  RunOptions options;
  options.threads = 1 + random() % 4;
  options.virtual_time = random() % 3 == 0;
  if (random() % 2) options.shuffle_seed = random();
  if (random() % 4 == 0) options.spin = 10us;
  options.pin_threads = random() % 8 == 0;
  return options;
}

void run_work(Runtime& runtime, Work& work) {
  try {
    runtime.run([&] { work.begin_and_leave(); });
  } catch (const Failure&) {
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_runtime_ends_whatever_is_under_way) {
  Random random(stress_seed());
  for (int i = 0; i < kRuntimes; ++i) {
    BOOST_TEST_CONTEXT("WEFT_SEED=" << stress_seed() << ", runtime " << i) {
      const auto before = open_descriptors();
      Work work(static_cast<unsigned>(random()));
      {
        Runtime runtime(some_options(random));
        for (unsigned runs = random() % 3; runs > 0; --runs) run_work(runtime, work);
      }
      work.check();
      BOOST_REQUIRE(open_descriptors() == before);
    }
  }
  BOOST_TEST(Work::cancelled() > 0);
}

BOOST_AUTO_TEST_CASE(a_runtime_may_be_stopped_by_any_of_its_schedulers_and_by_a_thread) {
  Random random(stress_seed() + 1);
  for (int i = 0; i < kRuntimes / 5; ++i) {
    BOOST_TEST_CONTEXT("WEFT_SEED=" << stress_seed() << ", runtime " << i) {
      Work work(static_cast<unsigned>(random()));
      {
        Runtime runtime(some_options(random));
        run_work(runtime, work);
        std::thread thread;
        Scheduler* const stopper = runtime.schedulers()[random() % runtime.schedulers().size()];
        if (random() % 2) {
          thread = std::thread([&] { runtime.stop(); });
        } else {
          stopper->post([&] { runtime.stop(); });
        }
        runtime.run_forever();
        if (thread.joinable()) thread.join();
      }
      work.check();
    }
  }
}

BOOST_AUTO_TEST_CASE(a_runtime_without_work_ends_at_once) {
  for (int i = 0; i < kRuntimes; ++i) {
    const Runtime runtime({.threads = 1 + static_cast<unsigned>(i) % 4});
    BOOST_REQUIRE(runtime.schedulers().size() == 1u + static_cast<unsigned>(i) % 4);
  }
}

BOOST_AUTO_TEST_SUITE_END()
