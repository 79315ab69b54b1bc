#include "tests/random/generator.h"

#include <initializer_list>
#include <utility>
#include <vector>

#include "tests/random/dice.h"

namespace weft::test {
namespace {

// What holds where an operation stands.
struct Place {
  bool bounded =
      false;            // no wait for ever: cancellation does not come here, or others depend on it
  bool strict = false;  // nor by a timeout around it: an exception is in flight
  bool joins = true;    // children may be joined
  bool condition = false;     // the condition may be waited for without limit
  bool late = false;          // a timeout around it may be over from the start
  unsigned held = 0;          // mutexes, a bit each
  int depth = 0;              // of scopes
  int own_group = -1;         // which this fiber belongs to
  std::vector<int> groups{};  // around it
  std::vector<int> scopes{};
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : dice_(seed) { program_.seed = seed; }

  Program make() {
    program_.shuffled = below(8) != 0;
    for (auto& kind : program_.queue_kinds) kind = static_cast<QueueKind>(below(3));
    for (int& capacity : program_.capacities) {
      capacity = one_in(5) ? 0 : one_in(3) ? 1 + below(3) : 1;
    }
    for (int& permits : program_.permits) permits = below(2);
    program_.parties = 1 + below(3);
    make_main();
    return std::move(program_);
  }

 private:
  // What a fiber has started so far.
  struct Started {
    std::vector<int> tasks;
    std::vector<int> calls;
    std::vector<std::pair<int, int>> callbacks;  // promise, fiber
  };

  int below(int limit) { return dice_.below(limit); }
  bool one_in(int n) { return dice_.one_in(n); }

  int new_fiber() {
    program_.fibers.emplace_back();
    return static_cast<int>(program_.fibers.size()) - 1;
  }
  bool may_start() const {
    return static_cast<int>(program_.fibers.size()) < most_fibers_ && level_ < 4;
  }

  void make_main() {
    std::vector<Op> ops;
    std::vector<Op> cancels;
    new_fiber();
    const int roots = 2 + below(4);
    const int most = 6 + below(Program::kMaxFibers - 8);
    for (int i = 0; i < roots; ++i) {
      most_fibers_ = 2 + (i + 1) * most / roots;
      const int root = new_fiber();
      ops.push_back({{.what = Do::kSpawn, .object = root, .eager = one_in(4)}});
      cancels.push_back({{.what = Do::kCancel, .object = root}});
      fill(root, -1);
    }
    ops.push_back({{.what = Do::kSleep, .time = kHorizon}});
    for (Op& cancel : cancels) ops.push_back(std::move(cancel));
    program_.fibers[0] = std::move(ops);
  }

  void fill(int fiber, int own_group) {
    Started started;
    std::swap(started, started_);
    const int budget = std::exchange(budget_, 4 + below(16));
    ++level_;
    Place place;
    place.own_group = own_group;
    std::vector<Op> ops;
    if (one_in(3)) {  // else few would have several children
      for (int count = 1 + below(3); count > 0 && may_start(); --count) {
        const int child = new_fiber();
        ops.push_back({{.what = Do::kSpawn, .object = child, .eager = one_in(4)}});
        started_.tasks.push_back(child);
        fill(child, -1);
      }
    }
    for (Op& op : block(place, 2 + below(10))) ops.push_back(std::move(op));
    if (one_in(4)) ops.push_back(failure());
    program_.fibers[static_cast<std::size_t>(fiber)] = std::move(ops);
    --level_;
    budget_ = budget;
    std::swap(started, started_);
  }

  std::vector<Op> block(const Place& place, int size) {
    std::vector<Op> ops;
    for (; size > 0 && budget_ > 0; --size) {
      --budget_;
      Op op = some(place);
      op.caught = op.caught || !one_in(6);
      ops.push_back(std::move(op));
    }
    return ops;
  }
  std::vector<Op> block(const Place& place) { return block(place, 1 + below(4)); }

  Op some(const Place& place) {
    for (int tries = 0; tries < 30; ++tries) {
      Op op;
      if (make(op, dice_.family(), place)) return op;
    }
    return {{.what = Do::kYield}};
  }

