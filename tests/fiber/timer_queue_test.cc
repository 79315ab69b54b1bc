#include "weft/fiber/core/timer_queue.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <random>
#include <vector>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(timer_queue)

using namespace weft;
using namespace weft::internal;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kNow{1000h};
constexpr auto kYear = 365 * 24h;

struct Ring : Timer {
  Ring() : Timer([](Timer& timer) noexcept { ++static_cast<Ring&>(timer).rings; }) {}
  int rings = 0;
};

// A queue, and beside it the same in a container known to be right.
// What a scheduler comes to that sleeps until nothing is early.
TimePoint earliest(TimerQueue& queue) {
  for (TimePoint at = queue.next_deadline();;) {
    if (at > TimePoint() && at < kForever) BOOST_REQUIRE(queue.pop_expired(at - 1ns) == nullptr);
    const TimePoint again = queue.next_deadline();
    if (again == at) return at;
    BOOST_REQUIRE((again > at));
    at = again;
  }
}

class Checked {
 public:
  void add(Ring& timer, TimePoint deadline) {
    queue_.add(timer, deadline);
    const auto place = model_.emplace(std::max(deadline, TimePoint()), &timer);
    BOOST_REQUIRE(timer.pending());
    BOOST_REQUIRE((timer.deadline() == place->first));
  }

  void remove(Ring& timer) {
    queue_.remove(timer);
    const auto [first, last] = model_.equal_range(timer.deadline());
    model_.erase(std::find_if(first, last, [&](auto& entry) { return entry.second == &timer; }));
    BOOST_REQUIRE(!timer.pending());
  }

  // Expires all that are due. Returns how many were.
  int pop(TimePoint now) {
    int popped = 0;
    for (; !model_.empty() && model_.begin()->first <= now; ++popped) {
      Timer* timer = queue_.pop_expired(now);
      BOOST_REQUIRE(timer == model_.begin()->second);
      BOOST_REQUIRE(!timer->pending());
      model_.erase(model_.begin());
    }
    BOOST_REQUIRE(queue_.pop_expired(now) == nullptr);
    return popped;
  }

  void check() {
    BOOST_REQUIRE(queue_.size() == model_.size());
    BOOST_REQUIRE(queue_.empty() == model_.empty());
  }
  void check_next() { BOOST_REQUIRE((earliest(queue_) == next())); }
  TimePoint next() const { return model_.empty() ? kForever : model_.begin()->first; }

 private:
  TimerQueue queue_;
  std::multimap<TimePoint, Ring*> model_;  // equal keys stay in the order of their insertion
};

// A duration whose order of magnitude is random too, from a nanosecond to centuries.
Duration any_duration(std::mt19937_64& random) {
  return Duration(static_cast<std::int64_t>(random() >> (2 + random() % 62)));
}

