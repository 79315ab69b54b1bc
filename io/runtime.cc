#include "weft/io/runtime.h"

#include <algorithm>
#include <stdexcept>
#include <thread>

#include "weft/fiber/virtual_port.h"
#include "weft/io/reactor.h"
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
      : virtual_port(reactor),
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

  Reactor reactor;
  VirtualPort virtual_port;
  Scheduler scheduler;
  Scheduler* const schedulers[1];
  ThreadPool pool;  // ends before the schedulers, to which its jobs may post
};

// Makes this the current runtime of the thread.
struct Runtime::Here {
  explicit Here(Runtime& runtime) : outer(std::exchange(current_runtime, &runtime)) {}
  ~Here() { current_runtime = outer; }
  Runtime* const outer;
};

Runtime::Runtime(RunOptions options)
    : impl_((check_not_nested(), std::make_unique<Impl>(checked(options)))) {}

Runtime::~Runtime() {
  current_runtime = this;
  // The pool ends while the scheduler still runs: its jobs may wait for what they started there.
  impl_->scheduler.shutdown([this] { impl_->pool.close(); });
  current_runtime = nullptr;
}

void Runtime::check_not_nested() {
  if (Scheduler::current_or_null()) {
    throw std::logic_error("weft::run: this thread runs fibers already; runs do not nest");
  }
}

void Runtime::run_until(Completion& completion) {
  const Here here(*this);
  impl_->scheduler.run_until(completion);
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
