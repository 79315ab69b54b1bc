#include "weft/io/testing/run_test.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/caught_reports.h"
#include "tests/support/fixture.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(run_test)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using testing::advance;
using testing::no_waiting;

namespace {

template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (const std::logic_error& failure) {
    return failure.what();
  }
  return "none";
}

std::string failure_in(const std::function<void()>& body, testing::TestOptions options = {}) {
  return failure_of([&] { testing::run_test(body, options); });
}

// A value of WEFT_SEED in the environment, while it lives.
struct GivenSeed {
  explicit GivenSeed(const char* seed) { setenv("WEFT_SEED", seed, 1); }
  ~GivenSeed() { unsetenv("WEFT_SEED"); }
};

}  // namespace

// ---- What it returns and throws -----------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_result_is_returned) {
  BOOST_TEST(testing::run_test([] { return 42; }) == 42);
  BOOST_TEST(*testing::run_test([] { return std::make_unique<int>(7); }) == 7);
  int here = 0;
  BOOST_TEST(&testing::run_test([&]() -> int& { return here; }) == &here);
}

BOOST_AUTO_TEST_CASE(an_exception_comes_through) {
  BOOST_CHECK_THROW(testing::run_test([] { throw std::out_of_range("x"); }), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(a_null_callable_is_refused) {
  BOOST_CHECK_THROW(testing::run_test(std::function<void()>()), std::invalid_argument);
  BOOST_CHECK_THROW(testing::run_shuffled(std::function<void()>(), 1), std::invalid_argument);
  testing::run_test(
      [] { BOOST_CHECK_THROW(no_waiting(std::function<void()>()), std::invalid_argument); });
}

BOOST_AUTO_TEST_CASE(time_is_virtual_unless_it_is_asked_to_be_real) {
  const TimePoint start = Clock::now();
  testing::run_test([] { sleep_for(24h); });
  BOOST_TEST((Clock::now() - start < 1h));
  testing::run_test(
      [] {
        const TimePoint before = Clock::now();
        sleep_for(2ms);
        BOOST_TEST((Clock::now() - before >= 2ms));
      },
      {.real_time = true});
}

// ---- What is left -------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_task_that_is_left_is_named_with_what_it_waits_for) {
  const std::string failure = failure_in([] {
    spawn([] { sleep_for(1h); }, {.name = "forgotten"}).detach();
    yield();
  });
  BOOST_TEST(matches(failure, "*run_test: task * \"forgotten\" is left, and waits in sleep_for"),
             failure);
}

BOOST_AUTO_TEST_CASE(a_task_that_has_not_begun_is_left) {
  const std::string failure =
      failure_in([] { spawn([] {}, {.name = "late", .on = nullptr}).detach(); });
  BOOST_TEST(failure == "none", failure);  // it ends while the check lets others run
  const std::string busy = failure_in([] {
    spawn(
        [] {
          for (int i = 0; i < 10; ++i) yield();
        },
        {.name = "busy"})
        .detach();
  });
  BOOST_TEST(matches(busy, "*task * \"busy\" is left, and ready"), busy);
}

BOOST_AUTO_TEST_CASE(a_task_of_another_scheduler_is_left) {
  const std::string failure = failure_in(
      [] {
        Event begun;
        spawn([&begun] { begun.set(), sleep_for(1h); }, {.name = "there", .on = on(1).on}).detach();
        begun.wait();
        run_until_blocked();
      },
      {.run = {.threads = 2}});
  BOOST_TEST(matches(failure, "*task * \"there\" is left, and waits in sleep_for"), failure);
}

BOOST_AUTO_TEST_CASE(a_stack_that_a_handle_keeps_is_left) {
  std::optional<Task<int>> kept;
  const std::string failure = failure_in([&] {
    kept = spawn([] { return 1; }, {.name = "done"});
    run_until_blocked();
  });
  BOOST_TEST(matches(failure, "*task * \"done\" has ended, but its handle is left*"), failure);
  BOOST_TEST(kept->get() == 1);
}

BOOST_AUTO_TEST_CASE(a_descriptor_that_is_left_is_named) {
  int fd = -1;
  const std::string failure = failure_in([&] { fd = socket(AF_INET, SOCK_STREAM, 0); });
  const std::string expected = "*descriptor " + std::to_string(fd) + " (socket:*) is left";
  BOOST_TEST(matches(failure, expected), failure);
  close(fd);
}

BOOST_AUTO_TEST_CASE(what_is_ended_or_was_there_before_is_not_left) {
  std::array<int, 2> ends{};
  BOOST_REQUIRE(pipe(ends.data()) == 0);
  BOOST_TEST(failure_in([] {
               auto task = spawn([] { sleep_for(1h); });
               run_until_blocked();
               spawn([] {}).detach();
               const TcpListener listener("127.0.0.1:0");
             }) == "none");
  for (const int end : ends) close(end);
}

BOOST_AUTO_TEST_CASE(a_failure_of_the_body_comes_before_what_it_leaves) {
  BOOST_CHECK_THROW(testing::run_test([] {
                      spawn([] { sleep_for(1h); }).detach();
                      throw std::out_of_range("x");
                    }),
                    std::out_of_range);
}

BOOST_AUTO_TEST_CASE(a_deadlock_is_a_failure_at_once) {
  const Reports reports;
  const TimePoint start = Clock::now();
  const std::string failure = failure_in([] { Event().wait(); });
  BOOST_TEST(matches(failure, "*deadlock*"), failure);
  BOOST_TEST((Clock::now() - start < 1h));
  BOOST_TEST(count_words(reports.text(), "Event::wait") > 0);
}

// ---- Seeds --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(each_seed_runs_once_and_may_be_asked_for) {
  std::vector<std::uint64_t> seeds;
  testing::run_shuffled([&](std::uint64_t seed) { seeds.push_back(seed); }, 3);
  BOOST_TEST((seeds == std::vector<std::uint64_t>{1, 2, 3}));
}

