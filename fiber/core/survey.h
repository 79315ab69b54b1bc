#ifndef WEFT_FIBER_CORE_SURVEY_H_
#define WEFT_FIBER_CORE_SURVEY_H_

#include <sys/types.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "weft/fiber/core/snapshot.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Home;
class Look;

// What all schedulers of the process do at about one moment.
//
// Each scheduler is asked to take a snapshot of itself when its loop turns. One that does not
// answer is stuck in a fiber: it is interrupted by a signal, whose handler takes the snapshot, that
// fiber's own stack included. So nothing is read while it may change.
class Survey {
 public:
  // How a scheduler answered.
  enum class Answer : std::uint8_t {
    kTaken,       // its snapshot
    kStuck,       // the same, from a handler for signals: a fiber does not let it turn
    kNotRunning,  // no thread runs it now
    kNone         // its thread cannot be interrupted, or there was no memory
  };
  struct Entry {
    Home* home;       // it may be gone
    unsigned number;  // see Home::number()
    pid_t thread;
    Answer answer = Answer::kNotRunning;
    Look* look = nullptr;  // null for kNotRunning and where there was no memory
    bool has_snapshot() const noexcept {
      return answer == Answer::kTaken || answer == Answer::kStuck;
    }
    const Snapshot& snapshot() const noexcept;  // REQUIRES: has_snapshot()
  };

  // At most `tasks` fibers of all schedulers are looked at. Waits until each scheduler has
  // answered, but no longer than kPatience for those whose loops do not turn, and then until they
  // are interrupted: some milliseconds each. The calling thread waits, not the fiber. Throws
  // std::bad_alloc if there is no memory for a list of the schedulers.
  explicit Survey(std::size_t tasks);
  // Looks at one scheduler, which is known to be stuck, and of its fibers at the running one alone.
  // REQUIRES: the scheduler lives.
  explicit Survey(Home& stuck);
  ~Survey();
  Survey(const Survey&) = delete;
  Survey& operator=(const Survey&) = delete;

  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t count_tasks() const noexcept;

  static constexpr Duration kPatience = std::chrono::milliseconds(100);

 private:
  void ask(Home& home, std::size_t tasks) noexcept;
  void insist(Entry& entry) noexcept;

  std::vector<Entry> entries_;
};

// Lets a handler for signals take part in surveys, on threads that do not block kInterrupt.
// Installed once in the process, by the first call. A handler that the program has installed before
// is called for signals that weft has not sent.
void install_interrupt() noexcept;

// Whether a handler is that one, and there was none before.
bool is_interrupt_alone(const struct sigaction& action) noexcept;

// Lets the calling thread, which is one of weft's own, be interrupted.
void unblock_interrupt() noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SURVEY_H_
