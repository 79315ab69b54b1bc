// The end of a runtime with several schedulers while threads and pools use them; who is late.

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/io/runtime.h"

BOOST_AUTO_TEST_SUITE(shutdown_pool_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

void run_virtually(unsigned threads, std::function<void()> main) {
  run(std::move(main), {.threads = threads, .virtual_time = true});
}

void sleep_for_ever() { sleep_until(kForever); }

}  // namespace

// ---- Threads meanwhile --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(threads_may_post_and_spawn_everywhere_until_the_runtime_is_gone) {
  for (int round = 0; round < 30; ++round) {
    const auto held = std::make_shared<int>();
    std::atomic<bool> over{false}, begun{false};
    std::atomic<int> started{0}, ended{0};
    std::vector<std::thread> posters;
    auto runtime = std::make_unique<Runtime>(RunOptions{.threads = 3});
    const auto schedulers = runtime->schedulers();
    const auto work = [&, held] {
      ++started;
      const CountAtEnd ends(ended);
      yield();
      sleep_for(1us);
    };
    // They go on until all fibers have ended: the schedulers themselves must outlive their posts.
    for (std::size_t self = 0; self < 2; ++self) {
      posters.emplace_back([&, self] {
        for (std::size_t i = self; !over; ++i) {
          schedulers[i % 3]->post(work);
          auto task = spawn(work, {.on = schedulers[i % 3]});
          if (i % 3 == 0) task.cancel();
          i % 2 ? task.wait() : task.detach();
          begun = true;
        }
      });
    }
    runtime->run([&] {
      while (!begun) yield();
      internal::default_thread_pool().post([&] {
        sleep_for(1ms);
        over = true;
        for (auto& poster : posters) poster.join();
      });
    });
    runtime.reset();
    BOOST_REQUIRE(started == ended);
    BOOST_REQUIRE(held.use_count() == 2);
  }
}

BOOST_AUTO_TEST_CASE(a_thread_that_holds_tasks_does_not_keep_the_end_waiting) {
  for (const unsigned threads : {1u, 3u}) {
    std::vector<Task<void>> tasks;
    run_virtually(threads, [&] {
      for (std::size_t i = 0; i < 9; ++i) tasks.push_back(spawn(sleep_for_ever, on(i % threads)));
      run_until_blocked();
    });
    for (auto& task : tasks) BOOST_CHECK_THROW(task.get(), TaskCancelled);
  }
}

// ---- The pool, the last phase -------------------------------------------------------------------

// The pool is closed when all fibers have ended, and its jobs still have all schedulers.
BOOST_AUTO_TEST_CASE(the_pool_ends_after_all_fibers_and_before_any_scheduler) {
  std::atomic<int> begun{0}, cleaned{0}, cleaned_before{-1}, cancelled{0}, ran{0};
  run(
      [&] {
        ThreadPool& pool = internal::default_thread_pool();
        const auto schedulers = Runtime::current().schedulers();
        for (std::size_t i = 0; i < 3; ++i) {
          spawn(
              [&, i] {
                ++begun;
                try {
                  sleep_for_ever();
                } catch (const Cancelled&) {
                  shield([i] {
                    sleep_for((i + 1) * 1ms);
                    run_in_executor([] {});
                  });
                  ++cleaned;
                }
              },
              on(i))
              .detach();
        }
        pool.post([&, schedulers] {
          for (;;) {
            try {
              pool.post([] {});
            } catch (const std::logic_error&) {
              break;  // it is closed
            }
            std::this_thread::yield();
          }
          cleaned_before = cleaned.load();
          for (Scheduler* scheduler : schedulers) {
            auto task = spawn([&] { ++ran; }, {.on = scheduler});
            scheduler->post([&] { ++ran; });
            try {
              task.get();
            } catch (const TaskCancelled&) {
              ++cancelled;
            }
          }
        });
        BOOST_TEST(eventually([&] { return begun == 3; }));
      },
      {.threads = 3});
  BOOST_TEST(cleaned_before == 3);
  BOOST_TEST(cancelled == 3);
  BOOST_TEST(ran == 0);
}

BOOST_AUTO_TEST_CASE(jobs_that_come_last_may_start_fibers_everywhere_again_and_again) {
  for (int round = 0; round < 30; ++round) {
    std::atomic<int> jobs{0}, destroyed{0};
    struct Destroyed {
      explicit Destroyed(std::atomic<int>& its_count) : count(&its_count) {}
      Destroyed(Destroyed&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
      ~Destroyed() {
        if (!count) return;
        // On its scheduler, where it may use another one.
        spawn([] { yield(); }, on(1)).wait();
        ++*count;
      }
      std::atomic<int>* count;
    };
    run(
        [&] {
          const auto schedulers = Runtime::current().schedulers();
          for (int job = 0; job < 20; ++job) {
            internal::default_thread_pool().post([&, schedulers, job] {
              for (int n = 0; n < 3; ++n) {
                auto task = spawn([d = Destroyed(destroyed)] { sleep_for(1us); },
                                  {.on = schedulers[static_cast<std::size_t>(job + n) % 3]});
                n == 2 ? task.detach() : task.wait();
              }
              ++jobs;
            });
          }
        },
        {.threads = 3});
    BOOST_REQUIRE(jobs == 20);
    BOOST_REQUIRE(destroyed == 60);
  }
}

// ---- Stragglers ---------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_does_not_end_is_reported_whichever_scheduler_it_is_on) {
  for (const unsigned threads : {1u, 3u}) {
    for (std::size_t there = 0; there < threads; ++there) {
      const auto end_after = [=](Duration time) {
        return run_in_child([=] {
          run_virtually(threads, [=] {
            spawn([=] { shield([=] { sleep_for(time); }); },
                  {.name = "straggler", .on = on(there).on})
                .detach();
            run_until_blocked();
          });
          return 7;
        });
      };
      const ChildEnd patient = end_after(4999ms);
      BOOST_TEST(patient.exit_code == 7);
      BOOST_TEST(patient.said == "");
      const ChildEnd slow = end_after(5001ms);
      BOOST_TEST(slow.exit_code == 7);
      BOOST_TEST(slow.said.find("\"straggler\"") != std::string::npos, slow.said);
      BOOST_TEST(slow.said.find("sleep_for") != std::string::npos, slow.said);
      BOOST_TEST(std::count(slow.said.begin(), slow.said.end(), '\n') == 1, slow.said);
    }
  }
}

BOOST_AUTO_TEST_CASE(nobody_is_reported_for_the_time_that_the_pool_takes_to_end) {
  for (const unsigned threads : {1u, 3u}) {
    const ChildEnd end = run_in_child([threads] {
      run_virtually(threads, [] { spread([] { run_in_executor([] {}); }); });
      return 7;
    });
    BOOST_TEST(end.exit_code == 7);
    BOOST_TEST(end.said == "");
  }
}

BOOST_AUTO_TEST_SUITE_END()