BOOST_AUTO_TEST_CASE(a_seed_always_gives_the_same_order_and_another_one_another) {
  const auto order = [](std::uint64_t seed) {
    std::string order;
    testing::run_test(
        [&] {
          TaskGroup group;
          for (char c = 'a'; c <= 'j'; ++c) group.spawn([&order, c] { order += c; });
          group.join();
        },
        {.run = {.shuffle_seed = seed}});
    return order;
  };
  BOOST_TEST(order(1) == order(1));
  BOOST_TEST(order(1) != order(2));
}

BOOST_AUTO_TEST_CASE(a_failure_has_the_seed_and_the_exception) {
  const auto fail_at_seven = [](std::uint64_t seed) {
    if (seed == 7) throw std::out_of_range("the seventh");
  };
  try {
    testing::run_shuffled(fail_at_seven, 10);
    BOOST_ERROR("no failure");
  } catch (const std::logic_error& failure) {
    BOOST_TEST(failure.what() ==
               "weft::testing::run_shuffled: failed with seed 7; WEFT_SEED=7 repeats it: "
               "the seventh");
    BOOST_CHECK_THROW(std::rethrow_if_nested(failure), std::out_of_range);
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_exception_of_the_library_gets_the_seed_too) {
  const std::string failure = failure_of([] { testing::run_shuffled([] { throw 1; }, 1); });
  BOOST_TEST(matches(failure, "*WEFT_SEED=1 repeats it"), failure);
}

BOOST_AUTO_TEST_CASE(a_seed_of_the_environment_runs_alone) {
  const GivenSeed given("17");
  std::vector<std::uint64_t> seeds;
  testing::run_shuffled([&](std::uint64_t seed) { seeds.push_back(seed); }, 3);
  BOOST_TEST((seeds == std::vector<std::uint64_t>{17}));
}

BOOST_AUTO_TEST_CASE(a_seed_that_is_no_number_is_refused) {
  for (const char* seed : {"", "x", "7x"}) {
    const GivenSeed given(seed);
    BOOST_CHECK_THROW(testing::run_shuffled([] {}, 3), std::invalid_argument);
  }
}

BOOST_AUTO_TEST_CASE(no_seeds_are_refused) {
  BOOST_CHECK_THROW(testing::run_shuffled([] {}, 0), std::invalid_argument);
}

// ---- Virtual time -------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(all_others_wait_when_run_until_blocked_returns) {
  const TimePoint start = now();
  int steps = 0;
  auto other = spawn([&] {
    for (int i = 0; i < 100; ++i) yield();
    steps = 1;
    sleep_for(1h);
    steps = 2;
  });
  run_until_blocked();
  BOOST_TEST(steps == 1);
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(several_fibers_may_run_until_all_are_blocked) {
  std::string order;
  TaskGroup group;
  for (const char c : {'a', 'b'}) group.spawn([&order, c] { run_until_blocked(), order += c; });
  group.spawn([&] { yield(), order += 'x'; });
  group.join();
  BOOST_TEST(order == "xab");
}

WEFT_TEST_CASE(run_until_blocked_is_a_cancellation_point) {
  auto other = spawn([] { return throws_cancelled([] { run_until_blocked(); }); }, {.eager = true});
  other.cancel();
  BOOST_TEST(other.get());
  run_until_blocked();  // what is gone is not woken
}

WEFT_TEST_CASE(a_job_ends_before_all_are_blocked) {
  bool ended = false;
  auto other = spawn([&] { ended = run_in_executor([] { return true; }); });
  run_until_blocked();
  BOOST_TEST(ended);
}

WEFT_CORES_TEST_CASE(fibers_of_all_schedulers_wait_when_run_until_blocked_returns) {
  for (int round = 0; round < 20; ++round) {
    const TimePoint start = now();
    std::atomic<int> steps{0};
    std::vector<Task<void>> others;
    for (std::size_t i = 0; i < 3; ++i) {
      others.push_back(spawn(
          [&steps] {
            for (int k = 0; k < 100; ++k) yield();
            ++steps;
            sleep_for(1h);
            ++steps;
          },
          on(i)));
    }
    run_until_blocked();
    BOOST_TEST(steps == 3);
    BOOST_TEST((now() == start));
  }
}

WEFT_CORES_TEST_CASE(run_until_blocked_works_on_any_scheduler) {
  spread([] {
    for (int round = 0; round < 20; ++round) run_until_blocked();
  });
}

WEFT_SHUFFLED_TEST_CASE(what_becomes_due_while_time_passes_happens_at_its_own_time) {
  const TimePoint start = now();
  std::vector<Duration> beats;
  auto beat = spawn([&] {
    for (;;) sleep_for(1s), beats.push_back(now() - start);
  });
  run_until_blocked();
  advance(3500ms);
  BOOST_TEST((beats == std::vector<Duration>{1s, 2s, 3s}));
  BOOST_TEST((now() - start == 3500ms));
}

WEFT_SHUFFLED_TEST_CASE(a_deadline_is_due_when_its_time_has_passed_and_not_before) {
  bool late = false;
  Event told;
  auto other = spawn([&] { sleep_for(1s), told.set(); });
  auto listener = spawn([&] { told.wait(), late = true; });
  run_until_blocked();
  advance(1s - 1ns);
  BOOST_TEST(!late);
  advance(1ns);
  BOOST_TEST(late);  // also what the due one has woken
}

WEFT_TEST_CASE(no_time_and_less_let_others_run) {
  int steps = 0;
  auto other = spawn([&] { ++steps; });
  advance(-1s);
  BOOST_TEST(steps == 1);
}

BOOST_AUTO_TEST_CASE(real_time_cannot_be_moved_by_hand) {
  testing::run_test(
      [] {
        BOOST_CHECK_THROW(run_until_blocked(), std::logic_error);
        BOOST_CHECK_THROW(advance(1h), std::logic_error);
      },
      {.real_time = true});
  BOOST_CHECK_THROW(run_until_blocked(), std::logic_error);
  BOOST_CHECK_THROW(advance(1s), std::logic_error);
}

// ---- no_waiting ---------------------------------------------------------------------------------

WEFT_TEST_CASE(a_wait_inside_no_waiting_is_an_error_that_names_it) {
  bool others = false;
  auto other = spawn([&] { others = true; });
  Mutex mutex;
  mutex.lock();
  Event event;
  for (const auto& [wait, name] : std::vector<std::pair<std::function<void()>, std::string>>{
           {[] { sleep_for(1s); }, "sleep_for"},
           {[&] { event.wait(); }, "Event::wait"},
           {[&] { with_timeout(1s, [&] { event.wait(); }); }, "Event::wait"},
           {[&] { spawn([&] { event.wait(); }).get(); }, "Task::wait"}}) {
    const std::string failure = failure_of([&, &wait = wait] { no_waiting(wait); });
    BOOST_TEST(failure == "weft: a wait inside no_waiting: " + name);
    if (name != "Task::wait") BOOST_TEST(!others);  // there the destructor of the task waits
  }
  mutex.unlock();
}

WEFT_TEST_CASE(a_yield_inside_no_waiting_is_an_error) {
  BOOST_TEST(failure_of([] { no_waiting([] { yield(); }); }) ==
             "weft: a wait inside no_waiting: yield");
}

WEFT_TEST_CASE(what_need_not_wait_may_be_called_inside_no_waiting) {
  Mutex mutex;
  Queue<int> queue;
  const int item = no_waiting([&] {
    const std::lock_guard lock(mutex);
    queue.push(1);
    return queue.pop();
  });
  BOOST_TEST(item == 1);
}

WEFT_TEST_CASE(waits_work_again_after_no_waiting) {
  BOOST_TEST(failure_of([] { no_waiting([] { yield(); }); }) != "none");
  yield();
  sleep_for(1s);
  BOOST_TEST(!throws_cancelled([] { sleep_for(1s); }));
}

WEFT_TEST_CASE(a_destructor_may_wait_while_the_error_unwinds) {
  bool waited = false;
  struct Waits {
    bool& waited;
    ~Waits() { sleep_for(1s), yield(), waited = true; }
  };
  const std::string failure = failure_of([&] {
    no_waiting([&] {
      const Waits waits{waited};
      yield();
    });
  });
  BOOST_TEST(failure != "none");
  BOOST_TEST(waited);
}

WEFT_TEST_CASE(a_shield_inside_no_waiting_lets_waits_through) {
  no_waiting([] { shield([] { sleep_for(1s), yield(); }); });
}

WEFT_TEST_CASE(a_call_that_fails_without_a_wait_fails_as_elsewhere_inside_no_waiting) {
  no_waiting([] {
    std::error_code error;
    TcpStream closed;
    char byte = 0;
    closed.read_some({&byte, 1}, error);
    BOOST_TEST((error == std::errc::bad_file_descriptor));
  });
}

WEFT_TEST_CASE(a_cancelled_fiber_gets_the_error_inside_no_waiting_and_cancelled_after_it) {
  std::string failure;
  auto other = spawn(
      [&] {
        try {
          sleep_for(1h);
        } catch (const Cancelled&) {
          failure = failure_of([] { no_waiting([] { sleep_for(1s); }); });
        }
        return throws_cancelled([] { yield(); });
      },
      {.eager = true});
  other.cancel();
  BOOST_TEST(other.get());
  BOOST_TEST(failure == "weft: a wait inside no_waiting: sleep_for");
}

WEFT_TEST_CASE(a_timeout_around_no_waiting_still_ends_later_waits) {
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [] {
                                   no_waiting([] {});
                                   sleep_for(1h);
                                 }),
                    TimeoutError);
}

BOOST_AUTO_TEST_CASE(no_waiting_needs_a_fiber) {
  BOOST_CHECK_THROW(no_waiting([] {}), std::logic_error);
}

WEFT_TEST_CASE(no_other_fiber_runs_inside_no_waiting_however_long_it_takes) {
  bool half_done = false, was_seen = false, stop = false;
  auto other = spawn([&] {
    while (!stop) {
      was_seen = was_seen || half_done;
      yield();
    }
  });
  Queue<int> queue(10);
  no_waiting([&] {
    half_done = true;
    for (int i = 0; i < 100'000; ++i) {  // a loop lets others run now and then
      queue.push(i);
      queue.pop();
    }
    half_done = false;
  });
  stop = true;
  other.get();
  BOOST_TEST(!was_seen);
}

BOOST_AUTO_TEST_CASE(a_last_handle_that_another_thread_has_dropped_is_not_left) {
  testing::run_test([] {
    auto task = spawn([] {});
    task.wait();
    std::thread([dropped = std::move(task)] {}).join();
    auto future = spawn([] {}).share();
    future.wait();
    std::thread([dropped = std::move(future)] {}).join();
  });
}

BOOST_AUTO_TEST_SUITE_END()
