#include "tests/random/model_objects.h"

#include <algorithm>

#include "tests/random/interpreter.h"

namespace weft::test {

ModelObjects::ModelObjects(const Program& program, const Record& record)
    : ModelFibers(program, record) {
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    queues_[i].capacity = static_cast<std::size_t>(program.capacities[i]);
  }
  for (std::size_t i = 0; i < semaphores_.size(); ++i) {
    semaphores_[i].permits = program.permits[i];
  }
}

// ---- Queues -------------------------------------------------------------------------------------

void ModelObjects::begin_queue(Frame& frame) {
  ModelQueue& its = queue(frame.step.object);
  switch (frame.step.what) {
    case Do::kPush:
    case Do::kTryPush:
    case Do::kTryPushFor:
      return push(its, frame);
    case Do::kPop:
    case Do::kTryPop:
    case Do::kTryPopFor:
      return pop(its, frame);
    case Do::kClose:
      close(its);
      return decide(frame, {});
    case Do::kTaskDone:
      if (its.unfinished == 0) return decide(frame, {Outcome::kLogicError});
      if (--its.unfinished == 0) wake_all(its.joiners, {});
      return decide(frame, {});
    default:
      its.unfinished == 0 ? decide(frame, {}) : wait(frame, &its.joiners);
  }
}

void ModelObjects::push(ModelQueue& its, Frame& frame) {
  if (its.closed) return decide(frame, {Outcome::kClosed});
  if (Frame* const popper = its.items.empty() ? claim(its.poppers) : nullptr) {
    ++its.unfinished;
    decide(*popper, {Outcome::kOk, frame.step.number});
    return decide(frame, {});
  }
  if (its.capacity == 0 || its.items.size() < its.capacity) {
    its.items.push_back(frame.step.number);
    ++its.unfinished;
    return decide(frame, {});
  }
  if (frame.step.what == Do::kTryPush) return decide(frame, {Outcome::kNo});
  wait(frame, &its.pushers);
}

void ModelObjects::pop(ModelQueue& its, Frame& frame) {
  if (!its.items.empty()) {
    const std::int64_t item = take(frame.step.object);
    if (Frame* const pusher = claim(its.pushers)) {
      its.items.push_back(pusher->step.number);
      ++its.unfinished;
      decide(*pusher, {});
    }
    return decide(frame, {Outcome::kOk, item});
  }
  if (frame.step.what == Do::kTryPop) return decide(frame, {Outcome::kNo});
  if (its.closed) {
    return decide(frame, {frame.step.what == Do::kPop ? Outcome::kClosed : Outcome::kNo});
  }
  wait(frame, &its.poppers);
}

std::int64_t ModelObjects::take(int number) {
  auto& items = queue(number).items;
  auto next = items.begin();
  switch (program_.queue_kinds[static_cast<std::size_t>(number)]) {
    case QueueKind::kFifo:
      break;
    case QueueKind::kPriority:
      next = std::min_element(items.begin(), items.end(), [](std::int64_t a, std::int64_t b) {
        return urgency_of(a) < urgency_of(b);
      });
      break;
    case QueueKind::kLifo:
      next = std::prev(items.end());
  }
  const std::int64_t item = *next;
  items.erase(next);
  return item;
}

void ModelObjects::close(ModelQueue& its) {
  its.closed = true;
  wake_all(its.pushers, {Outcome::kClosed});
  while (Frame* const popper = claim(its.poppers)) {
    decide(*popper, {popper->step.what == Do::kPop ? Outcome::kClosed : Outcome::kNo});
  }
}

// ---- Mutexes ------------------------------------------------------------------------------------

void ModelObjects::begin_lock(Frame& frame) {
  if (frame.step.object == Program::kSharedMutex) return begin_shared_lock(frame);
  ModelMutex& its = mutex(frame.step.object);
  if (frame.step.what == Do::kUnlock) {
    if (its.owner != frame.fiber) fail(name(frame.fiber), " unlocks what it does not hold");
    unlock(its, frame.step.object);
    return decide(frame, {});
  }
  if (its.owner == kFree) {
    its.owner = frame.fiber;
    return decide(frame, {});
  }
  if (frame.step.what == Do::kTryLock) return decide(frame, {Outcome::kNo});
  wait(frame, &its.waiting);
}

void ModelObjects::unlock(ModelMutex& its, int number) {
  its.owner = kFree;
  for (Frame* const frame : Waiting(its.waiting)) gone(*frame);
  if (number == 0) {
    for (Frame* const frame : Waiting(condition_)) gone(*frame);
  }
  grant(its, number);
}

