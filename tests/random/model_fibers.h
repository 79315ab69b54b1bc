#ifndef WEFT_TESTS_RANDOM_MODEL_FIBERS_H_
#define WEFT_TESTS_RANDOM_MODEL_FIBERS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/random/program.h"
#include "tests/random/record.h"

// The model of time, waits and cancellation, on which that of everything else stands.
namespace weft::test {

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

// A rule that a record breaks.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Tri : std::uint8_t { kNo, kMaybe, kYes };

struct Frame;
using Waiting = std::list<Frame*>;

// A step under way.
struct Frame {
  enum State : std::uint8_t { kRuns, kWaits, kDecided };

  Step step{};
  int fiber = 0;
  std::size_t begin = 0;  // index of its event
  Outcome final{};        // how it is going to end, which decides where the record leaves it open

  State state = kRuns;
  Outcome expected{};           // once it is decided
  std::int64_t decided_at = 0;  // the end has to come at this time
  std::int64_t deadline = kNever;
  Outcome late{Outcome::kNo};  // if that passes
  bool cancellable = true;
  bool in_stages = false;  // wakes several times before it ends
  Waiting* queue = nullptr;

  Tri expired = Tri::kNo;                  // kTimeout and kDeadline
  std::optional<Outcome> kept{};           // of kTry, and of the waits for a condition
  std::optional<Outcome> flying_before{};  // an exception, where this is a step of a destructor
  std::int64_t round = 0;                  // of the barrier
  std::size_t woken = 0;                   // kWaitCondition: since when it wants the mutex
  std::deque<int> ended{};                 // kAsCompleted: not taken yet

  // kGroup and kGather.
  std::set<int> children{};
  std::optional<Outcome> failure{};
  std::set<int> silent{};  // children that end without having begun, some time soon
  bool group_cancelled = false;
  bool leaving = false;  // kGather: was cancelled
  Waiting joiners{};
};

struct ModelFiber {
  enum State : std::uint8_t { kUnborn, kPending, kReady, kRunning, kEnded };

  State state = kUnborn;
  std::int64_t begins_at = kNever;  // kPending, for a time
  Tri requested = Tri::kNo;         // to be cancelled
  bool over = false;                // a call that was taken back
  bool has_handle = false;          // or will, once its spawn has returned
  bool known = false;               // its handle may be used
  int group = -1;
  bool gathered = false;
  Outcome result{};
  bool taken = false;
  Waiting waiters{};

  std::vector<std::unique_ptr<Frame>> frames{};
  std::optional<Outcome> flying{};  // an exception, on its way out
  int unwinding = 0;

  Frame* top() const { return frames.empty() ? nullptr : frames.back().get(); }
};

class ModelFibers {
 public:
  ModelFibers(const Program& program, const Record& record);
  virtual ~ModelFibers() = default;

 protected:
  template <class... Text>
  [[noreturn]] static void fail(const Text&... text) {
    throw Broken((std::string() + ... + text));
  }
  static std::string name(int fiber) { return "fiber " + std::to_string(fiber); }

  ModelFiber& at(int fiber) { return fibers_[static_cast<std::size_t>(fiber)]; }

  // Whether what stands inside of the first so many frames is cancelled.
  Tri cancelled(const ModelFiber& fiber, std::size_t frames) const;
  // Whether a cancellation ends the step, if it waits.
  Tri interrupted(const Frame& frame) const;

  void decide(Frame& frame, Outcome outcome);
  // The step has to wait, at the end of the queue, which may be null.
  void wait(Frame& frame, Waiting* queue);
  // Something other than what it waits for ends it.
  void abort(Frame& frame, Outcome outcome);
  virtual bool abort_specially(Frame& frame, Outcome outcome) = 0;
  // The longest waiter, off the queue; null if nobody waits.
  Frame* claim(Waiting& queue);
  void wake_all(Waiting& queue, Outcome outcome);

  void cancel(int fiber);
  virtual void cancelled_before_begin(int fiber) = 0;

  // Lets the clock go on to where the record is. At the end, no further.
  void advance(std::int64_t time);
  void finish_time();
  virtual void settle() = 0;  // does what fibers that are ready do before the clock goes on
  virtual void check_quiet() const = 0;

  bool gone(Frame& frame);
  void leave_queue(Frame& frame);

  const Program& program_;
  const Record& record_;
  std::size_t index_ = 0;  // of the event at hand
  std::int64_t now_ = 0;
  std::vector<ModelFiber> fibers_;
  std::vector<std::size_t> ends_;  // by the index of a step's begin, that of its end

 private:
  void expire();
  void require_rest() const;
  std::int64_t next_deadline() const;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_FIBERS_H_
