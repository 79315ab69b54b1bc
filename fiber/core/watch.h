#ifndef WEFT_FIBER_CORE_WATCH_H_
#define WEFT_FIBER_CORE_WATCH_H_

#include <atomic>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "weft/fiber/core/home.h"
#include "weft/fiber/core/parker.h"
#include "weft/fiber/time.h"

namespace weft::internal {

class Loop;

// What to watch for: see RunOptions.
struct WatchOptions {
  Duration stall_after{};  // zero: not for stalls
  int report_signal = 0;   // zero: no signal

  bool any() const noexcept { return stall_after > Duration::zero() || report_signal != 0; }
};

// Changes the options as WEFT_WATCH says, e.g. "stall=100ms,report=QUIT". A part that cannot be
// read is named on stderr, and left out.
void parse_watch(std::string_view words, WatchOptions& options);

// A thread that watches schedulers. It reports a fiber that holds up its scheduler while it does,
// and prints all tasks when a signal comes.
//
// Threads: made and destroyed on one thread, before and after the schedulers that it watches run.
class Watch {
 public:
  // `schedulers` must outlive this. Throws std::system_error if the thread cannot be started.
  Watch(WatchOptions options, std::span<Loop* const> schedulers);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  // A scheduler, and what was seen of it last.
  struct Watched {
    Home* home;
    Home::Heartbeat beat{};
    TimePoint since{};    // it has shown this
    Duration reported{};  // how long it had been held up at the last report; zero: no report
  };

  static void on_signal(int signal) noexcept;

  void run() noexcept;
  void look_at(Watched& watched, TimePoint now) noexcept;
  void report_stall(const Watched& watched, Duration held) noexcept;
  void report_tasks() noexcept;

  const WatchOptions options_;
  std::vector<Watched> watched_;
  Parker wake_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> asked_{false};  // by the signal
  std::thread thread_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_WATCH_H_
