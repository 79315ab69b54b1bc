#ifndef WEFT_FIBER_CORE_LIVES_H_
#define WEFT_FIBER_CORE_LIVES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "weft/fiber/core/fiber_pool.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/stack.h"

namespace weft::internal {

// The lives of a scheduler's fibers: how they are started, run, finished and recycled.
class Lives : public Home {
 public:
  static Lives* here() noexcept { return static_cast<Lives*>(running.scheduler); }
  static Lives& of(const Fiber& fiber) noexcept { return static_cast<Lives&>(RunQueue::of(fiber)); }

  // Every fiber that has begun, and not ended or still has a handle, in no particular order.
  std::vector<Fiber*> started() { return fibers_.started(); }

  // See FiberPool::visit_started().
  template <class Visit>
  bool visit_started(Visit visit) noexcept {
    return fibers_.visit_started(visit);
  }
  // See FiberPool::guarded_by().
  const Fiber* guarded_by(const void* address) noexcept {
    return fibers_.guarded_by(address, running.fiber);
  }

  std::size_t fibers() const noexcept { return live_; }  // that have begun and not ended

  // Does on the home thread what requests ask for.
  void serve(Fiber& fiber) noexcept;

 protected:
  struct Settings {
    bool counted;  // turns are counted, not timed
    std::optional<std::uint64_t> seed;
    const std::uint64_t* time_stamp;
    std::size_t stack_size;
    GuardKind guards;
  };

  // Throws std::invalid_argument on a bad stack size, and as StackPool::take() does: it keeps a
  // stack for its end.
  Lives(Port& port, const Settings& settings);
  ~Lives() = default;

  std::uint64_t take_id() noexcept {
    if (next_id_ == last_id_) [[unlikely]]
      take_ids();
    return ++next_id_;
  }

  // Starts a fiber of this scheduler that has its work and no handle.
  void start_here(Fiber& fiber, bool in_front = false) noexcept;

  void free_spare() noexcept;

  FiberPool fibers_;
  bool closing_ = false;

 private:
  friend Fiber& reserve(const SpawnOptions& options, Layout layout);
  friend void start(Fiber& fiber, const SpawnOptions& options) noexcept;
  friend void unreserve(Fiber& fiber) noexcept;
  friend void release(Fiber& fiber) noexcept;
  friend class RunQueue;  // hand_over()
  friend struct DebuggerLayout;

  static void entry(void* fiber);

  void begin(Fiber& fiber) noexcept;
  void start_now(Fiber& fiber, bool eager) noexcept;  // on this scheduler's thread
  void run_eagerly(Fiber& child) noexcept;
  void finish(Fiber& fiber) noexcept;
  void recycle(Fiber& fiber) noexcept;
  void run_again(Fiber& fiber) noexcept;
  void report(Fiber& fiber) noexcept;
  void report_here(Fiber& fiber) noexcept;
  void make_free(Fiber& fiber) noexcept;
  // For start(): of another scheduler, or one that is traced.
  static void start_slowly(Fiber& fiber, bool eager) noexcept;
  static void release_elsewhere(Fiber& fiber) noexcept;
  void take_ids() noexcept;

  Fiber* spare_;  // for the shutdown, which must not fail; until it needs one
  std::size_t live_ = 0;
  std::uint64_t next_id_ = 0;
  std::uint64_t last_id_ = 0;
};

// Destroys the result of a fiber. May wait: the destructor may.
inline void drop_result(Fiber& fiber) noexcept {
  if (fiber.drop) std::exchange(fiber.drop, nullptr)(fiber);
}

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_LIVES_H_
