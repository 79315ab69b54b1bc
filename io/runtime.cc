#include "weft/io/runtime.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <thread>

#include "weft/fiber/virtual_port.h"
#include "weft/io/reactor.h"
#include "weft/io/signal.h"
#include "weft/sync/thread_pool.h"

namespace weft {
namespace {

thread_local Runtime* current_runtime = nullptr;

RunOptions checked(RunOptions options) {
  if (options.threads == 0) throw std::invalid_argument("weft: RunOptions::threads is zero");
  if (options.threads > 1) {
    throw std::invalid_argument("weft: RunOptions::threads: more than one is not supported yet");
  }
  if (options.spin < Duration::zero()) {
    throw std::invalid_argument("weft: RunOptions::spin is negative");
  }
  return options;
}

// The pool of run_in_executor().
ThreadPoolOptions pool_options(const RunOptions& options) {
  const unsigned cores = std::max(std::thread::hardware_concurrency(), 1U);
  return {.threads = std::max(cores, 4U),
          .max_threads = std::max(4 * cores, 64U),
          .spin = std::max(options.spin, ThreadPoolOptions().spin)};
}

}  // namespace

struct Runtime::Impl {
  explicit Impl(const RunOptions& options)
      : cancel_on_signal(options.cancel_on_signal),
        virtual_port(reactor),
        scheduler(options.virtual_time ? static_cast<Port&>(virtual_port) : reactor,
                  {.stack_size = options.stack_size,
                   .shuffle_seed = options.shuffle_seed,
                   // A clock that stands still would never end it.
                   .spin = options.virtual_time ? Duration::zero() : options.spin,
                   .trim = !options.virtual_time}),
        schedulers{&scheduler},
        pool(pool_options(options)) {
    scheduler.set_default_pool(&pool);
  }

  const bool cancel_on_signal;
  Reactor reactor;
  VirtualPort virtual_port;
  Scheduler scheduler;
  Scheduler* const schedulers[1];
  ThreadPool pool;  // ends before the schedulers, to which its jobs may post
};

// Makes this the current runtime of the thread.
struct Runtime::Here {
  explicit Here(Runtime& runtime)
      : outer(std::exchange(current_runtime, &runtime)),
        outer_reactor(std::exchange(current_reactor, &runtime.impl_->reactor)) {}
  ~Here() {
    current_runtime = outer;
    current_reactor = outer_reactor;
  }
  Runtime* const outer;
  Reactor* const outer_reactor;
};

Runtime::Runtime(RunOptions options)
    : impl_((check_not_nested(), std::make_unique<Impl>(checked(options)))) {}

Runtime::~Runtime() {
  const Here here(*this);
  // The pool ends while the scheduler still runs: its jobs may wait for what they started there.
  impl_->scheduler.shutdown([this] { impl_->pool.close(); });
}

void Runtime::check_not_nested() {
  if (Scheduler::current_or_null()) {
    throw std::logic_error("weft::run: this thread runs fibers already; runs do not nest");
  }
}

void Runtime::run_until_end(TaskBase& task) {
  const Here here(*this);
  std::optional<CancelOnSignal> signals;
  if (impl_->cancel_on_signal) signals.emplace(task.fiber());
  impl_->scheduler.run_until(task.completion());
}

void Runtime::run_forever() {
  const Here here(*this);
  impl_->scheduler.run();
}

void Runtime::stop() noexcept { impl_->scheduler.stop(); }

std::span<Scheduler* const> Runtime::schedulers() const noexcept { return impl_->schedulers; }

Runtime& Runtime::current() {
  if (!Scheduler::current_fiber() || !current_runtime) {
    throw std::logic_error("weft::Runtime::current: no runtime here; call it inside weft::run");
  }
  return *current_runtime;
}

}  // namespace weft
