#ifndef WEFT_SYNC_THREAD_POOL_H_
#define WEFT_SYNC_THREAD_POOL_H_

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/call.h"
#include "weft/fiber/core/group.h"
#include "weft/fiber/core/intrusive_list.h"
#include "weft/fiber/core/local_table.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/process.h"
#include "weft/fiber/core/spin_lock.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/fiber/fiber_local.h"
#include "weft/fiber/time.h"
#include "weft/sync/event.h"

namespace weft {

struct ThreadPoolOptions {
  // Threads that take jobs. They are started when there is something to do for them, and stay.
  unsigned threads = 1;

  // A pool may grow to so many. Where jobs wait, a further thread watches; if none was begun for
  // 10 ms, and fewer threads compute than there are processors, the others are blocked, and it
  // takes jobs, too. Where none can be started, jobs wait for those that there are. Not less
  // than `threads`; 0: the same.
  unsigned max_threads = 0;

  // How long a thread without a job looks for one before it sleeps in the kernel: spares the poster
  // a system call and the job the wake-up. By default about what going to sleep and being woken
  // cost in processor time, so that it at most doubles that (Karlin et al.: Empirical studies of
  // competitive spinning, SOSP 1991); an idle pool uses none.
  AnyDuration spin = std::chrono::microseconds(2);
};

// Threads for what blocks or computes, so that fibers' threads need not.
//
// Jobs begin in the order in which they were posted. A job may do what a plain thread may: use
// everything in sync/, futures and Scheduler::post. Where it waits for a later job of the same
// pool, it takes one that may grow. The threads block asynchronous signals, which so go to the
// program's others; processes that a job starts inherit that.
//
// A pool belongs to the process that made it: a forked child has no threads of its parent's. There
// it takes no jobs, and its end waits for nothing. Make one after the fork.
//
// Threads: any, at once; but for the destructor.
class ThreadPool {
 public:
  // Throws std::invalid_argument for zero threads, fewer at most than at least, or a negative spin.
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

  // Threads that there are now: none before the first job, and one that watches, if any, included.
  std::size_t size() const noexcept;

  // Everything below is for weft's own files.

  // Something to be done, on the memory of whoever wants it done.
  class Job : public ListNode<> {
   public:
    // `run` runs on a thread of the pool. The job may be gone afterwards.
    explicit Job(void (*run)(Job&) noexcept) noexcept : run_(run), locals_(LocalTable::inherit()) {}

   protected:
    ~Job() { LocalTable::drop(locals_); }

    // Calls f() with the locals of the caller that made the job, and drops them.
    template <class F>
    void with_locals(F f) noexcept {
      const BorrowedLocals borrowed(locals_);
      f();
      LocalTable::drop(locals_);
    }

   private:
    friend class ThreadPool;
    void (*run_)(Job&) noexcept;
    LocalTable* locals_;
  };

  void submit(Job& job);

  // Takes the job back. Returns false if it has begun.
  bool withdraw(Job& job) noexcept;

 private:
  struct Worker;

  // Whom to wake or start, once the lock is released.
  struct Helper {
    Worker* sleeper = nullptr;
    bool start = false;
    bool as_standby = false;
  };

  // The thread that adds itself to the others when jobs stand still.
  enum class Standby : std::uint8_t { kNone, kAsleep, kWatching };

  void forget_threads() noexcept;
  Helper call_for_help() noexcept;
  void follow(Helper helper) noexcept;
  void update_hint() noexcept;
  void start_first();
  void start(bool as_standby);
  void not_started(bool as_standby) noexcept;
  void work(Worker& self, bool searching) noexcept;
  void stand_by(Worker& self) noexcept;
  void look_around() noexcept;
  unsigned count_computing() noexcept;

  const ThreadPoolOptions options_;
  const HomeProcess process_;

  // The lock, and what it guards: one cache line, as all of it goes from core to core.
  alignas(64) mutable SpinLock lock_;
  Standby standby_state_ = Standby::kNone;
  bool has_thread_ = false;  // and will, until it is closed
  bool closed_ = false;
  Atomic<bool> waiting_{false};  // whether there are jobs, for those that spin
  unsigned started_ = 0;         // threads, the standby included
  unsigned ended_ = 0;
  unsigned searching_ = 0;   // of them, those on their way to a job
  std::uint64_t begun_ = 0;  // jobs
  IntrusiveList<Job> jobs_;
  Worker* idle_ = nullptr;  // the one that worked last comes first: it is warm
  Worker* standby_ = nullptr;

