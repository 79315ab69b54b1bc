#include "weft/sync/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <forward_list>
#include <mutex>
#include <new>
#include <thread>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/deadlock.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/thread.h"
#include "weft/sync/event.h"

namespace weft::internal {
namespace {

// How long jobs may stand still before a thread is added.
constexpr Duration kPatience = std::chrono::milliseconds(10);

thread_local const Crew* crew_of_this_thread = nullptr;

ThreadPoolOptions checked(ThreadPoolOptions options) {
  if (options.threads == 0) throw_invalid_argument("weft::ThreadPool: zero threads");
  if (options.max_threads == 0) options.max_threads = options.threads;
  if (options.max_threads < options.threads) {
    throw_invalid_argument("weft::ThreadPool: max_threads is less than threads");
  }
  return options;
}

}  // namespace

// ---- Jobs ---------------------------------------------------------------------------------------

Job::Job() noexcept : locals_(LocalTable::inherit()) {}

Job::~Job() { LocalTable::drop(locals_); }

void Job::perform() noexcept {
  {
    const BorrowedLocals borrowed(locals_);
    run();
  }
  LocalTable::drop(locals_);
  complete();
}

// The threads of a pool, and the jobs that wait for them.
class Crew {
 public:
  explicit Crew(ThreadPoolOptions options) : options_(checked(options)) {}

  void submit(Job& job) {
    if (!process_.is_this()) [[unlikely]] {
      throw_logic_error("weft::ThreadPool: it was made before fork(); make one in the child");
    }
    std::unique_lock lock(lock_);
    if (!has_thread_ && !closed_) {
      lock.unlock();
      start_first();
      lock.lock();
    }
    if (closed_) {
      lock.unlock();
      throw_logic_error("weft::ThreadPool: it is closed and takes no more jobs");
    }
    jobs_.push_back(job);
    ++queued_;
    update_hint();
    const Helper helper = call_for_help();
    lock.unlock();
    follow(helper);
  }

  bool withdraw(Job& job) noexcept {
    const std::lock_guard lock(lock_);
    if (!job.linked()) return false;
    jobs_.erase(job);
    --queued_;
    update_hint();
    return true;
  }

  ThreadPoolStats stats() const noexcept {
    if (!process_.is_this()) return {};
    const std::lock_guard lock(lock_);
    return {.threads = started_ - ended_, .queued = queued_, .running = running_};
  }

  void close() noexcept {
    if (!process_.is_this()) return abandon_threads();
    if (crew_of_this_thread == this) {
      fail_misuse("a ThreadPool is closed by one of its own jobs, which would wait for itself");
    }
    dismiss();
    {
      const ShieldScope unwatched;
      const ExpectedEvent ends;
      all_ended_.wait();
    }
    const std::lock_guard threads(threads_lock_);
    for (Worker& worker : workers_) {
      if (worker.thread.joinable()) worker.thread.join();
    }
  }

 private:
  // A thread, and where it sleeps.
  struct Worker {
    // How much more processor time it has had than at the last call.
    Duration more_time() noexcept {
      clockid_t clock;
      timespec time{};
      if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0) return {};
      if (clock_gettime(clock, &time) != 0) return {};
      const Duration now =
          std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
      return now - std::exchange(used, now);
    }

    Parker parker;
    Worker* next_idle = nullptr;
    Duration used{};
    std::thread thread;
  };

  // What to wake or start once the lock is released.
  struct Helper {
    Worker* sleeper = nullptr;
    bool start = false;
    bool as_standby = false;
  };

  // The thread that adds itself to the others when jobs stand still.
  enum class Standby : std::uint8_t { kNone, kAsleep, kWatching };

  // In a child of the process that made the crew only that is looked at: at the fork another thread
  // may have held a lock, or been halfway through a change. There no thread can be joined.
  void abandon_threads() noexcept {
    for (Worker& worker : workers_) ::new (&worker.thread) std::thread;
  }

  // REQUIRES: the lock is held.
  void update_hint() noexcept {
    // Relaxed: a thread that sees it looks again under the lock.
    waiting_.store(closed_ || !jobs_.empty(), std::memory_order_relaxed);
  }

