// What threads and fibers do to locks and the like, in every order of their steps: see explorer.h.

#include <mutex>
#include <optional>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "tests/support/permits.h"
#include "weft/fiber/cancel.h"
#include "weft/fiber/core/atomic.h"
#include "weft/sync/barrier.h"
#include "weft/sync/condition_variable.h"
#include "weft/sync/event.h"
#include "weft/sync/latch.h"
#include "weft/sync/mutex.h"
#include "weft/sync/once.h"
#include "weft/sync/semaphore.h"

BOOST_AUTO_TEST_SUITE(sync_interleaving)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;

namespace {

// What a lock guards. Others may come between the reading and the writing.
class Number {
 public:
  void add() { word_.store(get() + 1, std::memory_order_relaxed); }
  int get() { return word_.load(std::memory_order_relaxed); }

 private:
  Atomic<int> word_{0};
};

}  // namespace

// ---- Mutex --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_mutex_admits_one_at_a_time_whoever_gives_up) {
  struct State {
    Mutex mutex;
    Number number;
    int locked = 0;
    bool holds() { return number.get() == locked && mutex.try_lock(); }
  };
  const auto lock = [](State& state) {
    const std::lock_guard lock(state.mutex);
    state.number.add();
    ++state.locked;
  };
  const auto lock_soon = [](State& state) {
    const std::unique_lock lock(state.mutex, kSoon);
    if (!lock) return;
    state.number.add();
    ++state.locked;
  };
  check<State>({lock, lock, lock_soon}, 2);
}

BOOST_AUTO_TEST_CASE(a_fiber_that_is_cancelled_does_not_get_the_mutex) {
  struct State {
    Mutex mutex;
    Number number;
    int locked = 0;
    ExploredFiber fiber{[this] { lock(); }};
    void lock() {
      const std::lock_guard lock(mutex);
      number.add();
      ++locked;
    }
    bool holds() { return number.get() == locked && mutex.try_lock(); }
  };
  check<State>({[](State& state) { state.fiber.run(); }, [](State& state) { state.lock(); },
                [](State& state) { state.fiber.cancel(); }},
               2);
}

