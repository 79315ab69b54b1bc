#ifndef WEFT_IO_SPREAD_H_
#define WEFT_IO_SPREAD_H_

#include <cstddef>
#include <type_traits>
#include <vector>

#include "weft/fiber/core/callable.h"
#include "weft/fiber/gather.h"
#include "weft/fiber/scheduler.h"
#include "weft/io/runtime.h"

namespace weft {

// How to use all schedulers of a runtime: RunOptions::threads.

// Runs f on every scheduler of the calling fiber's runtime at once, this one included, and waits
// until all have ended. f runs as a fiber: f(), or f(i) with the scheduler's place in
// Runtime::schedulers(). Returns a vector of the results in that order, or void if f does.
//
//   auto listeners = TcpListener::one_per_scheduler(":8080");
//   spread([&](std::size_t i) { serve(listeners[i]); });
//   auto task = weft::spawn(compute, {.on = weft::round_robin()});
//
// The first exception cancels the others; when all have ended it is thrown. If the caller is
// cancelled, all of them are; if one of them then fails, that is thrown. A cancellation point. f is
// not copied: several threads use it at once. Throws std::invalid_argument if f is null,
// std::logic_error outside fibers, and as spawn() does.
template <class F>
auto spread(F&& f);

// The same, but a failure cancels no fiber: returns a vector of Outcome, as gather_all() does.
template <class F>
auto spread_all(F&& f);

// The next scheduler in turn, if any will do: spawn(f, {.on = round_robin()}). The fibers of each
// scheduler go around by themselves and begin with their own, so that many that place a few fibers
// each do not all favour the first ones. Does not wait. Throws std::logic_error outside fibers.
Scheduler* round_robin();

// ---- Implementation -----------------------------------------------------------------------------

}  // namespace weft

namespace weft::internal {

// f for the i-th scheduler.
template <class F>
struct SpreadPart {
  decltype(auto) operator()() const { return call_with(f, i); }

  F& f;
  std::size_t i;
};

template <class F>
std::vector<SpreadPart<F>> spread_parts(F& f, std::size_t count) {
  std::vector<SpreadPart<F>> parts;
  for (std::size_t i = 0; i < count; ++i) parts.push_back({f, i});
  return parts;
}

}  // namespace weft::internal

namespace weft {

template <class F>
auto spread(F&& f) {
  internal::checked_callable(f, "spread");
  const auto schedulers = Runtime::current().schedulers();
  auto parts = internal::spread_parts(f, schedulers.size());
  return gather_placed(parts, [&](std::size_t i) { return SpawnOptions{.on = schedulers[i]}; });
}

template <class F>
auto spread_all(F&& f) {
  internal::checked_callable(f, "spread_all");
  const auto schedulers = Runtime::current().schedulers();
  auto parts = internal::spread_parts(f, schedulers.size());
  return gather_all_placed(parts, [&](std::size_t i) { return SpawnOptions{.on = schedulers[i]}; });
}

}  // namespace weft

#endif  // WEFT_IO_SPREAD_H_
