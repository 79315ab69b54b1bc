// When the fibers of a scheduler can never go on. Declared in loop.h and deadlock.h.
//
// A verdict is sound only if nothing is left that could wake a fiber:
// * a ready fiber, a timer, a call, a post: the scheduler would not sleep without a deadline;
// * a descriptor that a fiber waits for: Port::awaited();
// * another scheduler of the same runtime: all must sleep like this;
// * any other thread, such as a job's, or one of another library: each thread of the process must
//   be one of those schedulers', or rest (resting_threads);
// * a handler for signals that the program has installed, unless it handles faults, too. SIGINT
//   that cancels main() does not count: otherwise there would be no verdict at all.
// What cannot be known of counts as a waker. So a program with a thread of its own gets no verdict,
// and none is false. (Go's is given up for programs with foreign threads, too: proc.go, checkdead.)

#include "weft/fiber/core/deadlock.h"

#include <pthread.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "weft/fiber/core/context.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/group.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/roster.h"
#include "weft/fiber/core/survey.h"
#include "weft/fiber/core/task_report.h"

namespace weft::internal {

constinit std::atomic<int> resting_threads{0};

namespace {

// A verdict is looked for when a scheduler has slept for so long, and then at growing intervals.
constexpr Duration kFirstLook = std::chrono::seconds(1);
constexpr Duration kRarest = std::chrono::hours(1);
// Two looks must find the same. What is on its way from one scheduler to another at the first has
// arrived by the second.
constexpr Duration kBetweenLooks = std::chrono::milliseconds(10);

// TSan has a thread of its own. It begins with the first one of the program, or at a fork: so there
// is one before main(), and in a child exactly one, too.
#if defined(WEFT_TSAN)
constexpr int kForeignThreads = 1;
[[maybe_unused]] const bool begun = (std::thread([] {}).join(), true);
#else
constexpr int kForeignThreads = 0;
#endif

constinit std::atomic<void (*)(int)> harmless[4] = {};

// Those that the processor raises.
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

bool handles(int signal, const struct sigaction& action) noexcept {
  struct sigaction other {};
  return sigaction(signal, nullptr, &other) == 0 && other.sa_handler == action.sa_handler;
}

// One that handles faults, too, ends the program: it could not go on after a fault. Libraries for
// tests have such handlers for many signals.
bool is_harmless(const struct sigaction& action) noexcept {
  if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return true;
  if (is_interrupt_alone(action)) return true;
  return std::ranges::any_of(kFaults, [&](int fault) { return handles(fault, action); }) ||
         std::ranges::any_of(harmless, [&](const auto& handler) {
           return handler.load(std::memory_order_relaxed) == action.sa_handler;
         });
}

// Whether a handler for signals may wake fibers. One for a profiler does not.
bool may_be_signalled() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal == SIGTRAP || signal == SIGSYS || signal == SIGABRT || signal == SIGPROF) continue;
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) == 0 && !is_harmless(action)) return true;
  }
  return false;
}

// How many threads the process has; 0: not known.
int count_threads() noexcept {
  struct stat folder {};
  if (stat("/proc/self/task", &folder) != 0 || folder.st_nlink <= 2) return 0;
  return static_cast<int>(folder.st_nlink) - 2;
}

// Whether all threads but `schedulers` rest. The resting ones are counted last: so a thread that
// gives another one work, and ends, is not overlooked. The threads are counted twice: nor is a
// thread overlooked that starts another one, which rests at once.
bool others_rest(int schedulers) noexcept {
  const int threads = count_threads();
  // Acquire: pairs with the release of a thread that begins to rest.
  const int resting = resting_threads.load(std::memory_order_acquire);
  return threads == schedulers + resting + kForeignThreads && count_threads() == threads;
}

// A child process has none of the threads of its parent.
[[maybe_unused]] const int rest_at_fork =
    pthread_atfork(nullptr, nullptr, [] { resting_threads.store(0, std::memory_order_relaxed); });

}  // namespace

void add_harmless_handler(void (*handler)(int)) noexcept {
  for (auto& place : harmless) {
    void (*nothing)(int) = nullptr;
    // Relaxed, both: only the address matters.
    if (place.load(std::memory_order_relaxed) == handler) return;
    if (place.compare_exchange_strong(nothing, handler, std::memory_order_relaxed)) return;
  }
}

// What the schedulers that end together look like, if all sleep until they are woken.
struct Loop::Standstill {
  int schedulers = 0;
  std::size_t fibers = 0;
  std::uint64_t sleeps = 0;  // so far: the same at two looks if none has gone on between them

  bool operator==(const Standstill&) const = default;
};