  // Returns false if nothing of this family may stand there.
  bool make(Op& op, Family family, const Place& place) {
    switch (family) {
      case Family::kTime:
        op.what = one_in(2) ? Do::kYield : Do::kSleep;
        op.time = op.what == Do::kSleep ? dice_.time_or_none() : 0;
        return true;
      case Family::kQueue:
        return make_queue(op, place);
      case Family::kMutex:
        return make_mutex(op, place);
      case Family::kCondition:
        return make_condition(op, place);
      case Family::kSemaphore:
        op.object = dice_.object(family, Program::kSemaphores);
        op.number = 1 + below(3);
        return pick(op, place, {Do::kAcquire, Do::kTryAcquire, Do::kTryAcquireFor, Do::kRelease});
      case Family::kEvent:
        if (one_in(4)) return make_select(op, place);
        op.object = dice_.object(family, Program::kEvents);
        return pick(op, place, {Do::kSet, Do::kClear, Do::kWaitEvent, Do::kWaitEventFor});
      case Family::kBarrier:
        return pick(op, place, {Do::kArrive});
      case Family::kPromise:
        return make_promise(op, place);
      case Family::kTasks:
        return make_tasks(op, place);
      case Family::kSpawn:
        return make_spawn(op, place);
      case Family::kCalls:
        return make_call(op);
      case Family::kScopes:
        return make_scope(op, place);
      default:
        if (place.depth == 0 && !one_in(4)) return false;
        op = failure();
        return true;
    }
  }

  Op failure() {
    if (one_in(4)) return {{.what = Do::kThrowSaved}};
    return {{.what = Do::kThrow, .number = ++numbers_}};
  }

  bool pick(Op& op, const Place& place, std::initializer_list<Do> all) {
    op.what = std::data(all)[below(static_cast<int>(all.size()))];
    op.time = dice_.time_or_none();
    return !place.bounded || !waits_for_ever(op.what);
  }

  bool make_queue(Op& op, const Place& place) {
    op.object = dice_.object(Family::kQueue, Program::kQueues);
    op.number = below(4) * 1000 + ++numbers_;
    if (one_in(25)) return pick(op, place, {Do::kClose, Do::kClose, Do::kCloseAndDiscard});
    if (one_in(4)) return make_select(op, place);
    if (one_in(5)) return pick(op, place, {Do::kTaskDone, Do::kTaskDone, Do::kJoinQueue});
    if (dice_.pushes()) {
      return pick(op, place, {Do::kPush, Do::kPush, Do::kTryPush, Do::kTryPushFor});
    }
    return pick(op, place, {Do::kPop, Do::kPop, Do::kTryPop, Do::kTryPopFor});
  }

  // At most one item and one future: no item is pushed twice.
  bool make_select(Op& op, const Place& place) {
    op = {{.what = Do::kSelect, .object = below(4) * 1000 + ++numbers_}};
    op.time = !place.bounded && one_in(2) ? -1 : dice_.time_or_none();
    bool pushes = false, gets = false;
    for (int count = 1 + below(3); count > 0; --count) {
      CaseKind kind = dice_.pushes() && !pushes ? CaseKind::kPush : CaseKind::kPop;
      if (one_in(4)) kind = CaseKind::kEvent;
      if (one_in(6) && !gets) kind = CaseKind::kFuture;
      pushes = pushes || kind == CaseKind::kPush;
      gets = gets || kind == CaseKind::kFuture;
      op.number = add_case(op.number, kind, object_of(kind));
    }
    return true;
  }

  int object_of(CaseKind kind) {
    switch (kind) {
      case CaseKind::kEvent:
        return dice_.object(Family::kEvent, Program::kEvents);
      case CaseKind::kFuture:
        return dice_.object(Family::kPromise, Program::kPromises);
      default:
        return dice_.object(Family::kQueue, Program::kQueues);
    }
  }

