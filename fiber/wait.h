#ifndef WEFT_FIBER_WAIT_H_
#define WEFT_FIBER_WAIT_H_

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft {

// When wait() returns.
enum class When {
  all_completed,
  first_completed,
  first_exception,  // or all completed; a cancelled task is no exception
};

// Indices into the range, ascending.
struct WaitResult {
  std::vector<std::size_t> done;
  std::vector<std::size_t> pending;
};

namespace internal {

// The elements of a range, which is run through once. They are referred to where they are, and must
// stay there; what the range makes on the way, such as the values of a std::views::transform, is
// kept here.
template <class Range>
class Elements {
  using Reference = decltype(*std::begin(std::declval<Range&>()));
  static constexpr bool kAreMade = !std::is_reference_v<Reference>;

 public:
  explicit Elements(Range& range) {
    if constexpr (requires { std::size(range); }) kept_.reserve(std::size(range));
    for (auto&& element : range) {
      if constexpr (kAreMade) {
        kept_.push_back(std::forward<decltype(element)>(element));
      } else {
        kept_.push_back(std::addressof(element));
      }
    }
  }

  std::size_t size() const noexcept { return kept_.size(); }

  auto& operator[](std::size_t i) noexcept {
    if constexpr (kAreMade) {
      return kept_[i];
    } else {
      return *kept_[i];
    }
  }

 private:
  std::vector<std::conditional_t<kAreMade, std::remove_cv_t<Reference>,
                                 std::remove_reference_t<Reference>*>>
      kept_;
};

// Several completions, in the order in which they happen. Each is watched once, so that taking one
// after another costs O(1) each. They must outlive this.
class CompletionSet {
 public:
  explicit CompletionSet(std::size_t most) : watchers_(most) {}
  CompletionSet(const CompletionSet&) = delete;
  CompletionSet& operator=(const CompletionSet&) = delete;
  ~CompletionSet();

  // The first gets index 0. REQUIRES: there are fewer than `most`, and none was taken.
  void add(Completion& completion);

  // How many are still to be taken.
  std::size_t left() const noexcept { return left_; }

  // Waits for the next that is done and takes its index; nothing when the time is over.
  // A cancellation point, unless one is done. REQUIRES: left() > 0.
  std::optional<std::size_t> next(TimePoint deadline, const char* what);

 private:
  struct Watcher : Waiter {
    Watcher() noexcept : Waiter(&CompletionSet::notify) {}
    CompletionSet* set = nullptr;
    Completion* completion = nullptr;
    Watcher* next_done = nullptr;
  };

  static Waiter* notify(Waiter& waiter) noexcept;

  std::vector<Watcher> watchers_;
  std::size_t left_ = 0;
  WaitQueue queue_;  // its lock guards done_; waiting in it: next()
  IntrusiveQueue<Watcher, &Watcher::next_done> done_;
};

// The name of a wait() for a task, which reports can name, or for a future.
extern const OwnedWait kWaitForTask;
template <class Handle>
const char* name_of_wait(const Handle&) noexcept {
  if constexpr (requires(const Handle& handle) { handle.fiber(); }) {
    return kWaitForTask;
  } else {
    return "wait";
  }
}

// Returns its argument; throws std::logic_error if that is the end of the calling fiber itself.
Completion& another(Completion& completion);

// What as_completed() gives, whatever the range: to be run through once.
class AsCompleted {
 public:
  template <class Tasks>
  explicit AsCompleted(Elements<Tasks>& tasks) : set_(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) set_.add(another(tasks[i].completion()));
  }

  class iterator {
   public:
    using value_type = std::size_t;
    using difference_type = std::ptrdiff_t;

    explicit iterator(CompletionSet* set) : set_(set) { ++*this; }
    std::size_t operator*() const noexcept { return index_; }
    iterator& operator++() {
      if (set_->left() == 0) {
        set_ = nullptr;
      } else {
        index_ = *set_->next(kForever, "as_completed");
      }
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !set_; }

   private:
    CompletionSet* set_;
    std::size_t index_ = 0;
  };

  iterator begin() { return iterator(&set_); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  CompletionSet set_;
};

// The same with the range, so that a temporary one stays, and what that makes on the way. `Range`
// is a reference if the range is an lvalue.
template <class Range>
struct RangeKept {
  explicit RangeKept(Range&& its_range) : range(std::forward<Range>(its_range)), elements(range) {}
  Range range;
  Elements<std::remove_reference_t<Range>> elements;
};
template <class Range>
class AsCompletedOf : private RangeKept<Range>, public AsCompleted {
 public:
  explicit AsCompletedOf(Range&& tasks)
      : RangeKept<Range>(std::forward<Range>(tasks)), AsCompleted(this->elements) {}
};

}  // namespace internal

// Waits for tasks or futures, for all of them or until the first, or until the time is over.
//
//   auto [done, pending] = weft::wait(tasks, weft::When::first_completed, 5s);
//   for (std::size_t i : done) use(tasks[i].get());
//   for (std::size_t i : pending) tasks[i].cancel();
//
// `tasks`: a range of Task or Future, also const, or a view: it is run through once. The tasks stay
// untouched: results are there to be taken, and nothing is cancelled. (What a view makes on the way
// is destroyed at the end.) An empty range is done at once.
// A cancellation point, unless what it waits for is done. A negative duration counts as
// zero. Throws std::logic_error if the calling task is in the range itself.
template <class Range>
WaitResult wait(Range&& tasks, When when = When::all_completed,
                std::optional<AnyDuration> time = {}) {
  const TimePoint deadline = time ? internal::deadline_within(*time) : kForever;
  internal::Elements<std::remove_reference_t<Range>> all(tasks);
  if (when == When::all_completed) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const char* const what = internal::name_of_wait(all[i]);
      if (!internal::another(all[i].completion()).wait(deadline, what)) break;
    }
  } else {
    internal::CompletionSet set(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) set.add(internal::another(all[i].completion()));
    while (set.left() > 0) {
      const std::optional<std::size_t> index = set.next(deadline, "wait");
      if (!index || when == When::first_completed || all[*index].failed()) break;
    }
  }
  WaitResult result;
  for (std::size_t i = 0; i < all.size(); ++i) {
    (all[i].done() ? result.done : result.pending).push_back(i);
  }
  return result;
}

// The indices of tasks or futures in the order in which they end:
//
//   for (std::size_t i : as_completed(tasks)) use(tasks[i].get());
//
// Each step waits for the next one: a cancellation point, unless one is done. Takes the ranges that
// wait() takes. A range that is named must outlive the loop and keep its handles meanwhile; a
// temporary one, such as a view, is kept until the end of the loop. Leaving the loop early is fine.
template <class Range>
auto as_completed(Range&& tasks) {
  return internal::AsCompletedOf<Range>(std::forward<Range>(tasks));
}

}  // namespace weft

#endif  // WEFT_FIBER_WAIT_H_
