// Stalls that are reported, and tasks that a signal asks for. Times are the machine's: a report may
// be late, but never early.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/caught_reports.h"
#include "tests/support/child_process.h"
#include "tests/support/end_signals.h"
#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(watch)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// TSan holds signals back, so the fiber that stalls is not seen.
#if defined(WEFT_TSAN)
constexpr bool kSeesFiber = false;
#else
constexpr bool kSeesFiber = true;
#endif

constexpr auto kStall = 50ms;
// A busy machine holds up no thread for so long.
constexpr auto kLong = 100ms;

// ---- SIGURG, which is the program's, too --------------------------------------------------------

std::atomic<int> urgent{0};

// Before weft's first watch.
[[maybe_unused]] const auto counts_urgent = std::signal(SIGURG, [](int) { ++urgent; });

// ---- What stalls --------------------------------------------------------------------------------

// Waits for so many reports by calling this over and over. False if they do not come.
template <class F>
[[gnu::noinline]] bool legacy_call(const Reports& reports, std::size_t count, F block) {
  const TimePoint end = Clock::now() + 20s;
  while (reports.all().size() < count) {
    if (Clock::now() > end) return false;
    block();
  }
  return true;
}

void compute_a_little() {
  for (const TimePoint end = Clock::now() + 1ms; Clock::now() < end;) continue;
}

// Milliseconds that a report of a stall names.
long held_up(const std::string& report) {
  const std::size_t at = report.find(" for ");
  return at == report.npos ? -1 : std::atol(report.c_str() + at + 5);
}

// The first line of a stall's report.
std::string stall_line(const std::string& scheduler, const std::string& name,
                       const std::string& call = "") {
  return "weft: scheduler " + scheduler + " is held up for * ms" +
         (kSeesFiber ? " by task * \"" + name + "\"" : "") + call + "*";
}

bool went_on(const Reports& reports) {
  const auto all = reports.all();
  return !all.empty() && matches(all.back(), "weft: scheduler * went on after * ms");
}

// A stall that is reported so often, or more often on a slow machine, and what was reported.
template <class F>
std::vector<std::string> stall(F block, std::size_t count = 1, SpawnOptions options = {}) {
  const Reports reports;
  run(
      [&] {
        options.name = "stuck";
        auto task = spawn([&] { return legacy_call(reports, count, block); }, options);
        BOOST_TEST(task.get());
        BOOST_TEST(eventually([&] { return went_on(reports); }));
      },
      {.stall_after = kStall});
  return reports.all();
}

// The report names the task, the function, and what it is in.
void check_stall(const std::vector<std::string>& reports, const std::string& call = "") {
  BOOST_TEST_REQUIRE(reports.size() >= 2u);
  BOOST_TEST(matches(reports[0], stall_line("0", "stuck", call)), reports[0]);
  BOOST_TEST((count_words(reports[0], "legacy_call") > 0) == kSeesFiber, reports[0]);
  BOOST_TEST(held_up(reports[0]) >= kStall / 1ms, reports[0]);
}

}  // namespace

// ---- Stalls -------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_computes_is_reported_with_its_function) {
  const auto reports = stall(&compute_a_little);
  check_stall(reports);
  BOOST_TEST(count_words(reports[0], "system call") == 0, reports[0]);
}