// If it is free.
void ModelObjects::grant(ModelMutex& its, int number) {
  if (its.owner != kFree) return;
  if (Frame* const frame = next_to_return(its, number)) {
    leave_queue(*frame);
    its.owner = frame->fiber;
    decide(*frame, *frame->kept);
  } else if (Frame* const next = claim(its.waiting)) {
    its.owner = next->fiber;
    decide(*next, {});
  }
}

// Who comes back from the condition and has the mutex next, if the record says that this is one.
Frame* ModelObjects::next_to_return(ModelMutex& its, int number) {
  if (its.returning.empty()) return nullptr;
  for (std::size_t i = index_; i < record_.size(); ++i) {
    const Entry& entry = record_[i];
    if (entry.type != Entry::kEnd || entry.step.object != number) continue;
    const Do what = entry.step.what;
    const bool locks = what >= Do::kLock && what <= Do::kTryLockFor;
    const bool returns = what == Do::kWaitCondition || what == Do::kWaitConditionFor;
    if (!returns && !(locks && entry.outcome.kind == Outcome::kOk)) continue;
    for (Frame* const frame : its.returning) {
      if (frame->fiber != entry.fiber || ends_[frame->begin] != i) continue;
      if (!its.waiting.empty() && its.waiting.front()->begin < frame->woken) {
        fail(name(frame->fiber), " overtakes those who wait for mutex ", std::to_string(number));
      }
      return frame;
    }
    return nullptr;
  }
  return nullptr;
}

// SharedMutex: the order of those who wait decides, and so does, until they have run, that there
// were some.
void ModelObjects::begin_shared_lock(Frame& frame) {
  const Do what = frame.step.what;
  if (what == Do::kUnlock) {
    if (shared_.owner != frame.fiber) fail(name(frame.fiber), " unlocks what it does not hold");
    shared_.owner = kFree;
    admit();
    return decide(frame, {});
  }
  if (what == Do::kUnlockShared) {
    if (shared_.readers == 0) fail(name(frame.fiber), " unlocks what nobody holds shared");
    --shared_.readers;
    if (shared_.contended) admit();
    return decide(frame, {});
  }
  const bool is_free = shared_.owner == kFree && shared_.readers == 0;
  const bool for_shared = what >= Do::kLockShared;
  if (is_free || (for_shared && shared_.readers > 0 && !shared_.contended)) {
    for_shared ? (void)++shared_.readers : (void)(shared_.owner = frame.fiber);
    return decide(frame, {});
  }
  if (what == Do::kTryLock || what == Do::kTryLockShared) return decide(frame, {Outcome::kNo});
  shared_.contended = true;
  wait(frame, &shared_.waiting);
}

// Those who fit beside who has it.
void ModelObjects::admit() {
  for (Frame* const frame : Waiting(shared_.waiting)) gone(*frame);
  while (!shared_.waiting.empty() && shared_.owner == kFree) {
    Frame& first = *shared_.waiting.front();
    const bool for_shared = first.step.what >= Do::kLockShared;
    if (!for_shared && shared_.readers > 0) break;
    for_shared ? (void)++shared_.readers : (void)(shared_.owner = first.fiber);
    decide(first, {});
  }
  shared_.contended = !shared_.waiting.empty();
}

// ---- The condition ------------------------------------------------------------------------------

void ModelObjects::begin_condition(Frame& frame) {
  switch (frame.step.what) {
    case Do::kNotifyOne:
      if (Frame* const next = claim(condition_)) come_back(*next, {});
      return decide(frame, {});
    case Do::kNotifyAll:
      while (Frame* const next = claim(condition_)) come_back(*next, {});
      return decide(frame, {});
    default:
      break;
  }
  if (mutex(0).owner != frame.fiber) fail(name(frame.fiber), " waits without the mutex");
  // Who is cancelled from the start does not let go of the mutex.
  const Tri cut = interrupted(frame);
  const bool at_once = cut == Tri::kMaybe && ends_[index_] == index_ + 1;
  if (cut == Tri::kYes || (at_once && frame.final.kind == Outcome::kCancelled)) {
    return decide(frame, {Outcome::kCancelled});
  }
  frame.state = Frame::kWaits;
  frame.queue = &condition_;
  condition_.push_back(&frame);
  unlock(mutex(0), 0);
}

void ModelObjects::come_back(Frame& frame, Outcome outcome) {
  frame.kept = outcome;
  frame.cancellable = false;
  frame.deadline = kNever;
  frame.woken = index_;
  frame.queue = &mutex(0).returning;
  frame.queue->push_back(&frame);
  grant(mutex(0), 0);
}

