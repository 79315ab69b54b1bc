#ifndef WEFT_IO_RUNTIME_H_
#define WEFT_IO_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/report.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/time.h"

namespace weft {

struct RunOptions {
  using OnDeadlock = weft::OnDeadlock;

  // The number of schedulers, one per thread: the first on the thread that calls run(), the others
  // on threads of the runtime. Each has its own fibers, timers and sockets; see spread(),
  // round_robin() and SpawnOptions::on. One costs nothing extra.
  unsigned threads = 1;

  // The default address space of a fiber's stack in bytes, with a guard page. At least four pages.
  std::size_t stack_size = 256 * 1024;

  // The clock stands still while a fiber of any scheduler can run, and jumps to the next deadline
  // when no fiber can. It stands still outside run(), too. If a fiber waits for run_in_executor(),
  // a jump waits for that at most 100 ms.
  bool virtual_time = false;

  // Runs ready fibers in an order drawn from this seed. With one scheduler the same seed gives the
  // same order.
  std::optional<std::uint64_t> shuffle_seed = {};

  // How long a scheduler that runs out of work looks for more before it sleeps in the kernel. The
  // same goes for the threads behind run_in_executor(), which look at least for
  // ThreadPoolOptions().spin. Costs a core for that long each time; saves the wake-up, some 20 us.
  // A program that stays idle uses no CPU either way. A scheduler on virtual time does not spin. A
  // negative duration counts as zero.
  AnyDuration spin = {};

  // SIGINT and SIGTERM cancel the function that run() runs, so that it ends in order; a second
  // signal ends the program at once. Only if run() is called on the main thread, and not for a
  // signal that the program handles or ignores. A SignalSet takes its signals instead.
  bool cancel_on_signal = true;

  // Pins each scheduler's thread to one of the cores that the process may use, going around; the
  // thread that calls run() only during it. Spares a busy server the moves from core to core; does
  // harm if other programs want the same cores. Threads that fibers start inherit it; threads that
  // weft starts for a fiber do not. No effect if the system does not allow it.
  bool pin_threads = false;

  // Watches for stalls: if a fiber has held up its scheduler for so long, because it computes or
  // blocks the thread, a report says which one, with its stack and the system call that it is in.
  // Again after 2, 4, ... times as long, and when the scheduler goes on. Zero or less: no watch.
  // Costs a thread, and so what locks cost where there are several threads (some 10 ns rather than
  // 2). The fiber is interrupted by SIGURG for it, upon which a system call such as poll() may
  // return EINTR. Without a build, too: WEFT_WATCH=stall=100ms,report=QUIT in the environment goes
  // before these options.
  AnyDuration stall_after = {};

  // A signal, such as SIGQUIT, that makes the same thread report all tasks, as print_tasks() prints
  // them. The program goes on. A signal that comes during a report asks for one more. If several
  // runtimes of a process have this option, only the first gets the signal. What the signal did
  // before is put back when it ends. Zero: none.
  int report_signal = 0;

  // What happens if no task can ever go on: see OnDeadlock. A program that waits for Ctrl-C alone,
  // with tasks that wait, gets a report of it.
  OnDeadlock on_deadlock = OnDeadlock::kAutomatic;

  // Names a fiber that overflows its stack on stderr, with the functions on the stack and the bytes
  // that each takes. Then the signal, SIGSEGV, goes to the handler that the program had before, or
  // ends the program with a core of the overflow. Costs nothing until then: each scheduler's thread
  // gets an alternate stack for signals, 64 KiB of address space, if it has none, and the first run
  // installs a handler of SIGSEGV. Off under AddressSanitizer, which reports overflows itself.
  bool name_overflows = true;

  // The number of threads of run_in_executor() without a pool. 0: one for each core, but at least
  // four. While jobs block their threads it grows, up to four for each core, or 64 if that is more.
  unsigned executor_threads = 0;

  // The exception handler of every scheduler, from the beginning: see
  // Scheduler::set_exception_handler(). Several threads may call it at once. Null: the default,
  // which prints and terminates.
  ExceptionHandler exception_handler = {};
};

// Schedulers, composed with their reactors: the only place that knows both.
//
//   Runtime runtime({.threads = 4});
//   const int result = runtime.run([] { return serve(); });
//   runtime.run([] { clean_up(); });
//
// The first scheduler runs during run() and run_forever(), any others from the construction to the
// end.
//
// The end has these steps, each of them on all schedulers before the next:
// 1. Fibers that are left are cancelled (later than on the others if one holds up its thread), and
//    pending calls are dropped.
// 2. The fibers are joined, which waits for jobs of theirs that threads have begun. Fibers that
//    take longer than five seconds are named on stderr, and cancelled again with all that they have
//    started.
// 3. The pool of run_in_executor() runs what else was posted to it, and its threads are joined.
// 4. The threads of the schedulers are joined, and the reactors are closed.
// Until the last fiber of all has ended every scheduler runs what the others ask of it. Do not
// destroy a runtime in a fiber.
//
// fork(): a process may fork while no run is in progress; the child then makes a runtime of its
// own. A runtime that was made before the fork stays the parent's. Destroying it in the child runs
// no fiber and waits for nothing; what its fibers own is not destroyed. In a fiber, fork only to
// exec or _exit.
//
// Standard descriptors: if 0, 1 or 2 is closed, as in some daemons, it is opened as /dev/null first
// and stays open. Otherwise a socket or file could get that number, and then the text printed to
// stderr. A socket, listener or SignalSet that is made before any runtime does the same.
//
// Threads: stop() and schedulers() from any, the rest from the thread that made the runtime. The
// runtime's own threads block signals, so that the program's threads get them.
class Runtime {
 public:
  // Throws std::invalid_argument for zero threads or too small a stack, std::logic_error in a fiber
  // (runtimes do not nest), std::system_error if the process is out of descriptors, threads or
  // mappings, and std::bad_alloc.
  explicit Runtime(RunOptions options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Runs main() as a fiber of the first scheduler, with all other fibers, until it ends. Returns
  // its result, or throws its exception, or TaskCancelled if it was cancelled. Other fibers stay as
  // they are, for the next call or the end. Throws std::invalid_argument if main is null, and
  // std::logic_error in a fiber, or in a child of the process that made the runtime.
  template <class F>
  auto run(F&& main) -> internal::ResultOf<std::decay_t<F>&>;

  // Runs the first scheduler's fibers until stop(). Throws std::logic_error as run() does.
  void run_forever();

  // Makes run_forever() return soon, or the next call if there is none in progress. No effect
  // during run(). From any thread.
  void stop() noexcept;

  // The schedulers, one per thread, in an order that does not change. Valid as long as the runtime.
  std::span<Scheduler* const> schedulers() const noexcept;

  // The runtime of the calling fiber. Throws std::logic_error outside fibers.
  static Runtime& current();

 private:
  struct Core;
  struct Group;
  struct Impl;

  friend Scheduler* round_robin();

  Scheduler* next_in_turn();
  static void check_not_nested();
  void check_may_run() const;
  void start_watch();
  void abandon() noexcept;
  void run_until_end(internal::TaskBase& task);
  void shut_down() noexcept;

  std::unique_ptr<Impl> impl_;
};

// Runs main() as a fiber in a runtime of its own (asyncio.run). Returns its result when main() and
// all that it left behind have ended. Throws as Runtime's constructor and Runtime::run do.
//
//   return weft::run([] { return serve(); }, {.threads = 4});
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