  bool make_mutex(Op& op, const Place& place) {
    op.object = dice_.object(Family::kMutex, Program::kMutexes);
    if (place.depth > 4) return false;
    if (one_in(4)) return make_lock_all(op, place);
    const bool shared = op.object == Program::kSharedMutex && one_in(2);
    // Whether the time of a shared lock is over already cannot be told from the record.
    if (op.object == Program::kSharedMutex && place.late) return false;
    const bool possible =
        shared ? pick(op, place, {Do::kLockShared, Do::kTryLockShared, Do::kTryLockSharedFor})
               : pick(op, place, {Do::kLock, Do::kTryLock, Do::kTryLockFor});
    if (!possible || place.held >> op.object & 1) return false;
    if (op.object == Program::kSharedMutex && op.time == 0) op.time = 1;
    op.body = block(holding(op.object, place));
    if (one_in(2)) {
      op.body.insert(op.body.begin(), {{.what = Do::kSleep, .time = dice_.time()}});
    }
    return true;
  }

  // While std::lock waits it holds none of them.
  bool make_lock_all(Op& op, const Place& place) {
    if (place.bounded) return false;
    op = {{.what = Do::kLockAll}};
    Place inside = place;
    const int count = 2 + below(2);
    for (int chosen = 0, tries = 0; chosen < count; ++tries) {
      if (tries == 10) return false;
      const int mutex = below(Program::kMutexes);
      const bool last = mutex == Program::kSharedMutex;
      if (inside.held >> mutex & 1 || (last && place.late)) continue;
      inside = holding(mutex, inside);
      op.number = 10 * op.number + (last && one_in(2) ? kSharedDigit : mutex + 1);
      ++chosen;
    }
    inside.depth = place.depth + 1;
    op.body = block(inside);
    if (one_in(2)) {
      op.body.insert(op.body.begin(), {{.what = Do::kSleep, .time = dice_.time()}});
    }
    return true;
  }

  // Whoever comes back from the condition waits for its mutex where no cancellation reaches it. So
  // who holds that may not do what takes for ever.
  static Place holding(int mutex, const Place& place) {
    Place inside = place;
    inside.held |= 1U << mutex;
    ++inside.depth;
    if (mutex == 0) {
      inside.condition = !place.bounded;
      inside.bounded = true;
      inside.joins = false;
    }
    return inside;
  }

  bool make_condition(Op& op, const Place& place) {
    op.time = dice_.time_or_none();
    if (!(place.held & 1)) {
      if (one_in(3)) {
        op.what = one_in(2) ? Do::kNotifyOne : Do::kNotifyAll;
        return true;
      }
      op.what = place.bounded ? Do::kTryLockFor : Do::kLock;
      op.body = block(holding(0, place));
      Op wait;
      if (make_condition(wait, holding(0, place))) op.body.insert(op.body.begin(), wait);
      return true;
    }
    static constexpr Do kAll[] = {Do::kWaitCondition, Do::kWaitConditionFor, Do::kNotifyOne,
                                  Do::kNotifyAll};
    op.what = kAll[below(4)];
    return op.what != Do::kWaitCondition || place.condition;
  }

  bool make_promise(Op& op, const Place& place) {
    if (one_in(8)) return make_select(op, place);
    op.object = dice_.object(Family::kPromise, Program::kPromises);
    op.number = ++numbers_;
    if (one_in(4) && may_start()) {
      op.what = Do::kAddCallback;
      op.number = new_fiber();
      fill(static_cast<int>(op.number), -1);
      started_.callbacks.emplace_back(op.object, static_cast<int>(op.number));
      return true;
    }
    if (one_in(6) && !started_.callbacks.empty()) {
      const auto& [promise, fiber] = dice_.one_of(started_.callbacks);
      op = {{.what = Do::kRemoveCallback, .object = promise, .number = fiber}};
      return true;
    }
    if (one_in(3)) {
      return pick(op, place,
                  {Do::kSetValue, Do::kSetValue, Do::kSetException, Do::kSetSaved,
                   Do::kBreakPromise, Do::kDropFuture});
    }
    return pick(op, place, {Do::kGetFuture, Do::kGetFuture, Do::kWaitFutureFor});
  }

