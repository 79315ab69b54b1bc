#include "weft/sync/shared_mutex.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/child_process.h"
#include "tests/support/crowd.h"
#include "tests/support/fixture.h"
#include "tests/support/together.h"
#include "weft/fiber/core/loop.h"
#include "weft/sync/core/contended_word.h"

BOOST_AUTO_TEST_SUITE(shared_mutex)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using ReadLock = std::shared_lock<SharedMutex>;
using WriteLock = std::unique_lock<SharedMutex>;

bool is_free(SharedMutex& mutex) { return WriteLock(mutex, std::try_to_lock).owns_lock(); }
bool has_room_for_a_reader(SharedMutex& mutex) {
  return ReadLock(mutex, std::try_to_lock).owns_lock();
}

// Fibers that get in line one after the other, each for a second: who gets in is logged when it
// does, in capitals if exclusively. A '.' for each second that passes.
class Line {
 public:
  void come(char name) {
    spawn_now(group_, [this, name] {
      if (name < 'a') {
        const WriteLock lock(mutex);
        stay(name);
      } else {
        const ReadLock lock(mutex);
        stay(name);
      }
    });
  }
  std::string join() {
    group_.join();
    BOOST_TEST(is_free(mutex));
    return std::move(log);
  }

  SharedMutex mutex;
  std::string log;

 private:
  void stay(char name) {
    log += name;
    const TimePoint start = now();
    sleep_for(1s);
    if (start != last_) log += '.';
    last_ = start;
  }

