#ifndef WEFT_FIBER_CORE_ATOMIC_H_
#define WEFT_FIBER_CORE_ATOMIC_H_

#include <sched.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>  // glibc 2.32
#endif

#include <atomic>
#include <cstdint>
#include <mutex>

// What threads share goes through these, so that a test can try every order of their accesses: for
// it weft is built once more with WEFT_EXPLORED defined. See tests/orders/explorer.h.
namespace weft::internal {

#if !defined(WEFT_EXPLORED)

inline constexpr bool kExplored = false;

template <class T>
using Atomic = std::atomic<T>;

using ThreadMutex = std::mutex;

// Whether this thread is the only one: then an atomic operation may be a plain one, which costs
// a tenth. A thread that starts later sees everything. glibc's own mutex does the same.
inline bool single_threaded() noexcept {
#if __has_include(<sys/single_threaded.h>)
  return __libc_single_threaded;
#else
  return false;
#endif
}

// A turn of a loop that waits for another thread to write something.
inline void let_others_run() noexcept { sched_yield(); }

#else

inline constexpr bool kExplored = true;

// Implemented by the explorer.
namespace explored {
void created(const void* word) noexcept;
void destroyed(const void* word) noexcept;
void step(const void* word) noexcept;  // before each access; other threads may come first
void spin() noexcept;
bool sleep(const std::atomic<std::uint32_t>& word, std::uint32_t expected, bool timed) noexcept;
void wake(const std::atomic<std::uint32_t>& word) noexcept;
}  // namespace explored

inline bool single_threaded() noexcept { return false; }

inline void let_others_run() noexcept { explored::spin(); }

template <class T>
class Atomic {
 public:
  Atomic(T value) noexcept : word_(value) { explored::created(this); }
  ~Atomic() { explored::destroyed(this); }

  T load(std::memory_order order) const noexcept { return before_access().load(order); }
  void store(T value, std::memory_order order) noexcept { before_access().store(value, order); }
  T exchange(T value, std::memory_order order) noexcept {
    return before_access().exchange(value, order);
  }
  T fetch_add(T value, std::memory_order order) noexcept {
    return before_access().fetch_add(value, order);
  }
  T fetch_sub(T value, std::memory_order order) noexcept {
    return before_access().fetch_sub(value, order);
  }
  T fetch_or(T value, std::memory_order order) noexcept {
    return before_access().fetch_or(value, order);
  }
  template <class... Orders>
  bool compare_exchange_strong(T& expected, T value, Orders... orders) noexcept {
    return before_access().compare_exchange_strong(expected, value, orders...);
  }
  // Never fails without a reason here, so that a run can be repeated.
  template <class... Orders>
  bool compare_exchange_weak(T& expected, T value, Orders... orders) noexcept {
    return before_access().compare_exchange_strong(expected, value, orders...);
  }

  std::atomic<T>& word() noexcept { return word_; }

 private:
  std::atomic<T>& before_access() const noexcept {
    explored::step(this);
    return word_;
  }

  mutable std::atomic<T> word_;
};

class ThreadMutex {
 public:
  void lock() noexcept {
    while (held_.exchange(true, std::memory_order_acquire)) let_others_run();
  }
  bool try_lock() noexcept { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  Atomic<bool> held_{false};
};

#endif

// A turn of a loop that waits for a moment.
inline void relax_processor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// compare_exchange_strong(); relaxed where it fails.
template <class T>
[[gnu::always_inline]] inline bool replace(Atomic<T>& word, T& expected, T value,
                                           std::memory_order order) noexcept {
  if (single_threaded()) {
    // Relaxed: nobody else is there.
    const T found = word.load(std::memory_order_relaxed);
    if (found == expected) {
      word.store(value, std::memory_order_relaxed);
      return true;
    }
    expected = found;
    return false;
  }
  return word.compare_exchange_strong(expected, value, order, std::memory_order_relaxed);
}

// A lock for a few instructions. Nobody may wait, switch fibers or run foreign code under it.
// Works with std::lock_guard and std::unique_lock.
class SpinLock {
 public:
  void lock() noexcept {
    if (single_threaded()) {
      held_.store(true, std::memory_order_relaxed);  // nobody has it, nobody else looks
      return;
    }
    // Acquire: what the last holder wrote is seen.
    while (held_.exchange(true, std::memory_order_acquire)) [[unlikely]] wait();
  }

  bool try_lock() noexcept { return !held_.exchange(true, std::memory_order_acquire); }

  void unlock() noexcept {
    // Release: what was written under the lock is seen by the next holder.
    held_.store(false, std::memory_order_release);
  }

 private:
  void wait() noexcept;

  Atomic<bool> held_{false};
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_ATOMIC_H_
