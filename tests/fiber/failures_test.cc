// Failures that turn up while another failure or a cancellation is under way: each is reported, and
// none ends the program.

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(failures)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- A group, or a task, is left by Cancelled ---------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_time_limit_around_a_joined_group_throws_what_its_child_failed_with) {
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       TaskGroup group;
                                       group.spawn(failing_cleanup("rollback failed"));
                                       group.join();
                                     }),
                        Failure, says("rollback failed"));
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(so_it_does_where_the_body_waits_for_something_else) {
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       TaskGroup group;
                                       group.spawn(failing_cleanup("rollback failed"));
                                       sleep_for(1h);
                                     }),
                        Failure, says("rollback failed"));
  BOOST_CHECK_EXCEPTION(with_timeout(2s,
                                     [] {
                                       TaskGroup group;
                                       group.spawn([] {
                                         sleep_for(1s);
                                         throw Failure("before the time");
                                       });
                                       sleep_for(1h);
                                     }),
                        Failure, says("before the time"));
}

WEFT_SHUFFLED_TEST_CASE(so_it_does_for_a_task) {
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       const auto task = spawn(failing_cleanup("rollback failed"));
                                       sleep_for(1h);
                                     }),
                        Failure, says("rollback failed"));
}

WEFT_CORES_TEST_CASE(so_it_does_for_a_task_of_another_scheduler) {
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       const auto task =
                                           spawn(failing_cleanup("rollback failed"), on(1));
                                       sleep_for(1h);
                                     }),
                        Failure, says("rollback failed"));
}

WEFT_SHUFFLED_TEST_CASE(so_it_does_where_a_handler_of_cancelled_waits_once_more) {
  const Unhandled told;
  const auto wait_twice = [] {
    try {
      const auto task = spawn(failing_cleanup("rollback failed"));
      sleep_for(1h);
    } catch (const Cancelled&) {
      sleep_for(1s);
    }
  };
  BOOST_CHECK_EXCEPTION(with_timeout(1s, wait_twice), Failure, says("rollback failed"));
  BOOST_TEST(told.said == "");
}

WEFT_SHUFFLED_TEST_CASE(the_owner_of_a_cancelled_owner_is_told) {
  auto of_task = spawn([] {
    const auto task = spawn(failing_cleanup("of a task"));
    sleep_for(1h);
  });
  auto of_group = spawn([] {
    TaskGroup group;
    group.spawn(failing_cleanup("of a group"));
    sleep_for(1h);
  });
  auto of_joined = spawn([] {
    TaskGroup group;
    group.spawn(failing_cleanup("of a joined group"));
    group.join();
  });
  auto of_assigned = spawn([] {
    auto task = spawn(failing_cleanup("of a task that was moved"));
    auto moved = std::move(task);
    sleep_for(1h);
  });
  run_until_blocked();
  of_task.cancel(), of_group.cancel(), of_joined.cancel(), of_assigned.cancel();
  BOOST_CHECK_EXCEPTION(of_task.get(), Failure, says("of a task"));
  BOOST_CHECK_EXCEPTION(of_group.get(), Failure, says("of a group"));
  BOOST_CHECK_EXCEPTION(of_joined.get(), Failure, says("of a joined group"));
  BOOST_CHECK_EXCEPTION(of_assigned.get(), Failure, says("of a task that was moved"));
}

WEFT_SHUFFLED_TEST_CASE(nested_groups_that_fail_together_while_the_inner_owner_is_cancelled) {
  Unhandled told;
  TaskGroup outer;
  outer.spawn([] {
    TaskGroup inner;
    inner.spawn(failing_cleanup("inner child"));
    sleep_for(1h);
  });
  outer.spawn([] {
    sleep_for(1s);
    throw Failure("outer child");
  });
  BOOST_CHECK_EXCEPTION(outer.join(), Failure, says("outer child"));
  BOOST_REQUIRE(outer.failures().size() == 2u);
  BOOST_CHECK_EXCEPTION(std::rethrow_exception(outer.failures()[1]), Failure, says("inner child"));
  BOOST_TEST(told.said == "");
}

