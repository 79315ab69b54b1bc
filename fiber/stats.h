#ifndef WEFT_FIBER_STATS_H_
#define WEFT_FIBER_STATS_H_

#include <cstddef>
#include <cstdint>

#include "weft/fiber/time.h"

namespace weft {

// What a scheduler has now, and what it has done since it was made. Scheduler::stats() returns it:
//
//   const weft::SchedulerStats here = weft::Scheduler::current().stats();
//   const auto all = weft::spread([] { return weft::Scheduler::current().stats(); });
//   for (const weft::SchedulerStats& each : all) std::printf("%zu tasks\n", each.tasks);
//
// Taking it costs some 30 ns, and a look at each ready fiber. Keeping it costs a switch nothing,
// and a sleep one or two looks at the clock. examples/http_server.cc serves it to Prometheus.
struct SchedulerStats {
  // ---- Gauges: what there is now ----

  // Fibers that have not ended, the caller included: as many as all_tasks() lists. A fiber spawned
  // by another scheduler counts from the moment that this one has heard of it.
  std::size_t tasks = 0;

  // Of them, those that could run but wait for their turn. If it stays above zero the thread has
  // more to do than it can.
  std::size_t ready = 0;

  // Pending deadlines: sleeps, waits with a time limit, timeouts, call_later() and call_at().
  std::size_t timers = 0;

  // Stacks that were ever in use. They are kept for later fibers: this grows to the most fibers
  // that there were at once, and one more for the scheduler's end. It is address space. Memory that
  // is not in use goes back to the system after a second.
  std::size_t stacks = 0;

  // Of them, those that no fiber has.
  std::size_t free_stacks = 0;

  // Fibers in a wait for a descriptor: a socket, a SignalSet, wait_readable() and its kin. Not zero
  // while such a fiber waits; one whose event has come counts until it goes on.
  std::size_t awaited_descriptors = 0;

  // ---- Counters, from zero when the scheduler was made: they only grow ----

  // How often a fiber let others run, or might have: it waited, yielded or ended. What may wait but
  // is over at once, such as a pop() from a queue with items or a read of a socket with data,
  // counts, too; where it does wait, it counts twice. A lock of a free mutex does not count.
  std::uint64_t switches = 0;

  // How often the loop has looked at timers and at other threads, between the fibers' turns.
  std::uint64_t turns = 0;

  // How often it found nothing to do and waited: for the kernel, other threads or the next
  // deadline, which may take several sleeps. On virtual time also where the clock jumped.
  std::uint64_t sleeps = 0;

  // How often another thread found it asleep and woke it, with a post, a wake-up, a spawn or a
  // cancellation. Events of descriptors and deadlines do not count.
  std::uint64_t wake_ups = 0;

  // How long it slept. The rest of the time is that of fibers, of the loop, or of other programs on
  // the same core; and of RunOptions::spin. On virtual time it is by how much the clock jumped.
  Duration idle = {};

  // How late a timer was at most, because a fiber did not wait or the system did not run the
  // thread. A deadline that was over when it was set counts from when the loop looked before. It
  // never becomes less; Prometheus would call it a gauge nevertheless.
  Duration max_lag = {};
};

}  // namespace weft

#endif  // WEFT_FIBER_STATS_H_