  TimePoint last_ = kPast;
  TaskGroup group_;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(the_guards_of_the_standard_library_work) {
  SharedMutex mutex, other;
  {
    const std::lock_guard lock(mutex);
    BOOST_TEST(!has_room_for_a_reader(mutex));
  }
  {
    std::shared_lock lock(mutex);
    BOOST_TEST(has_room_for_a_reader(mutex));
    BOOST_TEST(!is_free(mutex));
    lock.unlock();
    BOOST_TEST(is_free(mutex));
    BOOST_TEST(lock.try_lock());
  }
  BOOST_TEST(ReadLock(mutex, 1s).owns_lock());
  BOOST_TEST(ReadLock(mutex, now() + 1s).owns_lock());
  BOOST_TEST(WriteLock(mutex, 1s).owns_lock());
  BOOST_TEST(WriteLock(mutex, now() + 1s).owns_lock());
  TaskGroup group;
  for (const bool swapped : {false, true}) {
    group.spawn([&, swapped] {
      for (int turn = 0; turn < 5; ++turn) {
        const std::scoped_lock lock(swapped ? mutex : other, swapped ? other : mutex);
        yield();
      }
    });
  }
  group.join();
  BOOST_TEST((is_free(mutex) && is_free(other)));
}

WEFT_SHUFFLED_TEST_CASE(many_may_read_or_one_write) {
  SharedMutex mutex;
  int readers = 0, writers = 0, most = 0, done = 0;
  TaskGroup group;
  for (int i = 0; i < 9; ++i) {
    group.spawn([&, i] {
      for (int turn = 0; turn < 4; ++turn) {
        if (i % 3) {
          const ReadLock lock(mutex);
          most = std::max(most, ++readers);
          BOOST_TEST(writers == 0);
          i % 2 ? yield() : sleep_for(1s);
          --readers;
        } else {
          const WriteLock lock(mutex);
          BOOST_TEST((readers == 0 && writers++ == 0));
          i % 2 ? yield() : sleep_for(1s);
          --writers;
        }
        ++done;
      }
    });
  }
  group.join();
  BOOST_TEST(most > 1);
  BOOST_TEST(done == 36);
  BOOST_TEST(is_free(mutex));
}

// ---- Order --------------------------------------------------------------------------------------

WEFT_TEST_CASE(first_come_first_served_and_neighbours_read_together) {
  Line line;
  for (const char name : std::string("abCdeFGhi")) line.come(name);
  BOOST_TEST(line.join() == "ab.C.de.F.G.hi.");
}

WEFT_SHUFFLED_TEST_CASE(nobody_overtakes) {
  SharedMutex mutex;
  ReadLock mine(mutex);
  BOOST_TEST(has_room_for_a_reader(mutex));
  auto writer = spawn_now([&] {
    const WriteLock lock(mutex);
    sleep_for(1s);
  });
  BOOST_TEST(!has_room_for_a_reader(mutex));  // there would be, but somebody waits
  auto reader = spawn_now([&] {
    const ReadLock lock(mutex);
    sleep_for(1s);
  });
  const TimePoint start = now();
  mine.unlock();
  // It was offered to the writer, though that has not run yet.
  BOOST_TEST((!mutex.try_lock_for(0s) && !mutex.try_lock_shared_for(0s)));
  mine.lock();
  BOOST_TEST((now() == start + 1s));
  mine.unlock();
  mutex.lock();
  BOOST_TEST((now() == start + 2s));
  mutex.unlock();
  writer.get();
  reader.get();
}

WEFT_SHUFFLED_TEST_CASE(readers_without_end_do_not_starve_a_writer) {
  SharedMutex mutex;
  TaskGroup readers;
  for (int i = 0; i < 4; ++i) {
    spawn_now(readers, [&, i] {
      sleep_for(i * 250ms);
      for (;;) {
        const ReadLock lock(mutex);
        sleep_for(1s);
      }
    });
  }
  sleep_for(10500ms);
  const TimePoint begin = now();
  mutex.lock();
  BOOST_TEST((now() - begin <= 1s));
  mutex.unlock();
}

// ---- Several at once, and offers ----------------------------------------------------------------

WEFT_ANY_ORDER_TEST_CASE(several_can_be_locked_in_any_order) {
  lock_two_in_opposite_orders<SharedMutex, SharedMutex>(7);
  lock_two_in_opposite_orders<SharedMutex, Permit>(7);
  lock_three_in_rotation<SharedMutex>();
  transfer_between_accounts<SharedMutex>();
  dine<SharedMutex>();
  back_off<SharedMutex>(true);
  back_off<SharedMutex>(false);
}

WEFT_ANY_ORDER_TEST_CASE(several_can_be_locked_in_any_order_each_shared_or_not) {
  std::array<Counted<SharedMutex>, 3> mutexes;
  std::array<int, 3> readers{}, writers{};
  int done = 0;
  TaskGroup group;
  for (std::size_t i = 0; i < 60; ++i) {
    group.spawn([&, i] {
      const std::size_t r = i % 3, w = (i + 1 + i / 3 % 2) % 3;
      std::shared_lock read(mutexes[r], std::defer_lock);
      std::unique_lock write(mutexes[w], std::defer_lock);
      i % 2 ? std::lock(read, write) : std::lock(write, read);
      ++readers[r];
      ++writers[w];
      BOOST_TEST((writers[w] == 1 && readers[w] == 0 && writers[r] == 0));
      sleep_for(1ms);
      --readers[r];
      --writers[w];
      ++done;
    });
  }
  group.join();
  BOOST_TEST(done == 60);
}

WEFT_ANY_ORDER_TEST_CASE(a_writer_takes_what_was_offered_to_readers_as_a_whole) {
  for (const bool heirs_run : {false, true}) {
    Line line;
    line.mutex.lock();
    for (const char name : std::string("ab")) line.come(name);
    line.come('C');
    line.come('d');
    line.mutex.unlock();
    BOOST_CHECK_THROW(line.mutex.unlock_shared(), std::logic_error);
    BOOST_TEST(line.mutex.try_lock());
    BOOST_TEST(!line.mutex.try_lock());
    BOOST_TEST(!line.mutex.try_lock_shared());
    if (heirs_run) run_until_blocked();
    BOOST_TEST(line.log == "");
    line.mutex.unlock();
    BOOST_CHECK_THROW(line.mutex.unlock(), std::logic_error);
    const std::string log = line.join();
    BOOST_TEST((log == "ab.C.d." || log == "ba.C.d."));
  }
}

WEFT_ANY_ORDER_TEST_CASE(what_one_of_the_readers_has_accepted_is_not_taken) {
  SharedMutex mutex;
  mutex.lock();
  bool others = false;
  auto first = spawn_now([&] {
    const ReadLock lock(mutex);
    BOOST_TEST(!mutex.try_lock());  // whether the other one has run or not
    sleep_for(1s);
  });
  auto second = spawn_now([&] {
    const ReadLock lock(mutex);
    BOOST_TEST(!mutex.try_lock());
    sleep_for(1s);
  });
  auto third = spawn_now([&] {
    const WriteLock lock(mutex);
    others = true;
  });
  mutex.unlock();
  first.get();
  second.get();
  third.get();
  BOOST_TEST(others);
  BOOST_TEST(is_free(mutex));
}

WEFT_ANY_ORDER_TEST_CASE(a_reader_joins_those_that_it_was_offered_to) {
  Line line;
  line.mutex.lock();
  line.come('a');
  line.come('B');
  line.mutex.unlock();
  BOOST_TEST(line.mutex.try_lock_shared());
  BOOST_TEST(!line.mutex.try_lock_shared());  // a writer waits, and it is no mere offer any more
  BOOST_TEST(!line.mutex.try_lock());
  run_until_blocked();
  BOOST_TEST(line.log == "a");
  sleep_for(2s);
  BOOST_TEST(line.log == "a.");
  line.mutex.unlock_shared();
  BOOST_TEST(line.join() == "a.B.");
}

WEFT_ANY_ORDER_TEST_CASE(a_reader_takes_what_was_offered_to_a_writer) {
  for (const bool heir_runs : {false, true}) {
    Line line;
    line.mutex.lock();
    line.come('A');
    line.come('b');
    line.mutex.unlock();
    BOOST_TEST(line.mutex.try_lock_shared());
    if (heir_runs) run_until_blocked();
    BOOST_TEST(!line.mutex.try_lock_shared());
    BOOST_TEST(!line.mutex.try_lock());
    line.mutex.unlock_shared();
    BOOST_TEST(line.join() == "A.b.");
  }
}

WEFT_ANY_ORDER_TEST_CASE(a_writer_that_was_passed_over_and_gives_up_lets_in_the_readers_behind_it) {
  for (const bool by_time : {false, true}) {
    SharedMutex mutex;
    bool read = false;
    mutex.lock();
    auto writer = spawn_now([&] {
      if (!by_time) mutex.lock();
      BOOST_TEST(!mutex.try_lock_for(1s));
    });
    auto reader = spawn_now([&] {
      const ReadLock lock(mutex);
      read = true;
    });
    mutex.unlock();
    BOOST_TEST(mutex.try_lock_shared());
    if (!by_time) writer.cancel();
    sleep_for(2s);
    BOOST_TEST((writer.done() && read));
    mutex.unlock_shared();
    reader.get();
    writer.wait();
    BOOST_TEST(is_free(mutex));
  }
}

WEFT_TEST_CASE(tries_without_end_pass_over_readers_and_writers_only_so_often) {
  for (const bool write : {false, true}) {
    SharedMutex mutex;
    int taken = 0, most = 0;
    mutex.lock();
    TaskGroup waiters;
    for (int i = 0; i < 2; ++i) {
      spawn_now(waiters, [&] {
        write ? mutex.lock() : mutex.lock_shared();
        most = std::max(most, taken);
        write ? mutex.unlock() : mutex.unlock_shared();
      });
    }
    const auto trying = keep_trying(mutex, taken);
    mutex.unlock();
    waiters.join();
    BOOST_TEST((most > 0 && most <= 2 * Heir::kMostPassedOver + 1));
  }
}

WEFT_ANY_ORDER_TEST_CASE(a_loop_of_tries_that_never_waits_does_not_hang_on_readers_of_its_thread) {
  SharedMutex mutex;
  mutex.lock();
  int read = 0;
  TaskGroup readers;
  for (int i = 0; i < 20; ++i) {
    spawn_now(readers, [&] {
      const ReadLock lock(mutex);
      ++read;
    });
  }
  for (int times = 0; times < Heir::kMostPassedOver; ++times) {
    mutex.unlock();
    BOOST_TEST(mutex.try_lock());
    run_until_blocked();
  }
  mutex.unlock();
  BOOST_TEST(!mutex.try_lock());
  BOOST_TEST(mutex.try_lock());
  run_until_blocked();
  BOOST_TEST(read == 0);
  mutex.unlock();
  readers.join();
  BOOST_TEST(read == 20);
  BOOST_TEST(is_free(mutex));
}

// ---- Timeouts and cancellation ------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_try_ends_when_its_time_is_over_and_not_before) {
  SharedMutex mutex;
  const TimePoint start = now();
  auto holder = spawn_now([&] {
    const WriteLock lock(mutex);
    sleep_for(1h);
  });
  for (const Duration time : {Duration::min(), Duration(0)}) {
    BOOST_TEST(!mutex.try_lock_for(time));
    BOOST_TEST(!mutex.try_lock_shared_for(time));
  }
  BOOST_TEST((!mutex.try_lock_until(kPast) && !mutex.try_lock_shared_until(start)));
  BOOST_TEST((now() == start));
  BOOST_TEST(!mutex.try_lock_for(1s));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!mutex.try_lock_shared_for(1s));
  BOOST_TEST((now() == start + 2s));
  BOOST_TEST(mutex.try_lock_shared_for(2h));
  BOOST_TEST((now() == start + 1h));
  BOOST_TEST(mutex.try_lock_shared_for(-1s));  // there is room
  BOOST_TEST(!mutex.try_lock_for(1s));         // also against oneself
  BOOST_TEST(has_room_for_a_reader(mutex));
  mutex.unlock_shared();
  mutex.unlock_shared();
  BOOST_TEST(mutex.try_lock_for(-1s));
  mutex.unlock();
  BOOST_TEST(Loop::here()->timers().empty());
}

