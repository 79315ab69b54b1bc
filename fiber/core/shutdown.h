#ifndef WEFT_FIBER_CORE_SHUTDOWN_H_
#define WEFT_FIBER_CORE_SHUTDOWN_H_

#include <cstddef>
#include <functional>
#include <span>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/intrusive_list.h"

namespace weft::internal {

class Loop;

// The end that schedulers come to together: none of them stops before none has anything left to do,
// because what a fiber does on its way out may need a fiber of another one. Each scheduler's thread
// calls Loop::shutdown() with it.
//
// It begins with a meeting: no fiber goes on before all of all schedulers are cancelled, so that
// none sees the end of another one before its own.
//
// A scheduler that has nothing left to do rests. The last one that comes to rest, and finds nothing
// on the way to the others, runs `last` as a fiber that is not cancelled, and when all have come to
// rest again, ends it. A scheduler takes what other threads ask of it only when it does not rest:
// so there is nothing that nobody sees.
class Shutdown {
 public:
  // `schedulers` must live until all have ended. `last` may be null, and may not throw.
  explicit Shutdown(std::span<Loop* const> schedulers, std::function<void()> last = {});
  Shutdown(const Shutdown&) = delete;
  Shutdown& operator=(const Shutdown&) = delete;

  // For Loop::shutdown(). The fibers of the calling thread are cancelled: waits until all are.
  // But no longer than 100 ms for those whose fibers hold up their threads, as they may do so until
  // a fiber of this one goes on.
  void meet();

  // The scheduler has nothing left to do.
  enum class Next {
    kGoOn,     // something came
    kRunLast,  // last() is for this one to run
    kEnd
  };
  Next rest(Loop& scheduler) noexcept;

  const std::function<void()>& last() const noexcept { return last_; }

 private:
  struct Comer;

  Next decide(const Loop& self) noexcept;

  const std::span<Loop* const> schedulers_;
  const std::function<void()> last_;

  ThreadMutex lock_;  // guards:
  std::size_t missing_;
  IntrusiveList<Comer> waiting_;  // at the meeting
  std::size_t active_;
  bool last_begun_ = false;
  bool over_ = false;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SHUTDOWN_H_
