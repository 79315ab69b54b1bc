// Between processes: children are forked first, while this one has one thread.

#include "weft/io/process_lock.h"

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(process_lock)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// A value that this process and its children share.
template <class T>
class Shared {
 public:
  Shared()
      : memory_(
            mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    value_ = new (memory_) T();
  }
  ~Shared() { munmap(memory_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  void* memory_;
  T* value_;
};

// What only the holder of a lock touches.
struct Guarded {
  // Whether it was alone. What was counted before another process died does not show.
  bool enter(pid_t pid) {
    const bool alone = owner == 0 || kill(owner, 0) != 0;
    owner = pid;
    return alone;
  }
  void leave() {
    ++entered;
    owner = 0;
  }

  pid_t owner = 0;
  long entered = 0;
};

// Enters so many times; returns how often it was not alone.
int work(ProcessLock& lock, Guarded& guarded, int times) {
  int intrusions = 0;
  for (int i = 0; i < times; ++i) {
    const std::lock_guard held(lock);
    intrusions += !guarded.enter(getpid());
    if (i % 16 == 0) sleep_for(100us);
    guarded.leave();
  }
  return intrusions;
}

// A child that holds the lock until it is killed, or is told to go on by a byte from the parent.
class Holder {
 public:
  explicit Holder(ProcessLock& lock)
      : child_([this, &lock] {
          lock.lock();
          std::fprintf(stderr, "held");
          char byte;
          if (read(ends_[0], &byte, 1) != 1) return 1;
          lock.unlock();
          pause();
          return 0;
        }) {
    BOOST_TEST(child_.await("held"));
  }
  ~Holder() {
    kill();
    close(ends_[0]), close(ends_[1]);
  }

  void unlock() { BOOST_TEST(write(ends_[1], "u", 1) == 1); }
  void kill() { ::kill(child_.pid(), SIGKILL); }

 private:
  static int opened(int (&ends)[2]) { return pipe(ends); }

  int ends_[2];
  int opened_ = opened(ends_);
  ChildProcess child_;
};

}  // namespace

// ---- Exclusion ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(four_processes_exclude_one_another) {
  constexpr int kTimes = 300;
  ProcessLock lock;
  const Shared<Guarded> guarded;
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(std::make_unique<ChildProcess>([&, i] {
      if (i % 2 == 0) return work(lock, *guarded, 2 * kTimes);  // without a runtime
      return run([&] {
        const auto half = [&] { return work(lock, *guarded, kTimes); };
        const auto [one, other] = gather(half, half);
        return one + other;
      });
    }));
  }
  for (auto& child : children) BOOST_TEST(child->wait().exit_code == 0);
  BOOST_TEST(guarded->entered == 4 * 2 * kTimes);
}

BOOST_AUTO_TEST_CASE(fibers_of_two_schedulers_and_threads_exclude_one_another) {
  constexpr int kTimes = 200;
  ProcessLock lock;
  int inside = 0;
  int entered = 0;
  const auto enter_often = [&] {
    for (int i = 0; i < kTimes; ++i) {
      const std::lock_guard held(lock);
      BOOST_TEST(inside++ == 0);
      if (i % 16 == 0) sleep_for(10us);
      --inside;
      ++entered;
    }
  };
  std::thread thread(enter_often);
  run([&] { spread_all(enter_often); }, {.threads = 2});
  thread.join();
  BOOST_TEST(entered == 3 * kTimes);
}

BOOST_AUTO_TEST_CASE(a_try_takes_what_is_free_and_nothing_else) {
  ProcessLock lock;
  BOOST_TEST(lock.try_lock());
  BOOST_TEST(!lock.try_lock());
  lock.unlock();
  Holder holder(lock);
  BOOST_TEST(!lock.try_lock());
  BOOST_TEST(!lock.try_lock_for(-1s));
  BOOST_TEST(!lock.try_lock_for(1ms));
  holder.unlock();
  BOOST_TEST(lock.try_lock_for(1h));
  lock.unlock();
  BOOST_TEST(lock.try_lock());
  lock.unlock();
}

BOOST_AUTO_TEST_CASE(two_locks_are_two_and_can_be_taken_at_once) {
  ProcessLock one, other;
  Holder holder(one);
  BOOST_TEST(other.try_lock());
  other.unlock();
  holder.unlock();
  const std::scoped_lock both(one, other);
  BOOST_TEST(!one.try_lock());
}

BOOST_AUTO_TEST_CASE(a_caller_that_does_not_hold_it_cannot_unlock_it) {
  ProcessLock lock;
  BOOST_CHECK_THROW(lock.unlock(), std::logic_error);
  lock.lock();
  std::thread([&] { BOOST_CHECK_THROW(lock.unlock(), std::logic_error); }).join();
  lock.unlock();
}

