// What weft is measured against: Boost.Context's own fiber, resumed directly.
#ifndef WEFT_BENCH_LIB_RAW_H_
#define WEFT_BENCH_LIB_RAW_H_

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <vector>

namespace weft::bench {

// Nanoseconds per switch between two fibers that resume each other, both in the same function, or
// each in a function of its own.
double raw_switch(long switches);
double raw_switch_in_two_functions(long switches);

// Address space laid out as weft's stacks (see fiber/README.md), but without guards.
class RawStacks {
 public:
  static constexpr std::size_t kSize = 256 * 1024;
  static constexpr std::size_t kStride = kSize + 4096;

  explicit RawStacks(std::size_t count);
  ~RawStacks();
  RawStacks(const RawStacks&) = delete;
  RawStacks& operator=(const RawStacks&) = delete;

  char* top(std::size_t i) const noexcept { return base_ + (i + 1) * kStride - i % 16 * 64; }
  std::size_t count() const noexcept { return count_; }

 private:
  const std::size_t count_;
  char* base_;
};

// Fibers each of which resumes the next one, the last one the first.
class RawRing {
 public:
  explicit RawRing(std::size_t count);
  ~RawRing();
  RawRing(const RawRing&) = delete;
  RawRing& operator=(const RawRing&) = delete;

  // Goes round `laps` times.
  void run(long laps);

 private:
  RawStacks stacks_;
  std::vector<boost::context::fiber> fibers_;  // the handle of each, while it does not run
  boost::context::fiber caller_;
  long laps_ = 0;
};

// Writes to `count` fresh stacks once.
void touch_stacks(std::size_t count);

}  // namespace weft::bench

#endif  // WEFT_BENCH_LIB_RAW_H_
