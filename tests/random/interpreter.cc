#include "tests/random/interpreter.h"

#include <algorithm>
#include <array>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <variant>
#include <vector>

#include "tests/random/recorder.h"
#include "tests/random/shared_objects.h"
#include "tests/random/task_range.h"
#include "weft/weft.h"

namespace weft::test {
namespace {

class Interpreter {
 public:
  explicit Interpreter(const Program& program)
      : program_(program), objects_(program), tasks_(program.fibers.size()) {}

  Record run() {
    RunOptions options{.virtual_time = true, .cancel_on_signal = false};
    if (program_.shuffled) options.shuffle_seed = program_.seed;
    Item::moves = [this] { recorder_.note_parked(); };
    weft::run(
        [this, main = body(0)]() mutable {
          begin_main();
          main();
        },
        options);
    Item::moves = nullptr;
    objects_.empty([this](Step step, std::int64_t left) {
      note({Entry::kLeft, 0, 0, step, {Outcome::kOk, left}});
    });
    return recorder_.take();
  }

 private:
  friend class FiberBody<Interpreter>;

  // What a running fiber has.
  struct Self {
    explicit Self(int its_fiber) : fiber(its_fiber) {}
    const int fiber;
    std::vector<int> children{};
    std::unique_lock<Mutex>* held = nullptr;  // of the mutex that has the condition
  };

  void begin_main() {
    recorder_.start();
    Scheduler::current().set_exception_handler([this](const std::exception_ptr& exception) {
      note({Entry::kUnhandled, 0, 0, {}, outcome_of(exception)});
    });
  }

  FiberBody<Interpreter> body(int fiber) { return {recorder_, *this, fiber}; }

  void note(const Entry& entry) { recorder_.note(entry); }
  template <class F>
  void step(const Self& self, const Step& step, F f) {
    recorder_.step(self.fiber, step, f);
  }
  template <class F>
  static Outcome done(F f) {
    f();
    return {};
  }

  void live(int fiber) {
    Self self(fiber);
    struct Leave {
      ~Leave() {
        for (const int child : self.children) interpreter.drop(self, child);
      }
      Interpreter& interpreter;
      Self& self;
    } const leave{*this, self};
    execute(self, program_.fibers[static_cast<std::size_t>(fiber)]);
  }

  void execute(Self& self, const std::vector<Op>& ops) {
    for (const Op& op : ops) execute(self, op);
  }

  void execute(Self& self, const Op& op) {
    if (op.what <= Do::kThrowSaved) {
      do_simple(self, op);
    } else if (op.what <= Do::kJoinQueue) {
      step(self, op, [&] { return objects_.use_queue(op); });
    } else if (op.what <= Do::kUnlockShared) {
      do_lock(self, op);
    } else if (op.what <= Do::kNotifyAll) {
      step(self, op, [&] { return objects_.use_condition(op, self.held); });
    } else if (op.what <= Do::kArrive) {
      step(self, op, [&] { return objects_.use_signal(op); });
    } else if (op.what == Do::kSelect) {
      do_select(self, op);
    } else if (op.what <= Do::kRemoveCallback) {
      do_promise(self, op);
    } else if (op.what <= Do::kDetach) {
      do_task(self, op);
    } else if (op.what <= Do::kCancelCall) {
      do_call(self, op);
    } else if (op.what <= Do::kStep) {
      do_tasks(self, op);
    } else if (op.what <= Do::kGatherAll) {
      do_group(self, op);
    } else if (op.what >= Do::kScope && op.what <= Do::kShieldOff) {
      do_cancel_scope(self, op);
    } else {
      do_scope(self, op);
    }
  }

  void do_simple(Self& self, const Op& op) {
    if (op.what == Do::kThrowSaved && !objects_.saved) return;
    step(self, op, [&] { return objects_.use_none(op); });
  }

