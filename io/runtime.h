#ifndef WEFT_IO_RUNTIME_H_
#define WEFT_IO_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/call.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/time.h"

namespace weft {

struct RunOptions {
  // Schedulers, one per thread: the first on the thread that calls run(), the others on threads of
  // the runtime. Each has its own fibers, timers and sockets; see spread(), round_robin() and
  // SpawnOptions::on. Costs nothing where it is one.
  unsigned threads = 1;

  // Default address space of a fiber's stack, one guard page included. At least four pages.
  std::size_t stack_size = 256 * 1024;

  // The clock stands still while a fiber can run, and jumps to the next deadline when none can, on
  // whatever scheduler. It stands still outside run(), too. Where one waits for run_in_executor(),
  // a jump waits for it, but for no more than 100 ms.
  bool virtual_time = false;

  // Runs ready fibers in an order drawn from this seed: the same seed, the same order, with one
  // scheduler.
  std::optional<std::uint64_t> shuffle_seed = {};

  // How long a scheduler, or a thread of the pool behind run_in_executor(), that runs out of work
  // looks for more before it sleeps in the kernel; the latter at least for
  // ThreadPoolOptions().spin. Costs a core for that long each time; saves the wake-up, some 20 us.
  // A program that stays idle uses no CPU either way. A scheduler on virtual time does not spin. A
  // negative duration counts as zero.
  AnyDuration spin = {};

  // SIGINT and SIGTERM cancel the function that run() runs, which so ends in order; a second one
  // ends the program at once. Only where run() is called on the main thread, and not for a signal
  // that the program handles or ignores. What a SignalSet waits for goes there instead.
  bool cancel_on_signal = true;

  // Keeps each scheduler's thread to one core of those that the process may use, going around; the
  // thread that calls run() only meanwhile. Spares a busy server the moves from core to core; a
  // harm where others want the same cores. Threads that fibers start inherit it, and so do those
  // that these start; threads that weft starts for a fiber do not. No effect where the system does
  // not allow it.
  bool pin_threads = false;

  // The exception handler of every scheduler, from the beginning: see
  // Scheduler::set_exception_handler(). Several threads may call it at once. Null: the default,
  // which prints and terminates.
  ExceptionHandler exception_handler = {};
};

// The composition of schedulers with their reactors: the only place that knows both.
//
// Where there are several schedulers, all but the first run from the construction to the end, the
// first during run() and run_forever().
//
// At its end, in this order, each step on all schedulers before the next: what is left of the
// fibers is cancelled (where one holds up its thread, later than on the others); pending calls are
// dropped; the fibers are joined (those that take longer than five seconds are named on stderr,
// and cancelled again with whatever they have started), which waits for the jobs that they have on
// threads; the pool of run_in_executor() runs what else was posted to it, and its threads are
// joined; the threads of the schedulers are joined; the reactors are closed. Until the last fiber
// of all has ended every scheduler runs what the others ask of it. A runtime may not be destroyed
// in a fiber.
//
// fork(): a process may fork while no run is under way; the child then makes a runtime of its own.
// A runtime that was made before the fork stays the parent's. Destroying it in the child runs no
// fiber and waits for nothing; what its fibers own is not destroyed. In a fiber, fork only to exec
// or _exit.
//
// Standard descriptors: those of 0, 1 and 2 that are closed, as in some daemons, are opened as
// /dev/null first. Otherwise a socket or file could get such a number, and then what is printed to
// stderr. They stay open. A socket, a listener or a SignalSet made before any runtime does the
// same.
//
// Threads: stop() and schedulers() from any, the rest from the thread that made it. The threads of
// its own block the signals that are not for themselves, so that the program's threads get them.
class Runtime {
 public:
  // Throws std::invalid_argument for zero threads or too small a stack, std::logic_error in a fiber
  // (runtimes do not nest), std::system_error where the process is out of descriptors, threads or
  // mappings, and std::bad_alloc.
  explicit Runtime(RunOptions options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Runs main() as a fiber of the first scheduler, and all others meanwhile, until it ends; returns
  // its result, or throws its exception, or TaskCancelled if it was cancelled. Other fibers stay as
  // they are, for the next call or the end. Throws std::invalid_argument if main is null, and
  // std::logic_error in a fiber, or where the process was forked since the runtime was made.
  template <class F>
  auto run(F&& main) -> internal::ResultOf<std::decay_t<F>&>;

  // Runs the first scheduler's fibers until stop(). Throws std::logic_error as run() does.
  void run_forever();

  // Makes run_forever() return soon, or the next one if nothing is under way. During run() it has
  // no effect. From any thread.
  void stop() noexcept;

  // One for each thread, in an order that does not change. The span is valid as long as the
  // runtime.
  std::span<Scheduler* const> schedulers() const noexcept;

  // That of the calling fiber. Throws std::logic_error outside fibers.
  static Runtime& current();

 private:
  struct Core;
  struct Group;
  struct Impl;

  friend Scheduler* round_robin();

  Scheduler* next_in_turn();
  static void check_not_nested();
  void check_may_run() const;
  void leave_to_parent() noexcept;
  void run_until_end(TaskBase& task);
  void end() noexcept;

  std::unique_ptr<Impl> impl_;
};

// Runs main() as a fiber in a runtime of its own, and returns its result when main() and all that
// it left behind have ended (asyncio.run). Throws as Runtime's constructor and Runtime::run do.
template <class F>
auto run(F&& main, RunOptions options = {}) -> internal::ResultOf<std::decay_t<F>&> {
  return Runtime(std::move(options)).run(std::forward<F>(main));
}

// ---- Implementation -----------------------------------------------------------------------------

template <class F>
auto Runtime::run(F&& main) -> internal::ResultOf<std::decay_t<F>&> {
  internal::checked_callable(main, "run");
  check_may_run();
  auto task = spawn(std::forward<F>(main), {.name = "main", .on = schedulers().front()});
  run_until_end(task);
  return task.get();
}

}  // namespace weft

#endif  // WEFT_IO_RUNTIME_H_
