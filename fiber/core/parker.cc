#include "weft/fiber/core/parker.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>

#include "weft/fiber/core/error.h"

namespace weft::internal {
namespace {

constexpr std::uint32_t kEmpty = 0;
constexpr std::uint32_t kToken = 1;
constexpr std::uint32_t kWaiting = 2;

#if defined(WEFT_EXPLORED)

bool futex_wait(Atomic<std::uint32_t>& word, std::uint32_t expected, TimePoint deadline) {
  return explored::sleep(word.word(), expected, deadline != kForever);
}

void futex_wake(Atomic<std::uint32_t>& word) { explored::wake(word.word()); }

#else

// Returns false when the deadline passed.
bool futex_wait(Atomic<std::uint32_t>& word, std::uint32_t expected, TimePoint deadline) {
  timespec at{};
  if (deadline != kForever) {
    const auto since = std::max(deadline.time_since_epoch(), Duration::zero());
    at.tv_sec = static_cast<time_t>(since.count() / 1'000'000'000);
    at.tv_nsec = static_cast<long>(since.count() % 1'000'000'000);
  }
  // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, the clock of TimePoint.
  const long result =
      syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
              deadline == kForever ? nullptr : &at, nullptr, FUTEX_BITSET_MATCH_ANY);
  return result == 0 || errno != ETIMEDOUT;
}

void futex_wake(Atomic<std::uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1); }

#endif

}  // namespace

bool Parker::wait(TimePoint deadline) noexcept {
  if (!await(deadline)) return false;
  // Acquire: pairs with the release of post(). Only this thread takes.
  word_.exchange(kEmpty, std::memory_order_acquire);
  return true;
}

// Relaxed, all of it: to see the token is not to take it.
bool Parker::await(TimePoint deadline) noexcept {
  const int saved = errno;
  bool in_time = true;
  while (!posted() && in_time) {
    std::uint32_t seen = kEmpty;
    // Announces the wait. If a token came meanwhile, look again.
    if (!word_.compare_exchange_strong(seen, kWaiting, std::memory_order_relaxed) &&
        seen == kToken) {
      break;
    }
    in_time = futex_wait(word_, kWaiting, deadline);
  }
  // Takes back the announcement, unless a token has come in its place.
  std::uint32_t seen = kWaiting;
  if (!in_time) word_.compare_exchange_strong(seen, kEmpty, std::memory_order_relaxed);
  errno = saved;
  return in_time || seen == kToken;
}

void Parker::post() noexcept {
  // Release: pairs with the acquire of wait().
  if (word_.exchange(kToken, std::memory_order_release) != kWaiting) return;
  const int saved = errno;
  futex_wake(word_);
  errno = saved;
}

bool Parker::posted() const noexcept {
  // Relaxed: says nothing of what came before the token; wait() does.
  return word_.load(std::memory_order_relaxed) == kToken;
}

// By a key of pthreads: its destructor runs after those of all thread_local objects, which may
// unlock, and not when exit() ends the program.
static bool watch_end(LockOwner& thread) noexcept {
  static const std::optional<pthread_key_t> key = []() -> std::optional<pthread_key_t> {
    pthread_key_t made{};
    const auto check = [](void* owner) {
      if (static_cast<LockOwner*>(owner)->locks_held == 0) return;
      fail_misuse(
          "a thread has ended but still holds a Mutex or SharedMutex, which nobody else could "
          "unlock");
    };
    if (pthread_key_create(&made, check) != 0) return std::nullopt;  // the program has used up all
    return made;
  }();
  return key && pthread_setspecific(*key, &thread) == 0;
}

Parker& this_thread_parker() noexcept {
  thread_local Parker parker;
  [[maybe_unused]] thread_local const bool watched = watch_end(parker);
  return parker;
}

LockOwner& this_thread_owner() noexcept { return this_thread_parker(); }

}  // namespace weft::internal
