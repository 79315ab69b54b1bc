#include "weft/io/signal.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <string>

#include "weft/fiber/fiber.h"
#include "weft/io/error.h"
#include "weft/io/reactor.h"

namespace weft {
namespace {

// How many sets of this thread have a signal, and whether it was blocked before the first.
struct Blocked {
  int sets = 0;
  bool before = false;
};
thread_local Blocked blocked[NSIG];

bool contains(const sigset_t& set, int signal) noexcept { return sigismember(&set, signal) == 1; }

void block(const sigset_t& set) noexcept {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (contains(set, signal) && blocked[signal].sets++ == 0) {
      blocked[signal].before = contains(before, signal);
    }
  }
}

void unblock(const sigset_t& set) noexcept {
  sigset_t free;
  sigemptyset(&free);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (contains(set, signal) && --blocked[signal].sets == 0 && !blocked[signal].before) {
      sigaddset(&free, signal);
    }
  }
  pthread_sigmask(SIG_UNBLOCK, &free, nullptr);
}

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    // The last two can be added, but never come.
    if (sigaddset(&set, signal) != 0 || signal == SIGKILL || signal == SIGSTOP) {
      fail(EINVAL, {"SignalSet of signal ", decimal(signal)});
    }
  }
  return set;
}

Fd source_of(const sigset_t& set) {
  if (!current_reactor) fill_standard_descriptors();
  return Fd(checked(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), {"signalfd"}));
}

}  // namespace

// ---- SignalSet ----------------------------------------------------------------------------------

SignalSet::SignalSet(std::initializer_list<int> signals)
    : set_(set_of(signals)), source_(source_of(set_)) {
  // Now, where a failure can be told: later it would be told to a fiber that only waits for the
  // end, and the program go on that nobody can end any more.
  if (current_reactor) {
    if (const int error = source_.prepare(Direction::kRead)) {
      fail(-error, {"epoll_ctl of a signalfd"});
    }
  }
  block(set_);
}

SignalSet::~SignalSet() { unblock(set_); }

int SignalSet::wait() {
  signalfd_siginfo info{};
  const ssize_t result =
      source_.attempt(Direction::kRead, "weft::SignalSet::wait", [&]() -> ssize_t {
        // The kernel gives the lowest number first, so the next ones after the last have a turn.
        last_ = take_above(last_);
        return last_ > 0 ? last_ : read(source_.fd(), &info, sizeof(info));
      });
  if (result < 0) fail(static_cast<int>(-result), {"SignalSet::wait"});
  if (last_ == 0) last_ = static_cast<int>(info.ssi_signo);
  return last_;
}

// A signal of the set with a higher number that has come; 0 if there is none, or no number given.
int SignalSet::take_above(int signal) const noexcept {
  if (signal == 0) return 0;
  sigset_t above = set_;
  for (int lower = 1; lower <= signal; ++lower) sigdelset(&above, lower);
  constexpr timespec at_once{};
  return std::max(sigtimedwait(&above, nullptr, &at_once), 0);
}

// ---- CancelOnSignal -----------------------------------------------------------------------------

// A handler, and no signalfd: it also comes through where a fiber does not let others run, or where
// another thread gets the signal, and a child process has it no longer after exec.
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<Fiber*> target{nullptr};
std::atomic<int> handling{0};  // threads in the handler
std::atomic<pid_t> owner{0};   // the process; a child of it has nobody to cancel

void replace_handlers(void (*from)(int), void (*to)(int)) noexcept {
  for (const int signal : kSignals) {
    struct sigaction now {};
    if (sigaction(signal, nullptr, &now) != 0) continue;
    if (now.sa_flags & SA_SIGINFO || now.sa_handler != from) continue;
    struct sigaction next {};
    next.sa_handler = to;
    next.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(signal, &next, nullptr);
  }
}

// Does only what is safe in a handler: atomic operations, sigaction and a write to an eventfd.
void on_signal(int signal) noexcept {
  // Sequentially consistent, all of these: either the target is seen to be gone, or whoever takes
  // it away sees this and waits.
  handling.fetch_add(1);
  replace_handlers(&on_signal, SIG_DFL);
  if (owner.load() != getpid()) {
    raise(signal);  // comes when this returns
  } else if (Fiber* fiber = target.load()) {
    fiber->request(Fiber::kCancel);
  }
  handling.fetch_sub(1);
}

}  // namespace

CancelOnSignal::CancelOnSignal(Fiber& fiber) noexcept {
  Fiber* nobody = nullptr;
  const pid_t self = getpid();
  if (self != gettid() || !target.compare_exchange_strong(nobody, &fiber)) return;
  active_ = true;
  owner.store(self);
  replace_handlers(SIG_DFL, &on_signal);
}

CancelOnSignal::~CancelOnSignal() {
  if (!active_) return;
  replace_handlers(&on_signal, SIG_DFL);
  target.store(nullptr);
  while (handling.load() != 0) let_others_run();
}

}  // namespace weft