namespace {

// A mutex that the last of its users destroys.
template <int kUsers>
struct Destroyed {
  std::optional<Mutex> mutex{std::in_place};
  int users = kUsers;
  void use() {
    mutex->lock();
    unlock();
  }
  void unlock() {
    const bool last = --users == 0;
    mutex->unlock();
    if (last) mutex.reset();
  }
  bool holds() { return !mutex; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_last_to_unlock_may_destroy_the_mutex) {
  using State = Destroyed<2>;
  const auto use = [](State& state) { state.use(); };
  // Leaves a mutex that others take for contended.
  const auto use_later = [](State& state) {
    if (!state.mutex->try_lock_until(kSoon)) state.mutex->lock();
    state.unlock();
  };
  check<State>({use, use}, 4);
  check<State>({use, use_later}, 4);
}

// What is offered to a waiter that has not run since is accepted by it, or taken by a try; then it
// is offered again, or the waiter waits again, or gives up.
BOOST_AUTO_TEST_CASE(a_mutex_admits_one_at_a_time_whoever_takes_the_offers_of_others) {
  struct State {
    Mutex mutex;
    Number number;
    int locked = 0;
    bool wrong = false;
    void use() {
      wrong |= !mutex.is_held();
      number.add();
      ++locked;
    }
    void lock() {
      const std::lock_guard lock(mutex);
      use();
    }
    void lock_soon() {
      const std::unique_lock lock(mutex, kSoon);
      if (lock) use();
    }
    void try_twice() {
      for (int turn = 0; turn < 2; ++turn) {
        const std::unique_lock lock(mutex, std::try_to_lock);
        if (lock) use();
      }
    }
    bool holds() { return !wrong && number.get() == locked && mutex.try_lock(); }
  };
  const auto lock = [](State& state) { state.lock(); };
  const auto lock_soon = [](State& state) { state.lock_soon(); };
  const auto try_twice = [](State& state) { state.try_twice(); };
  check<State>({lock, lock, try_twice}, 2);
  check<State>({lock, lock_soon, try_twice}, 2);
  struct StateOfFiber : State {
    ExploredFiber fiber{[this] { lock(); }};
  };
  check<StateOfFiber>({[](StateOfFiber& state) { state.fiber.run(); },
                       [](StateOfFiber& state) {
                         state.lock();
                         state.try_twice();
                       },
                       [](StateOfFiber& state) { state.fiber.cancel(); }},
                      1);
}

BOOST_AUTO_TEST_CASE(two_mutexes_can_be_locked_in_opposite_orders) {
  struct State {
    Mutex a, b;
    Number number;
    int locked = 0;
    void lock(Mutex& first, Mutex& second) {
      const std::scoped_lock both(first, second);
      number.add();
      ++locked;
    }
    bool holds() { return number.get() == locked && a.try_lock() && b.try_lock(); }
  };
  const auto lock = [](State& state) { state.lock(state.a, state.b); };
  const auto lock_in_reverse = [](State& state) { state.lock(state.b, state.a); };
  check<State>({lock, lock_in_reverse}, 3);
  check<State>({lock, lock_in_reverse, lock}, 1);
}

BOOST_AUTO_TEST_CASE(the_last_to_unlock_may_destroy_a_mutex_whose_offers_were_taken) {
  using State = Destroyed<3>;
  const auto use = [](State& state) { state.use(); };
  const auto try_first = [](State& state) {
    if (!state.mutex->try_lock()) state.mutex->lock();
    state.unlock();
  };
  check<State>({use, use, try_first}, 2);
  check<State>({use, try_first, try_first}, 2);
}

// ---- ConditionVariable --------------------------------------------------------------------------

namespace {

struct ConditionState {
  Mutex mutex;
  ConditionVariable changed;
  int items = 0;
  bool wrong = false;

  // Whoever is notified without use for it passes it on.
  void look(TimePoint deadline) {
    std::unique_lock lock(mutex);
    try {
      if (changed.wait_until(lock, deadline) == std::cv_status::no_timeout) changed.notify_one();
    } catch (const Cancelled&) {
      wrong |= !mutex.is_held();
      throw;
    }
    wrong |= !mutex.is_held();
  }
  void take() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return items > 0; });
    --items;
  }
  void put() {
    {
      const std::lock_guard lock(mutex);
      ++items;
    }
    changed.notify_one();
  }
  bool holds() { return !wrong && items == 0 && mutex.try_lock(); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_timeout_takes_no_notification_away) {
  check<ConditionState>(
      {[](ConditionState& state) { state.look(kSoon); },
       [](ConditionState& state) { state.take(); }, [](ConditionState& state) { state.put(); }},
      1);
}

BOOST_AUTO_TEST_CASE(a_cancellation_takes_no_notification_away) {
  struct State : ConditionState {
    ExploredFiber looking{[this] { look(kForever); }};
  };
  const auto look = [](State& state) { state.looking.run(); };
  const auto take = [](State& state) { state.take(); };
  check<State>({look, take,
                [](State& state) {
                  state.put();
                  state.looking.cancel();
                }},
               1);
  check<State>({look, take,
                [](State& state) {
                  state.looking.cancel();
                  state.put();
                }},
               1);
}

BOOST_AUTO_TEST_CASE(who_was_notified_may_destroy_the_condition_variable) {
  struct State {
    Mutex mutex;
    std::optional<ConditionVariable> changed{std::in_place};
    Atomic<bool> locked{false};
    void await_waiter() {
      while (!locked.load(std::memory_order_relaxed)) let_others_run();
      const std::lock_guard lock(mutex);
    }
    bool holds() { return !changed; }
  };
  const auto wait = [](State& state) {
    std::unique_lock lock(state.mutex);
    state.locked.store(true, std::memory_order_relaxed);
    state.changed->wait(lock);
    state.changed.reset();
  };
  check<State>({wait,
                [](State& state) {
                  state.await_waiter();
                  state.changed->notify_one();
                }},
               3);
  check<State>({wait,
                [](State& state) {
                  state.await_waiter();
                  state.changed->notify_all();
                }},
               3);
}

// ---- Semaphore ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_timeout_takes_no_permit) {
  struct State {
    Semaphore semaphore{0};
    bool holds() { return !semaphore.try_acquire(); }
  };
  check<State>({[](State& state) { state.semaphore.acquire(); },
                [](State& state) {
                  if (state.semaphore.try_acquire_until(kSoon)) state.semaphore.release();
                },
                [](State& state) { state.semaphore.release(); }},
               2);
}

