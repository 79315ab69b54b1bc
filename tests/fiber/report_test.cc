#include "weft/fiber/report.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/error.h"

BOOST_AUTO_TEST_SUITE(report)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using weft::internal::print_line;

namespace {

// Sets a handler that keeps what it gets, while this lives.
class Kept {
 public:
  Kept() {
    set_report_handler([this](std::string_view text) { texts.emplace_back(text); });
  }
  ~Kept() { set_report_handler(nullptr); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  std::vector<std::string> texts;
};

void say(std::string_view text) {
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) std::abort();
}

// A handler whose reports can be told from those that go to stderr without it.
void mark(std::string_view text) { say("<" + std::string(text) + ">\n"); }

// Refuses its cancellation until it is reported for that.
void refuse_cancellation() {
  auto task = spawn(
      [] {
        for (int i = 0; i < 1'100; ++i) (void)throws_cancelled([] { sleep_for(1s); });
      },
      {.name = "stubborn"});
  run_until_blocked();
  task.cancel();
  task.wait();
}

}  // namespace

// ---- Where a report goes ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(without_a_handler_a_report_goes_to_stderr) {
  const ChildEnd end = run_in_child([] {
    print_line("%s", "one");
    internal::report("weft: two\n    three");
    return 0;
  });
  BOOST_TEST(end.said == "weft: one\nweft: two\n    three\n");
}

BOOST_AUTO_TEST_CASE(the_handler_gets_a_report_as_a_whole_and_stderr_nothing) {
  const ChildEnd end = run_in_child([] {
    const Kept kept;
    print_line("%s", "one");
    internal::report("weft: two\n    three");
    return kept.texts == std::vector<std::string>{"weft: one", "weft: two\n    three"} ? 0 : 1;
  });
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.said == "");
}

BOOST_AUTO_TEST_CASE(a_long_report_is_not_cut_for_the_handler_or_stderr) {
  const std::string text = "weft: " + std::string(200'000, 'x');
  const ChildEnd end = run_in_child([&] {
    internal::report(text);
    const Kept kept;
    internal::report(text);
    return kept.texts == std::vector<std::string>{text} ? 0 : 1;
  });
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST((end.said == text + "\n"));
}

BOOST_AUTO_TEST_CASE(null_puts_stderr_back) {
  const ChildEnd end = run_in_child([] {
    set_report_handler(&mark);
    print_line("%s", "one");
    set_report_handler(nullptr);
    print_line("%s", "two");
    set_report_handler(&mark);
    print_line("%s", "three");
    set_report_handler({});
    print_line("%s", "four");
    return 0;
  });
  BOOST_TEST(end.said == "<weft: one>\nweft: two\n<weft: three>\nweft: four\n");
}

BOOST_AUTO_TEST_CASE(a_handler_may_throw) {
  const ChildEnd end = run_in_child([] {
    set_report_handler([](std::string_view text) {
      mark(text);
      throw std::runtime_error("dropped");
    });
    print_line("%s", "one");
    print_line("%s", "two");
    return 0;
  });
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.said == "<weft: one>\n<weft: two>\n");
}

BOOST_AUTO_TEST_CASE(a_report_that_is_made_in_a_handler_goes_to_stderr) {
  const ChildEnd end = run_in_child([] {
    set_report_handler([](std::string_view text) {
      print_line("%s", "inside");
      mark(text);
    });
    print_line("%s", "one");
    print_line("%s", "two");
    return 0;
  });
  BOOST_TEST(end.said == "weft: inside\n<weft: one>\nweft: inside\n<weft: two>\n");
}

BOOST_AUTO_TEST_CASE(a_handler_may_replace_itself) {
  const ChildEnd end = run_in_child([] {
    set_report_handler([name = std::string(100, 'n')](std::string_view text) {
      set_report_handler(&mark);
      say(std::string(text) + (name.size() == 100 ? " first\n" : " is gone\n"));
    });
    print_line("%s", "one");
    print_line("%s", "two");
    return 0;
  });
  BOOST_TEST(end.said == "weft: one first\n<weft: two>\n");
}

