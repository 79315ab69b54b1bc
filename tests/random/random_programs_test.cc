// Thousands of random programs, on virtual time and in shuffled order, against a model.
//
//   WEFT_SEED=n      runs the program of this seed alone, and shows what it did
//   WEFT_PROGRAMS=n  runs n, whatever the bound
//
// With Bazel: --test_env=WEFT_SEED=n. The seeds are 1, 2, 3 ...

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tests/random/examine.h"
#include "tests/random/generator.h"
#include "tests/random/interpreter.h"
#include "tests/random/recorder.h"
#include "tests/support/bound.h"
#include "tests/support/fixture.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(random_programs)

using namespace weft::test;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_ASAN) || defined(WEFT_VALGRIND)
constexpr std::uint64_t kPrograms = 600;
#else
constexpr std::uint64_t kPrograms = 6000;
#endif
constexpr std::uint64_t kEnough = 600;  // for each step to end in each way

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* const given = std::getenv(name);
  return given ? std::strtoull(given, nullptr, 10) : otherwise;
}

std::string command(std::uint64_t seed) {
  return "./bazelw test //tests/random:random_programs_test --test_env=WEFT_SEED=" +
         std::to_string(seed);
}

// Names the program that takes for ever, or ends the process.
class Watch {
 public:
  static constexpr unsigned kPatience = 60;       // seconds for a program; one takes a millisecond
  static constexpr unsigned kMorePatience = 200;  // to make one smaller

  explicit Watch(std::uint64_t seed, unsigned patience = kPatience) {
    std::snprintf(text_, sizeof(text_), "\nIt hangs or ends in seed %llu. To repeat: %s\n",
                  static_cast<unsigned long long>(seed), command(seed).c_str());
    struct sigaction action {};
    action.sa_handler = [](int number) {
      [[maybe_unused]] const auto written = write(STDERR_FILENO, text_, std::strlen(text_));
      signal(number, SIG_DFL);
      raise(number);
    };
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
      sigaction(kSignals[i], &action, &before_[i]);
    }
    alarm(patience);
  }
  ~Watch() {
    alarm(0);
    for (std::size_t i = 0; i < std::size(kSignals); ++i) {
      sigaction(kSignals[i], &before_[i], nullptr);
    }
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
#if defined(WEFT_TSAN) || defined(WEFT_ASAN)  // which have more to say of the others
  static constexpr int kSignals[] = {SIGALRM, SIGABRT};
#else
  static constexpr int kSignals[] = {SIGALRM, SIGABRT, SIGSEGV, SIGBUS};
#endif
  static inline char text_[200];
  struct sigaction before_[std::size(kSignals)];
};

// What the programs have in common: how often each step ended in which way, at once or later.
class Census {
 public:
  void count(const Record& record) {
    std::map<int, std::vector<std::size_t>> open;
    for (std::size_t i = 0; i < record.size(); ++i) {
      auto& begins = open[record[i].fiber];
      if (record[i].type == Entry::kBegin) begins.push_back(i);
      if (record[i].type != Entry::kEnd) continue;
      const bool later = begins.back() + 1 < i;
      begins.pop_back();
      ++ends_[{record[i].step.what, record[i].outcome.kind, later}];
    }
  }

  std::size_t of(Do what, Outcome::Kind kind, bool later) const {
    const auto found = ends_.find({what, kind, later});
    return found == ends_.end() ? 0 : found->second;
  }

 private:
  std::map<std::tuple<Do, Outcome::Kind, bool>, std::size_t> ends_;
};

constexpr Do kWaits[] = {
    Do::kPush,          Do::kPop,       Do::kJoinQueue, Do::kLock,      Do::kLockShared,
    Do::kWaitCondition, Do::kAcquire,   Do::kWaitEvent, Do::kArrive,    Do::kGetFuture,
    Do::kGet,           Do::kWait,      Do::kWaitAll,   Do::kWaitFirst, Do::kWaitFirstException,
    Do::kStep,          Do::kJoinGroup, Do::kGather,    Do::kSleep,     Do::kWithGroup,
    Do::kGatherAll,     Do::kLockAll};
