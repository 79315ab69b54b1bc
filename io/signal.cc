#include "weft/io/signal.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <mutex>
#include <string>
#include <utility>

#include "weft/fiber/core/fiber.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"

namespace weft {

// ---- CancelOnSignal -----------------------------------------------------------------------------

// A handler, and no signalfd: it also comes through where a fiber does not let others run, or where
// another thread gets the signal, and a child process has it no longer after exec.
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<Fiber*> target{nullptr};
std::atomic<int> handling{0};    // threads in the handler
std::atomic<pid_t> owner{0};     // the process; a child of it has nobody to cancel
std::atomic<bool> armed{false};  // there is a target, and no signal has come yet

void replace_handler(int signal, void (*from)(int), void (*to)(int)) noexcept {
  struct sigaction now {};
  if (sigaction(signal, nullptr, &now) != 0) return;
  if (now.sa_flags & SA_SIGINFO || now.sa_handler != from) return;
  struct sigaction next {};
  next.sa_handler = to;
  next.sa_flags = SA_RESTART | SA_ONSTACK;
  sigaction(signal, &next, nullptr);
}

void replace_handlers(void (*from)(int), void (*to)(int)) noexcept {
  for (const int signal : kSignals) replace_handler(signal, from, to);
}

// Does only what is safe in a handler: atomic operations, sigaction and a write to an eventfd.
void on_signal(int signal) noexcept {
  // Sequentially consistent, all of these: either the target is seen to be gone, or whoever takes
  // it away sees this and waits.
  handling.fetch_add(1);
  armed.store(false);
  replace_handlers(&on_signal, SIG_DFL);
  if (owner.load() != getpid()) {
    raise(signal);  // comes when this returns
  } else if (Fiber* fiber = target.load()) {
    fiber->request(Fiber::kCancel);
  }
  handling.fetch_sub(1);
}

// What a signal did before a SignalSet had it was put back, which may be out of date: the handler
// may be due since, or no more.
void settle(int signal) noexcept {
  for (const int own : kSignals) {
    if (signal != own) continue;
    if (armed.load()) replace_handler(signal, SIG_DFL, &on_signal);
    // Whoever disarms it replaces the handler afterwards, but may have done so before it was there.
    if (!armed.load()) replace_handler(signal, &on_signal, SIG_DFL);
  }
}

}  // namespace

CancelOnSignal::CancelOnSignal(Fiber& fiber) noexcept {
  Fiber* nobody = nullptr;
  const pid_t self = getpid();
  if (self != gettid() || !target.compare_exchange_strong(nobody, &fiber)) return;
  active_ = true;
  owner.store(self);
  armed.store(true);
  replace_handlers(SIG_DFL, &on_signal);
}

CancelOnSignal::~CancelOnSignal() {
  if (!active_) return;
  armed.store(false);
  replace_handlers(&on_signal, SIG_DFL);
  target.store(nullptr);
  while (handling.load() != 0) let_others_run();
}

// ---- SignalRoute --------------------------------------------------------------------------------

namespace {

// How many routes of this thread have a signal, and whether it was blocked before the first.
struct Blocked {
  int routes = 0;
  bool before = false;
};
thread_local Blocked blocked[NSIG];

// The number of this thread, where it has routes.
thread_local pid_t own_thread = 0;

bool contains(const sigset_t& set, int signal) noexcept { return sigismember(&set, signal) == 1; }

void block(const sigset_t& set) noexcept {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &set, &before);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (contains(set, signal) && blocked[signal].routes++ == 0) {
      blocked[signal].before = contains(before, signal);
    }
  }
}

void unblock(const sigset_t& set) noexcept {
  sigset_t free;
  sigemptyset(&free);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (contains(set, signal) && --blocked[signal].routes == 0 && !blocked[signal].before) {
      sigaddset(&free, signal);
    }
  }
  pthread_sigmask(SIG_UNBLOCK, &free, nullptr);
}

// For the handler, which takes no lock: by signal, a thread that has a route, or 0; and the process
// that these threads are of.
constinit std::atomic<pid_t> takers[NSIG] = {};
constinit std::atomic<pid_t> process_of_takers{0};

