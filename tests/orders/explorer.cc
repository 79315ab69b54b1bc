#include "tests/orders/explorer.h"

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <semaphore>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "weft/fiber/core/atomic.h"

namespace weft::test {

using namespace internal;
namespace {

constexpr long kMaxSteps = 20'000;

struct Thread {
  enum class State {
    kReady,
    kSpinning,  // until another one has made a step
    kAsleep,    // on its futex
    kDone,
  };

  // Whether it may be the next. With a deadline a sleep may end at any time.
  bool can_run() const { return state == State::kReady || (state == State::kAsleep && timed); }

  // Whether there is somebody whom it may have spun for.
  bool has_to_give_way() const {
    return std::any_of(before.begin(), before.end(),
                       [](const Thread* other) { return other->state == State::kReady; });
  }

  std::thread thread;
  std::binary_semaphore turn{0};
  State state = State::kReady;
  const void* futex = nullptr;  // where it sleeps
  bool timed = false;
  bool woken = false;
  long last_turn = 0;
  long last_spin = 0;
  std::vector<const Thread*> before;  // whose turn comes first, if they can run
};

// One run, along a path of choices that is followed as far as it goes, and then made longer by
// always taking the first possibility: the thread that runs goes on.
class Run {
 public:
  struct Choice {
    std::size_t taken;
    std::size_t possible;
  };

  Run(std::vector<Choice>& path, int preemptions) : path_(path), preemptions_left_(preemptions) {}

  // Returns what went wrong.
  std::string perform(const Scenario& scenario);

  // For the threads.
  void start(const std::function<void()>& body);
  void step(const void* word);
  void spin();
  bool sleep(const std::atomic<std::uint32_t>& word, std::uint32_t expected, bool timed);
  void wake(const std::atomic<std::uint32_t>& word);

  std::unordered_set<const void*> destroyed;  // Atomics

 private:
  void perform_one(Thread& self, const std::function<void()>& body);
  Thread* choose(Thread* running);
  void go_on(Thread* running);
  [[noreturn]] void fail(const std::string& why);

  std::vector<Choice>& path_;
  std::size_t depth_ = 0;
  int preemptions_left_;
  long steps_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::binary_semaphore over_{0};
  std::string failure_;
};

Run* current_run = nullptr;           // one at a time; changed while no thread of a run exists
thread_local Thread* self = nullptr;  // null on threads that are not part of it
thread_local bool explores = false;   // whether this thread makes or checks the scenario

std::string Run::perform(const Scenario& scenario) {
  for (const auto& body : scenario.threads) start(body);
  choose(nullptr)->turn.release();
  over_.acquire();
  for (auto& thread : threads_) {
    if (failure_.empty()) {
      thread->thread.join();
    } else {
      thread->thread.detach();
    }
  }
  return failure_;
}

void Run::start(const std::function<void()>& body) {
  Thread& thread = *threads_.emplace_back(std::make_unique<Thread>());
  thread.thread = std::thread([this, &thread, body] { perform_one(thread, body); });
}

void Run::perform_one(Thread& thread, const std::function<void()>& body) {
  thread.turn.acquire();
  self = &thread;
  try {
    body();
  } catch (const std::exception& error) {
    fail(error.what());
  } catch (...) {
    fail("a thread throws");
  }
  self = nullptr;
  thread.state = Thread::State::kDone;
  Thread* next = choose(nullptr);
  (next ? next->turn : over_).release();
}

// The thread that makes the next step; null if all are done.
Thread* Run::choose(Thread* running) {
  if (++steps_ > kMaxSteps) fail("it does not end");
  std::vector<Thread*> possible;
  const bool interrupts = running && running->state == Thread::State::kReady;
  if (running && running->can_run()) possible.push_back(running);
  if (!interrupts || preemptions_left_ > 0) {
    for (auto& thread : threads_) {
      if (thread.get() == running || !thread->can_run() || thread->has_to_give_way()) continue;
      possible.push_back(thread.get());
    }
  }
  if (possible.empty()) {
    for (auto& thread : threads_) {
      if (thread->state != Thread::State::kDone) fail("nobody can go on");
    }
    return nullptr;
  }
  std::size_t taken = 0;
  if (possible.size() > 1) {
    if (depth_ == path_.size()) path_.push_back({0, possible.size()});
    if (path_[depth_].possible != possible.size()) fail("a run cannot be repeated");
    taken = path_[depth_++].taken;
  }
  Thread* next = possible[taken];
  if (interrupts && next != running) --preemptions_left_;
  for (auto& thread : threads_) {
    if (thread.get() != next && thread->state == Thread::State::kSpinning) {
      thread->state = Thread::State::kReady;
    }
  }
  next->state = Thread::State::kReady;
  next->last_turn = steps_;
  for (auto& thread : threads_) std::erase(thread->before, next);
  return next;
}

void Run::go_on(Thread* running) {
  Thread* next = choose(running);
  if (next == running) return;
  next->turn.release();
  running->turn.acquire();
}

void Run::step(const void* word) {
  go_on(self);
  if (destroyed.contains(word)) fail("an Atomic is accessed after its destruction");
}

// Two that spin could take turns for ever, while a third has what they spin for: whoever could run
// but had no turn since the last spin comes first (Musuvathi and Qadeer: Fair stateless model
// checking, PLDI 2008).
void Run::spin() {
  for (auto& thread : threads_) {
    const bool waits_for_its_turn =
        thread->state == Thread::State::kReady && thread->last_turn < self->last_spin;
    if (thread.get() != self && waits_for_its_turn) self->before.push_back(thread.get());
  }
  self->last_spin = steps_;
  self->state = Thread::State::kSpinning;
  go_on(self);
}

bool Run::sleep(const std::atomic<std::uint32_t>& word, std::uint32_t expected, bool timed) {
  go_on(self);
  if (word.load() != expected) return true;
  self->state = Thread::State::kAsleep;
  self->futex = &word;
  self->timed = timed;
  self->woken = false;
  go_on(self);
  return self->woken;
}

void Run::wake(const std::atomic<std::uint32_t>& word) {
  go_on(self);
  for (auto& thread : threads_) {
    if (thread->state == Thread::State::kAsleep && thread->futex == &word) {
      thread->state = Thread::State::kReady;
      thread->woken = true;
      return;
    }
  }
}

void Run::fail(const std::string& why) {
  failure_ = why;
  over_.release();
  std::binary_semaphore never{0};
  for (;;) never.acquire();
}

// Threads of which one runs at a time hand over to each other twice as fast on one core. Those
// that start meanwhile inherit it.
class OneCore {
 public:
  OneCore() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    set_ = sched_getaffinity(0, sizeof before_, &before_) == 0 &&
           sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~OneCore() {
    if (set_) sched_setaffinity(0, sizeof before_, &before_);
  }

