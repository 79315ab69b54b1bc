#include "weft/fiber/core/tracer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft::internal {
namespace {

// More than any machine has memory for, so that rounding up does not overflow.
constexpr std::size_t kMostPlaces = std::size_t{1} << 48;

std::size_t places_for(std::size_t asked) { return std::bit_ceil(std::min(asked, kMostPlaces)); }

}  // namespace

// The ring is filled with zeros: its memory is there before anything is recorded.
Tracer::Tracer(std::size_t places, std::uint64_t epoch)
    : epoch_(epoch),
      mask_(places_for(places) - 1),
      ring_(std::make_unique<TraceEvent[]>(mask_ + 1)) {}

void Tracer::name(std::uint64_t fiber, std::string_view text) noexcept {
  for (unsigned part = 0; !text.empty(); ++part) {
    std::uint64_t characters = 0;
    const std::size_t size = std::min(text.size(), sizeof(characters));
    std::memcpy(&characters, text.data(), size);
    record(TraceEvent::kName, part, fiber, characters);
    text.remove_prefix(size);
  }
}

std::vector<TraceEvent> Tracer::events() const {
  std::vector<TraceEvent> events;
  const std::size_t kept = std::min(count_, mask_ + 1);
  events.reserve(kept);
  std::int64_t last = 0;
  for (std::size_t i = count_ - kept; i != count_; ++i) {
    const TraceEvent& event = ring_[i & mask_];
    last = std::max(last, event.ticks());
    events.push_back(TraceEvent::at(static_cast<std::uint64_t>(last), event.kind(), event.detail(),
                                    event.fiber, event.other));
  }
  return events;
}

}  // namespace weft::internal
