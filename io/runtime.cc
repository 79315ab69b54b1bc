#include "weft/io/runtime.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "weft/fiber/core/group.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/shutdown.h"
#include "weft/fiber/core/survey.h"
#include "weft/fiber/core/thread.h"
#include "weft/fiber/core/virtual_port.h"
#include "weft/fiber/core/watch.h"
#include "weft/io/core/cancel_on_signal.h"
#include "weft/io/core/error.h"
#include "weft/io/core/reactor.h"
#include "weft/io/core/socket.h"
#include "weft/sync/core/pooled_group.h"
#include "weft/sync/thread_pool.h"

namespace weft {
namespace {

// The n-th scheduler's seed: no two shuffle alike.
std::optional<std::uint64_t> seed_of(const RunOptions& options, unsigned n) {
  if (!options.shuffle_seed) return {};
  return *options.shuffle_seed + n * std::uint64_t{0x9e3779b97f4a7c15};
}

Duration spin_of(const RunOptions& options) {
  return std::max<Duration>(options.spin, Duration::zero());
}

OnDeadlock on_deadlock(const RunOptions& options) {
  if (options.on_deadlock != OnDeadlock::kAutomatic) return options.on_deadlock;
  return options.virtual_time ? OnDeadlock::kFail : OnDeadlock::kReport;
}

// The pool of run_in_executor().
ThreadPoolOptions pool_options(const RunOptions& options) {
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);
  const unsigned fixed = options.executor_threads;
  return {.threads = fixed ? fixed : std::max(cores, 4U),
          .max_threads = fixed ? fixed : std::max(4 * cores, 64U),
          .spin = std::max(options.spin, ThreadPoolOptions().spin)};
}

}  // namespace

// A scheduler with its ports.
struct Runtime::Core {
  Core(const RunOptions& options, internal::VirtualClock& clock, unsigned n)
      : virtual_port(reactor, clock),
        scheduler(options.virtual_time ? static_cast<internal::Port&>(virtual_port) : reactor,
                  {.stack_size = options.stack_size,
                   .shuffle_seed = seed_of(options, n),
                   // On a clock that stands still spinning would not end.
                   .spin = options.virtual_time ? Duration() : spin_of(options),
                   .trim = !options.virtual_time,
                   .on_deadlock = on_deadlock(options),
                   .name_overflows = options.name_overflows}) {
    scheduler.set_exception_handler(options.exception_handler);
    scheduler.set_number(n);
  }

  internal::Reactor reactor;
  internal::VirtualPort virtual_port;
  internal::Loop scheduler;
  std::size_t turn = 0;  // of round_robin(), counted from this one
};

// What its schedulers share. Runtime::current() finds the runtime by it.
struct Runtime::Group : internal::PooledGroup {
  Group(Runtime& its_runtime, internal::Loop& first, ThreadPool& its_pool) noexcept
      : PooledGroup(first, its_pool), runtime(its_runtime) {}
  Runtime& runtime;
};

struct Runtime::Impl {
  explicit Impl(RunOptions its_options)
      : options(std::move(its_options)),
        cores(options.threads),
        loops(options.threads),
        pool(pool_options(options)) {
    if (options.threads == 0) {
      internal::throw_invalid_argument("weft: RunOptions::threads is zero");
    }
    for (unsigned n = 0; n < options.threads; ++n) {
      cores[n] = std::make_unique<Core>(options, clock, n);
      loops[n] = &cores[n]->scheduler;
    }
    schedulers.assign(loops.begin(), loops.end());
  }

  std::optional<internal::Pinned> pin(unsigned n) const {
    if (!options.pin_threads) return std::nullopt;
    return std::optional<internal::Pinned>(std::in_place, n);
  }

  const RunOptions options;
  internal::VirtualClock clock;
  std::vector<std::unique_ptr<Core>> cores;
  std::vector<internal::Loop*> loops;
  std::vector<Scheduler*> schedulers;  // the loops, as users see them
  std::optional<Group> group;
  ThreadPool pool;                   // ends before the schedulers, to which its jobs may post
  std::vector<std::thread> threads;  // of the schedulers but the first
  std::optional<internal::Watch> watch;
  std::optional<internal::Shutdown> shutdown;  // set before these are stopped
  const Impl* next_left = nullptr;             // see abandon()
};

