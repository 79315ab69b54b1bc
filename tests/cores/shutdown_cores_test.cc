// The end of a runtime with work in flight on all of its schedulers.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/io/runtime.h"

BOOST_AUTO_TEST_SUITE(shutdown_cores)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

void run_cores(std::function<void()> main) {
  run(std::move(main), {.threads = 3, .virtual_time = true});
}

void sleep_for_ever() { sleep_until(kForever); }

// Starts a fiber on each scheduler that does this when it is cancelled, shielded.
void at_the_end_of_each(std::function<void(std::size_t)> cleanup) {
  for (std::size_t i = 0; i < 3; ++i) {
    spawn(when_cancelled([i, cleanup] { shield([&] { cleanup(i); }); }), on(i)).detach();
  }
  run_until_blocked();
}

}  // namespace

// ---- What is cancelled, and what is waited for --------------------------------------------------

BOOST_AUTO_TEST_CASE(fibers_of_all_schedulers_are_cancelled_and_waited_for) {
  std::atomic<int> cleaned{0}, ran{0};
  run_cores([&] {
    at_the_end_of_each([&](std::size_t i) {
      sleep_for((i + 1) * 1s);
      ++cleaned;
    });
    spread([&] {
      Scheduler::current().call_later(1ms, [&] { ++ran; });
      Scheduler::current().post([&] { ++ran; });
      spawn([&] { ++ran; }).detach();
    });
  });
  BOOST_TEST(cleaned == 3);
  BOOST_TEST(ran <= 6, "a pending call ran");
}

BOOST_AUTO_TEST_CASE(whatever_they_wait_for_the_wait_ends) {
  Mutex locked;
  Promise<void> promise;
  Semaphore semaphore(0);
  Queue<int> queue;
  std::atomic<int> begun{0}, ended{0};
  const std::vector<std::function<void()>> waits{
      [] { sleep_for(1h); },
      [&] { promise.future().get(); },
      [&] { semaphore.acquire(); },
      [&] { queue.pop(); },
      [&] { const std::lock_guard lock(locked); },
      [] { spawn(sleep_for_ever, on(1)).wait(); },
      [] { spread(sleep_for_ever); },
      [] {
        TaskGroup group;
        for (std::size_t i = 0; i < 3; ++i) group.spawn(sleep_for_ever, on(i));
        group.join();
      },
      [] { with_timeout(1h, sleep_for_ever); },
      [] {
        for (;;) yield();
      },
      [] { run_in_executor([] { std::this_thread::sleep_for(1ms); }), sleep_for_ever(); },
  };
  run_cores([&] {
    auto holder = spawn(
        [&] {
          const std::lock_guard lock(locked);
          sleep_for_ever();
        },
        on(2));
    BOOST_TEST(eventually([&] { return locked.try_lock() ? (locked.unlock(), false) : true; }));
    for (const auto& wait : waits) {
      for (std::size_t i = 0; i < 3; ++i) {
        spawn(
            [&] {
              ++begun;
              const CountAtEnd ends(ended);
              wait();
            },
            on(i))
            .detach();
      }
    }
    const int all = static_cast<int>(3 * waits.size());
    while (begun < all) yield();
    holder.detach();
  });
  BOOST_TEST(begun == ended);
  BOOST_TEST(locked.try_lock(), "a fiber that held it is gone, and the lock is not");
  locked.unlock();
}

BOOST_AUTO_TEST_CASE(a_job_of_any_scheduler_that_has_begun_is_waited_for) {
  std::atomic<int> begun{0}, over{0};
  run(
      [&] {
        for (std::size_t i = 0; i < 3; ++i) {
          spawn(
              [&] {
                run_in_executor([&] {
                  ++begun;
                  std::this_thread::sleep_for(2ms);
                  ++over;
                });
              },
              on(i))
              .detach();
        }
        while (begun < 3) yield();
      },
      {.threads = 3});
  BOOST_TEST(over == 3);
}

