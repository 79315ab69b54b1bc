#include "weft/fiber/core/stack.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>

#include "weft/fiber/core/context.h"
#include "weft/fiber/core/error.h"

#if defined(WEFT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13; Debian 12's headers are older
#endif

namespace weft::internal {
namespace {

// Slabs double from the first to the last, so that a small program reserves little and a million
// stacks take few mappings.
constexpr std::size_t kFirstSlabStacks = 16;
constexpr std::size_t kMaxSlabBytes = std::size_t{1} << 30;

// The span of one page of page-table entries: slabs aligned to it share none.
constexpr std::size_t kSlabAlignment = std::size_t{2} << 20;

// Guards are installed for at most this many stacks at once.
constexpr std::size_t kGuardsInARow = 64;

// What trim() does in one call.
constexpr int kTrimCalls = 64;
constexpr std::size_t kTrimLooks = 16384;
constexpr Duration kTrimPeriod = std::chrono::seconds(1);

// No memory, and what for.
class OutOfMemory final : public std::bad_alloc {
 public:
  explicit OutOfMemory(const char* what) noexcept : what_(what) {}
  const char* what() const noexcept override { return what_; }

 private:
  const char* const what_;
};

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

std::size_t checked(std::size_t stack_size) {
  if (stack_size < StackPool::min_size()) {
    char sentence[100];
    std::snprintf(sentence, sizeof(sentence),
                  "weft: a stack of %zu bytes is too small; the least is %zu", stack_size,
                  StackPool::min_size());
    throw_invalid_argument(sentence);
  }
  const std::size_t rounded = StackPool::round_up(stack_size);
  if (rounded < stack_size) throw std::bad_alloc();
  return rounded;
}

// Contexts are dropped without being unwound: ASan would take what is mapped there next for their
// frames.
void forget_frames([[maybe_unused]] char* begin, [[maybe_unused]] std::size_t size) noexcept {
#if defined(WEFT_ASAN)
  __asan_unpoison_memory_region(begin, size);
#endif
}

}  // namespace

std::size_t StackPool::min_size() noexcept { return 4 * page_size(); }

std::size_t StackPool::round_up(std::size_t stack_size) noexcept {
  return (stack_size + page_size() - 1) & ~(page_size() - 1);
}

// Stacks lie an odd number of pages apart: top pages a power of two apart would share a few sets of
// the processor's cache of page-table entries.
StackPool::StackPool(std::size_t stack_size, Discard discard, GuardKind guards)
    : stack_size_(checked(stack_size)),
      stride_(stack_size_ | page_size()),
      discard_(discard),
      guards_(guards) {}

StackPool::~StackPool() {
  for (std::size_t i = 0; i < free_count_; ++i) {
    if (free_[i] & kWarm) discard_(reinterpret_cast<void*>(free_[i] & ~kWarm));
  }
  for (const Slab& slab : slabs_) {
    forget_frames(slab.base, slab.used * stride_);
    munmap(slab.base, slab.count * stride_);
  }
}

// A stack that was never used.
StackPool::Stack StackPool::carve() {
  if (slabs_.empty() || slabs_.back().used == slabs_.back().count) add_slab();
  Slab& slab = slabs_.back();
  void* top = top_of(slab, slab.used);
  if (slab.used == slab.guarded) install_guards(slab);
  ++slab.used;
  return {top, false};
}

std::size_t StackPool::carved() const noexcept {
  std::size_t stacks = 0;
  for (const Slab& slab : slabs_) stacks += slab.used;
  return stacks;
}

TimePoint StackPool::trim(TimePoint now) noexcept {
  if (seen_ >= free_count_) {
    // Nothing went in or out since a round that dropped all it may: let the thread sleep.
    const bool rests = least_free_ == free_count_ && unused_ + kAlwaysWarm == free_count_;
    if (rests || free_count_ <= kAlwaysWarm) return kForever;
    if (round_began_ != kPast && now - round_began_ < kTrimPeriod)
      return round_began_ + kTrimPeriod;
    round_began_ = now;
    // Those on top, which are next to be taken, stay.
    unused_ = least_free_ - std::min(least_free_, kAlwaysWarm);
    seen_ = 0;
    least_free_ = free_count_;
  }
  const std::size_t last_look = std::min(free_count_, seen_ + kTrimLooks);
  for (int calls = 0; seen_ < last_look && calls < kTrimCalls; ++seen_) {
    Free& stack = free_[seen_];
    if (!(stack & kWarm)) continue;
    const bool cold = seen_ < unused_;
    void* top = reinterpret_cast<void*>(stack & ~kWarm);
    if (cold) {
      discard_(top);
      stack &= ~kWarm;
    }
    decommit(top, cold ? 0 : page_size());
    ++calls;
  }
  return kPast;
}

// The end of the stack's address space, a little above its top.
char* StackPool::end_of(void* top) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(top);
  return reinterpret_cast<char*>((address + page_size() - 1) & ~(page_size() - 1));
}