  // Calls one thread at a time. When that has found a job and there are more, it calls the next. So
  // a burst of short jobs wakes few threads, and the poster makes at most one system call.
  // REQUIRES: the lock is held, and a job waits.
  Helper call_for_help() noexcept {
    if (searching_ > 0) return {};
    if (idle_) {
      ++searching_;
      rest(-1);
      return {.sleeper = std::exchange(idle_, idle_->next_idle)};
    }
    const unsigned takers = started_ - (standby_state_ != Standby::kNone);
    if (takers < options_.threads) {
      ++started_;
      ++searching_;
      return {.start = true};
    }
    if (standby_state_ == Standby::kNone && started_ < options_.max_threads) {
      ++started_;
      standby_state_ = Standby::kWatching;
      return {.start = true, .as_standby = true};
    }
    if (standby_state_ == Standby::kAsleep) wake_standby();
    return {};
  }

  // Under the lock, as nothing else keeps it from being gone. REQUIRES: there is one.
  void wake_standby() noexcept {
    if (std::exchange(standby_state_, Standby::kWatching) == Standby::kAsleep) rest(-1);
    standby_->parker.post();
  }

  // So many threads begin to wait for jobs, or end it. See resting_threads.
  static void rest(int threads) noexcept {
    // Release: pairs with the acquire of the verdict, which sees what woke or stopped before.
    resting_threads.fetch_add(threads, std::memory_order_release);
  }

  void follow(Helper helper) noexcept {
    if (helper.sleeper) {
      helper.sleeper->parker.post();
    } else if (helper.start) {
      const std::lock_guard threads(threads_lock_);
      try {
        start(helper.as_standby);
      } catch (...) {  // there are others
      }
    }
  }

  // Before any job is accepted: otherwise there might be no thread that ever does it.
  void start_first() {
    const std::lock_guard threads(threads_lock_);
    {
      const std::lock_guard lock(lock_);
      if (has_thread_ || closed_) return;
      ++started_;
      ++searching_;
    }
    start(false);
    const std::lock_guard lock(lock_);
    has_thread_ = true;
  }

  // REQUIRES: threads_lock_ is held, and the thread is counted.
  void start(bool as_standby) {
    try {
      std::forward_list<Worker> added(1);
      Worker& self = added.front();
      self.thread = start_thread("weft-pool", [this, as_standby, &self] {
        crew_of_this_thread = this;
        if (as_standby) stand_by(self);
        work(self, !as_standby);
      });
      workers_.splice_after(workers_.before_begin(), added);
    } catch (...) {
      not_started(as_standby);
      throw;
    }
  }

  void not_started(bool as_standby) noexcept {
    std::unique_lock lock(lock_);
    --started_;
    if (as_standby) {
      standby_state_ = Standby::kNone;
    } else {
      --searching_;
    }
    // While this one was counted as searching, others may have gone to sleep.
    Helper helper;
    if (!jobs_.empty() && idle_) helper = call_for_help();
    const bool last = closed_ && ended_ == started_;
    lock.unlock();
    follow(helper);
    if (last) all_ended_.set();
  }

  // `searching`: this thread is counted as one that looks for a job.
  void work(Worker& self, bool searching) noexcept {
    const LockOwner& thread = this_thread_parker();
    std::unique_lock lock(lock_);
    for (;;) {
      if (Job* job = jobs_.pop_front()) {
        ++begun_;
        --queued_;
        ++running_;
        if (std::exchange(searching, false)) --searching_;
        update_hint();
        Helper helper;
        if (!jobs_.empty()) helper = call_for_help();
        lock.unlock();
        follow(helper);
        job->perform();
        if (thread.locks_held != 0) [[unlikely]] {
          fail_misuse(
              "a job has ended but still holds a Mutex or SharedMutex, which nobody else could "
              "unlock");
        }
        lock.lock();
        --running_;
      } else if (closed_) {
        break;
      } else if (searching_ == 0 && options_.spin > Duration::zero()) {  // one of them is enough
        ++searching_;
        searching = true;
        lock.unlock();
        look_around();
        lock.lock();
      } else {
        if (searching) --searching_;
        self.next_idle = std::exchange(idle_, &self);
        rest(1);
        lock.unlock();
        self.parker.wait();
        lock.lock();
        searching = true;  // it was counted when it was woken
      }
    }
    if (searching) --searching_;
    if (standby_) wake_standby();
    const bool last = ++ended_ == started_;
    lock.unlock();
    if (last) all_ended_.set();
  }

