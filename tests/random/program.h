#ifndef WEFT_TESTS_RANDOM_PROGRAM_H_
#define WEFT_TESTS_RANDOM_PROGRAM_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

// Programs as data: fibers, and what each of them does to objects that all share.
namespace weft::test {

enum class Do : std::uint8_t {
  kYield,
  kSleep,  // for `time`
  kThrow,  // a Failure of this number
  // The exception being handled is saved for all, and thrown once more.
  kSave,
  kThrowSaved,
  // The queue `object`; `number` is the item.
  kPush,
  kTryPush,
  kTryPushFor,
  kPop,
  kTryPop,
  kTryPopFor,
  kClose,
  kCloseAndDiscard,
  kTaskDone,
  kJoinQueue,
  // The mutex `object`, then the body, then kUnlock. The last mutex is a SharedMutex.
  kLock,
  kTryLock,
  kTryLockFor,
  kLockShared,
  kTryLockShared,
  kTryLockSharedFor,
  kUnlock,
  kUnlockShared,
  // The condition of the mutex `object`, which is held for the waits.
  kWaitCondition,
  kWaitConditionFor,
  kNotifyOne,
  kNotifyAll,
  // The semaphore `object`; kRelease: so many as `number`.
  kAcquire,
  kTryAcquire,
  kTryAcquireFor,
  kRelease,
  // The event `object`.
  kSet,
  kClear,
  kWaitEvent,
  kWaitEventFor,
  kArrive,  // at the barrier
  // One of the cases in `number`: see cases_of(). A negative time: no limit; 0: otherwise().
  kSelect,
  // The promise `object` and its futures. The callback is the fiber `number`.
  kGetFuture,
  kWaitFutureFor,
  kSetValue,
  kSetException,
  kSetSaved,  // the exception that was saved
  kBreakPromise,
  kDropFuture,  // the one that all share
  kAddCallback,
  kRemoveCallback,
  // The fiber `object`.
  kSpawn,
  kGet,
  kWait,
  kWaitFor,
  kCancel,
  kDrop,
  kDetach,
  kPost,
  kCallSoon,
  kCallLater,
  kCancelCall,
  // The tasks in `number`, a bit each.
  kWaitAll,
  kWaitFirst,
  kWaitFirstException,
  kAsCompleted,
  kStep,  // of kAsCompleted
  // Groups are numbered by `object`. kGroup: the body, then kCloseGroup.
  kGroup,
  kWithGroup,  // with_task_group of a new group, or of the one around it of the same number
  kJoinGroup,
  kCancelGroup,
  kCloseGroup,
  kFailures,
  // Groups, too, of the fibers in `number`.
  kGather,
  kGatherAll,
  // The body, so and so.
  kGroupBody,  // what kWithGroup does
  kLockAll,    // with all mutexes of `number` locked by std::scoped_lock: see locks_of()
  kTimeout,    // with_timeout
  kDeadline,   // with_deadline, so long after the start
  kShield,
  // CancelScopes are numbered by `object`. A negative time: no deadline.
  kScope,         // the body; kNo if it ends by Cancelled that is the scope's own
  kMoveDeadline,  // so long from now
  kCancelScope,   // of any fiber; kNo if it is not there
  kShieldOn,      // then the body, and then
  kShieldOff,
  kTry,         // the body, and the part if it throws
  kHandler,     // the part of kTry
  kCleanup,     // the body, and the part in a destructor
  kDestructor,  // the part of kCleanup
  kCount
};

// Where a spawned fiber belongs.
enum class Into : std::uint8_t { kHandle, kGroup, kNobody };

// An operation, less what it encloses.
struct Step {
  Do what = Do::kYield;
  int object = 0;
  std::int64_t number = 0;  // kSpawn: into this group
  std::int64_t time = 0;    // nanoseconds
  Into into = Into::kHandle;
  bool eager = false;
  bool caught = false;   // a std::exception that it throws is caught at once
  bool all = false;      // kTry: catches Cancelled, too
  bool rethrow = false;  // kTry

  bool operator==(const Step&) const = default;
};

struct Op : Step {
  std::vector<Op> body{};
  std::vector<Op> part{};
};

// What kLockAll locks, in the order of std::scoped_lock's arguments: a digit of `number` each,
// which is 1 more than the mutex, or kSharedDigit for the last one shared. As steps kLock and
// kLockShared.
inline constexpr std::int64_t kSharedDigit = 4;
std::vector<Step> locks_of(const Step& step);

// What kSelect waits for, in its order: two digits of `number` each, which are a kind and an
// object. As steps kPop, kPush, kWaitEvent and kWaitFutureFor. What is pushed is the step's
// `object`.
std::vector<Step> cases_of(const Step& step);
enum class CaseKind : std::uint8_t { kPop = 1, kPush, kEvent, kFuture };
inline std::int64_t add_case(std::int64_t number, CaseKind kind, int object) {
  return 100 * number + 10 * static_cast<int>(kind) + object;
}

// Whether it locks a mutex, or tries to, shared or not.
constexpr bool locks(Do what) { return what >= Do::kLock && what <= Do::kTryLockSharedFor; }
// Whether it may wait for a permit.
constexpr bool acquires(Do what) { return what == Do::kAcquire || what == Do::kTryAcquireFor; }
constexpr bool waits_for_condition(Do what) {
  return what == Do::kWaitCondition || what == Do::kWaitConditionFor;
}

// Whether it may wait without a limit of its own.
bool waits_for_ever(Do what);

// Whether it may let others run before it looks whether there is something to wait for.
bool may_look_later(Do what);
// Whether the record tells when it begins to wait.
bool tells_that_it_waits(Do what);

enum class QueueKind : std::uint8_t { kFifo, kPriority, kLifo };

struct Program {
  static constexpr int kQueues = 3;
  static constexpr int kMutexes = 3;
  static constexpr int kSharedMutex = 2;
  static constexpr int kSemaphores = 2;
  static constexpr int kEvents = 2;
  static constexpr int kPromises = 3;
  static constexpr int kMaxFibers = 40;

  std::uint64_t seed = 0;
  bool shuffled = true;
  std::vector<std::vector<Op>> fibers{};  // the first is run()'s
  std::array<QueueKind, kQueues> queue_kinds{};
  std::array<int, kQueues> capacities{};
  std::array<int, kSemaphores> permits{};
  int parties = 1;
};

std::string to_string(const Step& step);
std::string to_string(const Program& program);

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_PROGRAM_H_
