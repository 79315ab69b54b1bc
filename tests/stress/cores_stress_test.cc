// A million items on their way through queues, between the schedulers of a runtime and plain
// threads, while those that carry them are cancelled and run out of time. Each arrives once.

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/home.h"
#include "weft/sync/queue.h"

BOOST_AUTO_TEST_SUITE(cores_stress)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

const std::uint32_t kItems = bound(1'000'000u, 100'000u);
constexpr unsigned kSchedulers = 4;

using Random = std::minstd_rand;

// Not atomic: the queues order the accesses.
struct Item {
  explicit Item(std::uint32_t its_id) : id(its_id) {}
  const std::uint32_t id;
  unsigned stages = 0;
};
using Box = std::unique_ptr<Item>;

// Items are made, carried from queue to queue, and counted. A stage takes them from the queue of
// its number, and gives them to the next one; the first makes them, the last one counts them.
class Pipeline {
 public:
  explicit Pipeline(unsigned seed) : random_(seed), seen_(kItems) {}

  // Returns when all have arrived, or none does any more.
  void run() {
    std::vector<std::thread> threads;
    for (const unsigned stage : {0U, 0U, 1U, 3U, 3U}) {
      threads.emplace_back([this, stage, seed = draw()] { be_a_thread(stage, seed); });
    }
    TaskGroup managers;
    for (unsigned i = 0; i < kSchedulers * kStages; ++i) {
      managers.spawn([this, i, seed = draw()] { manage(i % kStages, seed); },
                     on(i / kStages % kSchedulers));
    }
    wait_for_arrivals();
    over_ = true;
    for (auto& queue : queues_) queue.close();
    managers.join();
    while (carriers_ > 0) sleep_for(1ms);  // those that were detached
    for (auto& thread : threads) thread.join();
  }

  void check() {
    std::uint32_t missing = 0, repeated = 0, left = 0;
    for (auto* all : {&queues_, &returned_}) {
      for (auto& queue : *all) {
        while (const auto box = queue.try_pop()) ++left, ++seen_[(*box)->id];
      }
    }
    for (const auto& times : seen_) {
      missing += times == 0;
      repeated += times > 1;
    }
    BOOST_TEST(missing == 0u);
    BOOST_TEST(repeated == 0u);
    BOOST_TEST(left == 0u);  // they did not arrive in time
    BOOST_TEST(wrong_ == 0);
    BOOST_TEST(cancelled_ > 0);
    BOOST_TEST(timed_out_ > 0);
    BOOST_TEST(handed_back_ > 0);
    std::printf("%d cancelled, %d timed out, %d handed back\n", cancelled_.load(),
                timed_out_.load(), handed_back_.load());
  }

 private:
  static constexpr unsigned kStages = 4;

  // What a carrier holds, and hands back if it does not get rid of it.
  struct Hand {
    ~Hand() {
      if (!box) return;
      ++pipeline.handed_back_;
      box->stages = stage;
      pipeline.returned_[stage].push(std::move(box));  // is unbounded, and so does not wait
    }
    Pipeline& pipeline;
    const unsigned stage;
    Box box = nullptr;
  };

  // Counted while it lives.
  class Present {
   public:
    explicit Present(std::atomic<int>& count) : count_(&count) { ++count; }
    Present(Present&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    ~Present() {
      if (count_) --*count_;
    }

   private:
    std::atomic<int>* count_;
  };

  unsigned draw() { return static_cast<unsigned>(random_()); }

  void wait_for_arrivals() {
    constexpr auto kPatience = 20s;
    TimePoint end = now() + kPatience;
    for (std::uint32_t before = 0; before < kItems && now() < end;) {
      sleep_for(5ms);
      if (const std::uint32_t arrived = arrived_; arrived != before) {
        before = arrived;
        end = now() + kPatience;
      }
    }
  }

  // Starts carriers all over the place, and cancels some, lets others go, and waits for some.
  void manage(unsigned stage, unsigned seed) {
    Random random(seed);
    while (!over_) {
      std::vector<Task<void>> carriers;
      const std::size_t count = 1 + random() % 8;
      for (std::size_t i = 0; i < count; ++i) {
        const auto place = on(random() % kSchedulers);
        // Only those that are cancelled for sure may wait for ever.
        const bool patient = i % 2;
        carriers.push_back(
            spawn([this, stage, patient,
                   its = static_cast<unsigned>(random())] { carry_as_task(stage, patient, its); },
                  place));
      }
      if (random() % 2) sleep_for(Duration(random() % 300'000));
      for (std::size_t i = 0; i < count; ++i) {
        const unsigned choice = random() % 4;
        if (i % 2) {
          if (choice > 0) carriers[i].cancel();  // or when it is destroyed
        } else if (choice == 0) {
          carriers[i].detach();
        } else if (choice == 1) {
          carriers[i].wait_for(Duration(random() % 100'000));
        } else if (choice == 2) {
          carriers[i].wait();
        }
      }
    }
  }

  void carry_as_task(unsigned stage, bool patient, unsigned seed) {
    struct Count {
      ~Count() { cancelled += !ended; }
      std::atomic<int>& cancelled;
      bool ended = false;
    } count{cancelled_};
    Random random(seed);
    carry(stage, patient, random, 1 + random() % 64);
    count.ended = true;
  }

  void be_a_thread(unsigned stage, unsigned seed) {
    Random random(seed);
    while (!over_) {
      carry(stage, false, random, 1000);
      std::this_thread::sleep_for(100us);
    }
  }

  void carry(unsigned stage, bool patient, Random& random, unsigned count) {
    try {
      for (; count > 0 && !over_; --count) {
        Hand hand{*this, stage};
        if (!take(stage, hand.box, patient, random)) {
          if (stage == 0) return;
          continue;
        }
        wrong_ += hand.box->stages++ != stage;
        give(stage, hand.box, patient, random);
      }
    } catch (const QueueClosed&) {
    }
  }

  // With a limit of its own, that of a scope, or none.
  template <class F, class TryFor>
  bool within_limits(bool patient, Random& random, F f, TryFor try_for) {
    const Duration limit(random() % 200'000);
    const unsigned choice = random() % 4;
    if (choice == 0 && patient) {
      f();
      return true;
    }
    bool done = false;
    if (choice == 1 && Home::here()) {
      try {
        with_timeout(limit, f);
        done = true;
      } catch (const TimeoutError&) {
      }
    } else {
      done = try_for(choice == 2 ? limit : Duration(1ms));
    }
    if (!done) ++timed_out_;
    return done;
  }

  bool take(unsigned stage, Box& box, bool patient, Random& random) {
    if (auto back = returned_[stage].try_pop()) {
      box = std::move(*back);
      return true;
    }
    if (stage == 0) {
      if (made_ >= kItems) return false;
      const std::uint32_t id = made_++;
      if (id < kItems) box = std::make_unique<Item>(id);
      return box != nullptr;
    }
    Queue<Box>& queue = queues_[stage];
    return within_limits(
        patient, random, [&] { box = queue.pop(); },
        [&](Duration limit) {
          if (auto popped = queue.try_pop_for(limit)) box = std::move(*popped);
          return box != nullptr;
        });
  }

  void give(unsigned stage, Box& box, bool patient, Random& random) {
    if (stage + 1 == kStages) {
      ++seen_[box->id];
      box.reset();
      ++arrived_;
      return;
    }
    Queue<Box>& queue = queues_[stage + 1];
    within_limits(
        patient, random, [&] { queue.push(std::move(box)); },
        [&](Duration limit) { return queue.try_push_for(std::move(box), limit); });
  }

  Random random_;
  std::array<Queue<Box>, kStages> queues_{Queue<Box>(1), Queue<Box>(64), Queue<Box>(),
                                          Queue<Box>(7)};
  std::array<Queue<Box>, kStages> returned_;
  std::vector<std::atomic<std::uint8_t>> seen_;
  std::atomic<std::uint32_t> made_{0}, arrived_{0};
  std::atomic<bool> over_{false};
  std::atomic<int> carriers_{0}, cancelled_{0}, timed_out_{0}, handed_back_{0}, wrong_{0};
};

}  // namespace

BOOST_AUTO_TEST_CASE(each_of_a_million_items_arrives_once) {
  BOOST_TEST_CONTEXT("WEFT_SEED=" << stress_seed()) {
    run_real_time_case(
        [] {
          Pipeline pipeline(stress_seed());
          pipeline.run();
          pipeline.check();
        },
        {.threads = kSchedulers});
  }
}

BOOST_AUTO_TEST_SUITE_END()