BOOST_AUTO_TEST_CASE(destroying_it_unlocks_it_for_other_processes) {
  auto lock = std::make_unique<ProcessLock>();
  ChildProcess child([&] {
    lock->lock();
    std::fprintf(stderr, "held");
    sleep_for(20ms);
    lock.reset();
    pause();
    return 0;
  });
  BOOST_TEST(child.await("held"));
  BOOST_TEST(lock->try_lock_for(10s));
  BOOST_TEST(!lock->abandoned());
}

// ---- Waiting ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_waits_frees_its_thread) {
  ProcessLock lock;
  Holder holder(lock);
  run([&] {
    auto waiter = spawn([&] { lock.lock(), lock.unlock(); }, {.eager = true});
    for (int i = 0; i < 10; ++i) sleep_for(1ms);
    BOOST_TEST(!waiter.done());
    holder.unlock();
    waiter.get();
  });
}

BOOST_AUTO_TEST_CASE(a_plain_thread_waits_for_a_fiber_of_another_process) {
  ProcessLock lock;
  lock.lock();
  lock.unlock();
  Holder holder(lock);
  std::thread thread([&] { lock.lock(), lock.unlock(); });
  sleep_for(1ms);
  holder.unlock();
  thread.join();
  BOOST_TEST(lock.try_lock());
  lock.unlock();
}

BOOST_AUTO_TEST_CASE(a_wait_that_is_cancelled_or_too_long_leaves_nothing) {
  ProcessLock lock;
  Holder holder(lock);
  run([&] {
    auto cancelled =
        spawn([&] { BOOST_TEST(throws_cancelled([&] { lock.lock(); })); }, {.eager = true});
    auto behind = spawn([&] { BOOST_TEST(!lock.try_lock_for(2ms)); }, {.eager = true});
    sleep_for(1ms);
    cancelled.cancel();
    cancelled.wait();
    behind.get();
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { lock.lock(); }), TimeoutError);
    holder.unlock();
    lock.lock();
    BOOST_TEST(!lock.abandoned());
    lock.unlock();
  });
}

BOOST_AUTO_TEST_CASE(a_long_wait_takes_no_time_on_a_virtual_clock) {
  ProcessLock lock;
  Holder holder(lock);
  weft::run([&] { BOOST_TEST(!lock.try_lock_for(1h)); }, {.virtual_time = true});
}

BOOST_AUTO_TEST_CASE(a_fiber_outside_a_runtime_is_refused_if_it_has_to_wait) {
  ProcessLock lock;
  Holder holder(lock);
  ThreadPort port;
  run_on(port, [&] { BOOST_CHECK_THROW(lock.lock(), std::logic_error); });
  BOOST_TEST(!lock.try_lock());
}

// ---- Death --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_lock_of_a_holder_that_is_killed_is_released_and_says_so) {
  ProcessLock lock;
  Holder holder(lock);
  run([&] {
    auto waiter = spawn(
        [&] {
          lock.lock();
          BOOST_TEST(lock.abandoned());
          lock.unlock();
          lock.lock();
          BOOST_TEST(!lock.abandoned());
          lock.unlock();
        },
        {.eager = true});
    sleep_for(1ms);
    BOOST_TEST(!waiter.done());
    holder.kill();
    waiter.get();
  });
}

BOOST_AUTO_TEST_CASE(a_lock_whose_holder_died_before_is_free) {
  ProcessLock lock;
  { Holder holder(lock); }
  BOOST_TEST(lock.try_lock());
  BOOST_TEST(lock.abandoned());
  lock.unlock();
}

BOOST_AUTO_TEST_CASE(processes_that_die_at_any_moment_hold_up_nobody) {
  const int deaths = bound(300, 40);
  ProcessLock lock;
  const Shared<Guarded> guarded;
  const auto worker = [&] {
    return std::make_unique<ChildProcess>([&] { return work(lock, *guarded, 1'000'000'000); });
  };
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < 4; ++i) children.push_back(worker());
  for (int i = 0; i < deaths; ++i) {
    sleep_for(std::chrono::microseconds(i * 7919 % 1500));
    auto& child = children[static_cast<unsigned>(i) % children.size()];
    kill(child->pid(), SIGKILL);
    BOOST_TEST(child->wait().signal == SIGKILL);
    child.reset();
    BOOST_TEST(lock.try_lock_for(10s));
    lock.unlock();
    child = worker();
  }
  for (auto& child : children) {
    kill(child->pid(), SIGKILL);
    child.reset();
  }
  const long entered = guarded->entered;
  BOOST_TEST(entered > 0);
  BOOST_TEST(work(lock, *guarded, 10) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
