#include "weft/sync/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <ctime>
#include <new>
#include <thread>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/thread.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/this_fiber.h"

namespace weft {
namespace {

// How long jobs may stand still before a thread is added.
constexpr Duration kPatience = std::chrono::milliseconds(10);

thread_local const ThreadPool* pool_of_this_thread = nullptr;

ThreadPoolOptions checked(ThreadPoolOptions options) {
  if (options.threads == 0) internal::throw_invalid_argument("weft::ThreadPool: zero threads");
  if (options.max_threads == 0) options.max_threads = options.threads;
  if (options.max_threads < options.threads) {
    internal::throw_invalid_argument("weft::ThreadPool: max_threads is less than threads");
  }
  return options;
}

}  // namespace

// A thread, and where it sleeps.
struct ThreadPool::Worker {
  // How much more processor time it has had than at the last call.
  Duration more_time() noexcept;

  internal::Parker parker;
  Worker* next_idle = nullptr;
  std::unique_ptr<Worker> next;
  Duration used{};
  std::thread thread;
};

ThreadPool::ThreadPool(ThreadPoolOptions options) : options_(checked(options)) {}

ThreadPool::~ThreadPool() { close(); }

// In a child of the process that made it nothing below options_ is looked at but this: another
// thread may have held a lock, or been half through a change, when the process forked.
void ThreadPool::forget_threads() noexcept {
  // To end such a handle is to join or detach a thread that is not there.
  for (Worker* worker = workers_.get(); worker; worker = worker->next.get()) {
    ::new (&worker->thread) std::thread;
  }
}

std::size_t ThreadPool::size() const noexcept {
  if (!process_.is_this()) return 0;
  const std::lock_guard lock(lock_);
  return started_ - ended_;
}

// ---- Jobs ---------------------------------------------------------------------------------------

void ThreadPool::submit(internal::Job& job) {
  if (!process_.is_this()) [[unlikely]] {
    internal::throw_logic_error(
        "weft::ThreadPool: it was made before fork(); make one in the child");
  }
  std::unique_lock lock(lock_);
  if (!has_thread_ && !closed_) {
    lock.unlock();
    start_first();
    lock.lock();
  }
  if (closed_) {
    lock.unlock();
    internal::throw_logic_error("weft::ThreadPool: it is closed and takes no more jobs");
  }
  jobs_.push_back(job);
  update_hint();
  const Helper helper = call_for_help();
  lock.unlock();
  follow(helper);
}

bool ThreadPool::withdraw(internal::Job& job) noexcept {
  const std::lock_guard lock(lock_);
  if (!job.linked()) return false;
  jobs_.erase(job);
  update_hint();
  return true;
}

// REQUIRES: the lock is held.
void ThreadPool::update_hint() noexcept {
  // Relaxed: who sees it looks again under the lock.
  waiting_.store(closed_ || !jobs_.empty(), std::memory_order_relaxed);
}

// One at a time is called; when it has found a job and there are more, it calls the next. So a
// burst of short jobs wakes few threads, and the poster makes one system call at most.
//
// REQUIRES: the lock is held, and a job waits.
ThreadPool::Helper ThreadPool::call_for_help() noexcept {
  if (searching_ > 0) return {};
  if (idle_) {
    ++searching_;
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
  if (standby_state_ == Standby::kAsleep) {
    standby_state_ = Standby::kWatching;
    standby_->parker.post();  // under the lock, as nothing else keeps it from being gone
  }
  return {};
}

// A thread that cannot be started is done without: there is one.
void ThreadPool::follow(Helper helper) noexcept {
  if (helper.sleeper) {
    helper.sleeper->parker.post();
  } else if (helper.start) {
    try {
      const std::lock_guard threads(threads_lock_);
      start(helper.as_standby);
    } catch (...) {
      not_started(helper.as_standby);
    }
  }
}

// ---- Threads ------------------------------------------------------------------------------------

// Before any job is posted: otherwise nobody might ever do it.
void ThreadPool::start_first() {
  const std::lock_guard threads(threads_lock_);
  {
    const std::lock_guard lock(lock_);
    if (has_thread_ || closed_) return;
    ++started_;
    ++searching_;
  }
  try {
    start(false);
  } catch (...) {
    not_started(false);
    throw;
  }
  const std::lock_guard lock(lock_);
  has_thread_ = true;
}

// REQUIRES: threads_lock_ is held, and the thread is counted.
void ThreadPool::start(bool as_standby) {
  auto worker = std::make_unique<Worker>();
  worker->thread = internal::start_thread("weft-pool", [this, as_standby, &self = *worker] {
    pool_of_this_thread = this;
    if (as_standby) stand_by(self);
    work(self, !as_standby);
  });
  worker->next = std::move(workers_);
  workers_ = std::move(worker);
}

void ThreadPool::not_started(bool as_standby) noexcept {
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
void ThreadPool::work(Worker& self, bool searching) noexcept {
  const internal::LockOwner& thread = internal::this_thread_parker();
  std::unique_lock lock(lock_);
  for (;;) {
    if (internal::Job* job = jobs_.pop_front()) {
      ++begun_;
      if (std::exchange(searching, false)) --searching_;
      update_hint();
      Helper helper;
      if (!jobs_.empty()) helper = call_for_help();
      lock.unlock();
      follow(helper);
      job->run_(*job);
      if (thread.locks_held != 0) [[unlikely]] {
        internal::fail_misuse(
            "a job has ended but still holds a Mutex or SharedMutex, which nobody else could "
            "unlock");
      }
      lock.lock();
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
      lock.unlock();
      self.parker.wait();
      lock.lock();
      searching = true;  // whoever woke it has counted it
    }
  }
  if (searching) --searching_;
  if (standby_) standby_->parker.post();
  const bool last = ++ended_ == started_;
  lock.unlock();
  if (last) all_ended_.set();
}

// Returns when jobs wait, or some time has passed.
void ThreadPool::look_around() noexcept {
  const TimePoint end = internal::deadline_after(Clock::now(), options_.spin);
  do {
    internal::let_others_run();  // whoever is to bring jobs may wait for this very core
    for (int i = 0; i < 64; ++i) {
      if (waiting_.load(std::memory_order_relaxed)) return;  // see update_hint()
      internal::relax_processor();
    }
  } while (Clock::now() < end);
}

// Returns when one more thread is needed: this one.
void ThreadPool::stand_by(Worker& self) noexcept {
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 1U);  // 0: not known
  std::unique_lock lock(lock_);
  standby_ = &self;
  while (!closed_ || !jobs_.empty()) {
    if (jobs_.empty()) {
      standby_state_ = Standby::kAsleep;
      lock.unlock();
      self.parker.wait();
      lock.lock();
      continue;
    }
    standby_state_ = Standby::kWatching;
    const std::uint64_t begun = begun_;
    lock.unlock();
    count_computing();
    const bool disturbed = self.parker.wait(Clock::now() + kPatience);
    const bool blocked = count_computing() < processors;
    lock.lock();
    if (blocked && !disturbed && begun_ == begun && !jobs_.empty()) break;
  }
  standby_state_ = Standby::kNone;
  standby_ = nullptr;
}

// How many of the threads have used a processor since the last call, rather than wait.
unsigned ThreadPool::count_computing() noexcept {
  const std::lock_guard threads(threads_lock_);
  unsigned computing = 0;
  for (Worker* worker = workers_.get(); worker; worker = worker->next.get()) {
    computing += worker->more_time() > kPatience / 10;
  }
  return computing;
}

Duration ThreadPool::Worker::more_time() noexcept {
  clockid_t clock;
  timespec time{};
  if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0) return {};
  if (clock_gettime(clock, &time) != 0) return {};
  const Duration now = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  return now - std::exchange(used, now);
}

void ThreadPool::close() noexcept {
  if (!process_.is_this()) return forget_threads();
  if (pool_of_this_thread == this) {
    internal::fail_misuse(
        "a ThreadPool is closed by one of its own jobs, which would wait for itself");
  }
  {
    std::unique_lock lock(lock_);
    closed_ = true;
    update_hint();
    Worker* sleeper = std::exchange(idle_, nullptr);
    for (Worker* worker = sleeper; worker; worker = worker->next_idle) ++searching_;
    if (standby_) standby_->parker.post();
    const bool none = started_ == ended_;
    lock.unlock();
    for (; sleeper; sleeper = sleeper->next_idle) sleeper->parker.post();
    if (none) all_ended_.set();
  }
  {
    const internal::ShieldScope unwatched;
    const internal::ExpectedEvent ends;
    all_ended_.wait();
  }
  const std::lock_guard threads(threads_lock_);
  for (Worker* worker = workers_.get(); worker; worker = worker->next.get()) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

}  // namespace weft