BOOST_AUTO_TEST_CASE(what_other_schedulers_run_ends_though_run_was_never_called) {
  std::atomic<bool> begun{false}, cleaned{false};
  {
    Runtime runtime({.threads = 2});
    spawn(
        [&] {
          begun = true;
          try {
            sleep_for(1h);
          } catch (const Cancelled&) {
            // The first scheduler runs only now.
            auto helper = spawn([] { yield(); }, {.on = Runtime::current().schedulers()[0]});
            shield([&] { helper.wait(); });
            cleaned = true;
          }
        },
        {.on = runtime.schedulers()[1]})
        .detach();
    BOOST_TEST(eventually([&] { return begun.load(); }));
  }
  BOOST_TEST(cleaned);
}

BOOST_AUTO_TEST_CASE(the_state_of_a_failed_main_is_waited_for_on_all_schedulers) {
  int cleaned = 0;
  struct Cleanup {
    int& cleaned;
    ~Cleanup() {
      for (std::size_t i = 0; i < 3; ++i) spawn([&] { sleep_for(1s), ++cleaned; }, on(i)).get();
    }
  };
  const auto main = [&] {
    auto task = spawn(
        [&] {
          const Cleanup cleanup{cleaned};
          sleep_for_ever();
        },
        on(1));
    run_until_blocked();
    throw std::runtime_error("of main");
  };
  BOOST_CHECK_THROW(run_cores(main), std::runtime_error);
  BOOST_TEST(cleaned == 3);
}

// ---- Clean-up that needs other schedulers -------------------------------------------------------

BOOST_AUTO_TEST_CASE(cleanup_may_start_and_join_helpers_everywhere) {
  std::atomic<int> helped{0};
  run_cores([&] {
    at_the_end_of_each([&](std::size_t i) {
      for (std::size_t n = 0; n < 6; ++n) {
        auto helper = spawn([] { return sleep_for(10ms), 1; }, on((i + n) % 3));
        helped += helper.get();
      }
      for (const int result : spread([] { return yield(), 1; })) helped += result;
      TaskGroup group;
      for (std::size_t n = 0; n < 3; ++n) group.spawn([&] { sleep_for(1ms), ++helped; }, on(n));
      group.join();
    });
  });
  BOOST_TEST(helped == 3 * (6 + 3 + 3));
}

// A scheduler that has nothing left to do itself is there for the others.
BOOST_AUTO_TEST_CASE(a_scheduler_at_rest_is_woken_by_the_cleanup_of_another) {
  int helped = 0;
  run_cores([&] {
    spawn(when_cancelled([&] {
            shield([&] {
              for (std::size_t n = 0; n < 30; ++n) {
                sleep_for(1ms);  // all others rest
                helped += spawn([] { return 1; }, on(n % 3)).get();
              }
            });
          }),
          on(1))
        .detach();
    run_until_blocked();
  });
  BOOST_TEST(helped == 30);
}

BOOST_AUTO_TEST_CASE(cleanup_may_play_ping_pong_between_schedulers) {
  constexpr int kRounds = 200;
  std::vector<std::unique_ptr<Semaphore>> turns;
  for (int i = 0; i < 3; ++i) turns.push_back(std::make_unique<Semaphore>(i == 0));
  int hops = 0;  // whoever has the turn
  run_cores([&] {
    at_the_end_of_each([&](std::size_t i) {
      for (int round = 0; round < kRounds; ++round) {
        turns[i]->acquire();
        ++hops;
        turns[(i + 1) % 3]->release();
      }
    });
  });
  BOOST_TEST(hops == 3 * kRounds);
}

BOOST_AUTO_TEST_CASE(cleanup_may_wait_for_the_cleanup_of_another_scheduler) {
  constexpr std::size_t kLinks = 30;
  std::vector<std::unique_ptr<Event>> ended;
  for (std::size_t i = 0; i <= kLinks; ++i) ended.push_back(std::make_unique<Event>());
  std::string order;
  run_cores([&] {
    for (std::size_t i = 0; i < kLinks; ++i) {
      spawn(when_cancelled([&, i] {
              shield([&] { ended[i]->wait(), sleep_for(1ms); });
              order += static_cast<char>('A' + i);
              ended[i + 1]->set();
            }),
            on(i % 3))
          .detach();
    }
    run_until_blocked();
    ended.front()->set();
  });
  BOOST_TEST(order == "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^");
}