BOOST_AUTO_TEST_CASE(a_cancellation_takes_no_permit) {
  struct State {
    Semaphore semaphore{0};
    int got = 0;
    ExploredFiber fiber{[this] {
      semaphore.acquire();
      ++got;
    }};
    bool holds() { return got + semaphore.try_acquire() == 1 && !semaphore.try_acquire(); }
  };
  check<State>(
      {[](State& state) { state.fiber.run(); }, [](State& state) { state.semaphore.release(); },
       [](State& state) { state.fiber.cancel(); }},
      2);
}

BOOST_AUTO_TEST_CASE(no_permit_is_lost_whoever_takes_the_offers_of_others) {
  struct State {
    Semaphore semaphore{1};
    Atomic<int> holders{0};
    bool wrong = false;
    void use() {
      wrong |= holders.fetch_add(1, std::memory_order_relaxed) != 0;
      holders.fetch_sub(1, std::memory_order_relaxed);
      semaphore.release();
    }
    void acquire(TimePoint deadline) {
      if (semaphore.try_acquire_until(deadline)) use();
    }
    void try_twice() {
      for (int turn = 0; turn < 2; ++turn) {
        if (semaphore.try_acquire()) use();
      }
    }
    bool holds() { return !wrong && semaphore.try_acquire() && !semaphore.try_acquire(); }
  };
  const auto acquire = [](State& state) { state.acquire(kForever); };
  const auto acquire_soon = [](State& state) { state.acquire(kSoon); };
  const auto try_twice = [](State& state) { state.try_twice(); };
  check<State>({acquire, acquire, try_twice}, 2);
  check<State>({acquire, acquire_soon, try_twice}, 2);
  struct StateOfFiber : State {
    ExploredFiber fiber{[this] { acquire(kForever); }};
  };
  check<StateOfFiber>({[](StateOfFiber& state) { state.fiber.run(); },
                       [](StateOfFiber& state) {
                         state.acquire(kForever);
                         state.try_twice();
                       },
                       [](StateOfFiber& state) { state.fiber.cancel(); }},
                      1);
}

BOOST_AUTO_TEST_CASE(several_permits_go_to_those_who_acquire_and_those_who_try) {
  struct State {
    Semaphore semaphore{0};
    Atomic<int> taken{0};
    void acquire() {
      semaphore.acquire();
      taken.fetch_add(1, std::memory_order_relaxed);
    }
    bool holds() {
      return taken.load(std::memory_order_relaxed) == 2 && semaphore.try_acquire() &&
             !semaphore.try_acquire();
    }
  };
  const auto acquire = [](State& state) { state.acquire(); };
  check<State>({acquire, acquire,
                [](State& state) {
                  state.semaphore.release(2);
                  if (state.semaphore.try_acquire()) state.semaphore.release();
                  state.semaphore.release();
                }},
               1);
}

BOOST_AUTO_TEST_CASE(the_last_to_release_may_destroy_a_semaphore_whose_offers_were_taken) {
  struct State {
    std::optional<Semaphore> semaphore{std::in_place, 1};
    int users = 3;
    void leave() {
      const bool last = --users == 0;
      if (!last) return semaphore->release();
      semaphore.reset();
    }
    bool holds() { return !semaphore; }
  };
  const auto use = [](State& state) {
    state.semaphore->acquire();
    state.leave();
  };
  const auto try_first = [](State& state) {
    if (!state.semaphore->try_acquire()) state.semaphore->acquire();
    state.leave();
  };
  check<State>({use, use, try_first}, 2);
  check<State>({use, try_first, try_first}, 2);
}