  void do_lock(Self& self, const Op& op) {
    const bool shared = op.what >= Do::kLockShared;
    if (op.object != Program::kSharedMutex) {
      std::unique_lock lock(objects_.mutexes[static_cast<std::size_t>(op.object)], std::defer_lock);
      if (op.object == 0) self.held = &lock;
      hold(self, op, lock);
    } else if (shared) {
      std::shared_lock lock(objects_.shared_mutex, std::defer_lock);
      hold(self, op, lock);
    } else {
      std::unique_lock lock(objects_.shared_mutex, std::defer_lock);
      hold(self, op, lock);
    }
  }

  template <class Lock>
  void hold(Self& self, const Op& op, Lock& lock) {
    step(self, op, [&] {
      if (op.what == Do::kLock || op.what == Do::kLockShared) return done([&] { lock.lock(); });
      if (op.what == Do::kTryLock || op.what == Do::kTryLockShared)
        return yes_or_no(lock.try_lock());
      return yes_or_no(lock.try_lock_for(Duration(op.time)));
    });
    if (!lock.owns_lock()) return;
    struct Unlock {
      ~Unlock() {
        const Do what = op.what >= Do::kLockShared ? Do::kUnlockShared : Do::kUnlock;
        interpreter.step(self, {.what = what, .object = op.object},
                         [&] { return done([&] { lock.unlock(); }); });
      }
      Interpreter& interpreter;
      Self& self;
      const Op& op;
      Lock& lock;
    } const unlock{*this, self, op, lock};
    execute(self, op.body);
  }

  // A mutex for std::scoped_lock: what that does to it are steps.
  class Lockable {
   public:
    Lockable(Interpreter& interpreter, Self& self, const Step& lock)
        : interpreter_(interpreter), self_(self), mutex_(lock.object) {
      if (lock.what == Do::kLockShared) {
        lock_.emplace<2>(interpreter.objects_.shared_mutex, std::defer_lock);
      } else if (lock.object == Program::kSharedMutex) {
        lock_.emplace<1>(interpreter.objects_.shared_mutex, std::defer_lock);
      } else {
        auto& mutex = interpreter.objects_.mutexes[static_cast<std::size_t>(lock.object)];
        auto& its = lock_.emplace<0>(mutex, std::defer_lock);
        if (lock.object == 0) self.held = &its;
      }
    }

    void lock() {
      does(Do::kLock, Do::kLockShared, [](auto& its) { return done([&] { its.lock(); }); });
    }
    bool try_lock() {
      does(Do::kTryLock, Do::kTryLockShared, [](auto& its) { return yes_or_no(its.try_lock()); });
      return std::visit([](auto& its) { return its.owns_lock(); }, lock_);
    }
    void unlock() {
      does(Do::kUnlock, Do::kUnlockShared, [](auto& its) { return done([&] { its.unlock(); }); });
    }

   private:
    template <class F>
    void does(Do exclusive, Do shared, F f) {
      const Do what = lock_.index() == 2 ? shared : exclusive;
      interpreter_.step(self_, {.what = what, .object = mutex_},
                        [&] { return std::visit(f, lock_); });
    }

    Interpreter& interpreter_;
    Self& self_;
    const int mutex_;
    std::variant<std::unique_lock<Mutex>, std::unique_lock<SharedMutex>,
                 std::shared_lock<SharedMutex>>
        lock_{};
  };

  void lock_all(Self& self, const Op& op) {
    std::deque<Lockable> all;
    for (const Step& lock : locks_of(op)) all.emplace_back(*this, self, lock);
    if (all.size() == 2) {
      const std::scoped_lock locked(all[0], all[1]);
      execute(self, op.body);
    } else {
      const std::scoped_lock locked(all[0], all[1], all[2]);
      execute(self, op.body);
    }
  }

  // Like any waiter it has a Future of its own.
  void do_select(Self& self, const Op& op) {
    Future<std::int64_t> future;
    for (const Step& its : cases_of(op)) {
      if (its.what != Do::kWaitFutureFor) continue;
      future = objects_.futures[static_cast<std::size_t>(its.object)];
      if (!future.valid()) return;
    }
    step(self, op, [&] { return objects_.use_select(op, future); });
  }