// Runs in a thread that does not block the signal. Does only what is safe in a handler.
void forward(int signal, siginfo_t*, void* context) noexcept {
  const int saved = errno;
  const pid_t process = getpid();
  const pid_t taker = takers[signal].load();
  if (process != process_of_takers.load()) {  // vfork(): it has no threads
    std::signal(signal, SIG_DFL);
    raise(signal);          // comes when this returns
  } else if (taker == 0) {  // the last route has just ended, and put back what was there before
    kill(process, signal);
  } else {
    // The taker itself has unblocked it: it waits again when this returns.
    if (taker == gettid()) sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, signal);
    tgkill(process, taker, signal);
  }
  errno = saved;
}

bool is_forward(const struct sigaction& action) noexcept {
  return action.sa_flags & SA_SIGINFO && action.sa_sigaction == &forward;
}

// Those that the processor raises would be raised for ever.
bool may_be_forwarded(int signal) noexcept {
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    if (signal == own) return false;
  }
  return true;
}

// The routes of the process, and what each signal did before. Its lock is held at a fork, so that a
// child finds it free.
class Routes {
 public:
  static Routes& all() {
    static auto* const routes = new Routes;
    return *routes;
  }

  void add(SignalRoute& route) noexcept {
    const std::lock_guard lock(mutex_);
    process_of_takers.store(getpid());
    routes_.push_back(route);
    choose_takers();
  }

  void remove(SignalRoute& route) noexcept {
    const std::lock_guard lock(mutex_);
    if (route.linked()) routes_.erase(route);
    choose_takers();
  }

 private:
  Routes() {
    pthread_atfork([] { all().mutex_.lock(); }, [] { all().mutex_.unlock(); },
                   [] {
                     all().keep_own();
                     all().mutex_.unlock();
                   });
  }

  // In a child process: of the threads there is one left, which has another number now.
  void keep_own() noexcept {
    const pid_t before = std::exchange(own_thread, gettid());
    process_of_takers.store(getpid());
    for (SignalRoute* route = routes_.front(); route;) {
      SignalRoute& each = *route;
      route = routes_.next(each);
      if (each.thread() == before) {
        each.set_thread(own_thread);
      } else {
        routes_.erase(each);
      }
    }
    choose_takers();
  }

  // The longest of those that have a signal gets it.
  void choose_takers() noexcept {
    for (int signal = 1; signal < NSIG; ++signal) {
      pid_t taker = 0;
      for (SignalRoute* route = routes_.front(); route && taker == 0;
           route = routes_.next(*route)) {
        if (contains(route->signals(), signal)) taker = route->thread();
      }
      const pid_t old = takers[signal].load();
      if (old != 0 && taker == 0) stop_forwarding(signal);
      takers[signal].store(taker);
      if (old == 0 && taker != 0) start_forwarding(signal);
    }
  }

  void start_forwarding(int signal) noexcept {
    struct sigaction& before = before_[signal];
    if (!may_be_forwarded(signal) || sigaction(signal, nullptr, &before) != 0) return;
    // A handler would have the kernel keep children for the program to wait for.
    if (signal == SIGCHLD && !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_IGN)
      return;
    struct sigaction ours {};
    ours.sa_sigaction = &forward;
    ours.sa_flags =
        SA_SIGINFO | SA_RESTART | SA_ONSTACK | (before.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    sigaction(signal, &ours, nullptr);
  }

  void stop_forwarding(int signal) noexcept {
    struct sigaction now {};
    // Somebody may have put another handler there.
    if (sigaction(signal, nullptr, &now) != 0 || !is_forward(now)) return;
    sigaction(signal, &before_[signal], nullptr);
    settle(signal);
  }

  std::mutex mutex_;  // guards:
  IntrusiveList<SignalRoute> routes_;
  struct sigaction before_[NSIG] = {};
};

}  // namespace

SignalRoute::SignalRoute(const sigset_t& signals) noexcept
    : signals_(signals), thread_(own_thread = gettid()) {
  block(signals_);
  Routes::all().add(*this);
}

SignalRoute::~SignalRoute() {
  Routes::all().remove(*this);
  unblock(signals_);  // what is still pending does what it did before
}

// ---- SignalSet ----------------------------------------------------------------------------------

namespace {

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

SignalSet::SignalSet(std::initializer_list<int> signals)
    : set_(set_of(signals)), source_(source_of(set_)), route_(set_) {
  // Now, where a failure can be told: later it would be told to a fiber that only waits for the
  // end, and the program go on that nobody can end any more.
  if (current_reactor) {
    if (const int error = source_.prepare(Direction::kRead)) {
      fail(-error, {"epoll_ctl of a signalfd"});
    }
  }
}

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

}  // namespace weft
