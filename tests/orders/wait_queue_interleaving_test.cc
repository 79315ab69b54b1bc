// Who waits, who wakes, who gives up and who destroys, in every order of their steps: see
// explorer.h.

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "tests/support/permits.h"
#include "weft/fiber/this_fiber.h"

BOOST_AUTO_TEST_SUITE(wait_queue_interleaving)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

enum class Actor { kFiber, kFiberForAWhile, kThreadForAWhile, kWaker, kCanceller };

constexpr std::array<const char*, 5> kNames{"a fiber waits", "a fiber waits for a while",
                                            "a thread waits for a while", "a thread wakes one",
                                            "a thread cancels the first fiber"};

using Cast = std::array<Actor, 3>;

std::size_t count(const Cast& cast, Actor actor) {
  return std::count(cast.begin(), cast.end(), actor);
}

// Whether somebody waits, somebody does something to it, and nobody has to wait for ever.
bool makes_sense(const Cast& cast) {
  const auto endless = count(cast, Actor::kFiber);
  const auto fibers = endless + count(cast, Actor::kFiberForAWhile);
  const auto wakers = count(cast, Actor::kWaker);
  const auto cancellers = count(cast, Actor::kCanceller);
  if (fibers + count(cast, Actor::kThreadForAWhile) == 0) return false;
  if (cancellers > std::min<std::size_t>(fibers, 1)) return false;
  return wakers > 0 || (cancellers > 0 && endless <= cancellers);
}

// Each scheduler has some sixty steps, which makes for many orders.
int preemptions(const Cast& cast) {
  const auto fibers = count(cast, Actor::kFiber) + count(cast, Actor::kFiberForAWhile);
  const auto waiters = fibers + count(cast, Actor::kThreadForAWhile);
  return waiters == 1 || fibers == 0 ? 2 : 1;
}

// Waiters for permits and those who release them. A permit is passed on as long as somebody waits
// without a limit. Whoever is last destroys the queue: a waiter, if all permits were taken, else
// the last to come back from it. All but `permits_` is known to the test only, and is no step.
class Play {
 public:
  explicit Play(const Cast& cast) {
    for (const Actor actor : cast) {
      if (actor == Actor::kWaker) {
        ++given_;
        ++releases_;
        threads_.push_back([this] { release(); });
      } else if (actor == Actor::kCanceller) {
        threads_.push_back([this] { fibers_.front()->cancel(); });
      } else {
        ++waits_;
        add_waiter(actor);
      }
    }
  }

  const std::vector<std::function<void()>>& threads() const { return threads_; }

  bool holds() const { return waits_ == 0 && !permits_ && taken_ + left_ == given_ && left_ >= 0; }

 private:
  struct Wait {
    bool endless;
    bool over = false;
  };

  void add_waiter(Actor actor) {
    auto wait = std::make_shared<Wait>(Wait{.endless = actor == Actor::kFiber});
    endless_ += wait->endless;
    if (actor == Actor::kThreadForAWhile) {
      threads_.push_back([this, wait] { acquire(*wait, kSoon); });
      return;
    }
    auto fiber = std::make_shared<ExploredFiber>(
        [this, wait] { acquire(*wait, wait->endless ? kForever : now() + 1ns); });
    fibers_.push_back(fiber);
    threads_.push_back([this, fiber, wait] {
      fiber->run();
      end(*wait);  // also if it never began
    });
  }

  void acquire(Wait& wait, TimePoint deadline) {
    struct End {
      Play& play;
      Wait& wait;
      ~End() { play.end(wait); }
    } const at_the_end{*this, wait};
    if (!permits_->acquire(deadline)) return;
    ++taken_;
    end(wait);
    if (endless_ > 0) {
      ++given_;
      ++releases_;
      release();
    }
  }

  void release() {
    permits_->release();
    --releases_;
    destroy_if_last();
  }

  void end(Wait& wait) {
    if (std::exchange(wait.over, true)) return;
    --waits_;
    endless_ -= wait.endless;
    destroy_if_last();
  }

  void destroy_if_last() {
    if (!permits_ || waits_ > 0) return;
    if (taken_ < given_) {
      if (releases_ > 0) return;
      left_ = permits_->nobody_waits() ? permits_->count() : -1;
    }
    permits_.reset();
  }

  std::optional<Permits> permits_{std::in_place};
  int waits_ = 0;     // that have not ended
  int endless_ = 0;   // of these, those without a limit
  int given_ = 0;     // permits, those to come included
  int releases_ = 0;  // that have not ended
  int taken_ = 0;
  int left_ = 0;
  std::vector<std::shared_ptr<ExploredFiber>> fibers_;
  std::vector<std::function<void()>> threads_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(whatever_three_do_to_a_wait_queue_nothing_is_lost) {
  constexpr std::array<Actor, 5> kActors{Actor::kFiber, Actor::kFiberForAWhile,
                                         Actor::kThreadForAWhile, Actor::kWaker, Actor::kCanceller};
  int casts = 0;
  for (const Actor first : kActors) {
    for (const Actor second : kActors) {
      for (const Actor third : kActors) {
        const Cast cast{first, second, third};
        if (first > second || second > third || !makes_sense(cast)) continue;
        ++casts;
        const auto name = [](Actor actor) { return kNames[static_cast<std::size_t>(actor)]; };
        BOOST_TEST_CONTEXT(name(first) << ", " << name(second) << ", " << name(third)) {
          BOOST_TEST_MESSAGE(name(first) << ", " << name(second) << ", " << name(third));
          check(
              [&] {
                auto play = std::make_shared<Play>(cast);
                return Scenario{.threads = play->threads(),
                                .holds = [play] { return play->holds(); }};
              },
              preemptions(cast));
        }
      }
    }
  }
  BOOST_TEST(casts == 15);
}

BOOST_AUTO_TEST_SUITE_END()