 private:
  cpu_set_t before_;
  bool set_;
};

}  // namespace

Exploration explore(const std::function<Scenario()>& make, int preemptions) {
  const OneCore one_core;
  Exploration exploration;
  std::vector<Run::Choice> path;
  for (;;) {
    ++exploration.runs;
    auto run = std::make_unique<Run>(path, preemptions);
    current_run = run.get();
    explores = true;
    auto scenario = std::make_unique<Scenario>(make());
    exploration.failure = run->perform(*scenario);
    if (!exploration.failure.empty()) {
      // Its threads are still there.
      static auto& kept = *new std::vector<std::pair<Run*, Scenario*>>;
      kept.emplace_back(run.release(), scenario.release());
      explores = false;
      return exploration;
    }
    if (!scenario->holds()) exploration.failure = "what must hold does not";
    scenario.reset();
    explores = false;
    current_run = nullptr;
    if (!exploration.failure.empty()) return exploration;
    // The next path: the last choice that has another possibility takes it.
    while (!path.empty() && path.back().taken + 1 == path.back().possible) path.pop_back();
    if (path.empty()) return exploration;
    ++path.back().taken;
  }
}

}  // namespace weft::test

// ---- What fiber/atomic.h calls ------------------------------------------------------------------

namespace weft::internal::explored {

using test::current_run;
using test::explores;
using test::self;

void created(const void* word) noexcept {
  if (self || explores) current_run->destroyed.erase(word);
}

void destroyed(const void* word) noexcept {
  if (self || explores) current_run->destroyed.insert(word);
}

void step(const void* word) noexcept {
  if (self) current_run->step(word);
}

void spin() noexcept {
  if (self) current_run->spin();
}

bool start(const std::function<void()>& f) {
  if (self) current_run->start(f);
  return self;
}

bool sleep(const std::atomic<std::uint32_t>& word, std::uint32_t expected, bool timed) noexcept {
  return current_run->sleep(word, expected, timed);
}

void wake(const std::atomic<std::uint32_t>& word) noexcept {
  if (self) current_run->wake(word);
}

}  // namespace weft::internal::explored
