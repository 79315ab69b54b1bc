#include "weft/io/signal.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "weft/io/core/attempt.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"
#include "weft/io/core/signal_route.h"

namespace weft {

using internal::Direction;

namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    // SIGKILL and SIGSTOP can be added, but never come.
    if (sigaddset(&set, signal) != 0 || signal == SIGKILL || signal == SIGSTOP) {
      internal::fail(EINVAL, {"SignalSet of signal ", internal::decimal(signal)});
    }
  }
  return set;
}

internal::Fd source_of(const sigset_t& set) {
  if (!internal::current_reactor) internal::fill_standard_descriptors();
  return internal::Fd(
      internal::checked(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), {"signalfd"}));
}

}  // namespace

SignalSet::SignalSet(std::initializer_list<int> signals)
    : set_(set_of(signals)),
      source_(source_of(set_)),
      route_(std::make_unique<internal::SignalRoute>(set_)) {
  // A failure has to come here. Later it would reach a fiber that only waits for the end, and the
  // program would go on without reacting to its signals.
  if (internal::current_reactor) {
    if (const int error = source_.prepare(Direction::kRead, "weft::SignalSet")) {
      internal::fail(-error, {"epoll_ctl of a signalfd"});
    }
  }
}

SignalSet::~SignalSet() = default;

int SignalSet::wait() {
  signalfd_siginfo info{};
  const ssize_t result = source_.attempt(Direction::kRead, "SignalSet::wait", [&]() -> ssize_t {
    // The kernel returns the lowest number first: signals above the last one go before that.
    last_ = take_above(last_);
    return last_ > 0 ? last_ : read(source_.fd(), &info, sizeof(info));
  });
  if (result < 0) internal::fail(static_cast<int>(-result), {"SignalSet::wait"});
  if (last_ == 0) last_ = static_cast<int>(info.ssi_signo);
  return last_;
}

// Takes a pending signal of the set with a higher number. Returns 0 if there is none, or if
// `signal` is 0.
int SignalSet::take_above(int signal) const noexcept {
  if (signal == 0) return 0;
  sigset_t above = set_;
  for (int lower = 1; lower <= signal; ++lower) sigdelset(&above, lower);
  constexpr timespec at_once{};
  return std::max(sigtimedwait(&above, nullptr, &at_once), 0);
}

}  // namespace weft
