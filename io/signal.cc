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
    // The last two can be added, but never come.
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
  // Now, where a failure can be told: later it would be told to a fiber that only waits for the
  // end, and the program go on that nobody can end any more.
  if (internal::current_reactor) {
    if (const int error = source_.prepare(Direction::kRead)) {
      internal::fail(-error, {"epoll_ctl of a signalfd"});
    }
  }
}

SignalSet::~SignalSet() = default;

int SignalSet::wait() {
  signalfd_siginfo info{};
  const ssize_t result =
      source_.attempt(Direction::kRead, "weft::SignalSet::wait", [&]() -> ssize_t {
        // The kernel gives the lowest number first, so the next ones after the last have a turn.
        last_ = take_above(last_);
        return last_ > 0 ? last_ : read(source_.fd(), &info, sizeof(info));
      });
  if (result < 0) internal::fail(static_cast<int>(-result), {"SignalSet::wait"});
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