  // Returns when jobs wait, or some time has passed.
  void look_around() noexcept {
    const TimePoint end = deadline_after(Clock::now(), options_.spin);
    do {
      let_others_run();  // what is to bring jobs may wait for this very core
      for (int i = 0; i < 64; ++i) {
        if (waiting_.load(std::memory_order_relaxed)) return;  // see update_hint()
        relax_processor();
      }
    } while (Clock::now() < end);
  }

  // Returns when one more thread is needed: this one.
  void stand_by(Worker& self) noexcept {
    const unsigned processors = std::max(std::thread::hardware_concurrency(), 1U);  // 0: not known
    std::unique_lock lock(lock_);
    standby_ = &self;
    while (!closed_ || !jobs_.empty()) {
      if (jobs_.empty()) {
        if (std::exchange(standby_state_, Standby::kAsleep) != Standby::kAsleep) rest(1);
        lock.unlock();
        self.parker.wait();
        lock.lock();
        continue;
      }
      if (std::exchange(standby_state_, Standby::kWatching) == Standby::kAsleep) rest(-1);
      const std::uint64_t begun = begun_;
      lock.unlock();
      count_computing();
      const bool disturbed = self.parker.wait(Clock::now() + kPatience);
      const bool blocked = count_computing() < processors;
      lock.lock();
      if (blocked && !disturbed && begun_ == begun && !jobs_.empty()) break;
    }
    if (std::exchange(standby_state_, Standby::kNone) == Standby::kAsleep) rest(-1);
    standby_ = nullptr;
  }

  // How many of the threads have used a processor since the last call, rather than wait.
  unsigned count_computing() noexcept {
    const std::lock_guard threads(threads_lock_);
    unsigned computing = 0;
    for (Worker& worker : workers_) computing += worker.more_time() > kPatience / 10;
    return computing;
  }

  // Wakes all threads, so that each ends when no job is left.
  void dismiss() noexcept {
    std::unique_lock lock(lock_);
    closed_ = true;
    update_hint();
    Worker* sleeper = std::exchange(idle_, nullptr);
    for (Worker* worker = sleeper; worker; worker = worker->next_idle) ++searching_, rest(-1);
    if (standby_) wake_standby();
    const bool none = started_ == ended_;
    lock.unlock();
    for (; sleeper; sleeper = sleeper->next_idle) sleeper->parker.post();
    if (none) all_ended_.set();
  }

  const ThreadPoolOptions options_;
  const HomeProcess process_;

  // The lock, and what it guards: one cache line, as all of it goes from core to core.
  alignas(64) mutable SpinLock lock_;
  Standby standby_state_ = Standby::kNone;
  bool has_thread_ = false;  // and will, until it is closed
  bool closed_ = false;
  Atomic<bool> waiting_{false};  // whether there are jobs, for threads that spin
  unsigned started_ = 0;         // threads, the standby included
  unsigned ended_ = 0;
  unsigned searching_ = 0;   // of them, those on their way to a job
  unsigned running_ = 0;     // of them, those that do a job
  std::uint64_t begun_ = 0;  // jobs
  std::size_t queued_ = 0;   // jobs
  IntrusiveList<Job> jobs_;
  Worker* idle_ = nullptr;  // the one that worked last comes first: it is warm
  Worker* standby_ = nullptr;

  alignas(64) Event all_ended_;
  ThreadMutex threads_lock_;           // held while a thread is started or joined
  std::forward_list<Worker> workers_;  // the last that was started comes first
};

}  // namespace weft::internal

namespace weft {

ThreadPool::ThreadPool(ThreadPoolOptions options)
    : crew_(std::make_unique<internal::Crew>(options)) {}

ThreadPool::~ThreadPool() { close(); }

void ThreadPool::close() noexcept { crew_->close(); }

std::size_t ThreadPool::size() const noexcept { return stats().threads; }

ThreadPoolStats ThreadPool::stats() const noexcept { return crew_->stats(); }

void ThreadPool::submit(internal::Job& job) { crew_->submit(job); }

bool ThreadPool::withdraw(internal::Job& job) noexcept { return crew_->withdraw(job); }

}  // namespace weft
