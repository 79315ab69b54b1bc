#include "weft/sync/core/contended_word.h"

#include "weft/fiber/core/error.h"

namespace weft::internal {

void LockWord::fail_not_held(const char* call) {
  throw_logic_error(call, ": the caller does not hold it");
}

void LockWord::disown() const noexcept {
  LockOwner& self = caller();
  if (is_held_by(self)) --self.locks_held;
}

bool Heir::gives_way() noexcept {
  if (!is_firm()) return true;
  const LockOwner* caller = &internal::caller();
  const bool again = refused_ == caller && is_local();
  refused_ = again ? nullptr : caller;
  return again;
}

bool Heirs::wait(Lock& lock, TimePoint deadline, const char* what, bool shared) {
  const std::uint64_t place = next_place(lock);
  for (int passed_over = 0;; ++passed_over) {
    Member self(what, passed_over, place, shared);
    Waiter* const next = passed_over == 0 ? nullptr : successor(lock, place);
    if (!queue_.wait_before(lock, next, self, deadline)) return false;
    lock.lock();
    if (accept(lock, self)) return true;
  }
}

bool Heirs::accept(const Lock&, Member& self) noexcept {
  if (self.state_ == Member::State::kPassedOver) {
    passed_over_.erase(self);
    return false;
  }
  offered_.erase(self);
  --count_;
  return true;
}

Waiter* Heirs::successor(const Lock& lock, std::uint64_t place) const noexcept {
  Waiter* next = queue_.first(lock);
  while (next && static_cast<Member*>(next)->place_ < place) next = queue_.next(lock, *next);
  return next;
}

Heirs::Member* Heirs::first(const Lock& lock) const noexcept {
  auto* const waiting = static_cast<Member*>(queue_.first(lock));
  Member* const passed_over = passed_over_.front();
  if (!passed_over || (waiting && waiting->place_ < passed_over->place_)) return waiting;
  return passed_over;
}

bool Heirs::offer(Lock& lock, Member& first, Claimed& claimed) noexcept {
  if (first.state_ == Member::State::kPassedOver) {
    passed_over_.erase(first);  // it is on its way: no need to wake it
  } else {
    if (!queue_.claim_first(lock)) return false;
    claimed.add(first);
  }
  first.state_ = Member::State::kOffered;
  // Mostly at the end.
  Member* next = nullptr;
  for (Member* last = offered_.back(); last && last->place_ > first.place_;
       last = offered_.previous(*last)) {
    next = last;
  }
  offered_.insert(next, first);
  ++count_;
  return true;
}

void Heirs::pass_over(const Lock&, Member& member) noexcept {
  offered_.erase(member);
  --count_;
  member.state_ = Member::State::kPassedOver;
  // Mostly at the front: offers are taken from the last one on.
  Member* next = passed_over_.front();
  while (next && next->place_ < member.place_) next = passed_over_.next(*next);
  passed_over_.insert(next, member);
}

}  // namespace weft::internal
