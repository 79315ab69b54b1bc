#include "weft/sync/semaphore.h"

#include <stdexcept>

#include "weft/fiber/core/error.h"

namespace weft {

using internal::Heirs;

Semaphore::Semaphore(std::int64_t permits) : word_(static_cast<Word>(permits) * kPermit) {
  if (permits < 0) internal::throw_invalid_argument("weft::Semaphore: negative permits");
}

// Takes a permit if one is free, even if others are offered to heirs. If this fails `word`, seen a
// moment ago, is newer.
bool Semaphore::acquire_under(const Lock& lock, Word& word) noexcept {
  if (acquire_free(word)) return true;
  if (word < kPermit) return false;
  word_.set(lock, word - kPermit);
  return true;
}

// Takes a permit if one is free: then no heir waits for it.
bool Semaphore::acquire_in_turn() noexcept {
  if (acquire_free()) return true;
  if (!(word_.look() & kContended)) return false;
  const Lock lock(heirs_.queue());
  Word word = word_.look();
  return acquire_under(lock, word);
}

bool Semaphore::acquire_slowly(TimePoint deadline) {
  Lock lock(heirs_.queue());
  return word_.take_or_mark(lock, [&](Word& word) { return acquire_under(lock, word); }) ||
         heirs_.wait(lock, deadline, "Semaphore::acquire");
}

bool Semaphore::take_offer() noexcept {
  Lock lock(heirs_.queue());
  Word word = word_.look();
  if (!(word & kContended)) {
    lock.unlock();
    return acquire_free();
  }
  if (acquire_under(lock, word)) return true;
  // The last offer is taken, so that the heirs in front keep theirs.
  Heirs::Member* heir = heirs_.last_offered(lock);
  while (heir && !heir->gives_way()) heir = heirs_.previous_offered(lock, *heir);
  if (heir) heirs_.pass_over(lock, *heir);
  return heir != nullptr;
}

void Semaphore::release(std::int64_t permits) {
  if (permits < 0) internal::throw_invalid_argument("weft::Semaphore::release: negative permits");
  Word left = static_cast<Word>(permits);
  bool too_many = false;
  const auto with_those_left = [&](Word word) {
    too_many = left > kMostPermits - word / kPermit;
    return too_many ? word : word + left * kPermit;
  };
  internal::Claimed woken;
  word_.give_or_hand_over(
      heirs_.queue(), [&](Word& word) { return word_.give(word, with_those_left(word)); },
      [&](Lock& lock, Word word) {
        while (left > 0) {
          Heirs::Member* const first = heirs_.first(lock);
          if (!first) break;
          if (heirs_.offer(lock, *first, woken)) --left;
        }
        if (left == 0) return true;
        if (heirs_.offered(lock) == 0) {
          word_.set(lock, word & ~kContended);
          return false;
        }
        // The mark stays: an offer may be taken, under the lock.
        word_.set(lock, with_those_left(word));
        return true;
      });
  woken.resume();
  if (too_many) throw std::overflow_error("weft::Semaphore::release: too many permits");
}

}  // namespace weft
