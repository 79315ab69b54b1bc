#include "bench/lib/raw.h"

#include <sys/mman.h>

#include <boost/context/preallocated.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <memory>
#include <new>
#include <utility>

#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

namespace bc = boost::context;

// Hands out a stack that it does not own.
struct Borrowed {
  bc::stack_context allocate() { return {}; }
  void deallocate(bc::stack_context&) noexcept {}
};

template <class F>
bc::fiber make_fiber(char* top, F f) {
  bc::stack_context stack;
  stack.sp = top;
  stack.size = RawStacks::kSize;
  return bc::fiber(std::allocator_arg, bc::preallocated(top, stack.size, stack), Borrowed(),
                   std::move(f));
}

// Resumes the other again and again. Not inlined, so that two callers run the same instructions.
[[gnu::noinline]] bc::fiber resume_times(bc::fiber&& first, long times) {
  bc::fiber other = std::move(first);
  while (times-- > 0) other = std::move(other).resume();
  return other;
}

}  // namespace

double raw_switch(long switches) {
  const long times = switches / 2;
  // The last resumption of the one is answered by the end of the other.
  bc::fiber other(std::allocator_arg, bc::protected_fixedsize_stack(),
                  [times](bc::fiber&& caller) { return resume_times(std::move(caller), times); });
  other = std::move(other).resume();  // starts it, outside the measurement
  return ns_per(static_cast<double>(2 * times),
                [&] { other = resume_times(std::move(other), times); });
}

double raw_switch_in_two_functions(long switches) {
  const long times = switches / 2;
  bc::fiber other(std::allocator_arg, bc::protected_fixedsize_stack(), [](bc::fiber&& caller) {
    for (;;) caller = std::move(caller).resume();
    return std::move(caller);
  });
  other = std::move(other).resume();
  return ns_per(static_cast<double>(2 * times), [&] {
    for (long i = 0; i < times; ++i) other = std::move(other).resume();
  });
}

RawStacks::RawStacks(std::size_t count) : count_(count) {
  void* memory = mmap(nullptr, count * kStride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, count * kStride, MADV_NOHUGEPAGE);
  base_ = static_cast<char*>(memory);
}

RawStacks::~RawStacks() { munmap(base_, count_ * kStride); }

// A resumed fiber gets the handle of its predecessor in the ring, and stores it for the next lap.
RawRing::RawRing(std::size_t count) : stacks_(count), fibers_(count) {
  bc::fiber* const all = fibers_.data();
  for (std::size_t i = 1; i < count; ++i) {
    bc::fiber& before = all[i - 1];
    bc::fiber& next = all[(i + 1) % count];
    all[i] = make_fiber(stacks_.top(i), [&before, &next](bc::fiber&& from) -> bc::fiber {
      before = std::move(from);
      for (;;) before = std::move(next).resume();
    });
  }
  all[0] = make_fiber(stacks_.top(0), [this, all, count](bc::fiber&& from) -> bc::fiber {
    caller_ = std::move(from);
    for (;;) {
      while (laps_-- > 0) all[count - 1] = std::move(all[1]).resume();
      caller_ = std::move(caller_).resume();
    }
  });
  run(1);
}

RawRing::~RawRing() = default;

void RawRing::run(long laps) {
  laps_ = laps;
  fibers_[0] = std::move(fibers_[0]).resume();
}

void touch_stacks(std::size_t count) {
  const RawStacks stacks(count);
  for (std::size_t i = 0; i < count; ++i) *static_cast<volatile char*>(stacks.top(i) - 1) = 1;
}

}  // namespace weft::bench
