// The body of a TaskGroup: with_task_group(), and what spawn() and failures() say of a group that
// has failed.

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/task_group.h"

BOOST_AUTO_TEST_SUITE(with_task_group)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// A child that fails with these words after a while.
auto failing(Duration after, std::string words) {
  return [after, words] {
    sleep_for(after);
    throw Failure(words);
  };
}

std::string words_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::vector<std::string> words_of(const TaskGroup& group) {
  std::vector<std::string> words;
  for (const auto& failure : group.failures()) words.push_back(words_of(failure));
  return words;
}

using Words = std::vector<std::string>;

}  // namespace

// ---- The body -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(it_returns_what_the_body_returns_when_all_have_ended) {
  int ended = 0;
  const int result = weft::with_task_group([&](TaskGroup& group) {
    for (int i = 0; i < 3; ++i) group.spawn([&, i] { sleep_for(i * 1s), ++ended; });
    return 7;
  });
  BOOST_TEST(result == 7);
  BOOST_TEST(ended == 3);
  int there = 0;
  int& reference = weft::with_task_group([&](TaskGroup&) -> int& { return there; });
  BOOST_TEST(&reference == &there);
  const auto moved =
      weft::with_task_group([](TaskGroup&) { return std::make_unique<std::string>("moved"); });
  BOOST_TEST(*moved == "moved");
}

WEFT_SHUFFLED_TEST_CASE(a_failure_ends_the_current_wait_of_the_body) {
  const TimePoint start = now();
  bool cancelled = false;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          group.spawn(failing(100ms, "child"));
                          try {
                            sleep_for(10s);
                          } catch (const Cancelled&) {
                            cancelled = true;
                            throw;
                          }
                        }),
                        Failure, says("child"));
  BOOST_TEST(cancelled);
  BOOST_TEST((now() == start + 100ms));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_ends_the_next_wait_of_the_body_and_every_later_one) {
  int thrown = 0;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          group.spawn([] { throw Failure("at once"); }, {.eager = true});
                          for (int i = 0; i < 3; ++i) {
                            try {
                              sleep_for(1s);
                            } catch (const Cancelled&) {
                              ++thrown;
                            }
                          }
                        }),
                        Failure, says("at once"));
  BOOST_TEST(thrown == 3);
  sleep_for(1s);  // the interruption ends with the scope
}

WEFT_SHUFFLED_TEST_CASE(a_failure_cancels_the_other_children) {
  int cancelled = 0;
  const TimePoint start = now();
  BOOST_CHECK_THROW(weft::with_task_group([&](TaskGroup& group) {
                      for (int i = 0; i < 3; ++i) {
                        group.spawn(when_cancelled([&] { ++cancelled; }));
                      }
                      group.spawn(failing(1s, "child"));
                    }),
                    Failure);
  BOOST_TEST(cancelled == 3);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(every_kind_of_wait_of_the_body_is_ended) {
  Mutex mutex;
  auto holder = spawn(
      [&] {
        const std::lock_guard lock(mutex);
        sleep_for(24h);
      },
      {.eager = true});
  Semaphore none(0);
  Event event;
  Queue<int> queue;
  Promise<int> promise;
  Barrier barrier(2);
  auto sleeper = spawn([] { sleep_for(1h); });
  const std::vector<std::function<void(TaskGroup&)>> waits{
      [](TaskGroup&) { sleep_for(1h); },
      [](TaskGroup&) {
        for (;;) yield();
      },
      [&](TaskGroup&) { mutex.lock(); },
      [&](TaskGroup&) { none.acquire(); },
      [&](TaskGroup&) { event.wait(); },
      [&](TaskGroup&) { (void)queue.pop(); },
      [&](TaskGroup&) { (void)promise.future().get(); },
      [&](TaskGroup&) { barrier.arrive_and_wait(); },
      [&](TaskGroup&) { sleeper.get(); },
      [](TaskGroup& group) { group.join(); },
      [](TaskGroup&) { with_timeout(24h, [] { sleep_for(1h); }); },
      [](TaskGroup&) { gather([] { sleep_for(1h); }, [] { sleep_for(2h); }); },
  };
  for (std::size_t i = 0; i < waits.size(); ++i) {
    BOOST_TEST_CONTEXT("wait " << i) {
      const TimePoint start = now();
      BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                              // The clock stands still while the body yields.
                              group.spawn(failing(i == 1 ? 0s : 1s, "child"));
                              waits[i](group);
                            }),
                            Failure, says("child"));
      BOOST_TEST((now() <= start + 1s));
    }
  }
  promise.set_value(1);
}

