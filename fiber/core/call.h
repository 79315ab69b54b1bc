#ifndef WEFT_FIBER_CORE_CALL_H_
#define WEFT_FIBER_CORE_CALL_H_

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/inbox.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/timer_queue.h"

namespace weft {
class Handle;
class Scheduler;
}

namespace weft::internal {

class LocalTable;

template <class F>
concept ComparableToNull = requires(const F& f) {
  f == nullptr;
};

// Lambdas that capture nothing compare to null as well, because they convert to a pointer.
template <class F>
concept ConvertibleToPointer = requires(const F& f) {
  +f;
};

template <class F>
concept NullableCallable = std::is_pointer_v<F> || std::is_member_pointer_v<F> ||
    (ComparableToNull<F> && !ConvertibleToPointer<F>);

[[noreturn]] void fail_null_callable(const char* caller);

// Passes a callable on. Throws std::invalid_argument, naming `caller`, if it is a null pointer or
// an empty std::function.
template <class F>
F&& checked_callable(F&& f, const char* caller) {
  // A function itself, as opposed to a pointer to one, is never null.
  if constexpr (NullableCallable<std::decay_t<F>> &&
                !std::is_function_v<std::remove_reference_t<F>>) {
    if (f == nullptr) fail_null_callable(caller);
  }
  return std::forward<F>(f);
}

// The type of F's result as a caller gets it: `const T` counts as T, which can be moved.
template <class F, class... Arguments>
using ResultOf = std::remove_cv_t<std::invoke_result_t<F, Arguments...>>;

// How a result of type T is kept: itself, where it is a reference by its address, void by nothing.
struct NoResult {};
template <class T>
using Kept = std::conditional_t<
    std::is_void_v<T>, NoResult,
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::remove_cv_t<T>>>;

// A result that is kept and cannot be moved could not be returned afterwards.
template <class T>
constexpr bool kCanBeReturned =
    std::is_void_v<T> || std::is_reference_v<T> || std::is_move_constructible_v<Kept<T>>;

// f()'s result, to be kept; and what is kept of it as a result again, once.
template <class T, class F>
Kept<T> result_to_keep(F& f) {
  if constexpr (std::is_void_v<T>) {
    std::invoke(f);
    return {};
  } else if constexpr (std::is_reference_v<T>) {
    auto&& result = std::invoke(f);
    return std::addressof(result);
  } else {
    return std::invoke(f);
  }
}
template <class T>
T take_kept(Kept<T>& kept) {
  static_assert(kCanBeReturned<T>, "the result can be neither moved nor copied: return a pointer");
  if constexpr (std::is_reference_v<T>) {
    return static_cast<T>(*kept);
  } else if constexpr (!std::is_void_v<T>) {
    return std::move(kept);
  }
}

// A callable that becomes a fiber of its scheduler when its turn comes. Until then it waits in the
// inbox, and on the scheduler's queue of calls, and takes no more than its own memory on the heap.
class Call : public InboxNode {
 public:
  // Runs the callable, unless it was taken back.
  virtual void run() = 0;

  // It has ended, or will never begin: destroys the callable, and maybe itself. May wait.
  virtual void drop() noexcept = 0;

 protected:
  // `arrive` is called by the inbox.
  explicit Call(Run arrive) noexcept;
  virtual ~Call() { drop_locals(); }

  // May wait.
  void drop_locals() noexcept;

 private:
  friend weft::Scheduler;

  LocalTable* locals_;  // what the call starts with
};

// A call that nobody keeps: that of Scheduler::post(), as small as can be.
class Post : public Call {
 public:
  Post() noexcept;
  void drop() noexcept final { delete this; }
};

template <class F>
class PostOf final : public Post {
 public:
  template <class G>
  explicit PostOf(G&& f) : f_(std::forward<G>(f)) {}
  void run() override { std::invoke(f_); }

 private:
  F f_;
};

// A call that may wait for a time or a future, and be taken back. Made with one reference, the
// scheduler's. Its members belong to the scheduler's thread, the reference count to any.
class PendingCall : public Call, public Timer, public ListNode<PendingCall> {
 public:
  explicit PendingCall(Scheduler& scheduler) noexcept;

  Scheduler& scheduler() const noexcept { return scheduler_; }

  void run() final {
    if (!std::exchange(over_, true)) invoke();
  }
  void drop() noexcept final;

  // Leaves what it watches, because it shall not run after all. Returns false if it is on its way
  // to the scheduler already, and so must not be freed yet.
  virtual bool forget() noexcept { return true; }

  void ref() noexcept {
    // Relaxed: a reference is copied by one that has it.
    references_.fetch_add(1, std::memory_order_relaxed);
  }
  void unref() noexcept {
    // Release: what this owner did comes before the destruction. Acquire: the last one sees it.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  virtual void invoke() = 0;

  // Destroys the callable, if it is still there: a handle may stay for long. May wait.
  virtual void discard() noexcept = 0;

 private:
  friend weft::Handle;
  friend weft::Scheduler;

  void arrive(Scheduler* running) noexcept;
  // All but the memory goes.
  void clear() noexcept;

  Scheduler& scheduler_;
  Atomic<int> references_{1};
  bool over_ = false;  // it has begun, or never will
};

template <class F>
class CallOf final : public PendingCall {
 public:
  template <class G>
  CallOf(Scheduler& scheduler, G&& f) : PendingCall(scheduler), f_(std::forward<G>(f)) {}

 private:
  void invoke() override { std::invoke(*f_); }
  void discard() noexcept override { f_.reset(); }

  std::optional<F> f_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CALL_H_
