#ifndef WEFT_FIBER_CORE_TURN_H_
#define WEFT_FIBER_CORE_TURN_H_

#include <cstdint>

#include "weft/fiber/core/port.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// A turn: the time that the fibers of a scheduler have among themselves before its loop looks at
// other threads, timers and I/O again. README.md, "Turns", says what that bounds.
//
// It lasts kLength. Resumptions are counted; whether the time is over is looked up in the
// processor's time stamp at every 8th of them, at every 32nd where fibers do little but switch, and
// at each where the last ones took long. Where nothing may depend on how fast the machine is, a
// turn is a number of resumptions instead.
//
// The count is the thread's, Running::budget: so a wait counts without a look at the scheduler. A
// watched turn keeps its count to itself and that one at zero: each resumption then asks is_over().
//
//   turn.begin();                                              // the loop has looked
//   while (!(turn.count() && turn.is_over())) resume_a_fiber();
class Turn {
 public:
  static constexpr Duration kLength = std::chrono::microseconds(100);
  // The resumptions of a counted turn.
  static constexpr std::int64_t kCounted = 4096;

  // `counted`: turns are counted. `time_stamp`, if not null, is read for the processor's, by tests.
  Turn(const Port& port, bool counted, const std::uint64_t* time_stamp) noexcept
      : port_(port), counted_(counted), time_stamp_(time_stamp) {}

  // Counts a resumption. If it returns true, is_over() has to be asked.
  bool count() noexcept { return --running.budget < 0; }

  // Whether the loop has to look now. REQUIRES: count() has returned true. If this returns false,
  // further resumptions may be counted.
  bool is_over() noexcept { return used_up() && has_to_end(); }

  // The two halves of it: the second is due if the first returns true, which it always does unless
  // the turn is watched.
  bool used_up() noexcept {
    if (!watched_) [[likely]]
      return true;
    running.budget = 0;
    return --budget_ < 0;
  }
  bool has_to_end() noexcept;

  // Whether count() has returned true since the turn began, and is_over() was true, too.
  bool spent() const noexcept { return budget() < 0; }
  // How many resumptions were counted since the turn was spent.
  std::int64_t overdrawn() const noexcept { return -budget(); }

  // From now on count() always returns true, or no longer. Turns are as long as before.
  // REQUIRES: the scheduler runs on this thread.
  void watch(bool watched) noexcept;

  // The loop has looked at everything.
  void begin() noexcept;

  // Ends the turn after this many resumptions, or at once. REQUIRES: for a number, turns are
  // counted.
  void end_after(std::int64_t resumptions) noexcept { allow(resumptions); }
  void end() noexcept {
    allow(0);
    cut_short_ = true;
  }

  // How many resumptions were counted, in all turns. Counting them costs nothing: it is what was
  // allowed less what is left.
  std::uint64_t resumptions() const noexcept {
    return allowed_ - static_cast<std::uint64_t>(budget());
  }

  // Reads the port's clock, and learns from it how fast the time stamp counts.
  TimePoint read_clock() noexcept;

  // The thread is another one now, perhaps on a processor that counts otherwise.
  void forget_clock() noexcept { clock_read_ = kPast; }

 private:
  std::int64_t budget() const noexcept { return watched_ ? budget_ : running.budget; }
  // Each change of the budget but the counting itself. REQUIRES: the thread's budget is this
  // turn's, which begins as 0.
  void allow(std::int64_t resumptions) noexcept {
    allowed_ += static_cast<std::uint64_t>(resumptions - budget());
    budget_ = resumptions;
    running.budget = watched_ ? 0 : resumptions;
  }
  std::uint64_t stamp() const noexcept;
  std::int64_t next_stride(std::uint64_t ticks) const noexcept;

  const Port& port_;
  const bool counted_;
  bool cut_short_ = false;  // at the next switch
  bool watched_ = false;
  std::int64_t budget_ = 0;    // if it is watched: what Running::budget would be
  std::uint64_t allowed_ = 0;  // resumptions, in all turns
  const std::uint64_t* const time_stamp_;
  // Ticks are the time stamp's.
  std::int64_t stride_ = 1;          // resumptions between two looks at the time stamp
  std::uint64_t length_ = 0;         // in ticks, never too long; 0: not known
  std::uint64_t began_ = 0;          // when, in ticks
  TimePoint began_clock_ = kPast;    // the same by the clock, where length_ is 0
  std::uint64_t stamped_ = 0;        // the last look
  TimePoint clock_read_ = kPast;     // a reading of the clock,
  std::uint64_t clock_stamped_ = 0;  // and the time stamp just after it
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TURN_H_