WEFT_SHUFFLED_TEST_CASE(a_body_that_throws_cancels_the_children_and_that_is_thrown) {
  const TimePoint start = now();
  bool left = false;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          group.spawn(when_cancelled([&] {
                            shield([] { sleep_for(1s); });
                            left = true;
                          }));
                          run_until_blocked();
                          throw Failure("body");
                        }),
                        Failure, says("body"));
  BOOST_TEST(left);
  BOOST_TEST((now() < start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(the_first_of_the_bodys_and_the_childrens_failures_is_thrown) {
  BOOST_CHECK_EXCEPTION(weft::with_task_group([](TaskGroup& group) {
                          group.spawn(failing(1s, "child"));
                          try {
                            sleep_for(1h);
                          } catch (const Cancelled&) {
                            throw Failure("a consequence");
                          }
                        }),
                        Failure, says("child"));
  BOOST_CHECK_EXCEPTION(weft::with_task_group([](TaskGroup& group) {
                          group.spawn(failing_cleanup("a consequence"));
                          run_until_blocked();
                          throw Failure("body");
                        }),
                        Failure, says("body"));
}

WEFT_SHUFFLED_TEST_CASE(a_body_that_overlooks_the_failure_ends_by_it) {
  bool cancelled = false;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([](TaskGroup& group) {
                          group.spawn(failing(1s, "child"));
                          try {
                            sleep_for(1h);
                          } catch (const Cancelled&) {
                          }
                          return 7;
                        }),
                        Failure, says("child"));
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          group.spawn(failing(1s, "child"));
                          BOOST_CHECK_EXCEPTION(group.join(), Failure, says("child"));
                          cancelled = throws_cancelled([&] { group.spawn([] {}); });
                        }),
                        Failure, says("child"));
  BOOST_TEST(cancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_shield_in_the_body_holds_the_interruption_back) {
  const TimePoint start = now();
  BOOST_CHECK_THROW(weft::with_task_group([&](TaskGroup& group) {
                      group.spawn(failing(1s, "child"));
                      shield([] { sleep_for(5s); });
                      BOOST_TEST((now() == start + 5s));
                      sleep_for(1h);
                    }),
                    Failure);
  BOOST_TEST((now() == start + 5s));
}

WEFT_SHUFFLED_TEST_CASE(a_shield_around_the_scope_does_not) {
  const TimePoint start = now();
  BOOST_CHECK_THROW(shield([] {
                      weft::with_task_group([](TaskGroup& group) {
                        group.spawn(failing(1s, "child"));
                        sleep_for(1h);
                      });
                    }),
                    Failure);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(a_destructor_of_the_body_that_waits_while_it_unwinds_is_not_interrupted) {
  bool cleaned = false;
  BOOST_CHECK_THROW(weft::with_task_group([&](TaskGroup& group) {
                      struct Cleans {
                        bool& cleaned;
                        ~Cleans() { sleep_for(1s), cleaned = true; }
                      } const cleans{cleaned};
                      group.spawn(failing(1s, "child"));
                      sleep_for(1h);
                    }),
                    Failure);
  BOOST_TEST(cleaned);
}

WEFT_SHUFFLED_TEST_CASE(scopes_nest_and_the_outer_ones_failure_ends_the_inner_one) {
  const TimePoint start = now();
  bool inner_left = false;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& outer) {
                          outer.spawn(failing(1s, "outer"));
                          try {
                            weft::with_task_group([&](TaskGroup& inner) {
                              inner.spawn([] { sleep_for(1h); });
                              sleep_for(1h);
                            });
                          } catch (const Cancelled&) {
                            inner_left = true;
                            throw;
                          }
                        }),
                        Failure, says("outer"));
  BOOST_TEST(inner_left);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(the_inner_ones_failure_may_be_caught_in_the_outer_one) {
  const int result = weft::with_task_group([](TaskGroup& outer) {
    outer.spawn([] { sleep_for(3s); });
    BOOST_CHECK_EXCEPTION(weft::with_task_group([](TaskGroup& inner) {
                            inner.spawn(failing(1s, "inner"));
                            sleep_for(1h);
                          }),
                          Failure, says("inner"));
    sleep_for(1s);
    return 7;
  });
  BOOST_TEST(result == 7);
}

