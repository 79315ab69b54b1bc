#ifndef WEFT_TESTS_FAULTS_FAULTY_PORT_H_
#define WEFT_TESTS_FAULTS_FAULTY_PORT_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>

#include "weft/fiber/core/port.h"
#include "weft/fiber/core/thread_port.h"
#include "weft/fiber/time.h"

namespace weft::faults {

// What a port may do at worst, as far as it keeps the words of port.h.
enum class Trick {
  kNone,
  kReturnsAtOnce,  // has not waited
  kReturnsEarly,   // has waited, but not for long
  kClaimsAnEvent,  // that did not come
  kIsWoken,        // though nobody did
  kComesLate,      // as where the machine has something else to do
};
constexpr int kTricks = 6;

// A port that plays tricks on its scheduler: from a seed, or a certain one at a certain call.
class FaultyPort final : public internal::Port {
 public:
  // At each call one that is drawn.
  explicit FaultyPort(std::uint64_t seed) : random_(seed) {}
  // This one at the `turn`-th call.
  FaultyPort(Trick trick, int turn) : trick_(trick), turn_(turn) {}

  TimePoint now() const noexcept override { return port_.now(); }

  bool wait(TimePoint deadline) override {
    return play(deadline, [this](TimePoint until) { return port_.wait(until); });
  }
  bool pending(TimePoint deadline) override {
    // Any thread may look, and then it is no turn of ours.
    if (deadline == kPast) return port_.pending(kPast);
    return play(deadline, [this](TimePoint until) { return port_.pending(until); });
  }
  void wake() noexcept override { port_.wake(); }

  int played() const noexcept { return played_; }

 private:
  template <class Wait>
  bool play(TimePoint deadline, Wait wait) {
    constexpr Duration kShort = std::chrono::microseconds(50);
    const Trick trick = next();
    if (trick != Trick::kNone) ++played_;
    switch (trick) {
      case Trick::kReturnsAtOnce:
        return false;
      case Trick::kReturnsEarly:
        return wait(std::min(deadline, now() + kShort));
      case Trick::kClaimsAnEvent:
        wait(std::min(deadline, now() + kShort));
        return true;
      case Trick::kIsWoken:
        port_.wake();
        return wait(deadline);
      case Trick::kComesLate: {
        const bool came = wait(deadline);
        for (const TimePoint end = now() + kShort; now() < end;) continue;
        return came;
      }
      case Trick::kNone:
        break;
    }
    return wait(deadline);
  }

  Trick next() {
    if (turn_ > 0) return ++calls_ == turn_ ? trick_ : Trick::kNone;
    return static_cast<Trick>(random_() % kTricks);
  }

  internal::ThreadPort port_;
  std::minstd_rand random_{1};
  const Trick trick_ = Trick::kNone;
  const int turn_ = 0;
  int calls_ = 0;
  int played_ = 0;
};

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_FAULTY_PORT_H_
