#include "weft/fiber/core/survey.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <new>
#include <optional>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/interrupted.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/roster.h"
#include "weft/fiber/core/unwind.h"

namespace weft::internal {
namespace {

// libc does not use it, debuggers pass it on, and it does nothing where there is no handler (the Go
// runtime has chosen it for these reasons, too: runtime/signal_unix.go).
constexpr int kInterrupt = SIGURG;

// TSan runs a handler only when the thread calls into TSan, and not where it was interrupted.
#if defined(WEFT_TSAN)
constexpr bool kCanInterrupt = false;
#else
constexpr bool kCanInterrupt = true;
#endif

// A fiber that is just switching, or throwing, is interrupted again after a while.
constexpr int kInterrupts = 10;
constexpr Duration kBetweenInterrupts = std::chrono::milliseconds(10);
// A thread whose handler has not run after so long does not just wait for a processor: it blocks
// the signal.
constexpr Duration kUntilInterrupted = std::chrono::milliseconds(300);

// False in the middle of a switch: then what the thread has noted as running does not run yet. This
// may be the loop, which has no stack of a pool.
bool runs_on_own_stack(const Fiber& fiber, std::uintptr_t stack) noexcept {
  if (!fiber.pool) return false;
  const void* const bottom = fiber.pool->bottom_of(const_cast<Fiber*>(&fiber + 1));
  return stack < reinterpret_cast<std::uintptr_t>(&fiber) &&
         stack >= reinterpret_cast<std::uintptr_t>(bottom);
}

}  // namespace

// A scheduler is asked for a snapshot by its inbox, and again by a signal. The first that comes to
// it takes the snapshot. Two refer to a look: the survey, and the inbox.
class Look : public InboxNode {
 public:
  enum class State : std::uint8_t { kAsked, kTaking, kTaken, kGivenUp };

  // Without a number of tasks: only the running fiber is looked at.
  explicit Look(std::optional<std::size_t> tasks) noexcept
      : InboxNode([](InboxNode& node, Calls* scheduler) noexcept {
          auto& self = static_cast<Look&>(node);
          if (scheduler) self.answer_here(*scheduler, {});
          self.unref();
        }),
        snapshot(tasks.value_or(1)),
        only_running_(!tasks) {}

  // `at_last`: also with less than there is.
  void answer(Calls& scheduler, std::span<void* const> running_stack, bool at_last) noexcept {
    State asked = State::kAsked;
    // Acquire, release: the snapshot's memory goes from the asker to this thread.
    if (!state_.compare_exchange_strong(asked, State::kTaking, std::memory_order_acq_rel)) return;
    const bool whole = only_running_ ? snapshot.take_running(scheduler, running_stack)
                                     : snapshot.take(scheduler, running_stack);
    // Release: what was taken is seen with it.
    state_.store(whole || at_last ? State::kTaken : State::kAsked, std::memory_order_release);
    answered.post();
  }

  // Another thread that spawns here may keep a list from being looked at, for moments.
  void answer_here(Calls& scheduler, std::span<void* const> running_stack) noexcept {
    constexpr int kTries = 1000;
    for (int i = 1; i <= kTries && wanted(); ++i) {
      if (i > 1) let_others_run();
      answer(scheduler, running_stack, i == kTries);
    }
  }

  // In a handler for signals. A stack is not walked while an exception is on its way: the unwinder
  // may be about to change it.
  void answer_interrupted(Calls& scheduler, const Interrupted& interrupted) noexcept {
    // The loop has taken it just before the signal, or the survey has given it up.
    if (!wanted()) return answered.post();
    const bool last_try = at_last.load(std::memory_order_relaxed);  // relaxed: a hint
    const bool throwing = RunQueue::uncaught_exceptions() != 0;
    if (!runs_on_own_stack(*running.fiber, interrupted.stack) || (throwing && !last_try)) {
      return answered.post();
    }
    void* frames[kMaxFrames];
    const std::size_t count =
        throwing ? 0 : walk_interrupted(frames, reinterpret_cast<const void*>(interrupted.code));
    by_signal = true;
    answer(scheduler, {frames, count}, last_try);
  }

  // Waits until it is answered, or the time is over.
  bool wait(TimePoint deadline) noexcept {
    while (!taken() && answered.wait(deadline)) continue;
    return taken();
  }

  // Waits until the handler touches this no more, or the time is over.
  bool wait_until_left(TimePoint deadline) noexcept {
    while (!left.load(std::memory_order_acquire) && Clock::now() < deadline) let_others_run();
    return left.load(std::memory_order_acquire);
  }

  // Nobody is to answer any more. Returns false if it has been, or is being answered.
  bool give_up() noexcept {
    State asked = State::kAsked;
    return state_.compare_exchange_strong(asked, State::kGivenUp, std::memory_order_relaxed);
  }

  bool wanted() const noexcept { return state_.load(std::memory_order_relaxed) == State::kAsked; }
  bool taken() const noexcept {
    return state_.load(std::memory_order_acquire) == State::kTaken;  // acquire: see answer()
  }