WEFT_SHUFFLED_TEST_CASE(a_time_limit_around_it_cancels_body_and_children) {
  const TimePoint start = now();
  bool child_left = false;
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   weft::with_task_group([&](TaskGroup& group) {
                                     group.spawn(when_cancelled([&] {
                                       child_left = true;
                                       throw;
                                     }));
                                     sleep_for(2h);
                                   });
                                 }),
                    TimeoutError);
  BOOST_TEST(child_left);
  BOOST_TEST((now() == start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(a_time_limit_in_the_body_is_its_own) {
  const TimePoint start = now();
  weft::with_task_group([&](TaskGroup& group) {
    group.spawn([] { sleep_for(3s); });
    BOOST_CHECK_THROW(with_timeout(1s, [] { sleep_for(1h); }), TimeoutError);
    sleep_for(1s);
  });
  BOOST_TEST((now() == start + 3s));
}

WEFT_SHUFFLED_TEST_CASE(a_time_limit_and_a_failure_at_one_instant_give_one_of_the_two) {
  try {
    with_timeout(1s, [] {
      weft::with_task_group([](TaskGroup& group) {
        group.spawn(failing(1s, "child"));
        sleep_for(1h);
      });
    });
    BOOST_ERROR("it returned");
  } catch (const TimeoutError&) {
  } catch (const Failure& failure) {
    BOOST_TEST(failure.what() == std::string("child"));
  }
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_caller_cancels_body_and_children) {
  int left = 0;
  auto task = spawn([&] {
    weft::with_task_group([&](TaskGroup& group) {
      for (int i = 0; i < 2; ++i) {
        group.spawn(when_cancelled([&] {
          shield([] { sleep_for(1s); });
          ++left;
        }));
      }
      sleep_for(1h);
    });
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(left == 2);
}

WEFT_SHUFFLED_TEST_CASE(a_caller_cancelled_while_the_children_are_waited_for_cancels_them) {
  const TimePoint start = now();
  auto task = spawn(
      [] { weft::with_task_group([](TaskGroup& group) { group.spawn([] { sleep_for(1h); }); }); });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST((now() < start + 1s));
}

WEFT_SHUFFLED_TEST_CASE(a_childs_failure_is_thrown_rather_than_that_the_caller_was_cancelled) {
  auto task = spawn([] {
    weft::with_task_group([](TaskGroup& group) {
      group.spawn(failing_cleanup("rollback failed"));
      sleep_for(1h);
    });
  });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_EXCEPTION(task.get(), Failure, says("rollback failed"));
}

WEFT_SHUFFLED_TEST_CASE(cancel_does_not_interrupt_the_body) {
  const TimePoint start = now();
  weft::with_task_group([&](TaskGroup& group) {
    group.spawn([] { sleep_for(1h); });
    run_until_blocked();
    group.cancel();
    sleep_for(1s);
    group.join();
    group.spawn([] { sleep_for(1s); });
  });
  BOOST_TEST((now() < start + 3s));
}

WEFT_SHUFFLED_TEST_CASE(children_may_start_siblings_while_the_body_has_ended) {
  int ended = 0;
  std::function<void(TaskGroup&, int)> grow = [&](TaskGroup& group, int depth) {
    sleep_for(1s);
    for (int i = 0; i < 2 && depth > 0; ++i) {
      group.spawn([&, depth] { grow(group, depth - 1); });
    }
    ++ended;
  };
  weft::with_task_group([&](TaskGroup& group) { group.spawn([&] { grow(group, 5); }); });
  BOOST_TEST(ended == 63);
}

WEFT_SHUFFLED_TEST_CASE(a_server_whose_handler_fails_ends_by_it_and_answers_nobody_in_silence) {
  Queue<int> accepted;
  int begun = 0;
  auto clients = spawn([&] {
    for (int i = 0;; ++i) {
      sleep_for(1s);
      accepted.push(i);
    }
  });
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& connections) {
                          for (;;) {
                            const int client = accepted.pop();
                            connections.spawn([&, client] {
                              ++begun;
                              if (client == 3) throw Failure("a bad request");
                              sleep_for(1h);
                            });
                          }
                        }),
                        Failure, says("a bad request"));
  BOOST_TEST(begun == 4);
}

WEFT_SHUFFLED_TEST_CASE(a_body_that_never_has_to_wait_is_stopped_by_spawn) {
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          for (;;) group.spawn([] { throw Failure("child"); }, {.eager = true});
                        }),
                        Failure, says("child"));
}

