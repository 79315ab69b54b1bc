#include "weft/fiber/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <exception>
#include <list>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/fiber/core/calls.h"
#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fxt.h"
#include "weft/fiber/core/group.h"
#include "weft/fiber/core/tracer.h"

namespace weft::internal {

using TaskNames = std::map<std::uint64_t, std::string>;

// What is recorded of a scheduler.
struct TraceTrack {
  TraceTrack(Home& its_home, std::size_t events, std::uint64_t epoch)
      : home(static_cast<Calls&>(its_home)), tracer(events, epoch) {}

  Calls& home;
  Tracer tracer;
  // What was handed over to be written.
  std::vector<TraceEvent> events;
  TaskNames names;  // of the tasks that have not ended
  std::exception_ptr failure;
};

namespace {

// A call in the loop of another scheduler, and the fiber that waits for all of them.
class Round {
 public:
  Round(std::size_t calls, void (*f)(TraceTrack&) noexcept) noexcept : f_(f), missing_(calls) {}

  // Runs f(track) in the loop of the track's scheduler, or not at all if that runs no more.
  struct Visit : InboxNode {
    Visit(Round& its_round, TraceTrack& its_track) noexcept
        : InboxNode([](InboxNode& node, Calls* running) noexcept {
            auto& self = static_cast<Visit&>(node);
            if (running) self.round.f_(self.track);
            self.round.arrive();
          }),
          round(its_round),
          track(its_track) {}
    Round& round;
    TraceTrack& track;
  };

  // Not a cancellation point: the other schedulers have references until they have called.
  void wait() noexcept {
    const ShieldScope unwatched;
    done_.wait(kForever, "a Trace");
    const WaitQueue::Lock lock(done_.queue());  // the last one has left it
  }

 private:
  void arrive() noexcept {
    // Release: publishes what was done in there. Acquire: the last one passes it on.
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    WaitQueue::Lock lock(done_.queue());
    done_.complete(lock, [] {});
  }

  void (*const f_)(TraceTrack&) noexcept;
  Atomic<std::size_t> missing_;
  Completion done_;
};

void hand_over(TraceTrack& track) noexcept {
  try {
    track.events = track.tracer.events();
    for (const Fiber* fiber : track.home.started()) {
      if (!fiber->done() && fiber->name_size != 0) track.names[fiber->id] = fiber->name_view();
    }
  } catch (...) {
    track.failure = std::current_exception();
  }
}

// Adds eight characters, or fewer at the end. The first ones of a name may be lost, and then it is.
void add_part(TaskNames& names, const TraceEvent& event) {
  if (event.detail() == 0) names[event.fiber].clear();
  const auto name = names.find(event.fiber);
  if (name == names.end() || name->second.size() != 8u * event.detail()) return;
  char characters[8];
  std::memcpy(characters, &event.other, sizeof(characters));
  name->second.append(characters, strnlen(characters, sizeof(characters)));
}

// An event of the n-th scheduler.
struct Placed : TraceEvent {
  Placed(const TraceEvent& event, std::uint32_t n) : TraceEvent(event), scheduler(n) {}
  std::uint32_t scheduler;
};

// All of them by their times, without the names.
std::vector<Placed> merge(std::list<TraceTrack>& tracks, TaskNames& names) {
  std::vector<Placed> merged;
  std::uint32_t n = 0;
  for (TraceTrack& track : tracks) {
    names.merge(track.names);
    for (const TraceEvent& event : std::exchange(track.events, {})) {
      if (event.kind() == TraceEvent::kName) {
        add_part(names, event);
      } else {
        merged.emplace_back(event, n);
      }
    }
    ++n;
  }
  std::stable_sort(merged.begin(), merged.end(),
                   [](const Placed& a, const Placed& b) { return a.ticks() < b.ticks(); });
  return merged;
}

// Those that something happened to, as threads; without names, too.
void write_threads(FxtWriter& fxt, const std::vector<Placed>& events, TaskNames& names) {
  for (const Placed& event : events) {
    names[event.fiber];
    if (event.kind() <= TraceEvent::kWake) names[event.other];
  }
  for (const auto& [id, name] : names) {
    if (id != FxtWriter::kIdle) fxt.thread(id, name.empty() ? "fiber" : name);
  }
}

FxtWriter::State state_of(const TraceEvent& event) {
  if (event.detail() == TraceEvent::kEnded) return FxtWriter::kDead;
  return event.detail() == TraceEvent::kWaiting ? FxtWriter::kBlocked : FxtWriter::kRunnable;
}

// Writes events in turn. A span that ends and has not begun is left out.
class EventWriter {
 public:
  explicit EventWriter(FxtWriter& fxt) : fxt_(fxt) {}