  void do_promise(Self& self, const Op& op) {
    const auto i = static_cast<std::size_t>(op.object);
    const bool sets = op.what >= Do::kSetValue && op.what <= Do::kBreakPromise;
    if (sets ? !objects_.promises[i] : !objects_.futures[i].valid()) return;
    if (op.what == Do::kSetSaved && !objects_.saved) return;
    // A waiter has a Future of its own, which is dropped after the step.
    const auto future =
        sets || op.what == Do::kDropFuture ? Future<std::int64_t>() : objects_.futures[i];
    step(self, op, [&]() -> Outcome {
      if (op.what <= Do::kDropFuture) return objects_.use_future(op, future);
      if (op.what == Do::kRemoveCallback) {
        return yes_or_no(future.remove_done_callback(callbacks_[op.number]));
      }
      callbacks_[op.number] = future.add_done_callback(body(static_cast<int>(op.number)));
      return {};
    });
  }

  Task<std::int64_t>& task_of(int fiber) { return tasks_[static_cast<std::size_t>(fiber)]; }

  void do_task(Self& self, const Op& op) {
    if (op.what == Do::kSpawn) return spawn_one(self, op);
    if (op.what == Do::kCancel) return cancel(self, op);
    if (!task_of(op.object).valid()) return;
    if (op.what == Do::kDrop) return drop(self, op.object);
    step(self, op, [&]() -> Outcome {
      Task<std::int64_t>& task = task_of(op.object);
      switch (op.what) {
        case Do::kGet:
          return {Outcome::kOk, task.get()};
        case Do::kWait:
          return done([&] { task.wait(); });
        case Do::kWaitFor:
          return yes_or_no(task.wait_for(Duration(op.time)));
        default:
          return done([&] { std::exchange(task, {}).detach(); });
      }
    });
  }

  void spawn_one(Self& self, const Op& op) {
    step(self, op, [&] {
      const SpawnOptions options{.eager = op.eager};
      if (op.into == Into::kGroup) {
        groups_.at(op.number)->spawn(body(op.object), options);
      } else if (op.into == Into::kNobody) {
        spawn(body(op.object), options).detach();
      } else {
        self.children.push_back(op.object);
        task_of(op.object) = spawn(body(op.object), options);
      }
      return Outcome{};
    });
  }

  void cancel(Self& self, const Op& op) {
    const bool known = op.object < static_cast<int>(tasks_.size()) && task_of(op.object).valid();
    step(self, op, [&] {
      if (known) task_of(op.object).cancel();
      return yes_or_no(known);
    });
  }

  void drop(Self& self, int child) {
    if (!task_of(child).valid()) return;
    step(self, {.what = Do::kDrop, .object = child},
         [&] { return done([&] { const auto dropped = std::move(task_of(child)); }); });
  }

  void do_call(Self& self, const Op& op) {
    if (op.what == Do::kCancelCall && !calls_.contains(op.object)) return;
    step(self, op, [&] {
      Scheduler& scheduler = Scheduler::current();
      switch (op.what) {
        case Do::kPost:
          return done([&] { scheduler.post(body(op.object)); });
        case Do::kCallSoon:
          calls_[op.object] = scheduler.call_soon(body(op.object));
          return Outcome{};
        case Do::kCallLater:
          calls_[op.object] = scheduler.call_later(Duration(op.time), body(op.object));
          return Outcome{};
        default:
          return done([&] { calls_[op.object].cancel(); });
      }
    });
  }

