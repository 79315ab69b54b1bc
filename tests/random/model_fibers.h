#ifndef WEFT_TESTS_RANDOM_MODEL_FIBERS_H_
#define WEFT_TESTS_RANDOM_MODEL_FIBERS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <optional>
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
struct ModelGroup;
using Waiting = std::list<Frame*>;

// A step under way.
struct Frame {
  enum State : std::uint8_t { kRuns, kLooksLater, kWaits, kDecided };

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
  std::size_t parked = 0;  // index of the first of the events that say so, where several parked
  std::size_t place = 0;   // in the order of the waiters
  bool in_stages = false;  // wakes several times before it ends
  Waiting* queue = nullptr;

  Tri expired = Tri::kNo;                  // kTimeout, kDeadline, kGroupBody and kScope
  bool shielded = false;                   // kShield and kScope
  std::optional<Outcome> kept{};           // of kTry, kWithGroup, and the waits for a condition
  std::optional<Outcome> flying_before{};  // an exception, where this is a step of a destructor
  std::int64_t round = 0;                  // of the barrier
  std::size_t woken = 0;                   // kWaitCondition: since when it wants the mutex
  std::deque<int> ended{};                 // kAsCompleted: not taken yet
  // Of a mutex or a semaphore, until it is accepted. A try may take it before: see kMostPassedOver.
  bool offered = false;
  int passed_over = 0;              // by how many
  int instants = 0;                 // at how many moments of the clock
  std::int64_t passed_over_at = 0;  // the last one
  int refused = -1;                 // the fiber to which a firm offer was refused last
  // It ended without, but the record leaves open whether it had an offer then, until a try took it.
  bool unsure = false;
  // Of kSelect: a part for each case, which waits in the queue of that one. `whole`: of a part.
  std::vector<std::unique_ptr<Frame>> parts{};
  Frame* whole = nullptr;
  ModelGroup* joins = nullptr;  // waits for the children
  bool leaving = false;         // the same, but was cancelled
};

struct ModelFiber {
  enum State : std::uint8_t { kUnborn, kPending, kReady, kRunning, kEnded };

  State state = kUnborn;
  std::int64_t begins_at = kNever;  // kPending, for a time
  Tri requested = Tri::kNo;         // to be cancelled
  std::size_t suspected = 0;        // since when that was kMaybe, if it ever was
  bool over = false;                // a call that was taken back
  bool has_handle = false;          // or will, once its spawn has returned
  bool known = false;               // its handle may be used
  int group = -1;
  bool gathered = false;
  int detacher = -1;    // the fiber that still has its handle, but detaches it at once
  int calls_back = -1;  // of this promise
  Outcome result{};
  bool taken = false;
  Waiting waiters{};

  std::vector<std::unique_ptr<Frame>> frames{};
  std::optional<Outcome> flying{};  // an exception, on its way out

  // A failure that came up meanwhile, and the scope that tells of it; null: the task.
  std::optional<Outcome> kept{};
  const Frame* kept_in = nullptr;

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

  static bool unwinds(const Frame& frame);
  // Whether it ends when its deadline has come: a timeout or a scope.
  static bool expires(const Frame& frame);
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
  // What a select() is, one part of which has ended so.
  virtual Outcome outcome_of_whole(const Frame& part, Outcome outcome) const = 0;
  void enlist_parts(Frame& whole);
  // The longest waiter, off the queue; null if nobody waits.
  Frame* claim(Waiting& queue);
  // The first. Where the record leaves open who came first, as several began to wait between two
  // events, the one with the lowest key: when its step ends, and those last that end otherwise.
  using Key = std::function<std::size_t(const Frame&)>;
  Frame* claim(Waiting& queue, const Key& key);
  Frame* first_of(Waiting& queue, const Key& key);
  Key key_of(const Outcome& outcome) const;
  void wake_all(Waiting& queue, Outcome outcome);

  void cancel(int fiber);
  // Something cancels it, or a part of it: ends its wait, if that concerns it.
  void interrupt(ModelFiber& fiber);
  virtual void cancelled_before_begin(int fiber) = 0;

  // The fiber destroys what has failed, and nobody knows of that.
  void tell(int fiber, const Outcome& failure);
  // The scope, or for null the task, of the fiber ends with this. Returns how it is seen to end.
  Outcome leave(ModelFiber& fiber, const Frame* scope, Outcome outcome);
  static bool failed(const Outcome& outcome);
  std::vector<Outcome> unhandled_{};  // to be told to the exception handler

  // Lets the clock go on to where the record is. At the end, no further.
  void advance(std::int64_t time);
  void finish_time();
  virtual void look_all() = 0;  // those that have not looked yet do so before the clock goes on
  virtual void settle() = 0;    // does what fibers that are ready do before the clock goes on
  virtual void check_quiet() const = 0;

  bool gone(Frame& frame);
  void leave_queue(Frame& frame);

  const Program& program_;
  const Record& record_;
  std::size_t index_ = 0;  // of the event at hand
  std::size_t places_ = 0;
  std::int64_t now_ = 0;
  std::vector<ModelFiber> fibers_;
  std::optional<Outcome> saved_{};   // by kSave
  std::vector<std::size_t> ends_;    // by the index of a step's begin, that of its end
  std::vector<std::size_t> begins_;  // the other way around

 private:
  void finish_moment();
  void expire();
  void require_rest() const;
  std::int64_t next_deadline() const;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_MODEL_FIBERS_H_
