#ifndef WEFT_FIBER_CORE_THREAD_H_
#define WEFT_FIBER_CORE_THREAD_H_

#include <sched.h>

#include <functional>
#include <string>
#include <thread>

namespace weft::internal {

// A thread of weft's own, called `name` (15 bytes are kept). It blocks the signals that are not for
// itself, such as those of its own faults, so that the program's own threads get them: processes
// that it starts inherit that. Where the caller is pinned, it is not.
// Throws std::system_error, naming pthread_create, if it cannot be started.
std::thread start_thread(const std::string& name, std::function<void()> f);

// Keeps the calling thread to one core while this lives: the n-th of those that it may use, going
// around. Threads of the user's that it starts meanwhile inherit that. No effect where the system
// does not allow it.
class Pinned {
 public:
  explicit Pinned(unsigned n) noexcept;
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_;
  const cpu_set_t* outer_ = nullptr;
  bool active_ = false;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_THREAD_H_
