#include "weft/sync/event.h"

namespace weft {

using Lock = internal::WaitQueue::Lock;

void Event::set() noexcept {
  internal::Claimed claimed;
  // An event that is set is set again, so that the caller of a later clear() sees what this one
  // did, too.
  word_.give_or_hand_over(
      queue_, [this](Word& word) { return word_.give(word, kSet); },
      [&](Lock& lock, Word) {
        queue_.claim_all(lock, claimed);
        word_.set(lock, kClear);
        return false;
      });
  claimed.resume();
}

void Event::clear() noexcept {
  // Taken, so that what is done after clear() does not come before what led to the set().
  Word set = kSet;
  word_.take(set, kClear);
}

bool Event::wait_slowly(TimePoint deadline) {
  Lock lock(queue_);
  const auto seen = [this](Word& word) { return word == kSet && word_.take(word, kSet); };
  return word_.take_or_mark(lock, seen) || queue_.wait(lock, deadline, "Event::wait");
}

}  // namespace weft
