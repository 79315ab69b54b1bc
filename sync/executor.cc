#include "weft/sync/executor.h"

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/wait_queue.h"
#include "weft/sync/core/pooled_group.h"

namespace weft::internal {

void AwaitedJob::run_in(ThreadPool& pool, std::unique_ptr<AwaitedJob>* owner) {
  // The waiter is queued before the job. So the thread that completes the job finds the waiter, and
  // they never wait for the same lock.
  WaitQueue& queue = end_.queue();
  Waiter poster("run_in_executor");
  {
    WaitQueue::Lock lock(queue);
    queue.enqueue(lock, poster);
  }
  try {
    pool.submit(*this);
  } catch (...) {
    WaitQueue::Lock lock(queue);
    queue.claim(lock);
    throw;
  }
  const ExpectedEvent result;
  try {
    poster.park(kForever);
  } catch (const Cancelled&) {
    if (pool.withdraw(*this)) throw;
    const ShieldScope shield;  // also for what is called by the request, which may not throw
    stop_.request_stop();
    if (owner && abandon()) {
      (void)owner->release();
      throw;
    }
    end_.wait(kForever, "run_in_executor");
    const WaitQueue::Lock released(queue);  // the thread that completed it no longer has it
    if (!exception_) throw;
  }
  if (exception_) std::rethrow_exception(exception_);
}

void AwaitedJob::run() noexcept {
  try {
    compute();
  } catch (...) {
    exception_ = for_another_task(std::current_exception());
  }
}

// Returns false if it has ended.
bool AwaitedJob::abandon() noexcept {
  const WaitQueue::Lock lock(end_.queue());
  return abandoned_ = !end_.done();
}

void AwaitedJob::complete() noexcept {
  WaitQueue::Lock lock(end_.queue());
  if (!abandoned_) return end_.complete(lock, [] {});
  lock.unlock();
  delete this;
}

PooledGroup& PooledGroup::current(const char* missing) {
  Group* const group = current_fiber() ? Home::here()->group() : nullptr;
  if (!group) throw_logic_error(missing);
  return static_cast<PooledGroup&>(*group);
}

ThreadPool& default_thread_pool() {
  return PooledGroup::current(
             "weft::run_in_executor: no runtime here; call it inside weft::run, or name a pool")
      .pool;
}

}  // namespace weft::internal

namespace weft {

ThreadPoolStats executor_stats() {
  return internal::PooledGroup::current(
             "weft::executor_stats: no runtime here; call it inside weft::run")
      .pool.stats();
}

}  // namespace weft