  bool make_tasks(Op& op, const Place& place) {
    if (one_in(3)) {  // also the fiber itself, one that has ended, or one that it belongs to
      op.what = Do::kCancel;
      op.object = 1 + below(static_cast<int>(program_.fibers.size()));
      return true;
    }
    if (started_.tasks.empty()) return make_spawn(op, place);
    op.object = dice_.one_of(started_.tasks);
    op.number = 0;
    const bool possible = pick(
        op, place,
        {Do::kGet, Do::kGet, Do::kGet, Do::kWait, Do::kWaitFor, Do::kDrop, Do::kDrop, Do::kDetach,
         Do::kWaitAll, Do::kWaitFirst, Do::kWaitFirstException, Do::kAsCompleted});
    const bool several = op.what >= Do::kWaitAll && op.what <= Do::kAsCompleted;
    if (several && !place.bounded && one_in(2)) op.time = -1;
    return possible && (place.joins || op.what != Do::kDrop);
  }

  bool make_spawn(Op& op, const Place& place) {
    if (!may_start()) return false;
    op.eager = one_in(4);
    if (one_in(5) && place.joins && !place.bounded) {
      op = {{.what = one_in(2) ? Do::kGather : Do::kGatherAll, .object = ++groups_}};
      for (int count = 1 + below(3); count > 0 && may_start(); --count) {
        const int child = new_fiber();
        op.number |= std::int64_t{1} << child;
        fill(child, -1);
      }
      return true;
    }
    op.what = Do::kSpawn;
    op.object = new_fiber();
    std::vector<int> groups = place.groups;
    if (place.own_group >= 0) groups.push_back(place.own_group);
    if (!groups.empty() && !one_in(3)) {
      op.into = Into::kGroup;
      op.number = dice_.one_of(groups);
    } else if (one_in(6)) {
      op.into = Into::kNobody;
    } else {
      started_.tasks.push_back(op.object);
    }
    fill(op.object, op.into == Into::kGroup ? static_cast<int>(op.number) : -1);
    return true;
  }

  bool make_call(Op& op) {
    if (one_in(4) && !started_.calls.empty()) {
      op = {{.what = Do::kCancelCall, .object = dice_.one_of(started_.calls)}};
      return true;
    }
    if (!may_start()) return false;
    static constexpr Do kAll[] = {Do::kPost, Do::kCallSoon, Do::kCallLater};
    op.what = kAll[below(3)];
    op.time = dice_.time_or_none();
    op.object = new_fiber();
    if (op.what != Do::kPost) started_.calls.push_back(op.object);
    fill(op.object, -1);
    return true;
  }

  bool make_scope(Op& op, const Place& place) {
    if (place.depth > 4) return false;
    Place inside = place;
    ++inside.depth;
    switch (below(12)) {
      case 0:
      case 1:
      case 2:
        op.what = one_in(3) ? Do::kDeadline : Do::kTimeout;
        op.time = dice_.time_or_none();
        if (op.what == Do::kDeadline || op.time == 0) inside.late = true;
        if (!place.strict) inside.bounded = false;
        if (one_in(4)) return make_late_failure(op, inside);
        break;
      case 3:
        op.what = Do::kShield;
        inside.bounded = true;
        inside.condition = false;
        break;
      case 4:
      case 5:
        op = {{.what = Do::kTry, .all = one_in(3), .rethrow = one_in(3)}};
        make_handler(op, inside);
        break;
      case 6: {
        if (place.strict) return false;
        op.what = Do::kCleanup;
        Place destructor = inside;
        destructor.bounded = destructor.strict = true;
        destructor.joins = destructor.condition = false;
        op.part = block(destructor, 1 + below(2));
        break;
      }
      case 7:
      case 8:
        op = {{.what = Do::kScope, .object = ++scopes_, .time = one_in(3) ? -1 : dice_.time()}};
        inside.scopes.push_back(op.object);
        break;
      case 9:
      case 10:
        return make_scope_step(op, place);
      default:
        return make_group(op, place);
    }
    op.body = block(inside);
    return true;
  }

