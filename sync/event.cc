#include "weft/sync/event.h"

namespace weft {

using Lock = internal::WaitQueue::Lock;

void Event::set() noexcept {
  internal::Claimed claimed;
  // An event that is set is set again: the caller of a later clear() must also see what was done
  // before this call.
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
  // take() acquires: what follows clear() comes after what was done before set().
  Word set = kSet;
  word_.take(set, kClear);
}

bool Event::wait_slowly(TimePoint deadline) {
  Lock lock(queue_);
  const auto seen = [this](Word& word) { return word == kSet && word_.take(word, kSet); };
  return word_.take_or_mark(lock, seen) || queue_.wait(lock, deadline, "Event::wait");
}

}  // namespace weft