void* StackPool::bottom_of(void* top) const noexcept {
  return end_of(top) - stack_size_ + page_size();
}

bool StackPool::is_guarded(void* top, const void* address) const noexcept {
  const auto below = static_cast<std::size_t>(static_cast<char*>(bottom_of(top)) -
                                              static_cast<const char*>(address));
  return below - 1 < page_size();  // from 1 on
}

void* StackPool::guarded_by(const void* address) const noexcept {
  for (const Slab& slab : slabs_) {
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - slab.base);
    const std::size_t index = offset / stride_;
    if (index >= slab.used) continue;
    void* const top = top_of(slab, index);
    return is_guarded(top, address) ? top : nullptr;
  }
  return nullptr;
}

void StackPool::add_slab() {
  std::size_t count = slabs_.empty() ? kFirstSlabStacks : slabs_.back().count * 2;
  count = std::clamp<std::size_t>(count, 1, std::max<std::size_t>(kMaxSlabBytes / stride_, 1));
  std::size_t all = count;
  for (const Slab& slab : slabs_) all += slab.count;
  {
    const NotSteady changing(changing_);
    slabs_.reserve(slabs_.size() + 1);
  }
  if (free_.size() < all) free_.resize(all);

  void* memory = MAP_FAILED;
  std::size_t size = 0;
  for (;; count /= 2) {  // where address space is limited, a smaller slab may still fit
    if (count == 0) throw OutOfMemory("weft: mmap of a stack: there is no address space for it");
    if (count > (SIZE_MAX - kSlabAlignment) / stride_) continue;
    size = count * stride_ + kSlabAlignment;
    memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) break;
  }
  char* const begin = static_cast<char*>(memory);
  char* const base = reinterpret_cast<char*>(
      (reinterpret_cast<std::uintptr_t>(begin) + kSlabAlignment - 1) & ~(kSlabAlignment - 1));
  char* const end = base + count * stride_;
  if (base != begin) munmap(begin, static_cast<std::size_t>(base - begin));
  if (end != begin + size) munmap(end, static_cast<std::size_t>(begin + size - end));
  // A huge page would make two megabytes of each stack resident. Fails where the kernel has no huge
  // pages.
  madvise(base, count * stride_, MADV_NOHUGEPAGE);
  slabs_.push_back({base, count, 0, 0});
}

// The next stack's, and while at it those of a few more, for which the kernel is then warm.
void StackPool::install_guards(Slab& slab) {
  const std::size_t row = std::clamp<std::size_t>(slab.count / 8, 1, kGuardsInARow);
  const std::size_t end = std::min(slab.count, slab.guarded + row);
  try {
    for (; slab.guarded < end; ++slab.guarded) {
      install_guard(end_of(top_of(slab, slab.guarded)) - stack_size_);
    }
  } catch (...) {
    if (slab.guarded == slab.used) throw;  // else it is early enough when one is missing
  }
}

void StackPool::install_guard(char* page) {
  if (guards_ != GuardKind::kMprotect) {
    if (madvise(page, page_size(), MADV_GUARD_INSTALL) == 0) return;
    if (errno == ENOMEM) {
      throw OutOfMemory("weft: madvise(MADV_GUARD_INSTALL) of a stack: there is no memory for it");
    }
    if (errno != EINVAL || guards_ == GuardKind::kMarker) {
      throw_system_error(error_of(-errno), {"madvise(MADV_GUARD_INSTALL) of a stack"});
    }
    guards_ = GuardKind::kMprotect;  // an older kernel
  }
  if (mprotect(page, page_size(), PROT_NONE) == 0) return;
  const std::error_code error = error_of(-errno);
  throw_system_error(error,
                     {"mprotect of the guard page of stack ", decimal(carved() + 1),
                      " (each takes two of the vm.max_map_count mappings: raise it, or use Linux "
                      "6.13 or later)"});
}

void* StackPool::top_of(const Slab& slab, std::size_t index) const noexcept {
  return slab.base + (index + 1) * stride_ - index % kColours * kColourStep;
}

// Gives back all memory of a stack but the uppermost `keep` bytes. Guards stay.
void StackPool::decommit(void* top, std::size_t keep) noexcept {
  char* const bottom = static_cast<char*>(bottom_of(top));
  const std::size_t size = static_cast<std::size_t>(end_of(top) - bottom) - keep;
  forget_frames(bottom, size);
  madvise(bottom, size, MADV_DONTNEED);
}

}  // namespace weft::internal
