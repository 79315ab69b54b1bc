#include "tests/random/shared_objects.h"

#include <exception>
#include <future>
#include <string_view>
#include <utility>

#include "tests/random/interpreter.h"

namespace weft::test {
namespace {

Outcome taken(const std::optional<Item>& item) {
  return item ? Outcome{Outcome::kOk, item->number} : Outcome{Outcome::kNo};
}

template <class Q>
Outcome use(Q& queue, const Step& step) {
  switch (step.what) {
    case Do::kPush:
      queue.push(Item(step.number));
      return {};
    case Do::kTryPush:
      return yes_or_no(queue.try_push(Item(step.number)));
    case Do::kTryPushFor:
      return yes_or_no(queue.try_push_for(Item(step.number), Duration(step.time)));
    case Do::kPop:
      return {Outcome::kOk, queue.pop().number};
    case Do::kTryPop:
      return taken(queue.try_pop());
    case Do::kTryPopFor:
      return taken(queue.try_pop_for(Duration(step.time)));
    case Do::kClose:
      queue.close();
      return {};
    case Do::kCloseAndDiscard:
      queue.close(kDiscard);
      return {};
    case Do::kTaskDone:
      queue.task_done();
      return {};
    default:
      queue.join();
      return {};
  }
}

}  // namespace

Outcome caught_outcome() {
  try {
    throw;
  } catch (const Cancelled&) {
    return {Outcome::kCancelled};
  } catch (const Failure& failure) {
    return {Outcome::kFailure, failure.number};
  } catch (const TimeoutError&) {
    return {Outcome::kTimeoutError};
  } catch (const TaskCancelled&) {
    return {Outcome::kTaskCancelled};
  } catch (const QueueClosed&) {
    return {Outcome::kClosed};
  } catch (const std::future_error& error) {
    const bool broken = error.code() == std::future_errc::broken_promise;
    return {broken ? Outcome::kBroken : Outcome::kSatisfied};
  } catch (const std::logic_error&) {
    return {Outcome::kLogicError};
  } catch (const std::runtime_error& error) {
    const bool closed =
        std::string_view(error.what()).find("is shutting down") != std::string_view::npos;
    return {closed ? Outcome::kShuttingDown : Outcome::kUnknown};
  } catch (...) {
    return {Outcome::kUnknown};
  }
}

Outcome outcome_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (...) {
    return caught_outcome();
  }
}

bool SharedObjects::ByUrgency::operator()(const Item& a, const Item& b) const {
  return urgency_of(a.number) < urgency_of(b.number);
}

SharedObjects::SharedObjects(const Program& program) : barrier_(program.parties) {
  for (std::size_t i = 0; i < program.capacities.size(); ++i) {
    const auto capacity = static_cast<std::size_t>(program.capacities[i]);
    switch (program.queue_kinds[i]) {
      case QueueKind::kFifo:
        queues_.emplace_back(std::in_place_index<0>, capacity);
        break;
      case QueueKind::kPriority:
        queues_.emplace_back(std::in_place_index<1>, capacity);
        break;
      case QueueKind::kLifo:
        queues_.emplace_back(std::in_place_index<2>, capacity);
    }
  }
  for (const int permits : program.permits) semaphores_.emplace_back(permits);
  for (std::size_t i = 0; i < promises.size(); ++i) futures[i] = promises[i].emplace().future();
}

Outcome SharedObjects::use_queue(const Step& step) {
  return std::visit([&](auto& queue) { return use(queue, step); },
                    queues_[static_cast<std::size_t>(step.object)]);
}

Outcome SharedObjects::use_none(const Step& step) {
  switch (step.what) {
    case Do::kYield:
      yield();
      return {};
    case Do::kSleep:
      sleep_for(Duration(step.time));
      return {};
    case Do::kThrow:
      throw Failure(step.number);
    case Do::kSave:
      saved = std::current_exception();
      return {};
    default:
      std::rethrow_exception(saved);
  }
}

Outcome SharedObjects::use_condition(const Step& step, std::unique_lock<Mutex>* lock) {
  switch (step.what) {
    case Do::kNotifyOne:
      condition_.notify_one();
      return {};
    case Do::kNotifyAll:
      condition_.notify_all();
      return {};
    case Do::kWaitCondition:
      condition_.wait(*lock);
      return {};
    default:
      return yes_or_no(condition_.wait_for(*lock, Duration(step.time)) ==
                       std::cv_status::no_timeout);
  }
}

Outcome SharedObjects::use_signal(const Step& step) {
  const auto i = static_cast<std::size_t>(step.object);
  switch (step.what) {
    case Do::kAcquire:
      semaphores_[i].acquire();
      return {};
    case Do::kTryAcquire:
      return yes_or_no(semaphores_[i].try_acquire());
    case Do::kTryAcquireFor:
      return yes_or_no(semaphores_[i].try_acquire_for(Duration(step.time)));
    case Do::kRelease:
      semaphores_[i].release(step.number);
      return {};
    case Do::kSet:
      events_[i].set();
      return {};
    case Do::kClear:
      events_[i].clear();
      return {};
    case Do::kWaitEvent:
      events_[i].wait();
      return {};
    case Do::kWaitEventFor:
      return yes_or_no(events_[i].wait_for(Duration(step.time)));
    default:
      return {Outcome::kOk, barrier_.arrive_and_wait()};
  }
}