WEFT_SHUFFLED_TEST_CASE(a_failure_of_before_interrupts_the_body_from_its_start) {
  TaskGroup group;
  group.spawn([] { throw Failure("before"); });
  run_until_blocked();
  bool cancelled = false;
  BOOST_CHECK_EXCEPTION(
      weft::with_task_group(
          group, [&](TaskGroup&) { cancelled = throws_cancelled([] { sleep_for(1h); }); }),
      Failure, says("before"));
  BOOST_TEST(cancelled);
}

// ---- Misuse -------------------------------------------------------------------------------------

WEFT_TEST_CASE(misuse_is_told) {
  BOOST_CHECK_THROW(weft::with_task_group(std::function<void(TaskGroup&)>()),
                    std::invalid_argument);
  TaskGroup group;
  weft::with_task_group(group, [&](TaskGroup& its) {
    BOOST_TEST(&its == &group);
    BOOST_CHECK_THROW(weft::with_task_group(group, [](TaskGroup&) {}), std::logic_error);
    group.spawn([&] {
      BOOST_CHECK_THROW(weft::with_task_group(group, [](TaskGroup&) {}), std::logic_error);
      BOOST_CHECK_THROW(group.join(), std::logic_error);
    });
  });
}

BOOST_AUTO_TEST_CASE(on_a_plain_thread_nothing_interrupts_the_body_but_the_failure_is_thrown) {
  SchedulerThread other;
  bool ended = false;
  BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                          group.spawn([] { throw Failure("there"); }, {.on = other.get()});
                          ended = eventually([&] { return !group.failures().empty(); });
                        }),
                        Failure, says("there"));
  BOOST_TEST(ended);
}

// ---- A group that is shutting down --------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(spawn_on_a_failed_or_cancelled_group_throws_until_it_was_joined) {
  TaskGroup group;
  group.spawn([] { throw Failure("child"); });
  run_until_blocked();
  bool destroyed = false;
  struct Tells {
    explicit Tells(bool& its_destroyed) : destroyed(&its_destroyed) {}
    Tells(Tells&& other) noexcept : destroyed(std::exchange(other.destroyed, nullptr)) {}
    ~Tells() {
      if (destroyed) *destroyed = true;
    }
    bool* destroyed;
  };
  BOOST_CHECK_THROW(group.spawn([tells = Tells(destroyed)] { BOOST_ERROR("it began"); }),
                    std::runtime_error);
  BOOST_TEST(destroyed);
  BOOST_CHECK_THROW(group.spawn([big = std::array<char, 1000>()] { (void)big; }),
                    std::runtime_error);
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("child"));
  int ended = 0;
  group.spawn([&] { ++ended; });
  group.join();
  BOOST_TEST(ended == 1);

  group.cancel();
  BOOST_CHECK_THROW(group.spawn([] { BOOST_ERROR("it began"); }), std::runtime_error);
  group.join();
  group.spawn([&] { ++ended; });
  group.join();
  BOOST_TEST(ended == 2);
}

WEFT_SHUFFLED_TEST_CASE(spawn_in_a_child_of_a_group_that_is_shutting_down_is_a_cancellation) {
  TaskGroup group;
  bool cancelled = false;
  group.spawn([&] {
    group.cancel();
    try {
      group.spawn([] { BOOST_ERROR("it began"); });
    } catch (const Cancelled&) {
      cancelled = true;
      throw;
    }
  });
  group.join();
  BOOST_TEST(cancelled);
  BOOST_TEST(group.failures().empty());
}

WEFT_SHUFFLED_TEST_CASE(what_a_refused_spawn_destroys_may_wait) {
  struct Waits {
    explicit Waits(bool& its_waited) : waited(&its_waited) {}
    Waits(Waits&& other) noexcept : waited(std::exchange(other.waited, nullptr)) {}
    ~Waits() {
      if (waited) sleep_for(1s), *waited = true;
    }
    bool* waited;
  };
  TaskGroup group;
  bool waited = false;
  group.spawn([&] {
    group.cancel();
    group.spawn([waits = Waits(waited)] {});
  });
  group.join();
  BOOST_TEST(waited);
}

WEFT_SHUFFLED_TEST_CASE(spawn_in_a_shield_of_a_cancelled_child_throws_no_cancelled) {
  TaskGroup group;
  bool refused = false;
  group.spawn([&] {
    group.cancel();
    shield([&] {
      BOOST_CHECK_THROW(group.spawn([] { BOOST_ERROR("it began"); }), std::runtime_error);
      refused = true;  // by Cancelled the child would only end
    });
  });
  group.join();
  BOOST_TEST(refused);
}

