#include "weft/sync/select.h"

#include "weft/fiber/core/fiber.h"

namespace weft {

using internal::Selection;

bool Event::Case::enlist(Selection& selection) {
  internal::WaitQueue& queue = event_.queue_;
  const internal::WaitQueue::Lock lock(queue);
  if (event_.word_.take_or_mark(lock, [](Word& word) { return word == kSet; })) return false;
  selection.wait_in(queue, lock, *this, waiter_.emplace("select"));
  return true;
}

bool Semaphore::Case::enlist(Selection& selection) {
  internal::Heirs& heirs = semaphore_.heirs_;
  const Lock lock(heirs.queue());
  const auto is_free = [](Word& word) { return word >= kPermit; };
  if (semaphore_.word_.take_or_mark(lock, is_free)) return false;
  if (passed_over_ == 0) place_ = heirs.next_place(lock);
  heir_.emplace("select", passed_over_, place_, false);
  selection.wait_in(heirs.queue(), lock, *this, *heir_,
                    passed_over_ == 0 ? nullptr : heirs.successor(lock, place_));
  return true;
}

bool Semaphore::Case::finish() {
  const Lock lock(semaphore_.heirs_.queue());
  if (semaphore_.heirs_.accept(lock, *heir_)) return true;
  ++passed_over_;
  return false;
}

bool Mutex::Case::enlist(Selection& selection) {
  const Lock lock(mutex_.queue_);
  if (mutex_.word_.take_or_mark(lock, [this](Word& word) { return mutex_.is_free(word); })) {
    return false;
  }
  heir_.emplace("select", passed_over_);
  selection.wait_in(mutex_.queue_, lock, *this, *heir_,
                    passed_over_ == 0 ? nullptr : mutex_.queue_.first(lock));
  return true;
}

bool Mutex::Case::finish() {
  Word offered = offer_to(*heir_, false);
  if (!mutex_.word_.take(offered, internal::LockWord::name_of(internal::caller()) | kContended)) {
    const Lock lock(mutex_.queue_);
    if (!mutex_.accept(lock, *heir_)) {
      ++passed_over_;
      return false;
    }
  }
  ++internal::caller().locks_held;
  return true;
}

}  // namespace weft
