#include "weft/io/core/signal_route.h"

#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

#include "weft/io/core/cancel_on_signal.h"

namespace weft::internal {
namespace {

// How many routes of this thread have a signal, and whether it was blocked before the first.
struct Blocked {
  int routes = 0;
  bool before = false;
};
thread_local Blocked blocked[NSIG];

// The number of this thread, if it has routes.
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

// For the handler, which takes no lock. By signal, a thread that has a route, or 0; and the process
// of these threads.
constinit std::atomic<pid_t> takers[NSIG] = {};
constinit std::atomic<pid_t> process_of_takers{0};

// Runs in a thread that does not block the signal. Does only what is safe in a handler.
void forward(int signal, siginfo_t*, void* context) noexcept {
  const int saved = errno;
  const pid_t process = getpid();
  const pid_t taker = takers[signal].load();
  if (process != process_of_takers.load()) {  // a child of vfork(), which has none of the threads
    std::signal(signal, SIG_DFL);
    raise(signal);          // takes effect when this returns
  } else if (taker == 0) {  // the last route has just ended, and put back what was there before
    kill(process, signal);
  } else {
    // The taker itself has unblocked the signal. It is blocked again when this returns.
    if (taker == gettid()) sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, signal);
    tgkill(process, taker, signal);
  }
  errno = saved;
}

bool is_forward(const struct sigaction& action) noexcept {
  return action.sa_flags & SA_SIGINFO && action.sa_sigaction == &forward;
}

// A signal that the processor raises would be raised again for ever.
bool may_be_forwarded(int signal) noexcept {
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    if (signal == own) return false;
  }
  return true;
}

}  // namespace

// The routes of the process, and what each signal did before. The lock is held during a fork, so
// that it is free in the child.
class SignalRoutes {
 public:
  static SignalRoutes& all() {
    static auto* const routes = new SignalRoutes;
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
  SignalRoutes() {
    pthread_atfork([] { all().mutex_.lock(); }, [] { all().mutex_.unlock(); },
                   [] {
                     all().keep_own();
                     all().mutex_.unlock();
                   });
  }

  // In a child process: one of the threads is left, and has a new number.
  void keep_own() noexcept {
    const pid_t before = std::exchange(own_thread, gettid());
    process_of_takers.store(getpid());
    for (SignalRoute* route = routes_.front(); route;) {
      SignalRoute& each = *route;
      route = routes_.next(each);
      if (each.thread_ == before) {
        each.thread_ = own_thread;
      } else {
        routes_.erase(each);
      }
    }
    choose_takers();
  }

  // Of the routes with a signal, the oldest one gets it.
  void choose_takers() noexcept {
    for (int signal = 1; signal < NSIG; ++signal) {
      pid_t taker = 0;
      for (SignalRoute* route = routes_.front(); route && taker == 0;
           route = routes_.next(*route)) {
        if (contains(route->signals_, signal)) taker = route->thread_;
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
    // With a handler the kernel would keep children that have ended until they are waited for.
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
    // The program may have installed another handler.
    if (sigaction(signal, nullptr, &now) != 0 || !is_forward(now)) return;
    sigaction(signal, &before_[signal], nullptr);
    CancelOnSignal::settle(signal);
  }

  std::mutex mutex_;  // guards:
  IntrusiveList<SignalRoute> routes_;
  struct sigaction before_[NSIG] = {};
};

SignalRoute::SignalRoute(const sigset_t& signals) noexcept
    : signals_(signals), thread_(own_thread = gettid()) {
  block(signals_);
  SignalRoutes::all().add(*this);
}

SignalRoute::~SignalRoute() {
  SignalRoutes::all().remove(*this);
  unblock(signals_);  // pending signals take their usual action
}

}  // namespace weft::internal
