#ifndef WEFT_FIBER_TRACE_H_
#define WEFT_FIBER_TRACE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "weft/fiber/core/running.h"

namespace weft {

// Records, while it lives, what runs when on all schedulers of the calling fiber's runtime: each
// switch, each wake-up with the task that caused it, each start, and the spans of TraceSpan.
//
//   weft::Trace trace;
//   serve_for_a_while();
//   trace.write("serve.fxt");  // open it in ui.perfetto.dev, or draw it by docs/draw_trace
//
// The file is in the Fuchsia Trace Format. A scheduler is drawn as a CPU and a task as a thread
// with the states Running, Runnable and Sleeping. A task's id is its tid; readers that know only 32
// bits, such as Perfetto, show the lower half. The names are those of SpawnOptions; a task without
// a name is called `fiber`. What the loop does counts as idle.
//
// Each scheduler has a ring, which keeps its newest events: a switch, a wake-up and each end of a
// span is one, and a name is one to four when its task ends. A wake-up by another scheduler counts
// when the loop of the woken one sees it. The waker is not known if it is a plain thread, a timer
// or I/O. Spans whose beginning is lost are left out. Times are the processor's, on virtual time
// too. What runs in which order does not change.
//
// While nothing is recorded a switch and a wake-up cost nothing more, and a spawn one instruction.
// An event costs some 15 ns, of which reading the time stamp takes most: see README.md, "Trace".
//
// Threads: from fibers of one runtime, one at a time.
class Trace {
 public:
  // Begins. The rings have places for this many events or, if that is no power of two, for some
  // more; an event takes 24 bytes. Waits until the other schedulers have begun, too, but is no
  // cancellation point. Throws std::logic_error outside fibers, and if another Trace of this
  // runtime lives, and std::bad_alloc.
  explicit Trace(std::size_t events_per_scheduler = 1 << 16);

  // Ends. Waits as the constructor does. REQUIRES: a fiber of the same runtime calls this; else the
  // program ends.
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Writes what the rings hold now. A file that is there is replaced. Asks the other schedulers as
  // the constructor does, and then holds up this thread for as long as it takes to write, some
  // 40 bytes an event. Recording goes on. Throws std::system_error, and std::bad_alloc.
  void write(const std::string& path);

 private:
  struct Recording;

  std::unique_ptr<Recording> recording_;
};

}  // namespace weft

namespace weft::internal {

void begin_span(const char* name) noexcept;
void end_span() noexcept;

}  // namespace weft::internal

namespace weft {

// A stretch of the running fiber's work, from here to the end of the block, which traces show with
// its name. Spans nest, and may contain waits. While nothing is recorded it costs a load and a
// branch at each end. On plain threads it does nothing.
//
//   void answer(Request& request) {
//     const weft::TraceSpan span("answer");
//     ...
//   }
//
// `name` has to live as long as the program, as a literal does.
class TraceSpan {
 public:
  explicit TraceSpan(const char* name) noexcept {
    if (internal::running.tracer) [[unlikely]]
      internal::begin_span(name);
  }
  ~TraceSpan() {
    if (internal::running.tracer) [[unlikely]]
      internal::end_span();
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;
};

}  // namespace weft

#endif  // WEFT_FIBER_TRACE_H_
