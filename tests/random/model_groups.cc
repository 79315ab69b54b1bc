#include "tests/random/model_groups.h"

#include <algorithm>
#include <utility>

namespace weft::test {

// ---- Steps ----

void ModelGroups::begin_group(Frame& frame) {
  ModelGroup& group = group_of(frame);
  switch (frame.step.what) {
    case Do::kGroup:
    case Do::kWithGroup:
      return;
    case Do::kCancelGroup:
      decide(frame, {});
      return close_and_cancel(group);
    case Do::kFailures: {
      std::int64_t all = 0;
      for (const Outcome& failure : group.failures) all = append(all, failure);
      return decide(frame, {Outcome::kOk, all});
    }
    case Do::kGather:
    case Do::kGatherAll:
      group.collects = frame.step.what == Do::kGatherAll;
      start_all(frame);
      break;
    case Do::kCloseGroup:
      frame.cancellable = false;
      break;
    default:
      break;
  }
  join(frame, group);
  if (frame.step.what == Do::kCloseGroup) close_and_cancel(group);
}

void ModelGroups::end_group(Frame& frame) {
  const Do what = frame.step.what;
  if (what == Do::kGather || what == Do::kGatherAll || what == Do::kCloseGroup) {
    groups_.erase(frame.step.object);
  }
  if (what != Do::kJoinGroup && what != Do::kWithGroup) return;
  ModelGroup& group = group_of(frame);
  if (group.body && group.failure) return;  // the body tells of it once more
  group.failure.reset();
  group.closed = Tri::kNo;
  group.joined = true;
}

// Children that run at once, and are told of by no handle.
void ModelGroups::start_all(Frame& gather) {
  for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
    if (!has(gather.step.number, i)) continue;
    at(i).gathered = true;
    join_group(gather, i);
  }
}

// ---- Children ----

bool ModelGroups::join_group(Frame& frame, int number) {
  const Step& step = frame.step;
  ModelGroup& group = groups_[step.what == Do::kSpawn ? step.number : step.object];
  ModelFiber& child = at(number);
  if (group.closed == Tri::kYes || (group.closed == Tri::kMaybe && frame.final.thrown())) {
    const Tri cut = interrupted(frame);
    const bool maybe = cut == Tri::kMaybe && frame.final.kind == Outcome::kCancelled;
    decide(frame, {cut == Tri::kYes || maybe ? Outcome::kCancelled : Outcome::kShuttingDown});
    child.state = ModelFiber::kPending;
    child.over = true;
    return false;
  }
  if (std::exchange(group.joined, false)) group.failures.clear();
  child.state = ModelFiber::kReady;
  child.group = step.what == Do::kSpawn ? static_cast<int>(step.number) : step.object;
  child.requested = group.closed;
  group.children.insert(number);
  return true;
}

void ModelGroups::leave_group(int number) {
  const ModelFiber& child = at(number);
  ModelGroup& group = groups_[child.group];
  group.children.erase(number);
  if (is_failure(group, child)) add_failure(group, child.result);
  decide_joins(group);
}

bool ModelGroups::is_failure(const ModelGroup& group, const ModelFiber& child) const {
  if (!failed(child.result)) return false;
  if (!group.collects || child.requested == Tri::kYes) return true;
  return child.requested == Tri::kMaybe && group.joiners.front()->final == child.result;
}

void ModelGroups::cancelled_before_begin(int number) {
  ModelFiber& fiber = at(number);
  if (!fiber.gathered) return;
  // Its callable is not destroyed, so nothing tells of the end.
  fiber.state = ModelFiber::kEnded;
  fiber.result = {Outcome::kNeverBegan};
  ModelGroup& group = groups_[fiber.group];
  group.children.erase(number);
  group.silent.insert(number);
  for (Frame* const joiner : group.joiners) joiner->in_stages = true;
}

void ModelGroups::close_and_cancel(ModelGroup& group) {
  group.closed = Tri::kYes;
  for (const int child : std::set<int>(group.children)) cancel(child);
}

void ModelGroups::add_failure(ModelGroup& group, const Outcome& failure) {
  const bool known = std::ranges::find(group.failures, failure) != group.failures.end();
  if (!known) group.failures.push_back(failure);
  if (group.failure) return;
  group.failure = failure;
  close_and_cancel(group);
  if (!group.body) return;
  group.body->expired = Tri::kYes;
  interrupt(at(group.body->fiber));
}

