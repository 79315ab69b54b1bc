#ifndef WEFT_TESTS_ORDERS_EXPLORED_SCHEDULER_H_
#define WEFT_TESTS_ORDERS_EXPLORED_SCHEDULER_H_

#include <chrono>
#include <functional>
#include <optional>
#include <utility>

#include "weft/fiber/core/completion.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/task.h"

namespace weft::test {

using namespace internal;

// A Port whose time is over whenever the explorer says so.
class ExploredPort final : public Port {
 public:
  TimePoint now() const noexcept override { return now_; }
  bool wait(TimePoint deadline) override {
    if (deadline <= now_) return false;
    if (parker_.wait(deadline)) return true;
    now_ = deadline;
    return false;
  }
  void wake() noexcept override { parker_.post(); }

 private:
  Parker parker_;
  TimePoint now_{std::chrono::hours(1)};
};

// A scheduler of the thread that calls run(): see explorer.h.
class ExploredScheduler {
 public:
  ~ExploredScheduler() {
    if (scheduler_) close();
  }

  // Runs `main`, and then ends the scheduler.
  template <class Main>
  void run(Main main) {
    scheduler_->post([this, main] {
      main();
      scheduler_->stop();
    });
    scheduler_->run();
    close();
  }

  // Runs until this is done. The end is left to the destructor, which is no part of what is
  // explored: that makes for fewer orders.
  void run_until(Completion& completion) { scheduler_->run_until(completion); }

  void close() {
    scheduler_->shutdown();
    scheduler_.reset();
  }

  Loop* get() noexcept { return &*scheduler_; }
  Loop* operator->() noexcept { return get(); }

 private:
  ExploredPort port_;
  std::optional<Loop> scheduler_{std::in_place, port_, Loop::Options{.trim = false}};
};

// A task on a scheduler of its own, which is that of the thread that calls run().
class ExploredFiber {
 public:
  explicit ExploredFiber(std::function<void()> body)
      : task_(spawn(std::move(body), {.on = scheduler_.get()})) {}

  void run() { scheduler_.run_until(task_.completion()); }
  void cancel() { task_.cancel(); }  // from another thread

 private:
  ExploredScheduler scheduler_;
  Task<void> task_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_ORDERS_EXPLORED_SCHEDULER_H_