BOOST_AUTO_TEST_CASE(who_takes_the_last_permit_may_destroy_the_semaphore) {
  struct State {
    std::optional<Semaphore> semaphore{std::in_place, 0};
    int taken = 0;
    bool holds() { return !semaphore; }
  };
  const auto acquire = [](State& state) {
    state.semaphore->acquire();
    if (++state.taken == 2) state.semaphore.reset();
  };
  check<State>({acquire, acquire, [](State& state) { state.semaphore->release(2); }}, 2);
  check<State>({[](State& state) {
                  state.semaphore->acquire();
                  state.semaphore->acquire();
                  state.semaphore.reset();
                },
                [](State& state) { state.semaphore->release(); },
                [](State& state) { state.semaphore->release(); }},
               2);
  check<State>({[](State& state) {
                  // Leaves a semaphore that release() takes for contended.
                  if (!state.semaphore->try_acquire_until(kSoon)) {
                    while (!state.semaphore->try_acquire()) let_others_run();
                  }
                  state.semaphore.reset();
                },
                [](State& state) { state.semaphore->release(); }},
               4);
}

// ---- Event --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(no_set_is_missed_though_the_event_is_cleared_in_between) {
  struct State {
    Event event;
    bool holds() { return event.is_set(); }
  };
  const auto wait = [](State& state) { state.event.wait(); };
  const auto wait_soon = [](State& state) { state.event.wait_until(kSoon); };
  const auto set = [](State& state) {
    state.event.set();
    state.event.clear();
    state.event.set();
  };
  check<State>({wait, wait_soon, set}, 1);
  check<State>({wait, wait, [](State& state) { state.event.set(); }}, 2);
  check<State>(
      {wait, [](State& state) { state.event.set(); }, [](State& state) { state.event.set(); }}, 2);
}

BOOST_AUTO_TEST_CASE(who_saw_it_set_may_destroy_the_event) {
  struct State {
    std::optional<Event> event{std::in_place};
    int users = 1;
    void leave() {
      if (--users == 0) event.reset();
    }
    bool holds() { return !event; }
  };
  struct StateOfTwo : State {
    StateOfTwo() { users = 2; }
  };
  const auto set = [](State& state) { state.event->set(); };
  check<State>({set,
                [](State& state) {
                  while (!state.event->is_set()) let_others_run();
                  state.leave();
                }},
               4);
  check<State>({set,
                [](State& state) {
                  state.event->wait();
                  state.leave();
                }},
               4);
  check<State>({set,
                [](State& state) {
                  // Leaves an event that set() takes for contended.
                  if (!state.event->wait_until(kSoon)) {
                    while (!state.event->is_set()) let_others_run();
                  }
                  state.leave();
                }},
               4);
  const auto wait = [](StateOfTwo& state) {
    state.event->wait();
    state.leave();
  };
  const auto wait_soon = [](StateOfTwo& state) {
    if (!state.event->wait_until(kSoon)) state.event->wait();
    state.leave();
  };
  check<StateOfTwo>({wait, wait_soon, [](StateOfTwo& state) { state.event->set(); }}, 1);
}

// ---- Barrier ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(whoever_waited_at_it_may_destroy_the_barrier) {
  struct State {
    std::optional<Barrier> barrier{std::in_place, 3};
    int passed = 0;
    int last = 0;
    bool holds() { return !barrier && last == 1; }
  };
  const auto arrive = [](State& state) {
    state.last += state.barrier->arrive_and_wait();
    if (++state.passed == 3) state.barrier.reset();
  };
  check<State>({arrive, arrive, arrive}, 2);
}