  void write(const Placed& event) {
    const auto time = static_cast<std::uint64_t>(event.ticks());
    switch (event.kind()) {
      case TraceEvent::kSwitch:
        fxt_.context_switch(event.scheduler, time, event.fiber, state_of(event), event.other);
        break;
      case TraceEvent::kWake:
        fxt_.wake_up(event.scheduler, time, event.fiber, event.other);
        break;
      case TraceEvent::kSpanBegin:
        spans_[event.fiber].push_back(reinterpret_cast<const char*>(event.other));
        fxt_.begin_span(time, event.fiber, spans_[event.fiber].back());
        break;
      case TraceEvent::kSpanEnd:
        if (std::vector<const char*>& open = spans_[event.fiber]; !open.empty()) {
          fxt_.end_span(time, event.fiber, open.back());
          open.pop_back();
        }
        break;
      case TraceEvent::kName:  // names are not here
        break;
    }
  }

 private:
  FxtWriter& fxt_;
  std::map<std::uint64_t, std::vector<const char*>> spans_;  // that are open, of each fiber
};

// How fast the time stamp counts, of which a moment in the past is known by the clock, too.
std::uint64_t ticks_per_second(std::uint64_t stamp, TimePoint time) {
  const auto ticks = static_cast<double>(Tracer::stamp() - stamp);
  const auto passed = static_cast<double>((Clock::now() - time).count());
  return static_cast<std::uint64_t>(std::max(1.0, 1e9 * ticks / std::max(1.0, passed)));
}

// A file that is closed at the end.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path) {
    do {
      fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EINTR);
    if (fd_ < 0) fail("open");
  }
  ~Output() { close(fd_); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t size = ::write(fd_, bytes.data(), bytes.size());
      if (size < 0 && errno != EINTR) fail("write");
      if (size > 0) bytes.remove_prefix(static_cast<std::size_t>(size));
    }
  }

 private:
  [[noreturn]] void fail(const char* call) const {
    throw_system_error(error_of(-errno), {"Trace::write: ", call, " ", path_});
  }

  const std::string& path_;
  int fd_ = -1;
};

}  // namespace

void begin_span(const char* name) noexcept {
  if (running.fiber) running.tracer->begin_span(running.fiber->id, name);
}

void end_span() noexcept {
  if (running.fiber) running.tracer->end_span(running.fiber->id);
}

}  // namespace weft::internal

namespace weft {

struct Trace::Recording {
  explicit Recording(std::size_t events);

  // Calls f for each track on the thread of its scheduler, and waits until all have returned.
  void on_each(void (*f)(internal::TraceTrack&) noexcept);

  internal::Home& first;  // of the group, or alone
  const TimePoint began = Clock::now();
  const std::uint64_t stamp = internal::Tracer::stamp();
  std::list<internal::TraceTrack> tracks;  // by scheduler
};

static internal::Home& first_of_group() {
  internal::require_fiber("weft::Trace");
  internal::Home& here = *internal::Home::here();
  return here.group() ? here.group()->first() : here;
}

Trace::Recording::Recording(std::size_t events) : first(first_of_group()) {
  if (!first.group()) {
    tracks.emplace_back(first, events, stamp);
    return;
  }
  for (internal::Home* home : first.group()->members()) tracks.emplace_back(*home, events, stamp);
}

// Without others it does not wait, so that nothing runs in another order than without a trace.
void Trace::Recording::on_each(void (*f)(internal::TraceTrack&) noexcept) {
  if (tracks.size() > 1) {
    internal::Round round(tracks.size() - 1, f);
    std::list<internal::Round::Visit> visits;
    for (internal::TraceTrack& track : tracks) {
      if (&track.home != internal::Home::here()) visits.emplace_back(round, track);
    }
    for (internal::Round::Visit& visit : visits) visit.track.home.deliver(visit);
    round.wait();
  }
  for (internal::TraceTrack& track : tracks) {
    if (&track.home == internal::Home::here()) f(track);
  }
}

Trace::Trace(std::size_t events_per_scheduler)
    : recording_(std::make_unique<Recording>(events_per_scheduler)) {
  if (!recording_->first.begin_trace()) {
    internal::throw_logic_error("weft::Trace: another one records this runtime already");
  }
  recording_->on_each(
      [](internal::TraceTrack& track) noexcept { track.home.trace(&track.tracer); });
}

Trace::~Trace() {
  if (!internal::running.fiber || &first_of_group() != &recording_->first) {
    internal::fail_misuse(
        "a Trace is destroyed, but not by a fiber of the runtime that it records");
  }
  recording_->on_each([](internal::TraceTrack& track) noexcept { track.home.trace(nullptr); });
  recording_->first.end_trace();
}

void Trace::write(const std::string& path) {
  recording_->on_each(&internal::hand_over);
  for (internal::TraceTrack& track : recording_->tracks) {
    if (track.failure) std::rethrow_exception(std::exchange(track.failure, nullptr));
  }
  internal::TaskNames names;
  const std::vector<internal::Placed> events = internal::merge(recording_->tracks, names);
  internal::FxtWriter fxt("weft", static_cast<std::uint64_t>(getpid()),
                          internal::ticks_per_second(recording_->stamp, recording_->began));
  internal::write_threads(fxt, events, names);
  internal::EventWriter writer(fxt);
  for (const internal::Placed& event : events) writer.write(event);
  const std::vector<std::uint64_t>& words = fxt.words();
  internal::Output(path).write({reinterpret_cast<const char*>(words.data()), 8 * words.size()});
}

}  // namespace weft
