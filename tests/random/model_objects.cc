#include "tests/random/model_objects.h"

#include <algorithm>
#include <utility>

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
    case Do::kCloseAndDiscard:
      discard(its);
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
  if (Frame* const popper = its.items.empty()
                                ? claim(its.poppers, key_of({Outcome::kOk, frame.step.number}))
                                : nullptr) {
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
    if (Frame* const pusher = claim(its.pushers, by_item())) {
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

// When the item is taken.
ModelFibers::Key ModelObjects::by_item() const {
  return [this](const Frame& pusher) {
    const auto takes = [&](const Entry& entry) { return takes_item(entry, pusher.step); };
    return static_cast<std::size_t>(std::ranges::find_if(record_, takes) - record_.begin());
  };
}

bool ModelObjects::takes_item(const Entry& entry, const Step& push) {
  if (entry.type != Entry::kEnd && entry.type != Entry::kLeft) return false;
  const Step& step = entry.step;
  if (step.what == Do::kSelect) {
    if (entry.outcome.kind != Outcome::kOk || chosen_item(entry.outcome) != push.number)
      return false;
    return cases_of(step)[chosen_index(entry.outcome)].object == push.object;
  }
  return step.what >= Do::kPop && step.what <= Do::kTryPopFor && step.object == push.object &&
         entry.outcome.value == push.number;
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

void ModelObjects::discard(ModelQueue& its) {
  const auto dropped = static_cast<std::int64_t>(its.items.size());
  const bool finished = its.unfinished > 0 && its.unfinished <= dropped;
  its.unfinished -= std::min(its.unfinished, dropped);
  its.items.clear();
  if (finished) wake_all(its.joiners, {});
  close(its);
}

void ModelObjects::close(ModelQueue& its) {
  its.closed = true;
  wake_all(its.pushers, {Outcome::kClosed});
  while (Frame* const popper = claim(its.poppers)) {
    decide(*popper, {popper->step.what == Do::kPop ? Outcome::kClosed : Outcome::kNo});
  }
}

// ---- Offers ------------------------------------------------------------------------------------

void ModelObjects::insert(Waiting& list, Frame& frame) {
  const auto next =
      std::ranges::find_if(list, [&](const Frame* other) { return other->place > frame.place; });
  list.insert(next, &frame);
}

void ModelObjects::offer(Heirs& its, Frame& heir, Outcome outcome) {
  decide(heir, outcome);
  heir.offered = true;
  insert(its.heirs, heir);
}

void ModelObjects::accept(Heirs& its, Frame& frame) {
  if (std::exchange(frame.offered, false)) std::erase(its.heirs, &frame);
}

// It waits again in its old place. When it comes to do so is open: until then it does not notice
// that it was cancelled, and the next to pass it over does so within the same turn.
void ModelObjects::pass_over(Waiting& waiting, Heirs& its, Frame& heir) {
  accept(its, heir);
  ++heir.passed_over;
  if (heir.instants == 0 || heir.passed_over_at != now_) ++heir.instants;
  heir.passed_over_at = now_;
  heir.refused = -1;
  heir.state = Frame::kWaits;
  heir.in_stages = true;
  heir.queue = &waiting;
  insert(waiting, heir);
  heir.unsure = gone(heir);
}

// Takes the waiters whose wait is over off the list.
void ModelObjects::sweep(Waiting& waiting) {
  for (Frame* const frame : Waiting(waiting)) frame->unsure = gone(*frame) || frame->unsure;
}

// Whether another wait for the same thing ends without success, but may still hold an offer or a
// place in the queue.
bool ModelObjects::is_unsure(const Step& step) const {
  return std::ranges::any_of(fibers_, [&](const ModelFiber& fiber) {
    const Frame* const other = fiber.top();
    if (!other || other->state != Frame::kDecided) return false;
    const Do what = other->step.what;
    const bool alike = acquires(step.what) ? acquires(what) : locks(what);
    return alike && other->step.object == step.object && other->expected.kind != Outcome::kOk &&
           (other->unsure || other->in_stages);
  });
}

// Whether the record says that the step takes what it wants, and need not wait.
bool ModelObjects::takes(const Frame& frame) const {
  const bool tries = frame.step.what == Do::kTryLockShared;
  const bool parks = record_[index_].type == Entry::kParked;
  const bool at_once = !parks && ends_[frame.begin] <= index_ + 1;
  return tries ? frame.final.kind == Outcome::kOk : at_once;
}

// Whether it says that the step had to wait, though there was something to take.
bool ModelObjects::waits(const Frame& frame) const {
  return !takes(frame) && is_unsure(frame.step);
}

// Whether what is offered to it now may be taken, before it has run.
bool ModelObjects::may_be_passed_over(const Frame& heir) const {
  for (std::size_t i = index_; i < ends_[heir.begin] && record_[i].at == now_; ++i) {
    const Entry& entry = record_[i];
    if (entry.type != Entry::kEnd || entry.step.object != heir.step.object) continue;
    const Do tries = entry.step.what;
    const bool takes = acquires(heir.step.what)
                           ? tries == Do::kTryAcquire
                           : tries == Do::kTryLock || tries == Do::kTryLockShared;
    if (takes && entry.outcome.kind == Outcome::kOk) return true;
  }
  return false;
}

// The longest waiter, unless the record says that it cannot have been its turn.
Frame* ModelObjects::next_heir(Heirs& its) {
  sweep(its.waiting);
  if (its.waiting.empty()) return nullptr;
  Frame* const first = first_of(its.waiting, key_of({}));
  const bool fits = first->final.kind == Outcome::kOk || may_be_passed_over(*first);
  return fits || !is_unsure(first->step) ? first : nullptr;
}

// A firm offer is taken only by one that is refused twice in a row.
bool ModelObjects::gives_way(Frame& heir, const Frame& taker) const {
  if (heir.passed_over < kMostPassedOver) return true;
  const int turns = heir.instants - (heir.passed_over_at == now_);
  const bool again = heir.refused == taker.fiber;
  const bool open = turns < kMostPassedOver;  // it may have been passed over in fewer turns
  const bool gives = open ? taker.final.kind == Outcome::kOk : again;
  heir.refused = gives ? -1 : taker.fiber;
  return gives;
}

// ---- Mutexes ------------------------------------------------------------------------------------

void ModelObjects::begin_lock(Frame& frame) {
  if (frame.step.object == Program::kSharedMutex) return begin_shared_lock(frame);
  ModelMutex& its = mutex(frame.step.object);
  if (frame.step.what == Do::kUnlock) {
    if (its.owner != frame.fiber || !its.heirs.empty()) {
      fail(name(frame.fiber), " unlocks what it does not hold");
    }
    unlock(its, frame.step.object);
    return decide(frame, {});
  }
  const bool tries = frame.step.what == Do::kTryLock;
  const bool is_free = its.owner == kFree && (tries || (its.waiting.empty() && !waits(frame)));
  if (is_free || (tries && take_mutex(its, frame))) {
    its.owner = frame.fiber;
    if (tries) {  // they may have asked
      for (Frame* const returning : its.returning) ++returning->passed_over;
    }
    return decide(frame, {});
  }
  if (tries) return decide(frame, {Outcome::kNo});
  wait(frame, &its.waiting);
}

// What is offered to somebody.
bool ModelObjects::take_mutex(ModelMutex& its, Frame& taker) {
  if (its.heirs.empty()) return false;
  Frame& heir = *its.heirs.front();
  if (!gives_way(heir, taker)) return false;
  pass_over(heir.kept ? its.returning : its.waiting, its, heir);
  return true;
}

void ModelObjects::unlock(ModelMutex& its, int number) {
  its.owner = kFree;
  sweep(its.waiting);
  if (number == 0) {
    for (Frame* const frame : Waiting(condition_)) gone(*frame);
  }
  grant(its, number);
}

// If it is free.
void ModelObjects::grant(ModelMutex& its, int number) {
  if (its.owner != kFree) return;
  Frame* const returning = next_to_return(its, number);
  Frame* const next = returning ? returning : next_heir(its);
  if (!next) return;
  its.owner = next->fiber;
  offer(its, *next, next->kept.value_or(Outcome{}));
}

// Who comes back from the condition and has the mutex next, if the record says that this is one.
// A try in between takes what was offered to it.
Frame* ModelObjects::next_to_return(ModelMutex& its, int number) {
  if (its.returning.empty()) return nullptr;
  for (std::size_t i = index_; i < record_.size(); ++i) {
    const Entry& entry = record_[i];
    if (entry.type != Entry::kEnd || entry.step.object != number) continue;
    const Do what = entry.step.what;
    const bool locks = what == Do::kLock || what == Do::kTryLockFor;
    const bool returns = waits_for_condition(what);
    if (!returns && !(locks && entry.outcome.kind == Outcome::kOk)) continue;
    if (returns && begins_[i] > index_) continue;  // of one that has it by a try
    for (Frame* const frame : its.returning) {
      if (frame->fiber != entry.fiber || ends_[frame->begin] != i) continue;
      const bool behind = !its.waiting.empty() && its.waiting.front()->begin < frame->woken;
      return behind ? nullptr : frame;
    }
    return nullptr;
  }
  return nullptr;
}

void ModelObjects::begin_shared_lock(Frame& frame) {
  const Do what = frame.step.what;
  if (what == Do::kUnlock) {
    if (shared_.owner != frame.fiber || !shared_.heirs.empty()) {
      fail(name(frame.fiber), " unlocks what it does not hold");
    }
    shared_.owner = kFree;
    admit();
    return decide(frame, {});
  }
  if (what == Do::kUnlockShared) {
    if (shared_.readers == static_cast<int>(shared_.heirs.size())) {
      fail(name(frame.fiber), " unlocks what nobody holds shared");
    }
    --shared_.readers;
    admit();
    return decide(frame, {});
  }
  const bool tries = what == Do::kTryLock || what == Do::kTryLockShared;
  const bool for_shared = what >= Do::kLockShared;
  const bool is_free = shared_.owner == kFree && shared_.readers == 0;
  if (takes(frame)) sweep(shared_.waiting);
  const bool fits = is_free || (for_shared && shared_.readers > 0);
  const bool goes_on = shared_.waiting.empty() && !waits(frame);
  if ((fits && goes_on) || (is_free && tries) || (tries && take_shared_mutex(frame))) {
    for_shared ? (void)++shared_.readers : (void)(shared_.owner = frame.fiber);
    return decide(frame, {});
  }
  if (tries) return decide(frame, {Outcome::kNo});
  wait(frame, &shared_.waiting);
}

// What is offered, and nobody has yet.
bool ModelObjects::take_shared_mutex(Frame& taker) {
  auto& heirs = shared_.heirs;
  const auto readers = static_cast<std::size_t>(shared_.readers);
  if (heirs.empty() || (shared_.readers > 0 && readers > heirs.size())) return false;
  if (taker.step.what == Do::kTryLockShared && readers > 0) return true;  // beside them
  bool all = true;
  for (Frame* const heir : heirs) all = gives_way(*heir, taker) && all;
  if (!all) return false;
  shared_.owner = kFree;
  shared_.readers = 0;
  for (Frame* const heir : Waiting(heirs)) pass_over(shared_.waiting, shared_, *heir);
  return true;
}

// Those who fit beside who has it.
void ModelObjects::admit() {
  while (Frame* const first = shared_.owner == kFree ? next_heir(shared_) : nullptr) {
    const bool for_shared = first->step.what >= Do::kLockShared;
    if (!for_shared && shared_.readers > 0) break;
    for_shared ? (void)++shared_.readers : (void)(shared_.owner = first->fiber);
    offer(shared_, *first, {});
  }
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
  const bool open = cut == Tri::kMaybe && frame.final.kind == Outcome::kCancelled;
  if (cut == Tri::kYes || (open && !parks(frame.fiber))) {
    return decide(frame, {Outcome::kCancelled});
  }
  frame.state = Frame::kWaits;
  frame.queue = &condition_;
  condition_.push_back(&frame);
  unlock(mutex(0), 0);
}

// Whether the record says that the fiber waits for the condition now, or that another has its mutex
// before the wait ends.
bool ModelObjects::parks(int fiber) const {
  for (std::size_t i = index_ + 1; i < ends_[index_]; ++i) {
    const Entry& entry = record_[i];
    if (entry.type == Entry::kParked && entry.fiber == fiber) return true;
    if (entry.type != Entry::kEnd || entry.step.object != 0) continue;
    const Do what = entry.step.what;
    const bool locks = what >= Do::kLock && what <= Do::kTryLockFor;
    const bool returns = waits_for_condition(what);
    if (returns || (locks && entry.outcome.kind == Outcome::kOk)) return true;
  }
  return false;
}

void ModelObjects::come_back(Frame& frame, Outcome outcome) {
  // Where the record leaves open when it was cancelled, that may have been long ago.
  const std::size_t suspected = at(frame.fiber).suspected;
  const bool open =
      outcome.kind == Outcome::kCancelled && (suspected > 0 || interrupted(frame) == Tri::kMaybe);
  frame.woken = open ? std::max(frame.begin, suspected) : index_;
  frame.kept = outcome;
  frame.cancellable = false;
  frame.deadline = kNever;
  frame.queue = &mutex(0).returning;
  frame.queue->push_back(&frame);
  grant(mutex(0), 0);
}

// At rest all have asked.
void ModelObjects::check_locks() const {
  for (const ModelMutex& its : mutexes_) {
    if (its.owner == kFree && !(its.returning.empty() && its.waiting.empty())) {
      fail("a mutex is free, but somebody waits for it");
    }
  }
  if (shared_.owner == kFree && shared_.readers == 0 && !shared_.waiting.empty()) {
    fail("the SharedMutex is free, but somebody waits for it");
  }
  for (const ModelSemaphore& its : semaphores_) {
    if (its.permits > 0 && !its.waiting.empty()) fail("there is a permit for one that waits");
  }
}

// ---- The others ---------------------------------------------------------------------------------

void ModelObjects::begin_signal(Frame& frame) {
  const auto i = static_cast<std::size_t>(frame.step.object);
  switch (frame.step.what) {
    case Do::kAcquire:
    case Do::kTryAcquire:
    case Do::kTryAcquireFor:
      return acquire(semaphores_[i], frame);
    case Do::kRelease:
      for (std::int64_t left = frame.step.number; left > 0; --left) {
        Frame* const next = next_heir(semaphores_[i]);
        next ? offer(semaphores_[i], *next, {}) : (void)++semaphores_[i].permits;
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

void ModelObjects::acquire(ModelSemaphore& its, Frame& frame) {
  const bool tries = frame.step.what == Do::kTryAcquire;
  if (its.permits > 0 && (tries || (its.waiting.empty() && !waits(frame)))) {
    --its.permits;
    return decide(frame, {});
  }
  if (!tries) return wait(frame, &its.waiting);
  // The last one gives way, so that those before it run with what they were offered.
  const auto heir = std::find_if(its.heirs.rbegin(), its.heirs.rend(),
                                 [&](Frame* each) { return gives_way(*each, frame); });
  if (heir == its.heirs.rend()) return decide(frame, {Outcome::kNo});
  pass_over(its.waiting, its, **heir);
  decide(frame, {});
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

// The future of which the step has a handle of its own; negative: it has none.
int ModelObjects::future_held_by(const Step& step) {
  switch (step.what) {
    case Do::kGetFuture:
    case Do::kWaitFutureFor:
    case Do::kAddCallback:
    case Do::kRemoveCallback:
      return step.object;
    case Do::kSelect:
      for (const Step& its : cases_of(step)) {
        if (its.what == Do::kWaitFutureFor) return its.object;
      }
      return -1;
    default:
      return -1;
  }
}

void ModelObjects::hold_future(const Frame& frame) {
  const int held = future_held_by(frame.step);
  if (held >= 0) ++futures_[static_cast<std::size_t>(held)].others;
}

// Futures: of whoever waits, and of each callback, too.
void ModelObjects::release(Future& its, int fiber) {
  const bool last = !its.promise && !its.shared && its.others == 0;
  if (!last || its.taken || !its.result || !its.result->thrown()) return;
  its.taken = true;
  tell(fiber, *its.result);
}

void ModelObjects::end_future(const Frame& frame) {
  const Do what = frame.step.what;
  const int held = future_held_by(frame.step);
  const bool lets_go = what >= Do::kGetFuture && what <= Do::kRemoveCallback;
  if (held < 0 && !lets_go) return;
  Future& its = futures_[static_cast<std::size_t>(held < 0 ? frame.step.object : held)];
  if (what == Do::kGetFuture && frame.expected.thrown() &&
      frame.expected.kind != Outcome::kCancelled) {
    its.taken = true;
  }
  its.others -= held >= 0;
  release(its, frame.fiber);
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
      its.promise = false;
      if (its.result) return release(its, frame.fiber);
      its.result = {Outcome::kBroken};
      its.taken = true;  // that is no failure
      break;
    case Do::kDropFuture:
      decide(frame, {});
      its.shared = false;
      return release(its, frame.fiber);
    case Do::kSetSaved:
      if (its.result) return decide(frame, {Outcome::kSatisfied});
      decide(frame, {});
      its.result = saved_;
      if (saved_->kind == Outcome::kCancelled) its.result = {Outcome::kTaskCancelled};
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
  if (!waits_for_condition(frame.step.what)) {
    return false;
  }
  come_back(frame, outcome);
  return true;
}

void ModelObjects::end_object(Frame& frame) {
  const Step& step = frame.step;
  if (locks(step.what) && step.object == Program::kSharedMutex) {
    accept(shared_, frame);
  } else if (locks(step.what) || waits_for_condition(step.what)) {
    accept(mutex(step.object), frame);
  } else if (frame.offered) {
    accept(semaphores_[static_cast<std::size_t>(step.object)], frame);
  }
  if (frame.expected.kind == Outcome::kOk) return;
  if (step.what == Do::kArrive && frame.round == opened_) --arrived_;
  const bool waited =
      locks(step.what) && step.what != Do::kTryLock && step.what != Do::kTryLockShared;
  // Whom it held back may go on once it has run.
  if (waited && step.object == Program::kSharedMutex) admit();
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
    case Do::kGetFuture:
      if (const auto& result = futures_[static_cast<std::size_t>(i)].result) {
        return require(append(0, *result));
      }
      return require(0);  // it is not set
    default:
      return require(1);  // all mutexes are free
  }
}

}  // namespace weft::test