WEFT_SHUFFLED_TEST_CASE(readers_behind_a_writer_that_gives_up_are_admitted_at_once) {
  for (const std::string how : {"tries", "times out", "is cancelled"}) {
    BOOST_TEST_CONTEXT("a writer that " << how) {
      SharedMutex mutex;
      const ReadLock mine(mutex);
      const TimePoint start = now();
      int admitted = 0;
      auto writer = spawn_now([&] {
        if (how == "tries") {
          BOOST_TEST(!mutex.try_lock_for(1s));
        } else if (how == "times out") {
          BOOST_CHECK_THROW(with_timeout(1s, [&] { mutex.lock(); }), TimeoutError);
        } else {
          mutex.lock();
        }
      });
      TaskGroup readers;
      for (int i = 0; i < 2; ++i) {
        spawn_now(readers, [&] {
          const ReadLock lock(mutex);
          BOOST_TEST((now() == start + 1s));
          ++admitted;
          sleep_for(1s);
        });
      }
      BOOST_TEST(!has_room_for_a_reader(mutex));
      sleep_until(start + 1s);
      if (how == "is cancelled") writer.cancel();
      run_until_blocked();
      BOOST_TEST(admitted == 2);
      BOOST_TEST(has_room_for_a_reader(mutex));
      writer.wait();
      readers.join();
    }
  }
}