  // Of all the tasks that the fiber has.
  void do_tasks(Self& self, const Op& op) {
    std::vector<int> children;
    Step what = op;
    what.number = 0;
    for (const int child : self.children) {
      if (!task_of(child).valid()) continue;
      children.push_back(child);
      what.number |= std::int64_t{1} << child;
    }
    if (children.empty()) return;
    std::ranges::sort(children);
    const TaskRange tasks(tasks_, children);
    step(self, what, [&] {
      if (op.what == Do::kAsCompleted) return done([&] { take_in_turn(self, tasks, children); });
      static constexpr std::array kWhens{When::all_completed, When::first_completed,
                                         When::first_exception};
      const When when =
          kWhens[static_cast<std::size_t>(op.what) - static_cast<std::size_t>(Do::kWaitAll)];
      const auto time = op.time < 0 ? std::nullopt : std::optional(Duration(op.time));
      Outcome outcome;
      for (const std::size_t i : weft::wait(tasks, when, time).done) {
        outcome.value |= std::int64_t{1} << children[i];
      }
      return outcome;
    });
  }

  template <class Range>
  void take_in_turn(Self& self, Range& tasks, const std::vector<int>& children) {
    auto completed = as_completed(tasks);
    std::optional<AsCompleted::iterator> next;
    for (std::size_t left = children.size(); left > 0; --left) {
      step(self, {.what = Do::kStep}, [&] {
        next ? (void)++*next : (void)next.emplace(completed.begin());
        return Outcome{Outcome::kOk, children[**next]};
      });
    }
  }

  void do_group(Self& self, const Op& op) {
    switch (op.what) {
      case Do::kGroup:
        return group(self, op);
      case Do::kWithGroup:
        return with_group(self, op);
      case Do::kGather:
      case Do::kGatherAll:
        return gather_fibers(self, op);
      case Do::kFailures:
        return step(self, op, [&] {
          return Outcome{Outcome::kOk, list_of(groups_.at(op.object)->failures())};
        });
      default:
        step(self, op, [&] {
          TaskGroup& its = *groups_.at(op.object);
          return done([&] { op.what == Do::kJoinGroup ? its.join() : its.cancel(); });
        });
    }
  }

  void group(Self& self, const Op& op) {
    step(self, op, [&] {
      struct Close {
        ~Close() {
          interpreter.step(self, {.what = Do::kCloseGroup, .object = number},
                           [&] { return done([&] { group.reset(); }); });
        }
        Interpreter& interpreter;
        Self& self;
        int number;
        std::optional<TaskGroup> group{};
      } close{*this, self, op.object};
      groups_[op.object] = &close.group.emplace();
      execute(self, op.body);
      return Outcome{};
    });
  }

  void with_group(Self& self, const Op& op) {
    step(self, op, [&] {
      const auto body = [&](TaskGroup& group) {
        groups_[op.object] = &group;
        step(self, {.what = Do::kGroupBody, .object = op.object},
             [&] { return done([&] { execute(self, op.body); }); });
      };
      const auto around = groups_.find(op.object);
      around == groups_.end() ? with_task_group(body) : with_task_group(*around->second, body);
      return Outcome{};
    });
  }

  // Those that are alike once: whether they are one exception, thrown again, is not known.
  static std::int64_t list_of(const std::vector<std::exception_ptr>& failures) {
    std::vector<Outcome> all;
    for (const std::exception_ptr& failure : failures) {
      const Outcome outcome = outcome_of(failure);
      if (std::ranges::find(all, outcome) == all.end()) all.push_back(outcome);
    }
    std::int64_t list = 0;
    for (const Outcome& outcome : all) list = append(list, outcome);
    return list;
  }

  // The callables outlive the children, so these tell of their ends themselves.
  void gather_fibers(Self& self, const Op& op) {
    std::vector<std::function<std::int64_t()>> all;
    for (int child = 0; child < static_cast<int>(program_.fibers.size()); ++child) {
      if (op.number >> child & 1) all.push_back([this, child] { return body(child)(); });
    }
    if (all.empty()) return;
    step(self, op, [&] {
      Outcome outcome;
      if (op.what == Do::kGather) {
        for (const std::int64_t value : gather(all)) {
          outcome.value = append(outcome.value, {Outcome::kOk, value});
        }
      } else {
        for (const auto& result : gather_all(all)) {
          const Outcome its =
              result ? Outcome{Outcome::kOk, *result} : outcome_of(result.exception());
          outcome.value = append(outcome.value, its);
        }
      }
      return outcome;
    });
  }

