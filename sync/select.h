#ifndef WEFT_SYNC_SELECT_H_
#define WEFT_SYNC_SELECT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/selection.h"
#include "weft/fiber/time.h"
#include "weft/fiber/wait.h"
#include "weft/sync/core/contended_word.h"
#include "weft/sync/event.h"
#include "weft/sync/mutex.h"
#include "weft/sync/queue.h"
#include "weft/sync/semaphore.h"

namespace weft {

// Waits until one of several things can be done, does exactly that one, and returns its index.
//
//   std::optional<Job> job;
//   using namespace weft;
//   switch (select(on_pop(urgent, job), on_pop(normal, job), on(stop), after(30s))) {
//     case 0: case 1: return work(job);  // nullopt: that queue is closed and empty
//     case 2: return leave();
//     case 3: return report_idle();
//   }
//
// If several can be done at once it does the first, in the order of the arguments. A case that was
// not chosen has taken nothing, lost nothing and left nothing behind. In each queue the call waits
// in its turn, like a caller that waits there alone. (One exception: if a try has taken the offer
// of a Mutex or Semaphore, another scheduler may serve one later waiter before this one is back.)
//
// Cases are made where they are passed, by the functions below and on_ready() of weft/io/poll.h.
// What they refer to must live until select() returns.
//
// A cancellation point if it has to wait. If it throws Cancelled, no case was done. A plain thread
// may call it, too; it blocks. Throws what the chosen case throws, such as QueueClosed. Costs what
// the cases cost, one after another, up to the first that can be done; if it has to wait, twice
// that.
template <class... Cases>
std::size_t select(Cases&&... cases);
std::size_t select() = delete;  // of no case: it would wait for ever

// Takes an item, as pop(). If the queue is closed and empty, `item` is nullopt.
template <class T, class Store>
auto on_pop(internal::BasicQueue<T, Store>& queue, std::optional<T>& item);
// The same, but throws QueueClosed if the queue is closed and empty.
template <class T, class Store>
auto on_pop(internal::BasicQueue<T, Store>& queue, std::type_identity_t<T>& item);

// Adds an item, as push(): `item` is moved from when the case is chosen, and is otherwise
// untouched. Throws QueueClosed if the queue is closed.
template <class T, class Store>
auto on_push(internal::BasicQueue<T, Store>& queue, std::type_identity_t<T>&& item);
template <class T, class Store>
auto on_push(internal::BasicQueue<T, Store>& queue, const std::type_identity_t<T>& item);

// The event is set; a permit is acquired; the mutex is locked.
inline Event::Case on(Event& event);
inline Semaphore::Case on(Semaphore& semaphore);
inline Mutex::Case on(Mutex& mutex);

// A Task has ended, or a Future is set: get() does not wait. Throws std::logic_error if the task is
// the calling one.
template <class Handle>
requires requires(const Handle& handle) { handle.completion(); }
auto on(const Handle& handle);

// This much time has passed since select() began to wait. A negative duration counts as zero.
inline auto after(AnyDuration time);

// None of the cases before it can be done at once: select() does not wait. To be the last case.
inline auto otherwise();

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// Does one of them, and returns its index. None waits in a queue any more when it is done.
template <class... Cases>
std::size_t select_waiting(Cases&&... cases) {
  for (;;) {
    SelectCase* const chosen = [&] {
      SelectCase* const all[] = {&cases...};
      Selection selection("select", all);
      bool waits = true;
      try {
        waits = (... && cases.enlist(selection));
      } catch (...) {
        if (selection.claim()) throw;
      }
      // One that need not wait is tried, unless another thread has chosen one meanwhile.
      return waits || !selection.claim() ? &selection.wait() : nullptr;
    }();
    std::size_t index = 0;
    const bool found = chosen && chosen->finish() ? (... || (chosen == &cases || (++index, false)))
                                                  : (... || (cases.attempt() || (++index, false)));
    if (found) return index;
  }
}

class CompletionCase final : public SelectCase {
 public:
  explicit CompletionCase(Completion& completion) noexcept : completion_(completion) {}

  bool attempt() override { return completion_.done(); }
  bool enlist(Selection& selection) override {
    const WaitQueue::Lock lock(completion_.queue());
    if (completion_.done()) return false;
    selection.wait_in(completion_.queue(), lock, *this, waiter_.emplace("select"));
    return true;
  }

 private:
  Completion& completion_;
  std::optional<Waiter> waiter_;
};

class AfterCase final : public SelectCase {
 public:
  explicit AfterCase(Duration time) noexcept : time_(time) {}

  bool attempt() override { return time_ <= Duration::zero(); }
  bool enlist(Selection& selection) override {
    if (!deadline_) deadline_ = deadline_within(time_);
    selection.limit(*deadline_, *this);
    return true;
  }

 private:
  const Duration time_;
  std::optional<TimePoint> deadline_;
};

class OtherwiseCase final : public SelectCase {
 public:
  bool attempt() override { return true; }
  bool enlist(Selection&) override { return false; }
};

// What select() tries; the case that waits is made if it has to. `Target` is T or std::optional<T>.
template <class T, class Store>
template <class Target>
class BasicQueue<T, Store>::Pop {
 public:
  Pop(BasicQueue& queue, Target& target) noexcept : queue_(queue), target_(target) {}

