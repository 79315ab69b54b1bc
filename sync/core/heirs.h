#ifndef WEFT_SYNC_CORE_HEIRS_H_
#define WEFT_SYNC_CORE_HEIRS_H_

#include <cstddef>
#include <cstdint>

#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// A waiter that is offered a lock or a permit by the one that gives it up. It accepts when it runs.
// Until then a try, such as Mutex::try_lock(), may take the offer: the heir is passed over, and
// waits again in its old place. README.md, "Offers", says why.
class Heir : public Waiter {
 public:
  // An heir that was passed over this often gets firm offers. A firm offer is not taken, except by
  // a loop that would never let the heir run.
  static constexpr int kMostPassedOver = 4;

  Heir(const char* what, int passed_over) noexcept : Waiter(what), passed_over_(passed_over) {}

  bool is_firm() const noexcept { return passed_over_ >= kMostPassedOver; }

  // Whether the caller may take what this heir was offered. If the offer is firm: only at the
  // second try in a row of the same caller, if that runs on the heir's own scheduler. It then
  // probably tries in a loop without waiting, which would not end before the heir has run, nor let
  // it run. REQUIRES: the queue's lock is held.
  bool gives_way() noexcept;

 private:
  const int passed_over_;  // within one call of lock() or the like
  const LockOwner* refused_ = nullptr;
};

// The waiters for a lock or for permits, in their order of arrival, and which of them were woken
// for an offer and have not run since. For a primitive that may have several heirs.
class Heirs {
 public:
  using Lock = WaitQueue::Lock;

  class Member : public Heir {
   public:
    bool is_shared() const noexcept { return shared_; }

   private:
    friend class Heirs;

    enum class State : std::uint8_t { kWaiting, kOffered, kPassedOver };

    Member(const char* what, int passed_over, std::uint64_t place, bool shared) noexcept
        : Heir(what, passed_over), place_(place), shared_(shared) {}

    const std::uint64_t place_;
    State state_ = State::kWaiting;
    const bool shared_;
  };

  // Its lock guards everything here, and what is waited for.
  WaitQueue& queue() noexcept { return queue_; }

  // Waits until the caller has accepted an offer: true, and the lock is held again; or until
  // `deadline`: false. Releases the lock. Throws Cancelled, and then nothing was accepted.
  // `shared` is for the primitive's own use.
  bool wait(Lock& lock, TimePoint deadline, const char* what, bool shared = false);

  // The first waiter without an offer, or null. It is in the queue, or was passed over and has not
  // run since.
  Member* first(const Lock& lock) const noexcept;

  // Makes an offer to that first waiter, and adds it to `claimed` if it has to be woken. Returns
  // false if its wait has just ended; then it is off the queue.
  bool offer(Lock& lock, Member& first, Claimed& claimed) noexcept;

  // The heirs with an offer that is neither accepted nor taken: how many, the last one or null, and
  // the one before another or null.
  std::size_t offered(const Lock&) const noexcept { return count_; }
  Member* last_offered(const Lock&) const noexcept { return offered_.back(); }
  Member* previous_offered(const Lock&, const Member& member) const noexcept {
    return offered_.previous(member);
  }

  // Takes the offer of `member`, which keeps its place.
  void pass_over(const Lock&, Member& member) noexcept;

 private:
  Waiter* successor(const Lock& lock, std::uint64_t place) const noexcept;

  WaitQueue queue_;
  // Both in the order of their places. A claimed waiter is off the queue, and its links are free.
  IntrusiveList<Member> offered_;
  IntrusiveList<Member> passed_over_;
  std::size_t count_ = 0;  // the length of offered_
  std::uint64_t last_place_ = 0;
};

}  // namespace weft::internal

#endif  // WEFT_SYNC_CORE_HEIRS_H_