  alignas(64) Event all_ended_;
  std::mutex threads_lock_;          // held while a thread is started or joined
  std::unique_ptr<Worker> workers_;  // the last that was started, and from there on to the first
};

// Runs f() on a thread of the pool while the calling fiber waits, and returns its result or throws
// its exception. Without a pool, on that of the fiber's runtime: as many threads as there are
// cores, at least four, and up to 64, or four for each core, while jobs are blocked.
//
// f sees the caller's fiber locals; what it sets, the caller does not see. It is not copied and may
// refer to the caller's variables: this returns only when it has ended or
// will not begin. A cancellation point: cancelling, also by a timeout, drops an f that has not
// begun, and waits for one that has; then its exception is thrown, or else Cancelled.
// A plain thread may call it, too, naming a pool; it blocks. On virtual time a job takes none, if
// it takes less than 100 ms of the machine's time; then the clock goes on, for those who block
// until it does.
//
// Costs less than a microsecond while both sides are busy, and else two wake-ups of threads: see
// spin. Throws std::logic_error if the pool is closed or was made before a fork(), or if none is
// named outside of a runtime; std::invalid_argument if f is null; std::system_error if no thread at
// all can be started.
template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> std::invoke_result_t<F&>;
template <class F>
auto run_in_executor(F&& f) -> std::invoke_result_t<F&>;

// The pool of the calling fiber's runtime. Throws std::logic_error elsewhere.
namespace internal {

// The schedulers of a Runtime, and what run_in_executor() uses there. Each group of schedulers
// whose fibers call it is one of these.
struct PooledGroup : Group {
  PooledGroup(Home& first, ThreadPool& its_pool) noexcept : Group(first), pool(its_pool) {}
  ThreadPool& pool;
};

}  // namespace internal

ThreadPool& default_thread_pool();

// ---- Implementation -----------------------------------------------------------------------------

template <class F>
void ThreadPool::post(F&& f) {
  struct Posted : Job {
    explicit Posted(F&& function)
        : Job([](Job& job) noexcept {
            auto& self = static_cast<Posted&>(job);
            self.with_locals([&] {
              std::invoke(*self.function);
              self.function.reset();
            });
            delete &self;
          }),
          function(std::forward<F>(function)) {}
    std::optional<std::decay_t<F>> function;
  };
  auto job = std::make_unique<Posted>(checked_callable(std::forward<F>(f), "ThreadPool::post"));
  submit(*job);
  job.release();
}

// A job whose poster waits for its end.
class AwaitedJob : public ThreadPool::Job {
 public:
  using Job::Job;

  // Posts it and waits. Throws what it threw.
  void run_in(ThreadPool& pool);

 protected:
  // To be called by the job at its end: it is gone when this returns.
  void finish() noexcept;

  std::exception_ptr exception_;

 private:
  void wait_shielded();

  WaitQueue queue_;  // whose lock guards:
  bool done_ = false;
};

template <class F, class T>
class ExecutorJob : public AwaitedJob {
 public:
  explicit ExecutorJob(F& f) : AwaitedJob(&run), f_(f) {}

  T result() { return take_kept<T>(*result_); }

 private:
  static void run(Job& job) noexcept {
    auto& self = static_cast<ExecutorJob&>(job);
    self.with_locals([&] {
      try {
        self.result_.emplace(result_to_keep<T>(self.f_));
      } catch (...) {
        self.exception_ = for_another_task(std::current_exception());
      }
    });
    self.finish();
  }

  F& f_;
  std::optional<Kept<T>> result_;
};

template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> std::invoke_result_t<F&> {
  static_assert(kCanBeReturned<std::invoke_result_t<F&>>,
                "the result can be neither moved nor copied: return a pointer");
  checked_callable(f, "run_in_executor");
  ExecutorJob<std::remove_reference_t<F>, std::invoke_result_t<F&>> job(f);
  job.run_in(pool);
  return job.result();
}

template <class F>
auto run_in_executor(F&& f) -> std::invoke_result_t<F&> {
  return run_in_executor(default_thread_pool(), std::forward<F>(f));
}

}  // namespace weft

#endif  // WEFT_SYNC_THREAD_POOL_H_
