// What threads and fibers do to a SharedMutex, in every order of their steps: see explorer.h.

#include <mutex>
#include <optional>
#include <shared_mutex>

#include "tests/orders/explored_check.h"
#include "tests/orders/explored_scheduler.h"
#include "tests/support/check.h"
#include "weft/fiber/core/atomic.h"
#include "weft/sync/shared_mutex.h"

BOOST_AUTO_TEST_SUITE(shared_mutex_interleaving)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;

namespace {

struct SharedMutexState {
  SharedMutex mutex;
  Atomic<int> readers{0};
  Atomic<int> writers{0};
  bool wrong = false;

  void read() {
    const std::shared_lock lock(mutex);
    use_shared();
  }
  void try_to_read() {
    if (const std::shared_lock lock(mutex, std::try_to_lock); lock) use_shared();
  }
  void write(TimePoint deadline) {
    if (const std::unique_lock lock(mutex, deadline); lock) use();
  }
  void try_to_write() {
    if (const std::unique_lock lock(mutex, std::try_to_lock); lock) use();
  }
  void use_shared() {
    readers.fetch_add(1, std::memory_order_relaxed);
    wrong |= writers.load(std::memory_order_relaxed) != 0;
    readers.fetch_sub(1, std::memory_order_relaxed);
  }
  void use() {
    wrong |= writers.fetch_add(1, std::memory_order_relaxed) != 0;
    wrong |= readers.load(std::memory_order_relaxed) != 0;
    writers.fetch_sub(1, std::memory_order_relaxed);
  }
  bool holds() { return !wrong && mutex.try_lock(); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(readers_and_writers_exclude_each_other_whoever_takes_the_offers_of_others) {
  using State = SharedMutexState;
  const auto read = [](State& state) { state.read(); };
  const auto write = [](State& state) { state.write(kForever); };
  const auto write_soon = [](State& state) { state.write(kSoon); };
  const auto try_to_read = [](State& state) { state.try_to_read(); };
  const auto try_to_write = [](State& state) { state.try_to_write(); };
  check<State>({write, write, try_to_read}, 2);
  check<State>({write, read, try_to_read}, 2);
  check<State>({write, read, try_to_write}, 2);
  check<State>({write, write_soon, try_to_read}, 2);
  check<State>({write, read, read, try_to_write}, 2);
  check<State>({write, write_soon, read, try_to_read}, 1);
}

BOOST_AUTO_TEST_CASE(a_writer_that_was_passed_over_and_is_cancelled_lets_in_the_reader_behind_it) {
  struct State : SharedMutexState {
    State() { mutex.lock_shared(); }
    ExploredFiber writer{[this] { write(kForever); }};
  };
  check<State>({[](State& state) { state.writer.run(); },
                [](State& state) {
                  state.mutex.unlock_shared();
                  state.try_to_read();
                  state.read();
                },
                [](State& state) { state.writer.cancel(); }},
               1);
}

BOOST_AUTO_TEST_CASE(a_reader_gets_in_though_the_writer_before_it_gives_up) {
  const auto read = [](SharedMutexState& state) { state.read(); };
  const auto write_soon = [](SharedMutexState& state) { state.write(kSoon); };
  check<SharedMutexState>({read, write_soon, read}, 2);
  check<SharedMutexState>({write_soon, write_soon, read}, 1);
}

// It need not wait for those who held the lock all the time.
BOOST_AUTO_TEST_CASE(a_reader_joins_others_once_the_writer_between_them_has_given_up) {
  struct State : SharedMutexState {
    State() { mutex.lock_shared(); }
  };
  check<State>({[](State& state) { state.write(kSoon); },
                [](State& state) {
                  state.read();
                  state.mutex.unlock_shared();
                }},
               4);
}

BOOST_AUTO_TEST_CASE(a_reader_gets_in_though_the_writer_before_it_is_cancelled) {
  struct State : SharedMutexState {
    State() { mutex.lock_shared(); }
    ExploredFiber writer{[this] { write(kForever); }};
  };
  check<State>({[](State& state) { state.writer.run(); },
                [](State& state) {
                  state.read();  // behind the writer, and the lock is released only afterwards
                  state.mutex.unlock_shared();
                },
                [](State& state) { state.writer.cancel(); }},
               2);
}

BOOST_AUTO_TEST_CASE(the_last_to_unlock_may_destroy_the_shared_mutex) {
  struct State {
    std::optional<SharedMutex> mutex{std::in_place};
    Atomic<int> users{2};
    void leave(void (SharedMutex::*unlock)()) {
      const bool last = users.fetch_sub(1, std::memory_order_relaxed) == 1;
      ((*mutex).*unlock)();
      if (last) mutex.reset();
    }
    bool holds() { return !mutex; }
  };
  const auto read = [](State& state) {
    state.mutex->lock_shared();
    state.leave(&SharedMutex::unlock_shared);
  };
  const auto read_later = [](State& state) {
    if (!state.mutex->try_lock_shared_until(kSoon)) state.mutex->lock_shared();
    state.leave(&SharedMutex::unlock_shared);
  };
  const auto write = [](State& state) {
    state.mutex->lock();
    state.leave(&SharedMutex::unlock);
  };
  const auto write_later = [](State& state) {
    if (!state.mutex->try_lock_until(kSoon)) state.mutex->lock();
    state.leave(&SharedMutex::unlock);
  };
  check<State>({read, write}, 4);
  check<State>({write, write}, 4);
  check<State>({read, write_later}, 3);
  check<State>({write, write_later}, 3);
  check<State>({write, read_later}, 3);
}

BOOST_AUTO_TEST_CASE(the_last_to_unlock_may_destroy_a_shared_mutex_whose_offers_were_taken) {
  struct State {
    std::optional<SharedMutex> mutex{std::in_place};
    Atomic<int> users{3};
    void leave(void (SharedMutex::*unlock)()) {
      const bool last = users.fetch_sub(1, std::memory_order_relaxed) == 1;
      ((*mutex).*unlock)();
      if (last) mutex.reset();
    }
    bool holds() { return !mutex; }
  };
  const auto write = [](State& state) {
    state.mutex->lock();
    state.leave(&SharedMutex::unlock);
  };
  const auto read = [](State& state) {
    state.mutex->lock_shared();
    state.leave(&SharedMutex::unlock_shared);
  };
  const auto try_to_read = [](State& state) {
    if (!state.mutex->try_lock_shared()) state.mutex->lock_shared();
    state.leave(&SharedMutex::unlock_shared);
  };
  const auto try_to_write = [](State& state) {
    if (!state.mutex->try_lock()) state.mutex->lock();
    state.leave(&SharedMutex::unlock);
  };
  check<State>({write, write, try_to_read}, 2);
  check<State>({write, write, try_to_write}, 2);
  check<State>({write, read, try_to_write}, 2);
}

BOOST_AUTO_TEST_SUITE_END()