WEFT_SHUFFLED_TEST_CASE(a_writer_that_may_not_wait_leaves_nothing_behind) {
  SharedMutex mutex;
  const ReadLock mine(mutex);
  int thrown = 0;
  auto cancelled = spawn_now([&] {
    for (int turn = 0; turn < 4; ++turn) {
      try {
        turn % 2 ? mutex.lock() : sleep_for(1h);
      } catch (const Cancelled&) {
        ++thrown;
        BOOST_TEST(has_room_for_a_reader(mutex));
      }
    }
  });
  cancelled.cancel();
  cancelled.wait();
  BOOST_TEST(thrown == 4);
  BOOST_TEST(!mutex.try_lock_until(kPast));
  BOOST_TEST(has_room_for_a_reader(mutex));
}

WEFT_SHUFFLED_TEST_CASE(one_that_gives_up_changes_nothing_for_those_who_still_have_to_wait) {
  SharedMutex mutex;
  std::string order;
  const auto come = [&](char name, bool write) {
    return spawn_now([&, name, write] {
      write ? mutex.lock() : mutex.lock_shared();
      order += name;
      run_until_blocked();
      write ? mutex.unlock() : mutex.unlock_shared();
    });
  };
  mutex.lock_shared();
  auto first = come('1', true), second = come('2', true), reader = come('r', false);
  first.cancel();  // behind it is another writer
  run_until_blocked();
  BOOST_TEST(order == "");
  reader.cancel();
  auto third = come('3', true);
  auto last = come('l', false);
  run_until_blocked();
  BOOST_TEST(order == "");
  mutex.unlock_shared();
  third.cancel();
  last.get();
  BOOST_TEST(order == "2l");
  second.get();
  mutex.lock();
  auto writer = come('w', true), another = come('a', false);
  writer.cancel();  // in front of it is one
  run_until_blocked();
  BOOST_TEST(order == "2l");
  mutex.unlock();
  another.get();
  BOOST_TEST(order == "2la");
  BOOST_TEST(is_free(mutex));
}