BOOST_AUTO_TEST_CASE(a_fiber_that_blocks_is_reported_with_the_system_call_that_it_is_in) {
  check_stall(stall([] { usleep(500'000); }), ", in system call * (clock_nanosleep)\n");
}

BOOST_AUTO_TEST_CASE(a_fiber_that_waits_for_a_mutex_of_a_thread_is_reported) {
  std::mutex mutex;
  std::atomic<bool> held{false}, reported{false};
  std::thread owner([&] {
    const std::lock_guard lock(mutex);
    held = true;
    while (!reported) std::this_thread::sleep_for(1ms);
  });
  while (!held) std::this_thread::yield();
  const Reports reports([&] { reported = true; });
  run(
      [&] {
        spawn([&] { legacy_call(reports, 1, [&] { const std::lock_guard lock(mutex); }); },
              {.name = "stuck"})
            .get();
        BOOST_TEST(eventually([&] { return went_on(reports); }));
      },
      {.stall_after = kStall});
  owner.join();
  check_stall(reports.all(), ", in system call * (futex)\n");
}

BOOST_AUTO_TEST_CASE(it_is_reported_again_after_twice_as_long_and_when_it_goes_on) {
  const auto reports = stall(&compute_a_little, 3);
  BOOST_TEST_REQUIRE(reports.size() >= 4u);
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST(matches(reports[i], stall_line("0", "stuck")), reports[i]);
    if (i > 0) BOOST_TEST(held_up(reports[i]) >= 2 * held_up(reports[i - 1]), reports[i]);
  }
  const std::string last = reports.back();
  const long after = std::atol(last.c_str() + last.find("after") + 6);
  BOOST_TEST(after >= held_up(reports[reports.size() - 2]), last);
}

// A busy machine may be late most times, but not each time.
BOOST_AUTO_TEST_CASE(it_is_reported_within_one_and_a_half_times_the_limit) {
  Duration best = Duration::max();
  const TimePoint end = Clock::now() + 40s;
  while (best > kStall * 3 / 2 && Clock::now() < end) {
    TimePoint reported;
    const Reports reports([&] {
      if (reported == TimePoint()) reported = Clock::now();
    });
    run(
        [&] {
          const TimePoint start = Clock::now();
          BOOST_TEST(legacy_call(reports, 1, &compute_a_little));
          BOOST_TEST((reported - start >= kStall));
          best = std::min(best, reported - start);
        },
        {.stall_after = kStall});
  }
  BOOST_TEST((best <= kStall * 3 / 2), best / 1us << " us");
}

BOOST_AUTO_TEST_CASE(the_second_scheduler_is_watched_too) {
  const Reports reports;
  run(
      [&] {
        auto task = spawn([&] { return legacy_call(reports, 1, &compute_a_little); },
                          {.name = "stuck", .on = on(1).on});
        BOOST_TEST(task.get());
      },
      {.threads = 2, .stall_after = kStall});
  BOOST_TEST_REQUIRE(reports.all().size() >= 1u);
  const std::string report = reports.all()[0];
  BOOST_TEST(matches(report, stall_line("1", "stuck")), report);
  BOOST_TEST((count_words(report, "legacy_call") > 0) == kSeesFiber, report);
}

BOOST_AUTO_TEST_CASE(what_lets_others_run_is_not_reported) {
  const Reports reports;
  run(
      [] {
        const auto others = spawn([] {
          for (;;) yield();
        });
        sleep_for(4 * kLong);  // beside a task that yields
      },
      {.threads = 2, .stall_after = kLong});
  run(
      [] {
        for (const TimePoint end = Clock::now() + 3 * kLong; Clock::now() < end;) {
          TaskGroup group;  // of 10,000, no more than ten at once
          for (int i = 0; i < 10'000; ++i) {
            group.spawn([] {});
            if (i % 10 == 9) yield();
          }
          group.join();
        }
        sleep_for(3 * kLong);  // nobody runs
      },
      {.threads = 2, .stall_after = kLong});
  BOOST_TEST(reports.text() == "");
}

BOOST_AUTO_TEST_CASE(a_read_that_blocks_goes_on_after_the_report) {
  const BarePipe pipe;
  int count = 0;
  const Reports reports([&] {
    if (++count == 2) pipe.put("x");
  });
  run(
      [&] {
        char byte = 0;
        BOOST_TEST(read(pipe.in(), &byte, 1) == 1);
      },
      {.stall_after = kStall});
  BOOST_TEST(count >= 2);
  BOOST_TEST(matches(reports.all()[0], stall_line("0", "main", ", in system call * (read)\n")),
             reports.text());
}

BOOST_AUTO_TEST_CASE(a_fiber_that_throws_all_the_time_is_reported) {
  const auto reports = stall(
      [] {
        for (int i = 0; i < 100; ++i) {
          try {
            throw std::runtime_error("thrown");
          } catch (const std::runtime_error&) {
          }
        }
      },
      3);
  BOOST_TEST_REQUIRE(reports.size() >= 4u);
  BOOST_TEST(matches(reports[0], stall_line("0", "stuck")), reports[0]);
}

BOOST_AUTO_TEST_CASE(a_fiber_that_destroys_during_unwinding_is_reported) {
  struct Slow {
    ~Slow() { legacy_call(reports, 1, &compute_a_little); }
    const Reports& reports;
  };
  const Reports reports;
  run(
      [&] {
        try {
          const Slow slow{reports};
          throw std::runtime_error("thrown");
        } catch (const std::runtime_error&) {
        }
      },
      {.stall_after = kStall});
  BOOST_TEST_REQUIRE(reports.all().size() >= 1u);
  BOOST_TEST(matches(reports.all()[0], stall_line("0", "main")), reports.text());
}

BOOST_AUTO_TEST_CASE(a_thread_that_blocks_the_signal_is_reported_without_its_stack) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGURG);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const auto reports = stall(&compute_a_little);
  const int before = urgent;
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  BOOST_TEST_REQUIRE(reports.size() >= 2u);
  BOOST_TEST(matches(reports[0],
                     "weft: scheduler 0 is held up for * ms\n"
                     "    (its thread could not be interrupted: no stack)"),
             reports[0]);
  BOOST_TEST(urgent <= before + 1);  // weft's own may come late
}

BOOST_AUTO_TEST_CASE(a_handler_of_the_programs_gets_its_own_signals_only) {
  int expected = urgent;
  const auto send = [&] {
    raise(SIGURG);
    BOOST_TEST(urgent == ++expected);
  };
  send();
  stall([&] {
    compute_a_little();
    if (expected < 20) send();
  });
  send();
}

// ---- All tasks ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_signal_reports_all_tasks_and_the_program_goes_on) {
  const Reports reports;
  const int result = run(
      [&] {
        Event event;
        std::atomic<bool> runs{false};
        auto waits = spawn([&] { event.wait(); }, {.name = "waits", .eager = true});
        auto stuck = spawn(
            [&] {
              runs = true;
              legacy_call(reports, 1, &compute_a_little);
            },
            {.name = "stuck", .on = on(1).on});
        BOOST_TEST(eventually([&] { return runs.load(); }));
        kill(getpid(), SIGQUIT);
        BOOST_TEST(eventually([&] { return reports.all().size() == 1; }));
        event.set();
        return 7;
      },
      {.threads = 2, .report_signal = SIGQUIT});
  BOOST_TEST(result == 7);
  const std::string report = reports.text();
  BOOST_TEST(
      matches(report, "weft: * tasks on 2 schedulers, pid *\"waits\" waits * in Event::wait*"),
      report);
  if (!kSeesFiber) return;
  BOOST_TEST(matches(report, "*scheduler 1: *, held up\ntask * \"stuck\" runs for *legacy_call*"),
             report);
}