// At rest all have asked.
void ModelObjects::check_mutexes() const {
  for (const ModelMutex& its : mutexes_) {
    if (its.owner == kFree && !(its.returning.empty() && its.waiting.empty())) {
      fail("a mutex is free, but somebody waits for it");
    }
  }
}

// ---- The others ---------------------------------------------------------------------------------

void ModelObjects::begin_signal(Frame& frame) {
  const auto i = static_cast<std::size_t>(frame.step.object);
  switch (frame.step.what) {
    case Do::kAcquire:
    case Do::kTryAcquire:
    case Do::kTryAcquireFor:
      if (semaphores_[i].permits > 0) {
        --semaphores_[i].permits;
        return decide(frame, {});
      }
      if (frame.step.what == Do::kTryAcquire) return decide(frame, {Outcome::kNo});
      return wait(frame, &semaphores_[i].waiting);
    case Do::kRelease:
      for (std::int64_t left = frame.step.number; left > 0; --left) {
        Frame* const next = claim(semaphores_[i].waiting);
        next ? decide(*next, {}) : (void)++semaphores_[i].permits;
      }
      return decide(frame, {});
    case Do::kSet:
      events_[i].set = true;
      wake_all(events_[i].waiting, {});
      return decide(frame, {});
    case Do::kClear:
      events_[i].set = false;
      return decide(frame, {});
    case Do::kWaitEvent:
    case Do::kWaitEventFor:
      return events_[i].set ? decide(frame, {}) : wait(frame, &events_[i].waiting);
    default:
      arrive(frame);
  }
}

void ModelObjects::arrive(Frame& frame) {
  if (++arrived_ < program_.parties) {
    frame.round = opened_;
    return wait(frame, &at_barrier_);
  }
  arrived_ = 0;
  ++opened_;
  wake_all(at_barrier_, {Outcome::kOk, false});
  decide(frame, {Outcome::kOk, true});
}

void ModelObjects::begin_future(Frame& frame) {
  const int number = frame.step.object;
  Future& its = futures_[static_cast<std::size_t>(number)];
  const auto outcome_for = [&](const Frame& who) {
    return who.step.what == Do::kGetFuture ? *its.result : Outcome{};
  };
  switch (frame.step.what) {
    case Do::kGetFuture:
    case Do::kWaitFutureFor:
      return its.result ? decide(frame, outcome_for(frame)) : wait(frame, &its.waiters);
    case Do::kBreakPromise:
      decide(frame, {});
      if (its.result) return;
      its.result = {Outcome::kBroken};
      break;
    default:
      if (its.result) return decide(frame, {Outcome::kSatisfied});
      decide(frame, {});
      its.result = {frame.step.what == Do::kSetValue ? Outcome::kOk : Outcome::kFailure,
                    frame.step.number};
  }
  while (Frame* const waiter = claim(its.waiters)) decide(*waiter, outcome_for(*waiter));
  future_done(number);
}

bool ModelObjects::abort_object(Frame& frame, Outcome outcome) {
  if (frame.step.what != Do::kWaitCondition && frame.step.what != Do::kWaitConditionFor) {
    return false;
  }
  come_back(frame, outcome);
  return true;
}

void ModelObjects::end_object(Frame& frame) {
  if (frame.expected.kind == Outcome::kOk) return;
  const Step& step = frame.step;
  if (step.what == Do::kArrive && frame.round == opened_) --arrived_;
  const bool waited = step.what >= Do::kLock && step.what <= Do::kTryLockSharedFor &&
                      step.what != Do::kTryLock && step.what != Do::kTryLockShared;
  // Whom it held back may go on once it has run.
  if (waited && step.object == Program::kSharedMutex && shared_.contended) admit();
}

void ModelObjects::check_left(const Entry& entry) {
  const std::int64_t left = entry.outcome.value;
  const int i = entry.step.object;
  const auto require = [&](std::int64_t expected) {
    if (left != expected) fail("not ", std::to_string(left), ", but ", std::to_string(expected));
  };
  switch (entry.step.what) {
    case Do::kTryPop:
      if (queue(i).items.empty()) fail("an item too many");
      return require(take(i));
    case Do::kClose:
      if (!queue(i).items.empty()) fail("an item is lost");
      return require(queue(i).closed);
    case Do::kTryAcquire:
      return require(semaphores_[static_cast<std::size_t>(i)].permits);
    case Do::kSet:
      return require(events_[static_cast<std::size_t>(i)].set);
    default:
      return require(1);  // all mutexes are free
  }
}

}  // namespace weft::test
