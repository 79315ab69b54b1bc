#ifndef WEFT_FIBER_CORE_TIME_STAMP_H_
#define WEFT_FIBER_CORE_TIME_STAMP_H_

#include <cstdint>

namespace weft::internal {

// The processor's time stamp: a counter of an unknown rate that costs less than a clock, some 10
// ns rather than 25. Virtual machines and several sockets may make it jump: see Turn::is_over().
#if defined(__x86_64__)
inline constexpr bool kHasTimeStamp = true;
inline std::uint64_t time_stamp() noexcept { return __builtin_ia32_rdtsc(); }
#elif defined(__aarch64__)
inline constexpr bool kHasTimeStamp = true;
inline std::uint64_t time_stamp() noexcept {
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
}
#else
inline constexpr bool kHasTimeStamp = false;
inline std::uint64_t time_stamp() noexcept { return 0; }
#endif

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TIME_STAMP_H_
