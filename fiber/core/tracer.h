#ifndef WEFT_FIBER_CORE_TRACER_H_
#define WEFT_FIBER_CORE_TRACER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "weft/fiber/core/time_stamp.h"
#include "weft/fiber/time.h"

namespace weft::internal {

// Something that happened on a scheduler. Fibers are named by their ids; 0 is the loop, or unknown.
struct TraceEvent {
  enum Kind : std::uint8_t {
    kSwitch,     // from `fiber`, which is `detail` now, to `other`
    kWake,       // `fiber` became ready, by `other`
    kSpanBegin,  // in `fiber`; `other` is the address of the span's name
    kSpanEnd,    // in `fiber`
    kName,       // `other` has eight characters of the name of `fiber`, from 8 * `detail` on
  };
  // What a fiber is that has stopped.
  enum State : std::uint8_t { kReady, kWaiting, kEnded };

  std::int64_t when_and_what;  // from the top: 56 bits of ticks, 4 of the kind, 4 of the detail
  std::uint64_t fiber;
  std::uint64_t other;

  static TraceEvent at(std::uint64_t ticks, Kind kind, unsigned detail, std::uint64_t fiber,
                       std::uint64_t other) noexcept {
    return {static_cast<std::int64_t>(ticks << 8 | unsigned{kind} << 4 | detail), fiber, other};
  }

  // The processor's, since the recording began.
  std::int64_t ticks() const noexcept { return when_and_what >> 8; }
  Kind kind() const noexcept { return static_cast<Kind>(when_and_what >> 4 & 15); }
  unsigned detail() const noexcept { return when_and_what & 15; }
};

// The newest events of a scheduler, in a ring.
//
//   Tracer tracer(1 << 16, Tracer::stamp());
//   tracer.start(7);                           // fiber 7 runs
//   tracer.switch_to(TraceEvent::kWaiting, 8);
//   for (const TraceEvent& event : tracer.events()) print(event);
//
// Threads: the scheduler's own. It is made and destroyed elsewhere.
class Tracer {
 public:
  // The ring has a power of two of places, and at least as many as this. `epoch`: the stamp of the
  // moment from which the events count.
  Tracer(std::size_t places, std::uint64_t epoch);

  // The moment, in ticks of the processor; in nanoseconds if it has no time stamp.
  static std::uint64_t stamp() noexcept {
    if constexpr (kHasTimeStamp) return time_stamp();
    return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  }

  // The fiber that runs as the recording begins, and which one does now.
  void start(std::uint64_t running) noexcept {
    if (running != 0) switch_to(TraceEvent::kReady, running);
  }
  std::uint64_t running() const noexcept { return running_; }

  // The one that runs becomes `state`, and `to` goes on. Its id is taken from what went on last:
  // its block may have been given to another fiber.
  void switch_to(TraceEvent::State state, std::uint64_t to) noexcept {
    record(TraceEvent::kSwitch, state, running_, to);
    running_ = to;
  }
  void wake(std::uint64_t fiber, std::uint64_t waker) noexcept {
    record(TraceEvent::kWake, 0, fiber, waker);
  }
  // `name` lives as long as the program.
  void begin_span(std::uint64_t fiber, const char* name) noexcept {
    record(TraceEvent::kSpanBegin, 0, fiber, reinterpret_cast<std::uintptr_t>(name));
  }
  void end_span(std::uint64_t fiber) noexcept { record(TraceEvent::kSpanEnd, 0, fiber, 0); }
  // At most 128 bytes.
  void name(std::uint64_t fiber, std::string_view text) noexcept;

  // What the ring holds, the oldest first. Times ascend, also if the processor's have gone back.
  std::vector<TraceEvent> events() const;

 private:
  void record(TraceEvent::Kind kind, unsigned detail, std::uint64_t fiber,
              std::uint64_t other) noexcept {
    ring_[count_++ & mask_] = TraceEvent::at(stamp() - epoch_, kind, detail, fiber, other);
  }

  const std::uint64_t epoch_;
  const std::size_t mask_;  // the places, but one
  const std::unique_ptr<TraceEvent[]> ring_;
  std::size_t count_ = 0;  // of all that was recorded
  std::uint64_t running_ = 0;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TRACER_H_