  bool make_scope_step(Op& op, const Place& place) {
    if (scopes_ == 0) return false;
    if (place.scopes.empty() || one_in(3)) {
      op = {{.what = Do::kCancelScope, .object = 1 + below(scopes_)}};
      return true;
    }
    op.object = dice_.one_of(place.scopes);
    if (one_in(2)) {
      op.what = Do::kMoveDeadline;
      op.time = one_in(4) ? -1 : dice_.time_or_none();
      return true;
    }
    op.what = Do::kShieldOn;
    Place inside = place;
    ++inside.depth;
    inside.bounded = true;
    inside.condition = false;
    op.body = block(inside);
    return true;
  }

  // The body of a scope that ends while a child fails because of that.
  bool make_late_failure(Op& op, const Place& place) {
    if (place.bounded || !place.joins || !may_start()) return false;
    Op group{{.what = one_in(3) ? Do::kWithGroup : Do::kGroup, .object = ++groups_}};
    Op attempt{{.what = Do::kTry, .all = true}};
    attempt.body.push_back({{.what = Do::kSleep, .time = 10 * dice_.time()}});
    attempt.part.push_back(failure());
    const int child = new_fiber();
    program_.fibers[static_cast<std::size_t>(child)].push_back(std::move(attempt));
    group.body.push_back({{.what = Do::kSpawn,
                           .object = child,
                           .number = group.object,
                           .into = Into::kGroup,
                           .eager = one_in(2)}});
    group.body.push_back({{.what = Do::kSleep, .time = dice_.time()}});
    for (Op& more : block(place, below(2))) group.body.push_back(std::move(more));
    if (one_in(2)) group.body.push_back(failure());
    op.body.push_back(std::move(group));
    return true;
  }

  void make_handler(Op& op, const Place& place) {
    op.part = block(place, 1 + below(2));
    if (one_in(op.all ? 2 : 4)) op.part.insert(op.part.begin(), {{.what = Do::kSave}});
    if (one_in(4)) op.part.push_back(failure());
  }

  bool make_group(Op& op, const Place& place) {
    if (place.bounded || !place.joins || !may_start()) return false;
    op = {{.what = one_in(2) ? Do::kGroup : Do::kWithGroup, .object = ++groups_}};
    fill_group(op, place, op.what == Do::kGroup);
    return true;
  }

  // Fills the body of a group. `with_body`: some joins may be a with_task_group() of it.
  void fill_group(Op& op, const Place& place, bool with_body) {
    const int group = op.object;
    Place inside = place;
    ++inside.depth;
    inside.groups.push_back(group);
    op.body = block(inside);
    for (int count = 1 + below(3); count > 0 && may_start(); --count) add_child(op, group);
    if (one_in(6)) op.body.push_back({{.what = Do::kCancelGroup, .object = group}});
    for (Op& more : block(inside, below(2))) op.body.push_back(std::move(more));
    for (int joins = below(4); joins > 0; --joins) {
      // A joined group is as new.
      Op join{{.what = Do::kJoinGroup, .object = group, .caught = joins > 1 || one_in(2)}};
      if (with_body && one_in(3)) {
        join.what = Do::kWithGroup;
        fill_group(join, inside, false);
        const Op sleep{{.what = Do::kSleep, .time = dice_.time()}};
        if (one_in(2)) join.body.insert(join.body.begin(), sleep);
        if (one_in(2)) op.body.push_back(sleep);
      }
      op.body.push_back(std::move(join));
      if (one_in(3)) op.body.push_back({{.what = Do::kFailures, .object = group}});
      if (joins > 1 && may_start()) add_child(op, group);
    }
  }

  void add_child(Op& op, int group) {
    const int child = new_fiber();
    op.body.push_back({{.what = Do::kSpawn,
                        .object = child,
                        .number = group,
                        .into = Into::kGroup,
                        .eager = one_in(4),
                        .caught = !one_in(3)}});
    fill(child, group);
  }

  Dice dice_;
  Program program_;
  Started started_;
  int budget_ = 0;  // operations of the fiber still to come
  int most_fibers_ = 0;
  int level_ = 0;  // in the tree of fibers
  int numbers_ = 0;
  int groups_ = 0;
  int scopes_ = 0;
};

}  // namespace

Program make_program(std::uint64_t seed) { return Generator(seed).make(); }

}  // namespace weft::test