  void ref() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }  // it is held
  void unref() noexcept {
    // Release, acquire: what either did comes before the end.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  Snapshot snapshot;
  Parker answered;
  bool by_signal = false;
  std::atomic<bool> at_last{false};  // no further signal is sent
  std::atomic<bool> left{false};     // by the handler

 private:
  const bool only_running_;
  std::atomic<State> state_{State::kAsked};
  std::atomic<int> references_{2};
};

namespace {

struct sigaction next_for_interrupt;

void pass_interrupt_on(int signal, siginfo_t* info, void* context) noexcept {
  if (next_for_interrupt.sa_flags & SA_SIGINFO) {
    next_for_interrupt.sa_sigaction(signal, info, context);
  } else if (next_for_interrupt.sa_handler != SIG_DFL && next_for_interrupt.sa_handler != SIG_IGN) {
    next_for_interrupt.sa_handler(signal);
  }
}

void on_interrupt(int signal, siginfo_t* info, void* context) noexcept {
  const int error = errno;
  Home* const home = Home::here();
  if (Look* const look = home ? home->exchange_look(nullptr) : nullptr) {
    if (running.fiber) {
      look->answer_interrupted(static_cast<Calls&>(*home), Interrupted(context));
    } else {
      look->answered.post();  // the loop runs, and will answer
    }
    // The last access. Release: pairs with the acquire of wait_until_left().
    look->left.store(true, std::memory_order_release);
  } else {
    pass_interrupt_on(signal, info, context);
  }
  errno = error;
}

// Sends the signal, and waits until the handler has run. Returns false if it does not run.
// REQUIRES: the roster is held, which keeps the home, and other surveys from doing the same.
bool interrupt(Home& home, Look& look) noexcept {
  const pid_t thread = home.thread_id();
  if (thread == 0) return false;
  look.ref();  // the handler's, until it has left
  look.left.store(false, std::memory_order_relaxed);
  home.exchange_look(&look);
  const bool sent = syscall(SYS_tgkill, getpid(), thread, kInterrupt) == 0;
  if (sent) look.answered.wait(Clock::now() + kUntilInterrupted);
  if (home.exchange_look(nullptr) == &look) {  // it has not begun, and does not any more
    look.unref();
    return false;
  }
  // If it takes too long its reference is lost, rather than the memory that it uses.
  if (!look.wait_until_left(Clock::now() + 10 * Survey::kPatience)) return look.taken();
  look.unref();
  return true;
}

}  // namespace

const Snapshot& Survey::Entry::snapshot() const noexcept { return look->snapshot; }

Survey::Survey(std::size_t tasks) {
  {
    const Roster roster;
    std::size_t count = 0;
    for (Home* home = roster.first(); home; home = roster.next(*home)) ++count;
    entries_.reserve(count);
    for (Home* home = roster.first(); home; home = roster.next(*home)) {
      if (home->is_of_this_process()) ask(*home, tasks / count);
    }
  }
  const TimePoint deadline = Clock::now() + kPatience;
  for (Entry& entry : entries_) {
    if (!entry.look) continue;
    if (entry.look->wait(deadline)) {
      entry.answer = Answer::kTaken;
    } else {
      insist(entry);
    }
  }
}

Survey::Survey(Home& stuck) {
  entries_.push_back({&stuck, stuck.number(), stuck.thread_id(), Answer::kNone,
                      new (std::nothrow) Look(std::nullopt)});
  Entry& entry = entries_.back();
  if (!entry.look) return;
  entry.look->unref();  // it is in no inbox
  insist(entry);
}

std::size_t Survey::count_tasks() const noexcept {
  std::size_t tasks = 0;
  for (const Entry& entry : entries_) {
    if (entry.has_snapshot())
      tasks += entry.snapshot().tasks().size() + entry.snapshot().left_out();
  }
  return tasks;
}

Survey::~Survey() {
  for (const Entry& entry : entries_) {
    if (entry.look) entry.look->unref();
  }
}

// REQUIRES: the roster is held, and there is room for an entry.
void Survey::ask(Home& home, std::size_t tasks) noexcept {
  const bool own = &home == Home::here() || home.waits_for_caller();
  Entry& entry = entries_.emplace_back(Entry{&home, home.number(), home.thread_id()});
  if (!own && entry.thread == 0) return;
  entry.answer = Answer::kNone;
  entry.look = new (std::nothrow) Look(tasks);
  if (!entry.look) return;
  if (own) {
    void* frames[kMaxFrames];
    entry.look->answer_here(static_cast<Calls&>(home), {frames, walk_here(frames)});
    entry.look->unref();
  } else {
    home.deliver(*entry.look);
  }
}

// The scheduler has not answered.
void Survey::insist(Entry& entry) noexcept {
  install_interrupt();
  for (int i = 1; kCanInterrupt && i <= kInterrupts && !entry.look->taken(); ++i) {
    entry.look->at_last.store(i == kInterrupts, std::memory_order_relaxed);
    {
      const Roster roster;
      if (!roster.has(*entry.home) || !interrupt(*entry.home, *entry.look)) break;
    }
    if (!entry.look->taken()) entry.look->wait(Clock::now() + kBetweenInterrupts);
  }
  if (entry.look->give_up()) return;
  entry.look->wait(Clock::now() + kPatience);
  if (entry.look->taken()) entry.answer = entry.look->by_signal ? Answer::kStuck : Answer::kTaken;
}

void unblock_interrupt() noexcept {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, kInterrupt);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

void install_interrupt() noexcept {
  [[maybe_unused]] static const bool installed = [] {
    warm_unwinder();
    struct sigaction action {};
    action.sa_sigaction = on_interrupt;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(kInterrupt, &action, &next_for_interrupt) == 0;
  }();
}

bool is_interrupt_alone(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) && action.sa_sigaction == on_interrupt &&
         (next_for_interrupt.sa_handler == SIG_DFL || next_for_interrupt.sa_handler == SIG_IGN);
}

}  // namespace weft::internal
