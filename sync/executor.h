#ifndef WEFT_SYNC_EXECUTOR_H_
#define WEFT_SYNC_EXECUTOR_H_

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/completion.h"
#include "weft/sync/thread_pool.h"

namespace weft {

// Runs f() on a thread of the pool while the calling fiber waits, and returns its result or throws
// its exception. Without a pool, on that of the fiber's runtime: as many threads as there are
// cores, at least four, and up to 64, or four for each core, while jobs are blocked.
//
//   const Image image = weft::run_in_executor([&] { return decode(bytes); });
//   weft::ThreadPool disk(2);  // or on a pool of one's own
//   weft::run_in_executor(disk, [&] { store(image); });
//
// f sees the caller's fiber locals; what it sets, the caller does not see. It is not copied and may
// refer to the caller's variables: this returns only when it has ended or will not begin. A
// cancellation point: cancelling, also by a timeout, drops an f that has not begun, and waits for
// one that has; then its exception is thrown, or else Cancelled. A plain thread may call it, too,
// naming a pool; it blocks. On virtual time a job takes none, if it takes less than 100 ms of the
// machine's time; after that the clock goes on, for jobs that block until it does.
//
// Costs less than a microsecond while both sides are busy, and else two wake-ups of threads: see
// ThreadPoolOptions::spin. Throws std::logic_error if the pool is closed or was made before a
// fork(), or if none is named outside of a runtime; std::invalid_argument if f is null;
// std::system_error if no thread at all can be started.
template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> std::invoke_result_t<F&>;
template <class F>
auto run_in_executor(F&& f) -> std::invoke_result_t<F&>;

// What the pool of the fiber's runtime has at the moment. Throws std::logic_error outside of a
// runtime.
//
//   std::printf("%zu jobs wait for a thread\n", weft::executor_stats().queued);
ThreadPoolStats executor_stats();

}  // namespace weft

// ---- Implementation -----------------------------------------------------------------------------

namespace weft::internal {

// The pool of the calling fiber's runtime. Throws std::logic_error elsewhere.
ThreadPool& default_thread_pool();

// A job whose poster waits for its end.
class AwaitedJob : public Job {
 public:
  // Posts it and waits. Throws what it threw.
  void run_in(ThreadPool& pool);

 protected:
  ~AwaitedJob() = default;

 private:
  virtual void compute() = 0;
  void run() noexcept final;
  void complete() noexcept final;

  std::exception_ptr exception_;
  Completion end_;
};

template <class F, class T>
class ExecutorJob final : public AwaitedJob {
 public:
  explicit ExecutorJob(F& f) : f_(f) {}

  T result() { return take_kept<T>(*result_); }

 private:
  void compute() override { result_.emplace(result_to_keep<T>(f_)); }

  F& f_;
  std::optional<Kept<T>> result_;
};

}  // namespace weft::internal

namespace weft {

template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> std::invoke_result_t<F&> {
  static_assert(internal::kCanBeReturned<std::invoke_result_t<F&>>,
                "the result can be neither moved nor copied: return a pointer");
  internal::checked_callable(f, "run_in_executor");
  internal::ExecutorJob<std::remove_reference_t<F>, std::invoke_result_t<F&>> job(f);
  job.run_in(pool);
  return job.result();
}

template <class F>
auto run_in_executor(F&& f) -> std::invoke_result_t<F&> {
  return run_in_executor(internal::default_thread_pool(), std::forward<F>(f));
}

}  // namespace weft

#endif  // WEFT_SYNC_EXECUTOR_H_
