// A select of three cases, and what two other threads do to it, in every order of their steps: see
// explorer.h.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "weft/sync/select.h"

BOOST_AUTO_TEST_SUITE(select_interleaving)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// What another thread does. The first three make a case ready, as both closings do.
enum class Act { kPush, kPop, kRelease, kClosePopped, kClosePushed, kTryAcquire, kCancel };

constexpr std::array kActs{Act::kPush,        Act::kPop,        Act::kRelease, Act::kClosePopped,
                           Act::kClosePushed, Act::kTryAcquire, Act::kCancel};

constexpr std::array<const char*, 7> kNames{"pushes an item",           "pops, which makes room",
                                            "releases a permit",        "closes what is popped",
                                            "closes what is pushed to", "tries to acquire a permit",
                                            "cancels the fiber"};

bool makes_ready(Act act) { return act < Act::kTryAcquire; }

enum class Selecting { kFiber, kFiberForAWhile, kThreadForAWhile };

// With two preemptions there are 300,000 orders of each kind. So two are tried where most can
// happen, and by no sanitizer; and TSan tries that kind alone, beside a push.
#if defined(WEFT_TSAN)
constexpr std::array kSelecting{Selecting::kFiberForAWhile};
constexpr std::array kFirst{Act::kPush};
#else
constexpr std::array kSelecting{Selecting::kFiber, Selecting::kFiberForAWhile,
                                Selecting::kThreadForAWhile};
constexpr auto kFirst = kActs;
#endif

int preemptions([[maybe_unused]] Selecting selecting) {
#if defined(WEFT_ASAN)
  return 1;
#else
  return selecting == Selecting::kFiberForAWhile ? 2 : 1;
#endif
}

// The cases: to pop from an empty queue, to push to a full one, to acquire a permit.
class Play {
 public:
  Play(Selecting selecting, const std::array<Act, 2>& acts) {
    pushed_.push(5);
    if (selecting == Selecting::kThreadForAWhile) {
      threads_.push_back([this] { select_until(1h); });
    } else {
      const Duration time = selecting == Selecting::kFiber ? Duration::max() : Duration(1);
      fiber_.emplace([this, time] { select_until(time); });
      threads_.push_back([this] { fiber_->run(); });
    }
    for (const Act act : acts) threads_.push_back([this, act] { do_to_it(act); });
  }

  const std::vector<std::function<void()>>& threads() const { return threads_; }

  // Nothing is lost, nothing was taken twice, and nothing waits any more.
  bool holds() {
    while (popped_.try_pop()) --pushes_;
    int values = 0;
    while (const auto value = pushed_.try_pop()) values += *value;
    int permits = 0;
    while (semaphore_.try_acquire()) ++permits;
    return pushes_ == (item_ ? 1 : 0) && values + popped_value_ == 5 + (chosen_ == 1 ? 9 : 0) &&
           permits + permits_taken_ + (chosen_ == 2 ? 1 : 0) == permits_released_ &&
           (!item_ || chosen_ == 0) && nothing_waits();
  }

 private:
  void select_until(Duration time) {
    try {
      chosen_ = static_cast<int>(
          weft::select(on_pop(popped_, item_), on_push(pushed_, 9), on(semaphore_), after(time)));
    } catch (const QueueClosed&) {
    }
  }

  void do_to_it(Act act) {
    switch (act) {
      case Act::kPush:
        ++pushes_;
        try {
          popped_.push(1);
        } catch (const QueueClosed&) {
          --pushes_;
        }
        return;
      case Act::kPop:
        popped_value_ += pushed_.try_pop().value_or(0);
        return;
      case Act::kRelease:
        ++permits_released_;
        semaphore_.release();
        return;
      case Act::kClosePopped:
        return popped_.close();
      case Act::kClosePushed:
        return pushed_.close();
      case Act::kTryAcquire:
        if (semaphore_.try_acquire()) ++permits_taken_;
        return;
      case Act::kCancel:
        return fiber_->cancel();
    }
  }

  bool nothing_waits() {
    semaphore_.release();
    if (!semaphore_.try_acquire()) return false;
    if (popped_.is_closed()) return true;
    popped_.push(1);
    return popped_.try_pop().has_value();
  }

  Queue<int> popped_;
  Queue<int> pushed_{1};
  Semaphore semaphore_{0};
  std::optional<ExploredFiber> fiber_;
  std::vector<std::function<void()>> threads_;
  std::optional<int> item_;
  int chosen_ = -1;
  int pushes_ = 0, popped_value_ = 0, permits_released_ = 0, permits_taken_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(whatever_happens_at_most_one_case_is_done_and_nothing_is_lost) {
  for (const Selecting selecting : kSelecting) {
    for (const Act one : kFirst) {
      for (const Act two : kActs) {
        const bool cancels = one == Act::kCancel || two == Act::kCancel;
        if (two < one || (cancels && selecting == Selecting::kThreadForAWhile)) continue;
        // Something has to end a wait without a limit, and a try may take what was given.
        const bool ends = cancels || (makes_ready(one) && two != Act::kTryAcquire);
        if (selecting == Selecting::kFiber && !ends) continue;
        BOOST_TEST_CONTEXT(kNames[static_cast<std::size_t>(one)]
                           << ", " << kNames[static_cast<std::size_t>(two)]) {
          check(
              [&] {
                auto play = std::make_shared<Play>(selecting, std::array{one, two});
                return Scenario{play->threads(), [play] { return play->holds(); }};
              },
              preemptions(selecting));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