WEFT_SHUFFLED_TEST_CASE(who_is_cancelled_after_it_was_handed_over_owns_it) {
  for (const bool write : {true, false}) {
    SharedMutex mutex;
    bool seen = false;
    mutex.lock();
    auto task = spawn_now([&] {
      write ? mutex.lock() : mutex.lock_shared();
      try {
        yield();
      } catch (const Cancelled&) {
        seen = true;
      }
      write ? mutex.unlock() : mutex.unlock_shared();
    });
    mutex.unlock();
    task.cancel();
    task.wait();
    BOOST_TEST(seen);
    BOOST_TEST(is_free(mutex));
  }
}

BOOST_AUTO_TEST_CASE(those_who_come_get_it_or_give_up_at_one_instant_lose_nothing) {
  int got = 0, missed = 0, cancelled = 0;
  run_shuffled([&] {
    SharedMutex mutex;
    const TimePoint instant = now() + 1s;
    std::vector<Task<void>> tasks, cancellers;
    ReadLock mine(mutex);
    for (int i = 0; i < 12; ++i) {
      tasks.push_back(spawn([&, i] {
        if (i % 3) sleep_until(instant);
        try {
          const TimePoint deadline = i % 2 ? instant : kForever;
          const bool in = i % 4 < 2 ? WriteLock(mutex, deadline).owns_lock()
                                    : ReadLock(mutex, deadline).owns_lock();
          ++(in ? got : missed);
        } catch (const Cancelled&) {
          ++cancelled;
        }
      }));
    }
    for (int i = 0; i < 12; i += 4) {
      cancellers.push_back(spawn([&, i] {
        sleep_until(instant);
        tasks[i].cancel();
      }));
    }
    sleep_until(instant);
    mine.unlock();
    for (auto& canceller : cancellers) canceller.get();
    for (auto& task : tasks) task.wait();
    BOOST_TEST(is_free(mutex));
  });
  BOOST_TEST(got > bound(20, 3));
  BOOST_TEST(missed > bound(20, 3));
  BOOST_TEST(cancelled > bound(20, 3));
}

// ---- Misuse -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(what_is_not_held_cannot_be_unlocked) {
  SharedMutex mutex;
  const auto fails = [&] {
    BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
    BOOST_CHECK_THROW(mutex.unlock_shared(), std::logic_error);
  };
  fails();
  BOOST_TEST(is_free(mutex));
  for (const bool somebody_waits : {false, true}) {
    mutex.lock();
    auto waiter = somebody_waits ? spawn_now([&] { const WriteLock lock(mutex); }) : Task<void>();
    BOOST_CHECK_THROW(mutex.unlock_shared(), std::logic_error);
    spawn(fails).get();
    std::thread(fails).join();
    BOOST_TEST(!is_free(mutex));
    mutex.unlock();
    if (waiter.valid()) waiter.get();
    BOOST_TEST(is_free(mutex));
  }
  mutex.lock_shared();
  BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
  auto waiter = spawn_now([&] { const WriteLock lock(mutex); });
  BOOST_CHECK_THROW(mutex.unlock(), std::logic_error);
  run_until_blocked();
  BOOST_TEST(!waiter.done());
  mutex.unlock_shared();
  waiter.get();
  fails();
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_CASE(a_fiber_that_ends_with_it_exclusively_ends_the_program_with_a_sentence) {
  for (const bool waits : {false, true}) {
    const ChildEnd end = run_in_child([&] {
      run_case([&] {
        SharedMutex mutex;
        if (waits) mutex.lock_shared();
        auto task = spawn([&] { mutex.lock(); });
        yield();
        if (waits) mutex.unlock_shared();
        task.wait();
      });
      return 0;
    });
    BOOST_TEST(end.signal == SIGABRT);
    BOOST_TEST(
        end.said.find("has ended but still holds a Mutex or SharedMutex") != std::string::npos,
        end.said);
  }
}