// Nothing if one of them does not sleep, or something has come to it.
std::optional<Loop::Standstill> Loop::look_at_schedulers() const noexcept {
  const Roster roster;
  Standstill all;
  for (Home* home = roster.first(); home; home = roster.next(*home)) {
    const auto& loop = static_cast<const Loop&>(*home);
    if (&loop != this && !ends_with(loop)) continue;
    // What comes stays until the scheduler goes on, which the number of its sleeps shows: so this
    // is looked at first. Acquire: keeps that order.
    if (loop.has_post() || loop.stop_.load(std::memory_order_acquire)) return {};
    // Acquire: pairs with the release of sleep_quietly().
    const std::uint64_t sleeps = loop.quiet_sleeps_.load(std::memory_order_acquire);
    if (sleeps % 2 == 0) return {};
    ++all.schedulers;
    all.fibers += loop.quiet_fibers_.load(std::memory_order_relaxed);  // relaxed: see above
    all.sleeps += sleeps;
  }
  return all;
}

// Nothing if something might wake one of them. All schedulers sleep from the first look to the
// second. In between the other threads are found to rest: what they posted before is seen by the
// second look, and nothing is left that could give them more to do.
std::optional<Loop::Standstill> Loop::standstill() const noexcept {
  const std::optional<Standstill> all = look_at_schedulers();
  if (!all || all->fibers == 0 || may_be_signalled() || !others_rest(all->schedulers)) return {};
  return look_at_schedulers() == all ? all : std::nullopt;
}

bool Loop::is_quiet(TimePoint deadline) const noexcept {
  return deadline == kForever && options_.on_deadlock != OnDeadlock::kIgnore &&
         !calls_lack_stack() && port_.awaited() == 0;
}

// REQUIRES: the inbox is marked asleep.
void Loop::sleep_quietly() {
  quiet_fibers_.store(fibers(), std::memory_order_relaxed);
  // Release: the number of fibers is seen with it. Odd: it sleeps.
  quiet_sleeps_.fetch_add(1, std::memory_order_release);
  const bool deadlock = port_.is_virtual() ? wait_for_verdict_at_once() : wait_for_verdict();
  quiet_sleeps_.fetch_add(1, std::memory_order_release);
  if (deadlock) end_deadlocked();
}

// Both return true at a deadlock that was not reported yet, and false when something has come.
// The port returns without anything when its clock finds no time to jump to. Then no other
// scheduler runs, nor is anything on its way to one.
bool Loop::wait_for_verdict_at_once() {
  while (!port_.wait(kForever)) {
    if (standstill() && is_news()) return true;
  }
  return false;
}

bool Loop::wait_for_verdict() {
  // A wait may return early though nothing has come.
  const auto sleep_for = [this](Duration time) {
    const TimePoint end = port_.now() + time;
    while (port_.now() < end) {
      if (port_.wait(end)) return false;
    }
    return true;
  };
  for (Duration patience = kFirstLook; sleep_for(patience);
       patience = std::min(2 * patience, kRarest)) {
    const std::optional<Standstill> first = standstill();
    if (!first) continue;
    if (!sleep_for(kBetweenLooks)) return false;
    if (standstill() == first && is_news()) return true;
  }
  return false;
}

// Returns whether a fiber has run since the last verdict, and forgets that.
bool Loop::is_news() noexcept {
  const Roster roster;
  bool news = false;
  for (Home* home = roster.first(); home; home = roster.next(*home)) {
    auto& loop = static_cast<Loop&>(*home);
    // Relaxed: all others sleep.
    if (&loop == this || ends_with(loop)) {
      news |= loop.has_run_.exchange(false, std::memory_order_relaxed);
    }
  }
  return news;
}

void Loop::end_deadlocked() {
  report_deadlock();
  if (options_.on_deadlock != OnDeadlock::kFail) return;
  if (closing_) std::terminate();  // no run() is left that could throw it
  Loop& first = group() ? static_cast<Loop&>(group()->first()) : *this;
  // Release: pairs with the acquire in throw_if_deadlocked().
  first.deadlocked_.store(true, std::memory_order_release);
  first.stop();
}

void Loop::throw_if_deadlocked() {
  if (!deadlocked_.exchange(false, std::memory_order_acquire)) return;
  throw_logic_error("weft: deadlock: nothing is left that could wake the tasks that wait");
}

void Loop::report_deadlock() noexcept try {
  const Survey survey(kMostListed);
  report_text([&](Text& text) {
    const std::size_t tasks = survey.count_tasks();
    text << "weft: deadlock: " << Count(tasks) << (tasks == 1 ? " task waits" : " tasks wait")
         << ", and nothing is left that could wake " << (tasks == 1 ? "it\n" : "them\n");
    write_tasks(text, survey);
  });
} catch (const std::bad_alloc&) {
  print_line("deadlock: nothing is left that could wake the tasks that wait");
}

}  // namespace weft::internal