Runtime::Runtime(RunOptions options)
    : impl_((check_not_nested(), internal::fill_standard_descriptors(),
             std::make_unique<Impl>(std::move(options)))) {
  impl_->group.emplace(*this, *impl_->loops.front(), impl_->pool);
  for (internal::Loop* loop : impl_->loops) loop->set_group(*impl_->group);
  impl_->loops.front()->expect_caller();
  try {
    const unsigned threads = impl_->options.threads;
    impl_->threads.reserve(threads);
    for (unsigned n = 1; n < threads; ++n) {
      impl_->threads.push_back(internal::start_thread("weft-" + internal::decimal(n), [this, n] {
        const std::optional<internal::Pinned> pinned = impl_->pin(n);
        internal::unblock_interrupt();
        impl_->loops[n]->run();
        impl_->loops[n]->shutdown(*impl_->shutdown);
      }));
    }
    start_watch();
  } catch (...) {
    shut_down();
    throw;
  }
}

void Runtime::start_watch() {
  internal::WatchOptions options{.stall_after = impl_->options.stall_after,
                                 .report_signal = impl_->options.report_signal};
  if (const char* const words = std::getenv("WEFT_WATCH")) internal::parse_watch(words, options);
  if (options.any()) impl_->watch.emplace(options, impl_->loops);
}

Runtime::~Runtime() {
  if (impl_->loops.front()->is_of_this_process()) {
    shut_down();
  } else {
    abandon();
  }
}

// A child has none of the threads, and the kernel's objects are its parent's. At the fork another
// thread may have been halfway through a change: the memory stays as it is.
void Runtime::abandon() noexcept {
  static std::atomic<Impl*> left{nullptr};  // so it stays reachable, and is no leak
  for (const auto& core : impl_->cores) core->reactor.close_in_child();
  Impl* const impl = impl_.release();
  impl->next_left = left.exchange(impl);
}

void Runtime::shut_down() noexcept {
  // Fewer than all if a thread could not be started.
  const auto running = std::span(impl_->loops).first(1 + impl_->threads.size());
  // The pool ends while the schedulers still run: a job may wait for fibers that it started there.
  impl_->shutdown.emplace(running, [this] { impl_->pool.close(); });
  for (internal::Loop* loop : running.subspan(1)) loop->stop();
  const std::optional<internal::Pinned> pinned = impl_->pin(0);
  running.front()->shutdown(*impl_->shutdown);
  for (std::thread& thread : impl_->threads) thread.join();
}

void Runtime::check_not_nested() {
  if (internal::Home::here()) {
    internal::throw_logic_error("weft::run: this thread runs fibers already; runs do not nest");
  }
}

void Runtime::check_may_run() const {
  check_not_nested();
  impl_->loops.front()->require_this_process();
}

void Runtime::run_until_end(internal::TaskBase& task) {
  const std::optional<internal::Pinned> pinned = impl_->pin(0);
  std::optional<internal::CancelOnSignal> signals;
  if (impl_->options.cancel_on_signal) signals.emplace(task.fiber());
  impl_->loops.front()->run_until(task.completion());
}

void Runtime::run_forever() {
  const std::optional<internal::Pinned> pinned = impl_->pin(0);
  impl_->loops.front()->run();
  impl_->loops.front()->throw_if_deadlocked();
}

void Runtime::stop() noexcept { impl_->loops.front()->stop(); }

std::span<Scheduler* const> Runtime::schedulers() const noexcept { return impl_->schedulers; }

Scheduler* Runtime::next_in_turn() {
  const std::vector<Scheduler*>& all = impl_->schedulers;
  const std::size_t self = internal::Home::here()->number();
  return all[(self + impl_->cores[self]->turn++) % all.size()];
}

Runtime& Runtime::current() {
  internal::PooledGroup& group = internal::PooledGroup::current(
      "weft::Runtime::current: no runtime here; call it inside weft::run");
  return static_cast<Group&>(group).runtime;
}

}  // namespace weft