BOOST_AUTO_TEST_CASE(signals_that_come_at_once_are_at_least_one_report) {
  const Reports reports;
  run(
      [&] {
        for (int i = 0; i < 100; ++i) kill(getpid(), SIGQUIT);
        BOOST_TEST(eventually([&] { return !reports.all().empty(); }));
      },
      {.report_signal = SIGQUIT});
}

BOOST_AUTO_TEST_CASE(a_signal_may_come_at_the_very_end_of_a_runtime) {
  const ChildEnd end = run_in_child([] {
    std::signal(SIGQUIT, SIG_IGN);
    set_report_handler([](std::string_view) {});
    const ChildProcess sender([self = getpid()] {
      for (;;) kill(self, SIGQUIT), usleep(10);
      return 0;
    });
    for (const TimePoint until = Clock::now() + 500ms; Clock::now() < until;) {
      run([] { yield(); }, {.report_signal = SIGQUIT});
    }
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

BOOST_AUTO_TEST_CASE(what_the_signal_did_before_is_put_back_when_the_runtime_has_ended) {
  const ChildEnd end = run_in_child([] {
    std::signal(SIGQUIT, SIG_IGN);
    run([] {}, {.report_signal = SIGQUIT});
    raise(SIGQUIT);
    return 7;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
  BOOST_TEST(end.said == "");
}

#if !defined(WEFT_TSAN)  // which lets a child of a process with threads start none

BOOST_AUTO_TEST_CASE(a_child_that_is_forked_beside_a_watch_may_have_its_own) {
  const Runtime parents({.report_signal = SIGQUIT});
  const ChildEnd end = run_in_child([] {
    const Reports reports;
    const auto main = [&] {
      kill(getpid(), SIGQUIT);
      return eventually([&] { return !reports.all().empty(); });
    };
    return run(main, {.report_signal = SIGQUIT}) ? 7 : 8;
  });
  BOOST_TEST(end.exit_code == 7, described(end));
}

#endif

BOOST_AUTO_TEST_CASE(a_signal_that_cannot_be_handled_is_an_error) {
  BOOST_CHECK_EXCEPTION(run([] {}, {.report_signal = SIGKILL}), std::system_error,
                        [](const std::system_error& error) {
                          return std::string_view(error.what()).find("report_signal 9") !=
                                 std::string_view::npos;
                        });
}

BOOST_AUTO_TEST_CASE(without_these_options_there_is_no_further_thread) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  // One that has just ended may still be there for a moment.
  const auto before = kSeesFiber ? 1 : 2;  // TSan has one of its own
  run([&] { BOOST_TEST(eventually([&] { return threads() == before; })); });
  run([&] { BOOST_TEST(threads() == before + 1); }, {.stall_after = 1s});
}

// ---- WEFT_WATCH ---------------------------------------------------------------------------------

namespace {

// While it lives WEFT_WATCH is this.
class Environment {
 public:
  explicit Environment(const char* words) { setenv("WEFT_WATCH", words, 1); }
  ~Environment() { unsetenv("WEFT_WATCH"); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_environment_asks_for_stalls_before_the_options_do) {
  for (const char* const words : {"stall=50ms", "stall=50000us", "stall=0.05s", "stall=5e1ms"}) {
    const Environment environment(words);
    const Reports reports;
    run([&] { BOOST_TEST(legacy_call(reports, 1, &compute_a_little), words); },
        {.stall_after = 10h});
    BOOST_TEST(matches(reports.text(), stall_line("0", "main")), reports.text());
    BOOST_TEST(held_up(reports.text()) >= 50);
  }
}

BOOST_AUTO_TEST_CASE(the_environment_names_the_signal_by_name_or_number) {
  for (const char* const words :
       {"report=QUIT", "report=SIGQUIT", "report=3", "stall=10s,report=QUIT"}) {
    const Environment environment(words);
    const Reports reports;
    run([&] {
      kill(getpid(), SIGQUIT);
      BOOST_TEST(eventually([&] { return reports.all().size() == 1; }), words);
    });
    BOOST_TEST(matches(reports.text(), "weft: 1 task on 1 scheduler, pid *"), reports.text());
  }
}

BOOST_AUTO_TEST_CASE(each_part_that_is_not_understood_is_named_and_the_rest_holds) {
  const Environment environment(
      "stal=1s,stall=50ms,stall=,stall=-1s,stall=1,stall=1 ms,stall=nan,stall=1e300s,report=0,"
      "report=65,report=QUITE,report,=,,");
  const Reports reports;
  run([&] { BOOST_TEST(legacy_call(reports, 14, &compute_a_little)); });
  const auto all = reports.all();
  BOOST_TEST_REQUIRE(all.size() >= 14u);
  const char* const parts[] = {
      "stal=1s",  "stall=",    "stall=-1s",    "stall=1", "stall=1 ms", "stall=nan", "stall=1e300s",
      "report=0", "report=65", "report=QUITE", "report",  "=",          ""};
  std::size_t i = 0;
  for (const std::string part : parts) {
    BOOST_TEST(all[i] == "weft: WEFT_WATCH: \"" + part +
                             "\" is not understood, and left out; e.g. "
                             "stall=100ms,report=QUIT");
    ++i;
  }
  BOOST_TEST(matches(all[i], stall_line("0", "main")), all[i]);
}

BOOST_AUTO_TEST_SUITE_END()