  void do_scope(Self& self, const Op& op) {
    step(self, op, [&] {
      const auto body = [&] { execute(self, op.body); };
      switch (op.what) {
        case Do::kLockAll:
          lock_all(self, op);
          break;
        case Do::kTimeout:
          with_timeout(Duration(op.time), body);
          break;
        case Do::kDeadline:
          with_deadline(recorder_.started_at() + Duration(op.time), body);
          break;
        case Do::kShield:
          shield(body);
          break;
        case Do::kTry:
          try_and_handle(self, op);
          break;
        default:
          clean_up(self, op);
      }
      return Outcome{};
    });
  }

  void do_cancel_scope(Self& self, const Op& op) {
    if (op.what == Do::kScope) return step(self, op, [&] { return run_in_scope(self, op); });
    const auto found = scopes_.find(op.object);
    CancelScope* const scope = found == scopes_.end() ? nullptr : found->second;
    if (op.what != Do::kCancelScope && !scope) return;
    step(self, op, [&] {
      if (op.what == Do::kMoveDeadline) {
        scope->set_deadline(deadline_of(op));
      } else if (op.what == Do::kShieldOn) {
        scope->set_shield(true);
      } else if (scope) {
        scope->cancel();
      }
      return yes_or_no(scope);
    });
    if (op.what != Do::kShieldOn) return;
    struct Unshield {
      ~Unshield() {
        interpreter.step(self, {.what = Do::kShieldOff, .object = object},
                         [&] { return done([&] { scope.set_shield(false); }); });
      }
      Interpreter& interpreter;
      Self& self;
      int object;
      CancelScope& scope;
    } const unshield{*this, self, op.object, *scope};
    execute(self, op.body);
  }

  static TimePoint deadline_of(const Step& step) {
    return step.time < 0 ? kForever : now() + Duration(step.time);
  }

  Outcome run_in_scope(Self& self, const Op& op) {
    CancelScope scope(deadline_of(op));
    struct Named {
      ~Named() { scopes.erase(object); }
      std::map<int, CancelScope*>& scopes;
      int object;
    } const named{scopes_, op.object};
    scopes_[op.object] = &scope;
    try {
      execute(self, op.body);
      return {};
    } catch (const Cancelled&) {
      if (!scope.caused()) throw;
      return {Outcome::kNo};
    }
  }

  void try_and_handle(Self& self, const Op& op) {
    try {
      execute(self, op.body);
    } catch (...) {
      if (!op.all && caught_outcome().kind == Outcome::kCancelled) throw;
      step(self, {.what = Do::kHandler}, [&] { return done([&] { execute(self, op.part); }); });
      if (op.rethrow) throw;
    }
  }

  void clean_up(Self& self, const Op& op) {
    struct Destructor {
      ~Destructor() {
        try {
          interpreter.step(self, {.what = Do::kDestructor, .number = std::uncaught_exceptions()},
                           [&] { return done([&] { interpreter.execute(self, part); }); });
        } catch (...) {
        }
      }
      Interpreter& interpreter;
      Self& self;
      const std::vector<Op>& part;
    } const destructor{*this, self, op.part};
    execute(self, op.body);
  }

  const Program& program_;
  Recorder recorder_;
  SharedObjects objects_;
  std::map<std::int64_t, std::uint64_t> callbacks_;
  std::vector<Task<std::int64_t>> tasks_;  // by fiber
  std::map<int, Handle> calls_;            // by fiber
  std::map<std::int64_t, TaskGroup*> groups_;
  std::map<int, CancelScope*> scopes_;  // those that fibers are in
};

}  // namespace

Record run_program(const Program& program) { return Interpreter(program).run(); }

}  // namespace weft::test