BOOST_AUTO_TEST_CASE(two_threads_report_at_once) {
  std::atomic<int> inside{0}, met{0}, calls{0};
  set_report_handler([&](std::string_view text) {
    ++inside;
    // Waits for the other one: a handler that one thread at a time may run would never see it.
    const TimePoint end = Clock::now() + 10s;
    while (inside < 2 && Clock::now() < end) std::this_thread::yield();
    if (inside == 2) ++met;
    if (text == "weft: here") ++calls;
  });
  std::thread other([] { print_line("%s", "here"); });
  print_line("%s", "here");
  other.join();
  set_report_handler(nullptr);
  BOOST_TEST(met == 2);
  BOOST_TEST(calls == 2);
}

BOOST_AUTO_TEST_CASE(a_handler_can_be_replaced_while_another_thread_reports) {
  std::atomic<int> calls{0};
  std::atomic<bool> stop{false};
  set_report_handler([&](std::string_view) { ++calls; });
  std::thread other([&] {
    while (!stop) print_line("%s", "text");
  });
  for (int i = 0; i < 1'000; ++i) {
    set_report_handler([&calls, alive = std::string(100, 'x')](std::string_view) {
      calls += alive.size() == 100 ? 1 : 1'000'000;
    });
  }
  stop = true;
  other.join();
  set_report_handler(nullptr);
  BOOST_TEST(calls < 1'000'000);
}

// ---- What is reported ---------------------------------------------------------------------------

WEFT_TEST_CASE(a_task_that_refuses_to_be_cancelled_is_reported) {
  const Kept kept;
  refuse_cancellation();
  BOOST_TEST_REQUIRE(kept.texts.size() == 1u);
  BOOST_TEST(kept.texts[0].starts_with("weft: fiber "), kept.texts[0]);
  BOOST_TEST(kept.texts[0].find("\"stubborn\" is cancelled, but ") != std::string::npos,
             kept.texts[0]);
}

BOOST_AUTO_TEST_CASE(a_shutdown_that_waits_for_a_task_is_reported) {
  const Kept kept;
  Event end;
  run(
      [&] {
        spawn([&] { shield([] { sleep_for(1h); }); }, {.name = "slow"}).detach();
        run_until_blocked();
      },
      {.virtual_time = true});
  BOOST_TEST_REQUIRE(kept.texts.size() == 1u);
  BOOST_TEST(kept.texts[0].starts_with("weft: the shutdown waits for fiber "), kept.texts[0]);
  BOOST_TEST(kept.texts[0].ends_with(" \"slow\", which waits in sleep_for"), kept.texts[0]);
}

BOOST_AUTO_TEST_CASE(a_failure_that_ends_the_program_is_reported_before) {
  const ChildEnd end = run_in_child([] {
    set_report_handler(&mark);
    run([] {
      spawn([] { throw std::runtime_error("lost"); }, {.name = "careless"}).detach();
      sleep_for(1s);
    });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT, end.said);
  BOOST_TEST(end.said.starts_with("<weft: nobody took the exception of fiber "), end.said);
  BOOST_TEST(end.said.find(" \"careless\": lost>\n") != std::string::npos, end.said);
}

BOOST_AUTO_TEST_CASE(a_deadlock_is_reported_in_one_text) {
  const ChildEnd end = run_in_child([] {
    // Boost.Test's handlers count as what might wake a fiber.
    for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
    set_report_handler(&mark);
    try {
      run(
          [] {
            Event never;
            never.wait();
          },
          {.virtual_time = true, .cancel_on_signal = false});
    } catch (const std::logic_error&) {
      return 0;
    }
    return 1;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
  BOOST_TEST(end.said.starts_with("<weft: deadlock: 1 task waits, "), end.said);
  BOOST_TEST(end.said.find("\ntask ") != std::string::npos, end.said);
  BOOST_TEST(end.said.ends_with(">\n"), end.said);
  BOOST_TEST(end.said.find(">\n<") == std::string::npos, end.said);
}

// The other thread may be just where it holds a lock, which nothing in the child would release.
BOOST_AUTO_TEST_CASE(a_child_that_is_forked_while_another_thread_reports_can_report) {
  const ChildEnd end = run_in_child([] {
    set_report_handler([](std::string_view) {});
    std::atomic<bool> stop{false};
    std::thread reporter([&] {
      while (!stop) internal::report("busy");
    });
    int failures = 0;
    for (int i = 0; i < 200; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        alarm(5);
        internal::report("in the child");
        _exit(0);
      }
      int status = 0;
      if (waitpid(child, &status, 0) != child || status != 0) ++failures;
      if (failures > 0) break;
    }
    stop = true;
    reporter.join();
    return failures;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
}

BOOST_AUTO_TEST_SUITE_END()