constexpr Do kTries[] = {
    Do::kTryPushFor,    Do::kTryPopFor,    Do::kTryLockFor,    Do::kTryLockSharedFor,
    Do::kTryAcquireFor, Do::kWaitEventFor, Do::kWaitFutureFor, Do::kWaitConditionFor,
    Do::kWaitFor,       Do::kSelect};

void check_variety(const Census& census) {
  const auto require = [&](Do what, Outcome::Kind kind) {
    BOOST_TEST(census.of(what, kind, true) > 0u,
               to_string(Step{.what = what}) << " never ends so: " << to_string(Outcome{kind}));
  };
  for (const Do what : kWaits) {
    require(what, Outcome::kOk);
    require(what, Outcome::kCancelled);
  }
  for (const Do what : kTries) {
    require(what, Outcome::kOk);
    require(what, Outcome::kNo);
    require(what, Outcome::kCancelled);
  }
  for (const Do what : {Do::kTimeout, Do::kDeadline}) require(what, Outcome::kTimeoutError);
  for (const auto how : {Outcome::kOk, Outcome::kNo, Outcome::kCancelled, Outcome::kFailure}) {
    require(Do::kScope, how);
  }
  for (const Do what : {Do::kPush, Do::kPop, Do::kSelect}) require(what, Outcome::kClosed);
  for (const Do what : {Do::kGet, Do::kJoinGroup, Do::kGather, Do::kGatherAll, Do::kWithGroup,
                        Do::kTimeout, Do::kShield}) {
    require(what, Outcome::kFailure);
  }
  for (const auto how : {Outcome::kShuttingDown, Outcome::kCancelled}) require(Do::kSpawn, how);
}

}  // namespace

BOOST_AUTO_TEST_CASE(random_programs_do_what_the_model_says_and_the_same_again) {
  const std::uint64_t alone = number_from_environment("WEFT_SEED", 0);
  const std::uint64_t first = alone ? alone : 1;
  const std::uint64_t last =
      alone ? alone : number_from_environment("WEFT_PROGRAMS", bound(kPrograms, kEnough));
  std::printf("seeds %llu to %llu\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(last));
  Census census;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    const Watch watch(seed);
    const auto descriptors = open_descriptors();
    const Examined examined = examine(make_program(seed));
    if (alone) {
      std::puts(to_string(examined.program).c_str());
      for (std::size_t i = 0; i < examined.record.size(); ++i) {
        if (examined.violation && examined.violation->event == i) {
          std::printf("wrong: %s\n", examined.violation->rule.c_str());
        }
        std::puts(to_string(examined.record[i]).c_str());
      }
    }
    if (examined.violation) {
      // Before anything else: less of the program may hang.
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                  examined.violation->rule.c_str());
      std::fflush(stdout);
      const Watch longer(seed, Watch::kMorePatience);
      BOOST_TEST_REQUIRE(false, "seed " << seed << ", made smaller:\n"
                                        << to_string(shrink(examined))
                                        << "to repeat: " << command(seed));
    }
    BOOST_TEST_REQUIRE(open_descriptors() == descriptors, "a descriptor is left by seed " << seed);
    census.count(examined.record);
  }
  if (last - first + 1 >= kEnough) check_variety(census);
}

// Reports read what fibers are in the middle of, and take no part in it.
BOOST_AUTO_TEST_CASE(programs_do_the_same_if_their_tasks_are_printed_before_each_step) {
  static std::FILE* const nowhere = std::fopen("/dev/null", "w");
  static std::size_t stacks = 0;
  const std::uint64_t last = bound(kPrograms, kEnough) / 20;
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
    const Watch watch(seed);
    const Program program = make_program(seed);
    const Record record = run_program(program);
    Recorder::before_step = [] {
      weft::print_tasks(nowhere);
      for (const weft::TaskInfo& task : weft::all_tasks({.stacks = true}))
        stacks += !task.stack.empty();
    };
    const Record again = run_program(program);
    Recorder::before_step = nullptr;
    BOOST_TEST_REQUIRE((again == record), "the record of seed " << seed << " is another");
  }
  BOOST_TEST(stacks > last);
}

BOOST_AUTO_TEST_SUITE_END()