  bool attempt() {
    Lock lock(queue_.waiters_);
    if (queue_.store_.size() == 0) return queue_.closed_ && find_closed(lock);
    T item = queue_.take(lock);
    if (lock.owns_lock()) lock.unlock();  // the assignment may run code of the item
    target_ = std::move(item);
    return true;
  }
  PopCase<Target> to_wait() noexcept { return PopCase<Target>(queue_, target_); }

 private:
  [[gnu::noinline]] bool find_closed(Lock& lock) {
    lock.unlock();
    return to_wait().finish();
  }

  BasicQueue& queue_;
  Target& target_;
};

template <class T, class Store>
template <class Target>
class BasicQueue<T, Store>::PopCase final : public SelectCase {
 public:
  PopCase(BasicQueue& queue, Target& target) noexcept : queue_(queue), target_(target) {}

  bool attempt() override { return Pop<Target>(queue_, target_).attempt(); }
  bool enlist(Selection& selection) override {
    const Lock lock(queue_.waiters_);
    if (queue_.store_.size() != 0 || queue_.closed_) return false;
    selection.wait_in(queue_.waiters_, lock, *this, popper_.emplace(item_));
    return true;
  }
  bool finish() override {
    if constexpr (std::is_same_v<Target, T>) {
      if (!item_) throw QueueClosed();
      target_ = std::move(*item_);
    } else {
      target_ = std::move(item_);
    }
    return true;
  }

 private:
  BasicQueue& queue_;
  Target& target_;
  std::optional<T> item_;
  std::optional<Popper> popper_;
};

// `Item` is T&, for an item that is the caller's, or T, for a copy.
template <class T, class Store>
template <class Item>
class BasicQueue<T, Store>::PushCase final : public SelectCase {
 public:
  PushCase(BasicQueue& queue, Item&& item) : queue_(queue), item_(std::forward<Item>(item)) {
    hand_out(item_);
  }

  bool attempt() override {
    Lock lock(queue_.waiters_);
    return queue_.add(lock, item_);
  }
  bool enlist(Selection& selection) override {
    const Lock lock(queue_.waiters_);
    if (queue_.closed_ || !queue_.is_full()) return false;
    selection.wait_in(queue_.waiters_, lock, *this, pusher_.emplace(item_));
    return true;
  }
  bool finish() override {
    if (!pusher_->taken) throw QueueClosed();
    return true;
  }

 private:
  BasicQueue& queue_;
  Item item_;
  std::optional<Pusher> pusher_;
};

}  // namespace internal

class Event::Case final : public internal::SelectCase {
 public:
  explicit Case(Event& event) noexcept : event_(event) {}

  bool attempt() override { return event_.is_set(); }
  bool enlist(internal::Selection& selection) override;

 private:
  Event& event_;
  std::optional<internal::Waiter> waiter_;
};

// An offer that was made to it may be taken by a try before it runs. Then the select() begins anew,
// and this one has its old place.
class Semaphore::Case final : public internal::SelectCase {
 public:
  explicit Case(Semaphore& semaphore) noexcept : semaphore_(semaphore) {}

  bool attempt() override { return semaphore_.acquire_in_turn(); }
  bool enlist(internal::Selection& selection) override;
  bool finish() override;

 private:
  Semaphore& semaphore_;
  std::optional<internal::Heirs::Member> heir_;
  std::uint64_t place_ = 0;
  int passed_over_ = 0;
};

// The same.
class Mutex::Case final : public internal::SelectCase {
 public:
  explicit Case(Mutex& mutex) noexcept : mutex_(mutex) {}

  bool attempt() override { return mutex_.word_.lock_free(); }
  bool enlist(internal::Selection& selection) override;
  bool finish() override;

 private:
  Mutex& mutex_;
  std::optional<internal::Heir> heir_;
  int passed_over_ = 0;
};

template <class... Cases>
std::size_t select(Cases&&... cases) {
  internal::count_wait();
  std::size_t index = 0;
  if ((... || (cases.attempt() || (++index, false)))) return index;
  return internal::select_waiting(cases.to_wait()...);
}

template <class T, class Store>
auto on_pop(internal::BasicQueue<T, Store>& queue, std::optional<T>& item) {
  return typename internal::BasicQueue<T, Store>::template Pop<std::optional<T>>(queue, item);
}
template <class T, class Store>
auto on_pop(internal::BasicQueue<T, Store>& queue, std::type_identity_t<T>& item) {
  return typename internal::BasicQueue<T, Store>::template Pop<T>(queue, item);
}

template <class T, class Store>
auto on_push(internal::BasicQueue<T, Store>& queue, std::type_identity_t<T>&& item) {
  return typename internal::BasicQueue<T, Store>::template PushCase<T&>(queue, item);
}
template <class T, class Store>
auto on_push(internal::BasicQueue<T, Store>& queue, const std::type_identity_t<T>& item) {
  return typename internal::BasicQueue<T, Store>::template PushCase<T>(queue, T(item));
}

inline Event::Case on(Event& event) { return Event::Case(event); }
inline Semaphore::Case on(Semaphore& semaphore) { return Semaphore::Case(semaphore); }
inline Mutex::Case on(Mutex& mutex) { return Mutex::Case(mutex); }

template <class Handle>
requires requires(const Handle& handle) { handle.completion(); }
auto on(const Handle& handle) {
  return internal::CompletionCase(internal::another(handle.completion()));
}

inline auto after(AnyDuration time) { return internal::AfterCase(time); }

inline auto otherwise() { return internal::OtherwiseCase(); }

}  // namespace weft

#endif  // WEFT_SYNC_SELECT_H_