BOOST_AUTO_TEST_CASE(cleanup_may_take_the_results_of_another_scheduler) {
  std::atomic<int> sum{0};
  run_cores([&] {
    for (std::size_t i = 0; i < 3; ++i) {
      spawn(
          [&, i] {
            auto child =
                spawn([] { return shield([] { return sleep_for(10s), 7; }); }, on((i + 1) % 3));
            try {
              sleep_for_ever();
            } catch (const Cancelled&) {
              sum += shield([&] { return child.get(); });
            }
          },
          on(i))
          .detach();
    }
    run_until_blocked();
  });
  BOOST_TEST(sum == 21);
}

BOOST_AUTO_TEST_CASE(a_destructor_may_wait_for_a_task_of_another_scheduler) {
  std::atomic<int> joined{0};
  struct Waits {
    explicit Waits(std::atomic<int>& its_joined, std::size_t its_there)
        : joined(&its_joined), there(its_there) {}
    Waits(Waits&& other) noexcept
        : joined(std::exchange(other.joined, nullptr)), there(other.there) {}
    ~Waits() {
      if (!joined) return;
      *joined += spawn([] { return sleep_for(1s), 1; }, on(there)).get();
    }
    std::atomic<int>* joined;
    std::size_t there;
  };
  run_cores([&] {
    for (std::size_t i = 0; i < 3; ++i) {
      // Of a local by unwinding, of a callable, of a result, of a call that is dropped.
      spawn(
          [&, i] {
            const Waits local(joined, (i + 1) % 3);
            sleep_for_ever();
          },
          on(i))
          .detach();
      spawn([waits = Waits(joined, (i + 1) % 3)] { sleep_for_ever(); }, on(i)).detach();
      spawn([&, i] { return shield([&] { return sleep_for(1s), Waits(joined, (i + 1) % 3); }); },
            on(i))
          .detach();
      spawn(
          [&, i] {
            Scheduler::current().call_later(
                1h, [waits = std::make_shared<Waits>(joined, (i + 2) % 3)] {});
          },
          on(i))
          .get();
    }
    run_until_blocked();
  });
  BOOST_TEST(joined == 3 * 4);
}

BOOST_AUTO_TEST_CASE(what_cleanup_posts_elsewhere_does_not_begin) {
  std::atomic<int> ran{0}, cleaned{0};
  const auto held = std::make_shared<int>();
  run_cores([&] {
    at_the_end_of_each([&, held](std::size_t i) {
      sleep_for(1s);  // by then all have begun to end
      for (std::size_t n = 0; n < 3; ++n) on((i + n) % 3).on->post([&, held] { ++ran; });
      ++cleaned;
    });
  });
  BOOST_TEST(cleaned == 3);
  BOOST_TEST(ran == 0);
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(what_cleanup_detaches_elsewhere_ends) {
  std::atomic<int> cleaned{0};
  const auto held = std::make_shared<int>();
  run_cores([&] {
    at_the_end_of_each([&, held](std::size_t i) {
      for (std::size_t n = 0; n < 6; ++n) spawn([held] { yield(); }, on((i + n) % 3)).detach();
      ++cleaned;
    });
  });
  BOOST_TEST(cleaned == 3);
  BOOST_TEST(held.use_count() == 1);
}

// Where it is late on one scheduler: else a fiber there would see the end of another one before its
// own, and end with an exception that nobody takes.
BOOST_AUTO_TEST_CASE(no_fiber_goes_on_before_all_are_cancelled) {
  std::atomic<bool> cancelled{false};
  run_cores([&] {
    std::atomic<bool> holds{false};
    spawn(
        [&] {
          auto task = spawn(&sleep_for_ever, on(0));
          try {
            task.get();
          } catch (const Cancelled&) {
            cancelled = true;
            throw;
          }
        },
        on(1))
        .detach();
    run_until_blocked();
    spawn(
        [&holds] {
          holds = true;
          std::this_thread::sleep_for(5ms);
        },
        on(1))
        .detach();
    while (!holds) yield();
  });
  BOOST_TEST(cancelled);
}

BOOST_AUTO_TEST_SUITE_END()