BOOST_AUTO_TEST_CASE(who_holds_it_exclusively_and_locks_it_again_ends_the_program_with_a_sentence) {
  for (const bool shared : {false, true}) {
    const auto twice = [shared] {
      SharedMutex mutex;
      mutex.lock();
      shared ? mutex.lock_shared() : mutex.lock();
    };
    for (const bool in_fiber : {true, false}) {
      const ChildEnd end = run_in_child([&] {
        in_fiber ? run(twice) : twice();
        return 0;
      });
      BOOST_TEST(end.signal == SIGABRT);
      BOOST_TEST(end.said.find(shared ? "SharedMutex::lock_shared: the caller holds it"
                                      : "SharedMutex::lock: the caller holds it already") !=
                     std::string::npos,
                 end.said);
    }
  }
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_and_a_fiber_wait_for_each_other) {
  SharedMutex mutex;
  Crowd crowd;
  std::string order;
  mutex.lock_shared();
  auto writer = crowd.start_until_it_waits(
      [&] {
        const WriteLock lock(mutex);
        order += 'w';
        sleep_for(1ms);
      },
      "SharedMutex::lock");
  check_it_tries_in_vain([&](Duration time) { return mutex.try_lock_for(time); });
  check_it_tries_in_vain([&](Duration time) { return mutex.try_lock_shared_for(time); });
  mutex.unlock_shared();
  mutex.lock_shared();
  order += 't';
  mutex.unlock_shared();
  writer.get();
  BOOST_TEST(order == "wt");
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_CASE(the_last_owner_may_destroy_it_while_others_are_on_their_way_out_of_unlock) {
  Crowd crowd;
  for (int round = 0; round < kRounds; ++round) {
    auto owned = std::make_unique<SharedMutex>();
    SharedMutex& mutex = *owned;
    std::atomic<bool> locked{false};
    std::atomic<int> coming{0}, users{3};
    const bool first_reads = round / 5 % 3 == 1, next_read = round / 5 % 3 == 2;
    const auto leave = [&] {
      if (--users == 0) owned.reset();
    };
    const auto next = [&] {
      while (!locked) yield();
      ++coming;
      next_read ? mutex.lock_shared() : mutex.lock();
      next_read ? mutex.unlock_shared() : mutex.unlock();
      leave();
    };
    auto third = crowd.start(next);
    crowd.run_two(
        round,
        [&] {
          first_reads ? mutex.lock_shared() : mutex.lock();
          locked = true;
          while (coming < 2) yield();
          for (int pause = round % 4; pause > 0; --pause) yield();
          --users;  // from here on it may be destroyed as soon as it is unlocked
          first_reads ? mutex.unlock_shared() : mutex.unlock();
        },
        next);
    third.get();
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_CASE(fibers_schedulers_and_threads_exclude_each_other) {
  SharedMutex mutex;
  int count = 0;  // not atomic: the mutex orders the accesses
  std::atomic<int> writes{0}, readers{0}, clashes{0};
  const auto write = [&](TimePoint deadline, bool linger) {
    const WriteLock lock(mutex, deadline);
    if (!lock) return false;
    const int before = count;
    clashes += readers != 0;
    if (linger) yield();
    count = before + 1;
    ++writes;
    return true;
  };
  const auto read = [&](TimePoint deadline, bool linger) {
    const ReadLock lock(mutex, deadline);
    if (!lock) return false;
    ++readers;
    const int before = count;
    if (linger) yield();
    clashes += count != before;
    --readers;
    return true;
  };
  Crowd crowd;
  const int in_vain =
      crowd.stress(20'000 / kScale, [&](TimePoint deadline, bool linger, unsigned draw) {
        return draw % 3 ? read(deadline, linger) : write(deadline, linger);
      });
  BOOST_TEST(clashes == 0);
  BOOST_TEST(count == writes);
  BOOST_TEST(in_vain > 0);
  BOOST_TEST(is_free(mutex));
}

BOOST_AUTO_TEST_SUITE_END()
