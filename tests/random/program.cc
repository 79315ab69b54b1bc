#include "tests/random/program.h"

#include <algorithm>
#include <array>

namespace weft::test {
namespace {

enum Shown : unsigned { kObject = 1, kNumber = 2, kTime = 4 };

struct Word {
  const char* text;
  unsigned shown;
};

constexpr std::array<Word, static_cast<std::size_t>(Do::kCount)> kWords{{
    {"yield", 0},
    {"sleep_for", kTime},
    {"throw failure", kNumber},
    {"save what is handled", 0},
    {"throw what was saved", 0},
    {"push to queue", kObject | kNumber},
    {"try_push to queue", kObject | kNumber},
    {"try_push_for to queue", kObject | kNumber | kTime},
    {"pop from queue", kObject},
    {"try_pop from queue", kObject},
    {"try_pop_for from queue", kObject | kTime},
    {"close queue", kObject},
    {"close and discard queue", kObject},
    {"task_done of queue", kObject},
    {"join queue", kObject},
    {"lock mutex", kObject},
    {"try_lock mutex", kObject},
    {"try_lock_for mutex", kObject | kTime},
    {"lock_shared mutex", kObject},
    {"try_lock_shared mutex", kObject},
    {"try_lock_shared_for mutex", kObject | kTime},
    {"unlock mutex", kObject},
    {"unlock_shared mutex", kObject},
    {"wait for condition", kObject},
    {"wait_for condition", kObject | kTime},
    {"notify_one of condition", kObject},
    {"notify_all of condition", kObject},
    {"acquire semaphore", kObject},
    {"try_acquire semaphore", kObject},
    {"try_acquire_for semaphore", kObject | kTime},
    {"release semaphore", kObject | kNumber},
    {"set event", kObject},
    {"clear event", kObject},
    {"wait for event", kObject},
    {"wait_for event", kObject | kTime},
    {"arrive_and_wait", 0},
    {"select", kObject | kNumber | kTime},
    {"get future", kObject},
    {"wait_for future", kObject | kTime},
    {"set_value of promise", kObject | kNumber},
    {"set_exception of promise", kObject | kNumber},
    {"set_exception of promise to what was saved", kObject},
    {"break promise", kObject},
    {"drop future", kObject},
    {"add_done_callback to future", kObject | kNumber},
    {"remove_done_callback of future", kObject | kNumber},
    {"spawn fiber", kObject},
    {"get fiber", kObject},
    {"wait for fiber", kObject},
    {"wait_for fiber", kObject | kTime},
    {"cancel fiber", kObject},
    {"drop the handle of fiber", kObject},
    {"detach fiber", kObject},
    {"post fiber", kObject},
    {"call_soon fiber", kObject},
    {"call_later fiber", kObject | kTime},
    {"cancel the call of fiber", kObject},
    {"wait for all of own tasks", kNumber | kTime},
    {"wait for first of own tasks", kNumber | kTime},
    {"wait for first exception of own tasks", kNumber | kTime},
    {"as_completed of own tasks", kNumber},
    {"next of as_completed", 0},
    {"group", kObject},
    {"with_task_group", kObject},
    {"join group", kObject},
    {"cancel group", kObject},
    {"destroy group", kObject},
    {"failures of group", kObject},
    {"gather as group", kObject | kNumber},
    {"gather_all as group", kObject | kNumber},
    {"body of group", kObject},
    {"scoped_lock of mutexes", kNumber},
    {"with_timeout", kTime},
    {"with_deadline", kTime},
    {"shield", 0},
    {"scope", kObject | kTime},
    {"move the deadline of scope", kObject | kTime},
    {"cancel scope", kObject},
    {"shield scope", kObject},
    {"no longer shield scope", kObject},
    {"try", 0},
    {"handler", 0},
    {"scope with a destructor", 0},
    {"destructor", kNumber},
}};

void print(std::string& text, const std::vector<Op>& ops, std::size_t indent) {
  for (const Op& op : ops) {
    const std::string margin(indent, ' ');
    text += margin + to_string(op);
    if (!op.body.empty()) {
      text += " {\n";
      print(text, op.body, indent + 2);
      text += margin + '}';
    }
    if (!op.part.empty()) {
      text += op.what == Do::kTry ? " catch {\n" : " destructor {\n";
      print(text, op.part, indent + 2);
      text += margin + '}';
    }
    text += '\n';
  }
}

}  // namespace

std::vector<Step> locks_of(const Step& step) {
  std::vector<Step> locks;
  for (std::int64_t left = step.number; left > 0; left /= 10) {
    const bool shared = left % 10 == kSharedDigit;
    const int mutex = shared ? Program::kSharedMutex : static_cast<int>(left % 10) - 1;
    locks.push_back({.what = shared ? Do::kLockShared : Do::kLock, .object = mutex});
  }
  std::ranges::reverse(locks);
  return locks;
}

std::vector<Step> cases_of(const Step& step) {
  static constexpr std::array kWhats{Do::kPop, Do::kPush, Do::kWaitEvent, Do::kWaitFutureFor};
  std::vector<Step> cases;
  for (std::int64_t left = step.number; left > 0; left /= 100) {
    cases.push_back({.what = kWhats[static_cast<std::size_t>(left / 10 % 10 - 1)],
                     .object = static_cast<int>(left % 10),
                     .number = step.object});
  }
  std::ranges::reverse(cases);
  return cases;
}

bool waits_for_ever(Do what) {
  switch (what) {
    case Do::kPush:
    case Do::kPop:
    case Do::kJoinQueue:
    case Do::kLock:
    case Do::kLockShared:
    case Do::kWaitCondition:
    case Do::kAcquire:
    case Do::kWaitEvent:
    case Do::kArrive:
    case Do::kGetFuture:
    case Do::kGet:
    case Do::kWait:
    case Do::kAsCompleted:
      return true;
    default:
      return false;
  }
}

bool may_look_later(Do what) {
  switch (what) {
    case Do::kPush:
    case Do::kTryPushFor:
    case Do::kPop:
    case Do::kTryPopFor:
    case Do::kJoinQueue:
    case Do::kAcquire:
    case Do::kTryAcquireFor:
    case Do::kWaitEvent:
    case Do::kWaitEventFor:
    case Do::kSelect:
    case Do::kGetFuture:
    case Do::kWaitFutureFor:
    case Do::kGet:
    case Do::kWait:
    case Do::kWaitFor:
    case Do::kWaitAll:
    case Do::kWaitFirst:
    case Do::kWaitFirstException:
    case Do::kStep:
      return true;
    default:
      return false;
  }
}

bool tells_that_it_waits(Do what) { return may_look_later(what) || waits_for_condition(what); }

std::string to_string(const Step& step) {
  const Word& word = kWords[static_cast<std::size_t>(step.what)];
  std::string text = word.text;
  if (word.shown & kObject) text += ' ' + std::to_string(step.object);
  if (word.shown & kNumber) text += " (" + std::to_string(step.number) + ')';
  if (word.shown & kTime) {
    text += step.time < 0 ? ", for ever" : ", " + std::to_string(step.time) + " ns";
  }
  if (step.what == Do::kSpawn) {
    if (step.into == Into::kGroup) text += " into group " + std::to_string(step.number);
    if (step.into == Into::kNobody) text += " detached";
    if (step.eager) text += " eagerly";
  }
  if (step.caught) text += ", caught";
  if (step.all) text += " catch (...)";
  if (step.rethrow) text += " and rethrow";
  return text;
}

std::string to_string(const Program& program) {
  static constexpr std::array<const char*, 3> kKinds{"Queue", "PriorityQueue", "LifoQueue"};
  std::string text;
  for (std::size_t i = 0; i < program.capacities.size(); ++i) {
    text += "queue " + std::to_string(i) + ": " +
            kKinds[static_cast<std::size_t>(program.queue_kinds[i])] + " of capacity " +
            std::to_string(program.capacities[i]) + '\n';
  }
  for (std::size_t i = 0; i < program.permits.size(); ++i) {
    text += "semaphore " + std::to_string(i) + ": " + std::to_string(program.permits[i]) + '\n';
  }
  text += "barrier: " + std::to_string(program.parties) + '\n';
  text += program.shuffled ? "shuffled\n" : "in the usual order\n";
  for (std::size_t i = 0; i < program.fibers.size(); ++i) {
    if (program.fibers[i].empty()) continue;
    text += "fiber " + std::to_string(i) + ":\n";
    print(text, program.fibers[i], 2);
  }
  return text;
}

}  // namespace weft::test