// The cases of a select(), each made on the stack of the one before.
class SharedObjects::Choice {
 public:
  Choice(SharedObjects& objects, const Step& step, const Future<std::int64_t>& future)
      : objects_(objects), step_(step), future_(future), steps_(cases_of(step)) {}

  Outcome make() {
    if (all_.size() == steps_.size()) return choose();
    const Step& its = steps_[all_.size()];
    const auto i = static_cast<std::size_t>(its.object);
    switch (its.what) {
      case Do::kPop:
        return std::visit([&](auto& queue) { return pop(queue); }, objects_.queues_[i]);
      case Do::kPush:
        return std::visit([&](auto& queue) { return push(queue); }, objects_.queues_[i]);
      case Do::kWaitEvent:
        return with(on(objects_.events_[i]));
      default:
        return with(on(future_));
    }
  }

 private:
  template <class Case>
  Outcome with(Case&& its) {
    all_.push_back(&its);
    return make();
  }
  template <class Q>
  Outcome pop(Q& queue) {
    const auto index = static_cast<std::int64_t>(all_.size());
    std::optional<Item> item;
    Outcome outcome = with(on_pop(queue, item).to_wait());
    if (outcome.kind == Outcome::kOk && outcome.value == index && item) {
      outcome = chosen(index, item->number);
    }
    return outcome;
  }
  template <class Q>
  Outcome push(Q& queue) {
    return with(on_push(queue, Item(step_.object)));
  }

  Outcome choose() {
    if (step_.time == 0) return choose(otherwise());
    if (step_.time > 0) return choose(after(Duration(step_.time)));
    switch (all_.size()) {
      case 1:
        return taken(select(*all_[0]));
      case 2:
        return taken(select(*all_[0], *all_[1]));
      default:
        return taken(select(*all_[0], *all_[1], *all_[2]));
    }
  }
  template <class Last>
  Outcome choose(Last&& last) {
    switch (all_.size()) {
      case 1:
        return taken(select(*all_[0], last));
      case 2:
        return taken(select(*all_[0], *all_[1], last));
      default:
        return taken(select(*all_[0], *all_[1], *all_[2], last));
    }
  }
  Outcome taken(std::size_t index) const {
    return index == all_.size() ? Outcome{Outcome::kNo} : chosen(static_cast<std::int64_t>(index));
  }

  SharedObjects& objects_;
  const Step& step_;
  const Future<std::int64_t>& future_;
  const std::vector<Step> steps_;
  std::vector<internal::SelectCase*> all_{};
};

Outcome SharedObjects::use_select(const Step& step, const Future<std::int64_t>& future) {
  return Choice(*this, step, future).make();
}

Outcome SharedObjects::use_future(const Step& step, const Future<std::int64_t>& future) {
  auto& promise = promises[static_cast<std::size_t>(step.object)];
  switch (step.what) {
    case Do::kGetFuture:
      return {Outcome::kOk, future.get()};
    case Do::kWaitFutureFor:
      return yes_or_no(future.wait_for(Duration(step.time)));
    case Do::kSetValue:
      promise->set_value(step.number);
      return {};
    case Do::kSetException:
      promise->set_exception(std::make_exception_ptr(Failure(step.number)));
      return {};
    case Do::kSetSaved:
      promise->set_exception(saved);
      return {};
    case Do::kBreakPromise:
      promise.reset();
      return {};
    default:
      futures[static_cast<std::size_t>(step.object)] = {};
      return {};
  }
}

void SharedObjects::empty(const std::function<void(Step, std::int64_t)>& tell) {
  const auto left = [&](Do what, std::size_t object, std::int64_t value) {
    tell({.what = what, .object = static_cast<int>(object)}, value);
  };
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    std::visit(
        [&](auto& queue) {
          while (const auto item = queue.try_pop()) left(Do::kTryPop, i, item->number);
          left(Do::kClose, i, queue.is_closed());
        },
        queues_[i]);
  }
  for (std::size_t i = 0; i < semaphores_.size(); ++i) {
    std::int64_t permits = 0;
    while (semaphores_[i].try_acquire()) ++permits;
    left(Do::kTryAcquire, i, permits);
  }
  for (std::size_t i = 0; i < events_.size(); ++i) left(Do::kSet, i, events_[i].is_set());
  for (std::size_t i = 0; i < promises.size(); ++i) {
    if (promises[i]) futures[i] = promises[i]->future();
    if (!futures[i].valid()) continue;
    if (!futures[i].done()) {
      left(Do::kGetFuture, i, 0);
      continue;
    }
    try {
      left(Do::kGetFuture, i, append(0, {Outcome::kOk, futures[i].get()}));
    } catch (...) {
      left(Do::kGetFuture, i, append(0, caught_outcome()));
    }
  }
  for (std::size_t i = 0; i < mutexes.size(); ++i) left(Do::kTryLock, i, mutexes[i].try_lock());
  left(Do::kTryLock, Program::kSharedMutex, shared_mutex.try_lock());
}

}  // namespace weft::test