WEFT_SHUFFLED_TEST_CASE(the_innermost_scope_is_told) {
  auto owner = spawn([] {
    BOOST_CHECK_EXCEPTION(with_timeout(24h,
                                       [] {
                                         const auto task = spawn(failing_cleanup("inner"));
                                         sleep_for(1h);
                                       }),
                          Failure, says("inner"));
    sleep_for(1h);  // still cancelled
  });
  run_until_blocked();
  owner.cancel();
  BOOST_CHECK_THROW(owner.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_body_of_a_group_is_told) {
  TaskGroup group;
  BOOST_CHECK_EXCEPTION(weft::with_task_group(group,
                                              [](TaskGroup& its) {
                                                its.spawn([] {
                                                  sleep_for(1s);
                                                  throw Failure("child");
                                                });
                                                const auto task = spawn(failing_cleanup("task"));
                                                sleep_for(1h);
                                              }),
                        Failure, says("child"));
  BOOST_TEST(group.failures().size() == 2u);
}

// ---- They are left by another failure -----------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(where_the_body_fails_too_its_failure_is_thrown_and_the_handler_is_told) {
  Unhandled told;
  auto of_group = spawn([] {
    TaskGroup group;
    group.spawn(failing_cleanup("child"));
    run_until_blocked();
    throw Failure("body");
  });
  BOOST_CHECK_EXCEPTION(of_group.get(), Failure, says("body"));
  BOOST_TEST(told.said == "child");
  told.said = "";
  auto of_task = spawn([] {
    const auto task = spawn(failing_cleanup("task"));
    run_until_blocked();
    throw Failure("body");
  });
  BOOST_CHECK_EXCEPTION(of_task.get(), Failure, says("body"));
  BOOST_TEST(told.said == "task");
  told.said = "";
  BOOST_CHECK_EXCEPTION(with_timeout(24h,
                                     [] {
                                       const auto task = spawn(failing_cleanup("task"));
                                       run_until_blocked();
                                       throw Failure("body");
                                     }),
                        Failure, says("body"));
  BOOST_TEST(told.said == "task");
}

WEFT_SHUFFLED_TEST_CASE(of_several_the_first_is_kept_and_the_handler_is_told_of_the_others) {
  Unhandled told;
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       const auto b = spawn(failing_cleanup("b"));
                                       const auto a = spawn(failing_cleanup("a"));
                                       sleep_for(1h);
                                     }),
                        Failure, says("a"));
  BOOST_TEST(told.said == "b");
}

WEFT_SHUFFLED_TEST_CASE(what_is_caught_in_the_scope_is_told_at_its_end) {
  Unhandled told;
  with_timeout(24h, [] {
    BOOST_CHECK_EXCEPTION(
        {
          const auto task = spawn(failing_cleanup("task"));
          run_until_blocked();
          throw Failure("body");
        },
        Failure, says("body"));
  });
  BOOST_TEST(told.said == "task");
  sleep_for(1s);
}

WEFT_SHUFFLED_TEST_CASE(
    one_kept_for_an_exception_that_was_caught_is_not_what_a_later_cancellation_throws) {
  Unhandled told;
  auto task = spawn([] {
    BOOST_CHECK_EXCEPTION(
        {
          const auto child = spawn(failing_cleanup("old"));
          run_until_blocked();
          throw Failure("caught");
        },
        Failure, says("caught"));
    BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                       [] {
                                         const auto child = spawn(failing_cleanup("new"));
                                         sleep_for(1h);
                                       }),
                          Failure, says("new"));
    sleep_for(1h);
  });
  sleep_for(2s);
  BOOST_TEST(told.said == "old");
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_shield_in_a_destructor_does_not_keep_it_from_the_owner) {
  struct Connection {
    ~Connection() {
      shield([&] { group.reset(); });
    }
    std::optional<TaskGroup> group{std::in_place};
  };
  BOOST_CHECK_EXCEPTION(with_timeout(1s,
                                     [] {
                                       Connection connection;
                                       connection.group->spawn(failing_cleanup("shielded"));
                                       sleep_for(1h);
                                     }),
                        Failure, says("shielded"));
}

WEFT_REAL_TIME_TEST_CASE(a_peer_that_resets_while_body_and_child_use_it_ends_one_connection) {
  Unhandled told;
  TcpPair pair;
  shrink_buffers(pair);
  auto connection = spawn([stream = std::move(pair.server)]() mutable {
    TaskGroup group;
    group.spawn([&] {
      char buffer[16];
      stream.read_exactly(buffer);
    });
    const std::string much(1 << 20, 'x');
    for (;;) stream.write_all(much);
  });
  wait_until_blocked(connection, "write_some");
  reset(pair.client);
  BOOST_CHECK_THROW(connection.get(), std::system_error);
  BOOST_TEST(told.said.find("read") != std::string::npos, told.said);
}

WEFT_TEST_CASE(without_an_exception_in_flight_the_handler_is_told_as_ever) {
  Unhandled told;
  {
    const auto task = spawn([] { throw Failure("task"); });
    sleep_for(1s);
  }
  BOOST_TEST(told.said == "task");
}

WEFT_SHUFFLED_TEST_CASE(what_a_callable_finds_when_it_is_destroyed_is_told) {
  struct Late {
    ~Late() {
      try {
        const auto task = spawn(failing_cleanup("late"));
        run_until_blocked();
        throw Failure("caught");
      } catch (const Failure&) {
      }
    }
  };
  Unhandled told;
  spawn([late = std::make_unique<Late>()] {}).get();
  run_until_blocked();
  BOOST_TEST(told.said == "late");
}

