#ifndef WEFT_SYNC_EXECUTOR_H_
#define WEFT_SYNC_EXECUTOR_H_

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/core/completion.h"
#include "weft/sync/thread_pool.h"

namespace weft::internal {

// What f() or f(std::stop_token()) returns.
template <class F>
using JobResult = typename std::conditional_t<std::is_invocable_v<F&, std::stop_token>,
                                              std::invoke_result<F&, std::stop_token>,
                                              std::invoke_result<F&>>::type;

}  // namespace weft::internal

namespace weft {

struct ExecutorOptions {
  // If the caller is cancelled, lets an f that has begun go on alone, rather than wait for it: for
  // a library that hangs. f is moved or copied first, as by spawn(), and must own what it uses.
  // What it then returns or throws is dropped; it is destroyed on the pool's thread. The pool still
  // waits for it when it is closed, and so does the end of a runtime for its own pool: if f never
  // returns, that never ends.
  bool abandon = false;
};

// Runs f() on a thread of the pool while the calling fiber waits, and returns its result or throws
// its exception. Without a pool, on that of the fiber's runtime: see RunOptions::executor_threads.
//
//   const Image image = weft::run_in_executor([&] { return decode(bytes); });
//   weft::ThreadPool disk(2);  // or on a pool of one's own
//   weft::run_in_executor(disk, [&] { store(image); });
//
// f sees the caller's fiber locals; what it sets, the caller does not see. Unless it may be
// abandoned it is not copied and may refer to the caller's variables: this returns only when it has
// ended or will not begin. A cancellation point: cancelling, also by a timeout, drops an f that has
// not begun, and waits for one that has; then its exception is thrown, or else Cancelled.
//
// An f that takes a std::stop_token is called with one. A cancellation requests the stop, and calls
// on the caller's thread what f has registered for that (std::stop_callback).
//
//   weft::run_in_executor([=](std::stop_token stop) { while (!stop.stop_requested()) step(); });
//   auto host = weft::with_timeout(1s, [&] {
//     return weft::run_in_executor([name] { return look_up(name); }, {.abandon = true});
//   });
//
// A plain thread may call it, too, naming a pool; it blocks. On virtual time a job takes none, if
// it takes less than 100 ms of the machine's time; after that the clock goes on, for jobs that
// block until it does.
//
// Costs less than a microsecond while both sides are busy, and else two wake-ups of threads: see
// ThreadPoolOptions::spin. Throws std::logic_error if the pool is closed or was made before a
// fork(), or if none is named outside of a runtime; std::invalid_argument if f is null;
// std::system_error if no thread at all can be started.
template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> internal::JobResult<F>;
template <class F>
auto run_in_executor(F&& f) -> internal::JobResult<F>;
template <class F>
auto run_in_executor(ThreadPool& pool, F&& f, ExecutorOptions options) -> internal::JobResult<F>;
template <class F>
auto run_in_executor(F&& f, ExecutorOptions options) -> internal::JobResult<F>;

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
  // Posts it and waits. Throws what it threw. If the job has an owner, a cancelled wait takes it
  // away from that, and leaves it to the pool.
  void run_in(ThreadPool& pool, std::unique_ptr<AwaitedJob>* owner = nullptr);

  virtual ~AwaitedJob() = default;

 protected:
  std::stop_source stop_{std::nostopstate};

 private:
  bool abandon() noexcept;
  virtual void compute() = 0;
  void run() noexcept final;
  void complete() noexcept final;

  std::exception_ptr exception_;
  bool abandoned_ = false;  // under the lock of end_: it is the pool's, and destroys itself
  Completion end_;
};

// F is a reference if the callable is used in place.
template <class F, class T>
class ExecutorJob final : public AwaitedJob {
  static_assert(kCanBeReturned<T>, "the result can be neither moved nor copied: return a pointer");

 public:
  template <class G>
  explicit ExecutorJob(G&& f) : f_(checked_callable(std::forward<G>(f), "run_in_executor")) {
    if constexpr (kStoppable) stop_ = std::stop_source();
  }

  T result() { return take_kept<T>(*result_); }

 private:
  static constexpr bool kStoppable = std::is_invocable_v<F&, std::stop_token>;

  void compute() override {
    const auto call = [&]() -> T {
      if constexpr (kStoppable) {
        return std::invoke(f_, stop_.get_token());
      } else {
        return std::invoke(f_);
      }
    };
    result_.emplace(result_to_keep<T>(call));
  }

  F f_;
  std::optional<Kept<T>> result_;
};

}  // namespace weft::internal

namespace weft {

template <class F>
auto run_in_executor(ThreadPool& pool, F&& f) -> internal::JobResult<F> {
  internal::ExecutorJob<std::remove_reference_t<F>&, internal::JobResult<F>> job(f);
  job.run_in(pool);
  return job.result();
}

template <class F>
auto run_in_executor(F&& f) -> internal::JobResult<F> {
  return run_in_executor(internal::default_thread_pool(), std::forward<F>(f));
}

template <class F>
auto run_in_executor(ThreadPool& pool, F&& f, ExecutorOptions options) -> internal::JobResult<F> {
  if (!options.abandon) return run_in_executor(pool, f);
  using Job = internal::ExecutorJob<std::decay_t<F>, internal::JobResult<F>>;
  std::unique_ptr<internal::AwaitedJob> owner = std::make_unique<Job>(std::forward<F>(f));
  auto& job = static_cast<Job&>(*owner);
  job.run_in(pool, &owner);
  return job.result();
}

template <class F>
auto run_in_executor(F&& f, ExecutorOptions options) -> internal::JobResult<F> {
  return run_in_executor(internal::default_thread_pool(), std::forward<F>(f), options);
}

}  // namespace weft

#endif  // WEFT_SYNC_EXECUTOR_H_
