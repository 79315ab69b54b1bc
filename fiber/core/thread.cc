#include "weft/fiber/core/thread.h"

#include <pthread.h>

#include <csignal>
#include <optional>
#include <system_error>
#include <utility>

#include "weft/fiber/core/error.h"

namespace weft::internal {

#if defined(WEFT_EXPLORED)
// Implemented by the explorer: makes f one of the threads that it explores, if the caller is.
namespace explored {
bool start(const std::function<void()>& f);
}
#endif

namespace {

// The cores that the calling thread might use if it were not pinned; null if it is not.
constinit thread_local const cpu_set_t* unpinned = nullptr;

// While it lives the thread blocks signals: what it starts inherits that.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t signals;
    sigfillset(&signals);
    for (int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF}) {
      sigdelset(&signals, own);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_thread(const std::string& name, std::function<void()> f) {
#if defined(WEFT_EXPLORED)
  if (explored::start(f)) return {};
#endif
  std::optional<cpu_set_t> cores;
  if (unpinned) cores = *unpinned;
  const SignalsBlocked signals;
  try {
    return std::thread([name, cores, f = std::move(f)] {
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      if (cores) sched_setaffinity(0, sizeof(*cores), &*cores);
      f();
    });
  } catch (const std::system_error& error) {  // it names no call
    throw_system_error(error.code(), {"pthread_create of ", name});
  }
}

Pinned::Pinned(unsigned n) noexcept {
  if (sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  int left = static_cast<int>(n) % CPU_COUNT(&before_);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &before_) || left-- > 0) continue;
    CPU_SET(core, &one);
    break;
  }
  if (sched_setaffinity(0, sizeof(one), &one) != 0) return;
  active_ = true;
  outer_ = std::exchange(unpinned, &before_);
}

Pinned::~Pinned() {
  if (!active_) return;
  sched_setaffinity(0, sizeof(before_), &before_);
  unpinned = outer_;
}

}  // namespace weft::internal