TimePoint any_deadline(std::mt19937_64& random, TimePoint now) {
  switch (random() % 16) {
    case 0:
      return now;
    case 1:
      return now - std::min<Duration>(any_duration(random), now.time_since_epoch());
    case 2:
      return kForever;
    case 3:
      return kPast;
    case 4:  // whole milliseconds: equal ones are likely
    case 5:
      return now + std::chrono::milliseconds(random() % 8);
    case 6:
      return deadline_after(now, std::chrono::milliseconds(random() % 100'000));
    default:
      return deadline_after(now, any_duration(random));
  }
}

void do_as_a_multimap_does(std::uint64_t seed, int steps) {
  std::mt19937_64 random(seed);
  const std::size_t count = 1 + random() % 300;
  const unsigned turn = 2 + static_cast<unsigned>(random() % 30);
  // Some keep to short steps, so that much stays pending; others go through centuries.
  const int longest = 20 + static_cast<int>(random() % 36);
  std::deque<Ring> timers(count);
  Checked queue;
  TimePoint now{Duration(random() >> (random() % 30 + 2))};
  for (int step = 0; step < steps; ++step) {
    Ring& timer = timers[random() % count];
    if (random() % turn == 0) {
      if (random() % 4 == 0 && queue.next() != kForever) {
        now = std::max(now, queue.next() - Duration(random() % 2));
      } else {
        const auto wait = static_cast<std::int64_t>(random() % (std::uint64_t{1} << longest));
        // To the year 2260 at most: nobody's clock shows the end of time.
        now = std::min(deadline_after(now, Duration(wait)), kForever - 2 * kYear);
      }
      queue.pop(now);
    } else if (timer.pending()) {
      queue.remove(timer);
    } else {
      queue.add(timer, any_deadline(random, now));
    }
    queue.check();
    if (random() % 4 == 0) queue.check_next();
  }
  for (Ring& timer : timers) {
    if (timer.pending()) queue.remove(timer);
  }
  queue.check();
  queue.check_next();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_queue_is_empty) {
  TimerQueue queue;
  BOOST_TEST(queue.empty());
  BOOST_TEST(queue.size() == 0u);
  BOOST_TEST((earliest(queue) == kForever));
  BOOST_TEST(queue.pop_expired(kNow) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_timer_expires_at_its_deadline_and_not_a_nanosecond_earlier) {
  for (const Duration wait : {Duration(0), Duration(1ns), Duration(1ms), Duration(1h),
                              Duration(kYear), Duration(200 * kYear)}) {
    TimerQueue queue;
    Ring ring;
    queue.add(ring, kNow + wait);
    BOOST_TEST(ring.pending());
    BOOST_TEST((earliest(queue) == kNow + wait));
    BOOST_TEST(queue.pop_expired(kNow + wait - 1ns) == nullptr);
    BOOST_TEST((earliest(queue) == kNow + wait));
    BOOST_TEST(queue.pop_expired(kNow + wait) == &ring);
    BOOST_TEST(!ring.pending());
    BOOST_TEST(queue.empty());
    BOOST_TEST(queue.pop_expired(kNow + wait) == nullptr);
  }
}

BOOST_AUTO_TEST_CASE(expiring_is_up_to_who_took_the_timer) {
  TimerQueue queue;
  Ring ring;
  queue.add(ring, kNow);
  Timer* popped = queue.pop_expired(kNow);
  BOOST_TEST(popped == &ring);
  BOOST_TEST(ring.rings == 0);
  popped->expire();
  BOOST_TEST(ring.rings == 1);
}

BOOST_AUTO_TEST_CASE(a_removed_timer_does_not_expire) {
  TimerQueue queue;
  Ring near, far;
  queue.add(near, kNow + 1ns);
  queue.add(far, kNow + 1h);
  queue.remove(near);
  BOOST_TEST(!near.pending());
  BOOST_TEST((earliest(queue) == kNow + 1h));
  queue.remove(far);
  BOOST_TEST(queue.empty());
  BOOST_TEST((earliest(queue) == kForever));
  BOOST_TEST(queue.pop_expired(kNow + 2h) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_timer_may_be_used_again) {
  TimerQueue queue;
  Ring ring;
  TimePoint now = kNow;
  for (int i = 0; i < 100; ++i) {
    queue.add(ring, now + 1s);
    if (i % 3 == 0) {
      queue.remove(ring);
      queue.add(ring, now + 7ms);
    }
    now += 1s;
    BOOST_TEST(queue.pop_expired(now) == &ring);
  }
}

BOOST_AUTO_TEST_CASE(a_past_deadline_is_due_at_once) {
  TimerQueue queue;
  (void)queue.pop_expired(kNow);
  Ring past, epoch, earlier;
  queue.add(earlier, kNow - 1ns);
  queue.add(past, kPast);
  queue.add(epoch, TimePoint());
  BOOST_TEST((earliest(queue) <= kNow));
  BOOST_TEST(queue.pop_expired(kNow) == &past);
  BOOST_TEST(queue.pop_expired(kNow) == &epoch);
  BOOST_TEST(queue.pop_expired(kNow) == &earlier);
}

BOOST_AUTO_TEST_CASE(equal_deadlines_expire_first_come_first_served) {
  // As seen from afar, and from within the last millisecond.
  for (const Duration ahead : {Duration(kYear), Duration(1h), Duration(70ms), Duration(3ms),
                               Duration(100ns), Duration(0)}) {
    BOOST_TEST_CONTEXT("added " << ahead.count() << " ns before") {
      TimerQueue queue;
      (void)queue.pop_expired(kNow - ahead);
      std::vector<Ring> rings(100);
      for (Ring& ring : rings) queue.add(ring, kNow);
      for (std::size_t i = 0; i < rings.size(); i += 7) queue.remove(rings[i]);
      for (std::size_t i = 0; i < rings.size(); i += 7) queue.add(rings[i], kNow);
      std::vector<Timer*> expected, popped;
      for (std::size_t i = 0; i < rings.size(); ++i) {
        if (i % 7 != 0) expected.push_back(&rings[i]);
      }
      for (std::size_t i = 0; i < rings.size(); i += 7) expected.push_back(&rings[i]);
      while (Timer* timer = queue.pop_expired(kNow)) popped.push_back(timer);
      BOOST_TEST((popped == expected));
    }
  }
}

BOOST_AUTO_TEST_CASE(equal_deadlines_added_before_and_after_a_look_keep_their_order) {
  TimerQueue queue;
  Ring first, second, third;
  queue.add(first, kNow);
  BOOST_TEST((earliest(queue) == kNow));
  queue.add(second, kNow);
  BOOST_TEST(queue.pop_expired(kNow - 1ns) == nullptr);
  queue.add(third, kNow);
  BOOST_TEST(queue.pop_expired(kNow) == &first);
  BOOST_TEST(queue.pop_expired(kNow) == &second);
  BOOST_TEST(queue.pop_expired(kNow) == &third);
}

BOOST_AUTO_TEST_CASE(a_look_far_ahead_says_when_to_look_again) {
  TimerQueue queue;
  (void)queue.pop_expired(kNow);
  Ring far, near;
  queue.add(far, kNow + 1h + 1ns);
  BOOST_TEST((queue.next_deadline() > kNow));
  BOOST_TEST((queue.next_deadline() < kNow + 1h));
  queue.add(near, kNow + 1ns);
  BOOST_TEST((queue.next_deadline() == kNow + 1ns));
}

BOOST_AUTO_TEST_CASE(a_deadline_before_one_that_was_looked_at_comes_first) {
  TimerQueue queue;
  Ring late, early;
  queue.add(late, kNow + 10 * kYear);
  BOOST_TEST((earliest(queue) == kNow + 10 * kYear));
  queue.add(early, kNow);
  BOOST_TEST((earliest(queue) == kNow));
  BOOST_TEST(queue.pop_expired(kNow) == &early);
  BOOST_TEST(queue.pop_expired(kNow) == nullptr);
  BOOST_TEST((earliest(queue) == kNow + 10 * kYear));
}

BOOST_AUTO_TEST_CASE(a_timer_for_the_end_of_time_never_expires) {
  for (const Duration before : {Duration(0), Duration(1ns), Duration(1ms)}) {
    TimerQueue queue;
    Ring never, soon;
    queue.add(never, kForever - before);
    BOOST_TEST((earliest(queue) >= kForever - 1ms));
    BOOST_TEST((earliest(queue) >= kForever - 1ms));
    BOOST_TEST(queue.pop_expired(kNow) == nullptr);
    queue.add(soon, kNow);
    BOOST_TEST((earliest(queue) == kNow));
    BOOST_TEST(queue.pop_expired(kNow) == &soon);
    BOOST_TEST(queue.pop_expired(kNow + 200 * kYear) == nullptr);
    BOOST_TEST(never.pending());
    queue.remove(never);
    BOOST_TEST((earliest(queue) == kForever));
  }
}

BOOST_AUTO_TEST_CASE(it_does_as_a_multimap_does) {
#if defined(WEFT_VALGRIND)
  constexpr std::uint64_t kSeeds = 4;
#else
  constexpr std::uint64_t kSeeds = 40;
#endif
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) { do_as_a_multimap_does(seed, 3'000); }
  }
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_pending_leave_nothing) {
  constexpr std::uint64_t kSeed = 1;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    std::mt19937_64 random(kSeed);
    std::vector<Ring> rings(100'000);
    std::vector<Ring*> order;
    for (Ring& ring : rings) order.push_back(&ring);
    TimerQueue queue;
    TimePoint now = kNow;
    for (const bool look_between : {false, true}) {
      for (Ring& ring : rings) {
        queue.add(ring, now + Duration(random() % Duration(1h).count()));
        if (look_between && random() % 1000 == 0) (void)queue.next_deadline();
      }
      BOOST_TEST(queue.size() == rings.size());
      std::shuffle(order.begin(), order.end(), random);
      for (Ring* ring : order) {
        queue.remove(*ring);
        if (look_between && random() % 1000 == 0) (void)queue.next_deadline();
      }
      BOOST_TEST(queue.empty());
      BOOST_TEST((earliest(queue) == kForever));
      now += 2h;
      BOOST_TEST(queue.pop_expired(now) == nullptr);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_expire_in_order) {
  constexpr std::uint64_t kSeed = 2;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    std::mt19937_64 random(kSeed);
    std::vector<Ring> rings(100'000);
    TimerQueue queue;
    for (Ring& ring : rings) queue.add(ring, kNow + Duration(random() % Duration(1h).count()));
    std::size_t popped = 0;
    TimePoint last = kPast;
    for (TimePoint now = kNow; now <= kNow + 1h; now += 777ms) {
      while (Timer* timer = queue.pop_expired(now)) {
        ++popped;
        BOOST_REQUIRE((timer->deadline() >= last));
        BOOST_REQUIRE((timer->deadline() <= now));
        BOOST_REQUIRE((timer->deadline() > now - 777ms));
        last = timer->deadline();
      }
    }
    while (queue.pop_expired(kNow + 1h)) ++popped;
    BOOST_TEST(popped == rings.size());
    BOOST_TEST(queue.empty());
  }
}

BOOST_AUTO_TEST_SUITE_END()
