#ifndef WEFT_TESTS_SUPPORT_SCHEDULER_THREAD_H_
#define WEFT_TESTS_SUPPORT_SCHEDULER_THREAD_H_

#include <thread>

#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/port.h"
#include "weft/fiber/core/thread_port.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"

namespace weft::test {

using namespace internal;

// A scheduler without I/O on a thread of its own, by the machine's clock. Destroying it ends its
// fibers first.
class SchedulerThread {
 public:
  explicit SchedulerThread(Loop::Options options = {})
      : scheduler_(port_, options), thread_([this] {
          scheduler_.run();
          scheduler_.shutdown();
        }) {}
  ~SchedulerThread() {
    scheduler_.stop();
    thread_.join();
  }

  Loop* get() noexcept { return &scheduler_; }
  Loop* operator->() noexcept { return &scheduler_; }
  std::thread::id id() const noexcept { return thread_.get_id(); }

 private:
  ThreadPort port_;
  Loop scheduler_;
  std::thread thread_;
};

// A scheduler on the calling thread: f() runs as a fiber of it.
template <class F>
void run_on(Port& port, F f, Loop::Options options = {}) {
  Loop scheduler(port, options);
  auto task = spawn(
      [&] {
        f();
        scheduler.stop();
      },
      {.on = &scheduler});
  scheduler.run();
  scheduler.shutdown();
  task.get();
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_SCHEDULER_THREAD_H_