// Who is cancelled has not arrived, or the barrier has opened; in both cases it is as new.
BOOST_AUTO_TEST_CASE(a_cancellation_and_the_last_arrival_agree) {
  struct Party {
    explicit Party(Barrier& its_barrier) : barrier(its_barrier) {}
    Barrier& barrier;
    bool passed = false;
    bool was_last = false;
    ExploredFiber fiber{[this] {
      was_last = barrier.arrive_and_wait();
      passed = true;
    }};
  };
  struct State {
    Barrier barrier{2};
    Party first{barrier};
    Party second{barrier};
    Permits second_ended;
    bool holds() {
      if (!second.passed) return !first.passed;
      return first.passed ? first.was_last != second.was_last : second.was_last;
    }
  };
  check<State>({[](State& state) {
                  state.first.fiber.run();
                  if (!state.first.passed) state.second.fiber.cancel();
                  state.second_ended.acquire();
                  state.barrier.arrive_and_wait();
                },
                [](State& state) {
                  state.second.fiber.run();
                  state.second_ended.release();
                  state.barrier.arrive_and_wait();
                },
                [](State& state) { state.first.fiber.cancel(); }},
               1);
}

// ---- Latch --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(whoever_saw_it_open_may_destroy_the_latch) {
  struct State {
    std::optional<Latch> latch{std::in_place, 2};
    bool holds() { return !latch; }
  };
  const auto count_down = [](State& state) { state.latch->count_down(); };
  check<State>({count_down, count_down,
                [](State& state) {
                  while (!state.latch->try_wait()) let_others_run();
                  state.latch.reset();
                }},
               2);
  check<State>({count_down, count_down,
                [](State& state) {
                  if (!state.latch->wait_until(kSoon)) state.latch->wait();
                  state.latch.reset();
                }},
               2);
}

BOOST_AUTO_TEST_CASE(whoever_arrived_and_waited_may_destroy_the_latch) {
  struct State {
    std::optional<Latch> latch{std::in_place, 3};
    int passed = 0;
    bool holds() { return !latch; }
  };
  const auto arrive = [](State& state) {
    state.latch->arrive_and_wait();
    if (++state.passed == 3) state.latch.reset();
  };
  check<State>({arrive, arrive, arrive}, 2);
}

BOOST_AUTO_TEST_CASE(a_cancelled_waiter_takes_no_arrival_from_the_latch) {
  struct State {
    Latch latch{2};
    bool passed = false;
    ExploredFiber fiber{[this] {
      latch.arrive_and_wait();
      passed = true;
    }};
    bool holds() { return latch.try_wait() || !passed; }
  };
  check<State>(
      {[](State& state) {
         state.fiber.run();
         state.latch.wait_until(kSoon);
       },
       [](State& state) { state.latch.count_down(); }, [](State& state) { state.fiber.cancel(); }},
      2);
}

// ---- Once ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_function_is_called_once_whoever_fails) {
  struct State {
    Once once;
    Number number;
    int failures = 0;
    bool wrong = false;
    void call(bool fail) {
      try {
        call_once(once, [&] {
          if (fail) throw ++failures;
          number.add();
        });
        wrong |= !once.done() || number.get() != 1;
      } catch (int) {
      }
    }
    bool holds() { return !wrong && once.done() && number.get() == 1 && failures <= 1; }
  };
  const auto call = [](State& state) { state.call(false); };
  const auto fail = [](State& state) { state.call(true); };
  check<State>({call, call, fail}, 2);
}

BOOST_AUTO_TEST_CASE(a_fiber_that_is_cancelled_lets_others_call_the_function) {
  struct State {
    Once once;
    Number number;
    int calls = 0;
    ExploredFiber fiber{[this] { call(); }};
    void call() {
      call_once(once, [&] {
        number.add();
        ++calls;
      });
    }
    bool holds() { return once.done() && calls == 1 && number.get() == 1; }
  };
  check<State>({[](State& state) { state.fiber.run(); }, [](State& state) { state.call(); },
                [](State& state) { state.fiber.cancel(); }},
               2);
}

BOOST_AUTO_TEST_SUITE_END()