// ---- The default handler ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(by_default_a_further_failure_is_printed_and_the_program_goes_on) {
  const ChildEnd end = run_in_child([] {
    return weft::run([] {
      auto owner = spawn(
          [] {
            const auto task = spawn(failing_cleanup("the further one"));
            yield();
            throw Failure("the first one");
          },
          {.name = "owner"});
      try {
        owner.get();
      } catch (const Failure& failure) {
        return failure.what() == std::string("the first one") ? 7 : 1;
      }
      return 2;
    });
  });
  BOOST_TEST(end.exit_code == 7);
  BOOST_TEST(end.said.find("\"owner\": the further one\n") != std::string::npos, end.said);
}

BOOST_AUTO_TEST_CASE(by_default_the_task_that_failed_is_named) {
  const ChildEnd end = run_in_child([] {
    weft::run(
        [] {
          const auto task = spawn([] { throw Failure("unseen"); }, {.name = "failed"});
          sleep_for(1s);
        },
        {.virtual_time = true});
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("\"failed\": unseen\n") != std::string::npos, end.said);
}

BOOST_AUTO_TEST_CASE(by_default_a_promises_unseen_exception_ends_the_program_as_a_tasks_does) {
  const ChildEnd end = run_in_child([] {
    weft::run([] {
      Promise<int> promise;
      promise.set_exception(std::make_exception_ptr(Failure("unseen")));
    });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("nobody took the exception of fiber ") != std::string::npos, end.said);
}

BOOST_AUTO_TEST_CASE(on_a_plain_thread_a_promises_unseen_exception_ends_the_program) {
  const ChildEnd end = run_in_child([] {
    std::thread([] {
      Promise<int> promise;
      promise.set_exception(std::make_exception_ptr(Failure("unseen")));
    }).join();
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said == "weft: nobody took the exception: unseen\n");
}

BOOST_AUTO_TEST_CASE(on_a_plain_thread_that_fails_another_failure_ends_nothing) {
  const ChildEnd end = run_in_child([] {
    int exit_code = 0;
    std::thread([&] {
      try {
        Promise<int> promise;
        promise.set_exception(std::make_exception_ptr(Failure("unseen")));
        throw Failure("seen");
      } catch (const Failure& failure) {
        exit_code = failure.what() == std::string("seen") ? 7 : 8;
      }
    }).join();
    return exit_code;
  });
  BOOST_TEST(end.exit_code == 7);
  BOOST_TEST(end.said == "weft: a further failure: unseen\n");
}

// ---- Promises -----------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(an_exception_of_a_promise_that_nobody_looked_at_is_told_once) {
  Unhandled told;
  {
    Promise<int> promise;
    const Future<int> future = promise.future();
    {
      const Future<int> another = future;
      promise.set_exception(std::make_exception_ptr(Failure("unseen")));
      Promise<int>(std::move(promise));
      another.wait();
    }
    BOOST_TEST(told.said == "");
  }
  BOOST_TEST(told.said == "unseen");
  {
    Promise<void> promise;
    promise.set_exception(std::make_exception_ptr(Failure("!")));
  }
  BOOST_TEST(told.said == "unseen!");
}

WEFT_SHUFFLED_TEST_CASE(one_that_a_get_has_thrown_is_not) {
  Unhandled told;
  {
    Promise<int> promise;
    promise.set_exception(std::make_exception_ptr(Failure("seen")));
    BOOST_CHECK_THROW(promise.future().get(), Failure);
  }
  {
    Promise<int> broken;
    const Future<int> future = broken.future();
    Promise<int>(std::move(broken));
    BOOST_TEST(future.failed());
  }
  BOOST_TEST(told.said == "");
}

WEFT_CORES_TEST_CASE(one_that_nobody_looked_at_is_told_where_the_last_future_goes) {
  Unhandled here;
  std::string there;
  Promise<int> promise;
  auto last = spawn(
      [&, future = promise.future()]() mutable {
        Unhandled told;
        sleep_for(1s);
        future = {};
        there = told.said;
      },
      on(1));
  promise.set_exception(std::make_exception_ptr(Failure("unseen")));
  Promise<int>(std::move(promise));
  last.get();
  BOOST_TEST(there == "unseen");
  BOOST_TEST(here.said == "");
}

// ---- Somebody else's Cancelled ------------------------------------------------------------------

namespace {

// What a cancelled fiber catches.
std::exception_ptr a_cancelled() {
  std::exception_ptr caught;
  const auto wait = [&] {
    try {
      sleep_for(1h);
    } catch (...) {
      caught = std::current_exception();
      throw;
    }
  };
  auto task = spawn(wait, {.eager = true});
  task.cancel();
  task.wait();
  return caught;
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(a_cancelled_in_a_promise_arrives_as_task_cancelled) {
  Promise<int> promise;
  auto reader = spawn([future = promise.future()] { return future.get(); });
  auto writer = spawn([&] {
    try {
      sleep_for(1h);
    } catch (...) {
      promise.set_exception(std::current_exception());
      throw;
    }
  });
  run_until_blocked();
  writer.cancel();
  BOOST_CHECK_THROW(promise.future().get(), TaskCancelled);
  BOOST_CHECK_THROW(reader.get(), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_in_a_queue_arrives_as_task_cancelled) {
  Queue<std::exception_ptr> queue(2);
  const std::exception_ptr cancelled = a_cancelled();
  queue.push(cancelled);
  BOOST_TEST(queue.try_push(cancelled));
  for (int i = 0; i < 2; ++i) {
    BOOST_CHECK_THROW(std::rethrow_exception(queue.pop()), TaskCancelled);
  }
  auto popper = spawn([&] { std::rethrow_exception(queue.pop()); });
  run_until_blocked();
  queue.push(cancelled);
  BOOST_CHECK_THROW(popper.get(), TaskCancelled);
}

WEFT_TEST_CASE(a_queue_takes_a_null_exception) {
  Queue<std::exception_ptr> queue(2);
  queue.push(nullptr);
  BOOST_TEST(queue.try_push(nullptr));
  BOOST_TEST(!queue.pop());
  BOOST_TEST(!queue.pop());
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_thrown_on_a_pool_arrives_as_task_cancelled) {
  const std::exception_ptr cancelled = a_cancelled();
  BOOST_CHECK_THROW(run_in_executor([&] { std::rethrow_exception(cancelled); }), TaskCancelled);
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_that_leaves_a_task_that_nobody_cancelled_is_a_failure) {
  const std::exception_ptr cancelled = a_cancelled();
  auto task = spawn([&] { std::rethrow_exception(cancelled); });
  task.wait();
  BOOST_TEST(task.failed());
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  TaskGroup group;
  group.spawn([&] { std::rethrow_exception(cancelled); });
  BOOST_CHECK_THROW(group.join(), TaskCancelled);
  Unhandled told;
  {
    spawn([&] { std::rethrow_exception(cancelled); }).detach();
  }
  run_until_blocked();
  BOOST_TEST(told.said == TaskCancelled().what());
}

WEFT_SHUFFLED_TEST_CASE(a_cancelled_handed_to_gather_all_is_task_cancelled) {
  const std::exception_ptr cancelled = a_cancelled();
  auto [outcome] = gather_all([&] { std::rethrow_exception(cancelled); });
  BOOST_CHECK_THROW(outcome.value(), TaskCancelled);
  BOOST_CHECK_THROW(Outcome<int>::failed(cancelled).value(), TaskCancelled);
}

BOOST_AUTO_TEST_CASE(run_throws_task_cancelled_for_a_strangers_cancelled) {
  BOOST_CHECK_THROW(weft::run([] { std::rethrow_exception(a_cancelled()); }), TaskCancelled);
}

// ---- Exceptions whose end waits -----------------------------------------------------------------

namespace {

struct SlowFailure {
  explicit SlowFailure(int& count) : ended(std::make_shared<CountAtEnd>(count)) {}
  struct CountAtEnd {
    explicit CountAtEnd(int& its_count) : count(its_count) {}
    ~CountAtEnd() {
      sleep_for(1s);
      ++count;
    }
    CountAtEnd(const CountAtEnd&) = delete;
    CountAtEnd& operator=(const CountAtEnd&) = delete;
    int& count;
  };
  std::shared_ptr<const CountAtEnd> ended;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(an_exception_whose_end_waits_goes_on_a_fiber_whoever_drops_it) {
  int ended = 0;
  const auto fail = [&] { throw SlowFailure(ended); };
  BOOST_CHECK_THROW(with_task_group([&](TaskGroup& group) {
                      for (int i = 0; i < 2; ++i) group.spawn(when_cancelled(fail));
                      run_until_blocked();
                      group.spawn(fail);
                    }),
                    SlowFailure);
  BOOST_CHECK_THROW(gather(
                        when_cancelled(fail),
                        [&] {
                          run_until_blocked();
                          fail();
                        },
                        when_cancelled(fail)),
                    SlowFailure);
  Scheduler::current().set_exception_handler([](std::exception_ptr) {});
  spawn(fail).detach();
  Scheduler::current().post(fail);
  {
    auto task = spawn(fail);
    run_in_executor([&] { task.wait(), task = {}; });
  }
  {
    Promise<void> promise;
    promise.set_exception(std::make_exception_ptr(SlowFailure(ended)));
  }
  sleep_for(1h);
  BOOST_TEST(ended == 10);
}

BOOST_AUTO_TEST_SUITE_END()