// Whether its Cancelled was its own.
bool ModelGroups::was_cancelled(const ModelFiber& fiber) const {
  if (fiber.requested != Tri::kMaybe || fiber.group < 0) return fiber.requested != Tri::kNo;
  const ModelGroup& group = groups_.at(fiber.group);
  if (group.collects) return !fiber.kept || group.joiners.front()->final == *fiber.kept;
  return group.failure || group.joiners.front()->final.kind != Outcome::kTaskCancelled;
}

bool ModelGroups::is_collected(const ModelFiber& fiber) const {
  return fiber.group >= 0 && groups_.at(fiber.group).collects;
}

// ---- Bodies ----

void ModelGroups::begin_body(Frame& body) {
  ModelGroup& group = group_of(body);
  group.body = &body;
  if (std::exchange(group.joined, false)) group.failures.clear();
  if (group.failure) body.expired = Tri::kYes;
}

// The body has ended so, and its fiber waits for the children.
void ModelGroups::end_body(Frame& body) {
  ModelFiber& fiber = at(body.fiber);
  Frame& whole = *fiber.frames[fiber.frames.size() - 2];
  ModelGroup& group = group_of(body);
  group.body = nullptr;
  const Outcome outcome = leave(fiber, &body, body.expected);
  if (failed(outcome)) add_failure(group, outcome);
  if (outcome.thrown()) {
    whole.kept = outcome;
    whole.cancellable = false;
  }
  join(whole, group);
  if (outcome.thrown()) close_and_cancel(group);
}

// ---- Joining ----

void ModelGroups::join(Frame& frame, ModelGroup& group) {
  frame.joins = &group;
  if (group.children.empty()) return decide(frame, outcome_of(frame, group));
  wait(frame, &group.joiners);
  if (frame.state == Frame::kWaits && interrupted(frame) != Tri::kNo) suspect_children(group);
}

bool ModelGroups::abort_specially(Frame& frame, Outcome outcome) {
  if (!frame.joins) return abort_object(frame, outcome);
  // It throws only when its children have ended.
  frame.leaving = true;
  frame.cancellable = false;
  frame.queue = &frame.joins->joiners;
  frame.queue->push_back(&frame);
  suspect_children(*frame.joins);
  return true;
}

// They are cancelled before the clock goes on, maybe already, and what waits for theirs, too.
void ModelGroups::suspect_children(ModelGroup& group) {
  group.closed = std::max(group.closed, Tri::kMaybe);
  for (const int number : std::set<int>(group.children)) {
    ModelFiber& child = at(number);
    if (child.requested != Tri::kNo) continue;
    child.requested = Tri::kMaybe;
    child.suspected = index_;
    Frame* const frame = child.top();
    if (!frame || !frame->joins || frame->state != Frame::kWaits || gone(*frame)) continue;
    if (interrupted(*frame) != Tri::kNo) suspect_children(*frame->joins);
  }
}

void ModelGroups::settle() {
  for (auto& [number, group] : groups_) {
    for (Frame* const joiner : Waiting(group.joiners)) settle(*joiner);
  }
}

void ModelGroups::settle(Frame& joiner) {
  if (!joiner.joins || joiner.state != Frame::kWaits) return;
  ModelGroup& group = *joiner.joins;
  if (joiner.leaving) close_and_cancel(group);
  group.silent.clear();
  decide_joins(group);
}

void ModelGroups::decide_joins(ModelGroup& group) {
  if (!group.children.empty() || !group.silent.empty()) return;
  while (Frame* const joiner = claim(group.joiners)) decide(*joiner, outcome_of(*joiner, group));
}

// All children have ended.
Outcome ModelGroups::outcome_of(Frame& joiner, ModelGroup& group) {
  if (joiner.step.what == Do::kCloseGroup) {
    if (group.failure) tell(joiner.fiber, *std::exchange(group.failure, {}));
    return {};
  }
  if (group.failure) return *group.failure;
  if (joiner.step.what == Do::kWithGroup && joiner.kept) return *joiner.kept;
  if (joiner.leaving) return {Outcome::kCancelled};
  const bool gathers = joiner.step.what == Do::kGather || joiner.step.what == Do::kGatherAll;
  return gathers ? results_of(joiner) : Outcome{};
}

Outcome ModelGroups::results_of(const Frame& gather) {
  std::int64_t results = 0;
  for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
    if (!has(gather.step.number, i)) continue;
    Outcome result = at(i).result;
    if (result.kind != Outcome::kOk && !failed(result)) result = {Outcome::kTaskCancelled};
    if (result.thrown() && gather.step.what == Do::kGather) return {Outcome::kTaskCancelled};
    results = append(results, result);
  }
  return {Outcome::kOk, results};
}

}  // namespace weft::test
