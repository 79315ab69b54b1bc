#ifndef WEFT_SYNC_THREAD_POOL_H_
#define WEFT_SYNC_THREAD_POOL_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/time.h"

namespace weft::internal {
class AwaitedJob;
class Crew;
class Job;
}  // namespace weft::internal

namespace weft {

struct ThreadPoolOptions {
  // Threads that take jobs. They are started when there is something to do for them, and stay.
  unsigned threads = 1;

  // The most threads that the pool may grow to. If no job has started for 10 ms although processors
  // are idle, the threads are taken to be blocked and one more joins. If none can be started, jobs
  // wait for the threads that there are. Not less than `threads`; 0: the same.
  unsigned max_threads = 0;

  // How long a thread without a job looks for one before it sleeps in the kernel: spares the poster
  // a system call and the job the wake-up. By default about what going to sleep and being woken
  // cost in processor time, so that it at most doubles that (Karlin et al.: Empirical studies of
  // competitive spinning, SOSP 1991); an idle pool uses none. A negative duration counts as zero.
  AnyDuration spin = std::chrono::microseconds(2);
};

// What a pool has at the moment. All of these are gauges.
//
//   const weft::ThreadPoolStats now = pool.stats();
//   if (now.queued > 100 * now.threads) weft::sleep_for(10ms);  // it is behind
struct ThreadPoolStats {
  std::size_t threads = 0;  // as ThreadPool::size()
  std::size_t queued = 0;   // jobs that wait for a thread
  std::size_t running = 0;  // jobs that have begun; for a moment also one whose caller goes on
};

// Threads for what blocks or computes, so that fibers' threads need not.
//
//   weft::ThreadPool pool(4);
//   pool.post([] { compress(logs); });                         // nobody waits for it
//   const int sum = weft::run_in_executor(pool, [&] { ... });  // sync/executor.h
//
// Jobs begin in the order in which they were posted. A job may do what a plain thread may: use
// everything in sync/, futures and Scheduler::post. If it waits for a later job of the same pool,
// the pool has to be one that may grow. The threads block asynchronous signals, which so go to the
// program's others; processes that a job starts inherit that.
//
// A pool belongs to the process that made it: a forked child has no threads of its parent's. There
// it takes no jobs, and its end waits for nothing. Make one after the fork.
//
// Threads: any, at once; but for the destructor.
class ThreadPool {
 public:
  // Throws std::invalid_argument for zero threads, or if max_threads is less than threads.
  explicit ThreadPool(unsigned threads) : ThreadPool(ThreadPoolOptions{.threads = threads}) {}
  explicit ThreadPool(ThreadPoolOptions options);

  // close().
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Runs f() on one of the threads, soon, with a copy of the posting fiber's locals (FiberLocal).
  // What it throws ends the program, as in a std::thread; so does a job that posts to its own pool
  // when that is being closed, unless it catches that.
  // Does not wait. Throws std::logic_error if the pool is closed or was made before a fork(),
  // std::invalid_argument if f is null, and std::system_error if no thread at all can be started.
  template <class F>
  void post(F&& f);

  // Takes no more jobs, and waits until all that were posted have ended, and the threads.
  // A fiber that waits frees its thread, and is not to be cancelled. No effect twice.
  // REQUIRES: not in a job of this pool.
  void close() noexcept;

  // The threads that there are now: zero before the first job. One that watches counts, too.
  std::size_t size() const noexcept;

  // The same and its jobs, all at one moment. Does not wait.
  ThreadPoolStats stats() const noexcept;

 private:
  friend internal::AwaitedJob;

  void submit(internal::Job& job);
  // Takes the job back. Returns false if it has begun.
  bool withdraw(internal::Job& job) noexcept;

  const std::unique_ptr<internal::Crew> crew_;
};

}  // namespace weft

// ---- Implementation -----------------------------------------------------------------------------

namespace weft::internal {

class LocalTable;

// Something for a ThreadPool to do, in the memory of the caller that wants it done. It has the
// locals of the fiber that made it.
class Job : public ListNode<> {
 public:
  // Does it, on a thread of the pool. The job may be gone afterwards.
  void perform() noexcept;

 protected:
  Job() noexcept;
  ~Job();

 private:
  virtual void run() noexcept = 0;       // with the job's locals
  virtual void complete() noexcept = 0;  // the last that is called

  LocalTable* locals_;
};

}  // namespace weft::internal

namespace weft {

template <class F>
void ThreadPool::post(F&& f) {
  struct Posted final : internal::Job {
    explicit Posted(F&& its_function) : function(std::forward<F>(its_function)) {}
    void run() noexcept override {
      std::invoke(*function);
      function.reset();
    }
    void complete() noexcept override { delete this; }
    std::optional<std::decay_t<F>> function;
  };
  auto job =
      std::make_unique<Posted>(internal::checked_callable(std::forward<F>(f), "ThreadPool::post"));
  submit(*job);
  job.release();
}

}  // namespace weft

#endif  // WEFT_SYNC_THREAD_POOL_H_
