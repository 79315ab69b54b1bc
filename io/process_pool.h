#ifndef WEFT_IO_PROCESS_POOL_H_
#define WEFT_IO_PROCESS_POOL_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weft/io/exit_status.h"
#include "weft/io/wire.h"

namespace weft {

struct ProcessPoolOptions {
  // The most processes that work at a time; 0: one for each core. A worker is forked when a job
  // finds none free.
  unsigned workers = 0;

  // What its processes are called, in ps and top (14 bytes) and in errors: "worker-1", "worker-2".
  std::string name = "worker";

  // After so many jobs a worker ends, and another one takes its place: against memory that grows.
  // 0: never.
  std::size_t jobs_per_worker = 0;

  // Limits of each worker, over its life: for one of each job set jobs_per_worker to 1. With more
  // CPU time SIGXCPU ends it. With more address space than so many bytes, which includes what this
  // process had when the pool was made, its allocations fail, by std::bad_alloc. 0: none.
  std::chrono::seconds cpu_limit{0};
  std::size_t memory_limit = 0;

  // What each worker calls before its first job. If that throws, the job fails with it.
  void (*start)() = nullptr;
};

// What run_in_process() throws for an exception in the other process: its type, and its text. Its
// own text is both: "std::out_of_range: no such key".
class RemoteError : public std::runtime_error {
 public:
  RemoteError(std::string type, const std::string& text)
      : std::runtime_error(type + ": " + text),
        type_(std::make_shared<std::string>(std::move(type))) {}

  // As the compiler demangles it: "std::out_of_range".
  const std::string& type() const noexcept { return *type_; }

 private:
  std::shared_ptr<const std::string> type_;
};

// What run_in_process() throws if the worker ended before it had answered. Its text names the
// worker, and the signal or code: "worker-2 (process 4711) was killed by SIGSEGV".
class WorkerDied : public std::runtime_error {
 public:
  WorkerDied(const std::string& text, std::optional<ExitStatus> status)
      : std::runtime_error(text), status_(status) {}

  // How it ended; nullopt if that is unknown, because the pool's template was killed, too.
  std::optional<ExitStatus> status() const noexcept { return status_; }

 private:
  std::optional<ExitStatus> status_;
};

// Processes that run functions: work that may crash, leak or never end, and that only the end of
// its process stops. For other work take run_in_executor(), which is faster.
//
//   weft::ProcessPool pool({.workers = 3});  // in main(), before there are threads
//   weft::run([&] {
//     Image image = weft::with_timeout(2s, [&] { return run_in_process(pool, &decode, bytes); });
//   });
//
// The pool forks a template of this process when it is made, and its workers from that. They have
// the memory as it was then, so what is global or static can be prepared before; what this process
// changes later they do not see. They have no descriptor of it but 0, 1, 2, those of ProcessQueue
// and ProcessLock, and nothing of its runtime: a job may call weft::run() itself, and start
// threads.
//
// A worker runs one job at a time, on a stack of 8 MiB. It ignores SIGINT and SIGTERM, which reach
// all processes of a terminal or a service, and ends with the pool. Of the handlers for signals
// that the program had, only those of faults stay. What a job prints by stdio is written out at its
// end. A library that was loaded by dlopen() later is not there. A job that calls exit() destroys
// its copies of the program's global objects, and is a worker that died. A process that a job has
// forked ends, by _exit(), when it returns from the job.
//
// When the process ends, in whatever way, its template and its workers end at once. If the template
// is killed, so are the workers, and there are no new ones.
//
// Threads: any fiber of any scheduler. Lifetime: nothing may use it when it is destroyed; that
// kills the workers, and waits for their end.
// Cost: a job takes two wake-ups of threads, 5 to 10 us. A fork copies no memory, but page tables:
// a millisecond for each 200 MB.
class ProcessPool {
 public:
  // Does not wait. Throws std::logic_error, saying so, if the process has several threads: a fork
  // would leave locks behind that are never released. Threads that were there before and have ended
  // do not count; weft::run() with one scheduler starts none before run_in_executor() or a look-up
  // of a name. Throws std::invalid_argument if the limit of CPU time is negative, and
  // std::system_error if there is no process or descriptor left.
  explicit ProcessPool(ProcessPoolOptions options = {});
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  // From now on run_in_process() throws std::logic_error, also where it waits for a worker. Jobs
  // that have begun go on. Does not wait. No effect twice.
  void close() noexcept;

