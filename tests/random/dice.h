#ifndef WEFT_TESTS_RANDOM_DICE_H_
#define WEFT_TESTS_RANDOM_DICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace weft::test {

// Families of operations.
enum class Family : std::uint8_t {
  kTime,
  kQueue,
  kMutex,
  kCondition,
  kSemaphore,
  kEvent,
  kBarrier,
  kPromise,
  kTasks,
  kSpawn,
  kCalls,
  kScopes,
  kErrors,
  kCount
};

// What a program is drawn with. Each is loaded: a program is about few families and few objects,
// which so get into each other's way.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {
    for (int& weight : weights_) weight = std::array{0, 0, 1, kMost}[random_() % 4];
    weight(Family::kTime) = 3;
    weight(Family::kSpawn) = 2 + below(4);
    weight(Family::kTasks) = 1 + below(4);
    weight(Family::kScopes) = 1 + below(4);
    weight(Family::kErrors) = below(3);
    for (int& favourite : favourites_) favourite = below(6);
    pushes_ = 1 + below(5);
  }

  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  bool one_in(int n) { return below(n) == 0; }
  template <class T>
  const T& one_of(const T* all, std::size_t count) {
    return all[random_() % count];
  }
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return one_of(all.data(), all.size());
  }

  Family family() {
    for (;;) {
      const auto family = static_cast<Family>(below(kFamilies));
      if (weight(family) > below(kMost)) return family;
    }
  }

  // Of so many of the family.
  int object(Family family, int count) {
    const int favourite = favourites_[static_cast<std::size_t>(family)];
    return (one_in(4) ? below(6) : favourite) % count;
  }

  bool pushes() { return below(6) < pushes_; }

  // Nanoseconds, few different ones.
  std::int64_t time() {
    static constexpr std::int64_t kTimes[] = {1,    500,  1000, 1000,   1000,      2000,
                                              2000, 3000, 5000, 10'000, 1'000'000, 3'000'000};
    return one_of(kTimes, std::size(kTimes));
  }
  std::int64_t time_or_none() { return one_in(8) ? 0 : time(); }

 private:
  static constexpr int kFamilies = static_cast<int>(Family::kCount);
  static constexpr int kMost = 6;

  int& weight(Family family) { return weights_[static_cast<std::size_t>(family)]; }

  std::mt19937_64 random_;
  std::array<int, kFamilies> weights_{};
  std::array<int, kFamilies> favourites_{};
  int pushes_ = 1;  // of six calls of queues that add or take
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_DICE_H_