// ---- All failures -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(all_failures_are_there_in_their_order) {
  TaskGroup group;
  group.spawn(failing(1s, "first"));
  group.spawn(when_cancelled([] {
    shield([] { sleep_for(2s); });
    throw Failure("third");
  }));
  group.spawn(when_cancelled([] {
    shield([] { sleep_for(1s); });
    throw Failure("second");
  }));
  BOOST_CHECK_EXCEPTION(group.join(), Failure, says("first"));
  BOOST_TEST(words_of(group) == (Words{"first", "second", "third"}));
  group.join();
  BOOST_TEST(group.failures().size() == 3u);
  group.spawn([] {});
  BOOST_TEST(group.failures().empty());
  group.join();
}

WEFT_SHUFFLED_TEST_CASE(the_bodys_failure_is_among_them_once) {
  TaskGroup group;
  BOOST_CHECK_EXCEPTION(weft::with_task_group(group,
                                              [](TaskGroup& its) {
                                                its.spawn(failing(1s, "child"));
                                                try {
                                                  sleep_for(1h);
                                                } catch (const Cancelled&) {
                                                  throw Failure("body");
                                                }
                                              }),
                        Failure, says("child"));
  BOOST_TEST(words_of(group) == (Words{"child", "body"}));
  BOOST_CHECK_EXCEPTION(weft::with_task_group(group,
                                              [](TaskGroup& its) {
                                                its.spawn(failing(1s, "again"));
                                                its.join();
                                              }),
                        Failure, says("again"));
  BOOST_TEST(words_of(group) == (Words{"again"}));
  BOOST_CHECK_THROW(weft::with_task_group(group, [](TaskGroup&) { throw Failure("alone"); }),
                    Failure);
  BOOST_TEST(words_of(group) == (Words{"alone"}));
}

// ---- Several schedulers -------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(a_failure_on_another_scheduler_interrupts_the_body) {
  const TimePoint start = now();
  for (std::size_t i : {0, 1, 2}) {
    BOOST_CHECK_EXCEPTION(weft::with_task_group([&](TaskGroup& group) {
                            group.spawn(failing(1s, "there"), on(i));
                            sleep_for(1h);
                          }),
                          Failure, says("there"));
  }
  BOOST_TEST((now() == start + 3s));
}

WEFT_CORES_TEST_CASE(spawn_in_a_body_interrupted_elsewhere_throws_cancelled_at_once) {
  bool cancelled = false;
  BOOST_CHECK_THROW(weft::with_task_group([&](TaskGroup& group) {
                      group.spawn([] { throw Failure("there"); }, on(1));
                      // Its scheduler does not look meanwhile.
                      while (group.failures().empty()) std::this_thread::yield();
                      cancelled = throws_cancelled([&] { group.spawn([] {}); });
                    }),
                    Failure);
  BOOST_TEST(cancelled);
}

WEFT_CORES_TEST_CASE(spawn_in_a_child_cancelled_elsewhere_throws_cancelled_at_once) {
  TaskGroup group;
  std::atomic<bool> begun{false}, closed{false}, cancelled{false};
  group.spawn(
      [&] {
        begun = true;
        while (!closed) std::this_thread::yield();
        cancelled = throws_cancelled([&] { group.spawn([] {}); });
      },
      on(1));
  while (!begun) yield();
  group.cancel();
  closed = true;
  group.join();
  BOOST_TEST(cancelled);
}

WEFT_CORES_TEST_CASE(bodies_and_failures_meet_at_any_moment_and_nothing_is_left) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> begun{0}, ended{0};
    try {
      weft::with_task_group([&](TaskGroup& group) {
        for (std::size_t i = 0; i < 6; ++i) {
          group.spawn(
              [&, i] {
                ++begun;
                const CountAtEnd ends(ended);
                for (int n = 0; n < round % 5; ++n) yield();
                if (i >= static_cast<std::size_t>(round % 7)) throw Failure("some");
                sleep_for(1s);
              },
              on(i % 3));
        }
        for (int n = 0; n < round % 11; ++n) yield();
      });
      BOOST_TEST(round % 7 == 6);
    } catch (const Failure&) {
    }
    BOOST_TEST(ended == begun);
    yield();  // no interruption is left for what comes after the scope
    sleep_for(1ms);
  }
}

BOOST_AUTO_TEST_SUITE_END()