  // For run_in_process(): has a worker do what the message says, and returns its answer.
  std::string run_message(std::string_view message);

 private:
  struct Impl;
  struct Place;
  std::unique_ptr<Impl> impl_;
};

// Calls f(arguments...) in a process of the pool while the calling fiber waits, and returns its
// result.
//
//   const int sum = weft::run_in_process(pool, [](int a, int b) { return a + b; }, 1, 2);
//   const auto words = weft::run_in_process(pool, &split, std::string("a b"));
//
// f is a function, or a lambda without captures: both processes have it at the same address. The
// arguments and the result are values that Wire can carry; others do not compile.
//
// For many at once spawn a task for each, as examples/process_pool.cc does: if all workers are busy
// it waits for one, in the order of calls. A cancellation point:
// cancelling, also by a timeout, kills the worker, and waits for its end. Then the job is over;
// nobody knows how far it got. What a worker started itself, such as other processes, goes on.
//
// A job runs at most once. Throws RemoteError for what it throws; WorkerDied if the worker ended,
// or none can be forked because the template was killed; std::system_error if none can be forked
// for lack of processes or memory; std::logic_error outside weft::run(), if the pool is closed, or
// if it belongs to a parent of this process.
template <class F, class... Arguments>
auto run_in_process(ProcessPool& pool, F f, const Arguments&... arguments);

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

template <class F>
F read_function(WireReader& from) {
  if constexpr (std::is_pointer_v<F>) {
    F function;
    from.read_bytes(&function, sizeof(function));
    return function;
  } else {
    return F();
  }
}

// What a worker calls.
template <class F, class... Arguments>
void call_remotely(WireReader& from, WireWriter& to) {
  F f = read_function<F>(from);
  std::tuple<Arguments...> arguments{from.read<Arguments>()...};
  using Result = std::invoke_result_t<F&, Arguments...>;
  if constexpr (std::is_void_v<Result>) {
    std::apply(f, std::move(arguments));
  } else {
    to.write<std::remove_cvref_t<Result>>(std::apply(f, std::move(arguments)));
  }
}

}  // namespace internal

template <class F, class... Arguments>
auto run_in_process(ProcessPool& pool, F f, const Arguments&... arguments) {
  constexpr bool kIsFunction = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;
  static_assert(kIsFunction || (std::is_empty_v<F> && std::is_default_constructible_v<F>),
                "weft: f must be a function or a lambda without captures: what it refers to is not "
                "there in another process. Pass it as an argument.");
  static_assert(std::is_invocable_v<F&, std::decay_t<const Arguments>...>,
                "weft: f cannot be called with these arguments");
  void (*const call)(WireReader&, WireWriter&) =
      &internal::call_remotely<F, std::decay_t<const Arguments>...>;
  WireWriter message;
  message.write_bytes(&call, sizeof(call));
  if constexpr (kIsFunction) message.write_bytes(&f, sizeof(f));
  (message.write<std::decay_t<const Arguments>>(arguments), ...);
  const std::string answer = pool.run_message(message.bytes());
  using Result = std::remove_cvref_t<std::invoke_result_t<F&, std::decay_t<const Arguments>...>>;
  if constexpr (!std::is_void_v<Result>) return WireReader(answer).read<Result>();
}

}  // namespace weft

#endif  // WEFT_IO_PROCESS_POOL_H_
