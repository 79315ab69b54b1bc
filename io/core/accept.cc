#include "weft/io/core/accept.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "weft/fiber/core/error.h"
#include "weft/fiber/time.h"
#include "weft/io/core/attempt.h"
#include "weft/io/core/back_off.h"
#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

// A listener stays readable while there is a shortage, and no event reports its end.
constexpr Duration kPause = std::chrono::milliseconds(10);

// A shortage after this long without one is reported as a new one.
constexpr Duration kEpisode = std::chrono::seconds(10);

// True for an error of a connection that is gone already, or of its network: see accept(2).
bool passes(int error) {
  for (const int passing : {ECONNABORTED, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, EHOSTDOWN,
                            EHOSTUNREACH, ENONET, EOPNOTSUPP, EPERM}) {
    if (error == passing) return true;
  }
  return false;
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

// A shortage is one of the process, however many listeners see it.
void report(int shortage, const std::string& name) {
  static constinit std::atomic<TimePoint> last_seen{kPast};
  const TimePoint now = Clock::now();
  // Relaxed: at worst two threads report the same one.
  if (now - kEpisode > last_seen.exchange(now, std::memory_order_relaxed)) {
    print_line("accept on %s: %s; trying again until there is room", name.c_str(),
               std::strerror(shortage));
  }
}

}  // namespace

Fd accept(Socket& listener, const std::string& name, sockaddr* address, socklen_t size,
          ErrorTo error) {
  BackOff shortage(kPause);
  for (;;) {
    ssize_t result = listener.attempt(Direction::kRead, "accept", [&] {
      socklen_t room = size;
      return ssize_t{accept4(listener.fd(), address, &room, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    });
    const int reason = static_cast<int>(-result);
    if (is_shortage(reason)) {
      report(reason, name);
      shortage.wait();
      if (listener.is_open()) continue;
      result = unless_cancelled(-ECANCELED);
    }
    if (passes(reason)) continue;
    if (!error.take(error_of(result))) fail(static_cast<int>(-result), {"accept on ", name});
    return Fd(static_cast<int>(std::max<ssize_t>(result, -1)));
  }
}

}  // namespace weft::internal
