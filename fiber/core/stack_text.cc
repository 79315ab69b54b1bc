#include "weft/fiber/core/stack_text.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <string_view>

#include "weft/fiber/core/mangled.h"
#include "weft/fiber/core/symbols.h"
#include "weft/fiber/core/unwind.h"

namespace weft::internal {
namespace {

constexpr std::size_t kPlaceColumn = 48;

// An instance of what runs the callable of a task, a post or a call: its name has that of the
// callable in it.
bool calls_callable(const CodePlace& place) noexcept {
  if (!place.symbol) return false;
  const std::string_view symbol(place.symbol);
  return symbol.starts_with("_ZN4weft8internal9TaskStateI") ||
         symbol.starts_with("_ZN4weft8internal6CallOfI") ||
         symbol.starts_with("_ZN4weft8internal6PostOfI");
}

// The functions of a stack. They are looked up by the address of the call, one less than the
// return address, which may belong to the next function already.
class Places {
 public:
  explicit Places(std::span<void* const> frames) noexcept
      : count_(std::min(frames.size(), kMaxFrames)) {
    for (std::size_t i = 0; i < count_; ++i) {
      const auto call = reinterpret_cast<std::uintptr_t>(frames[i]) - 1;
      places_[i] = find_code(reinterpret_cast<const void*>(call));  // NOLINT: it is one
    }
  }

  // Less weft's own at both ends. If the callable of the fiber was inlined into what calls it, and
  // nothing else is left, that.
  std::span<const CodePlace> of_program() const noexcept {
    std::span<const CodePlace> places(places_, count_);
    const std::span<const CodePlace> all = places;
    while (!places.empty() && is_weft(places.front().symbol)) places = places.subspan(1);
    while (!places.empty() && is_plumbing(places.back().symbol)) {
      places = places.first(places.size() - 1);
    }
    if (!places.empty()) return places;
    const auto caller = std::ranges::find_if(all, &calls_callable);
    return {caller, caller == all.end() ? caller : caller + 1};
  }

 private:
  std::size_t count_;
  CodePlace places_[kMaxFrames];
};

void write_name(Text& text, const char* symbol) noexcept try {
  text << demangled(symbol);
} catch (const std::bad_alloc&) {
  text << symbol;
}

}  // namespace

void write_stack(Text& text, std::span<void* const> frames) noexcept {
  const Places places(frames);  // outlives the loop, as a temporary would not
  std::uint64_t number = 0;
  for (const CodePlace& place : places.of_program()) {
    text << "    #" << number++ << " ";
    if (place.symbol) {
      write_name(text, place.symbol);
      text.tab(kPlaceColumn);
    }
    if (!place.module.empty()) text << place.module << "+";
    text << Hex(place.offset) << "\n";
  }
}

}  // namespace weft::internal
