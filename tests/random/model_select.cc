#include <cstddef>
#include <memory>
#include <utility>

#include "tests/random/model_objects.h"

// Each case of a select() is a part, a step of its own that waits where that would. The first part
// that ends decides the whole.
namespace weft::test {
namespace {

std::size_t index_of(const Frame& part) {
  std::size_t index = 0;
  while (part.whole->parts[index].get() != &part) ++index;
  return index;
}

// How the part ends, if the whole ends so.
Outcome outcome_of_part(const Step& part, std::size_t index, const Outcome& whole) {
  if (whole.kind == Outcome::kClosed && part.what == Do::kPush) return whole;
  if (whole.kind != Outcome::kOk || chosen_index(whole) != index) return {Outcome::kNeverBegan};
  if (part.what != Do::kPop) return {};
  const std::int64_t item = chosen_item(whole);
  return item == kNoItem ? Outcome{Outcome::kClosed} : Outcome{Outcome::kOk, item};
}

}  // namespace

Outcome ModelObjects::outcome_of_whole(const Frame& part, Outcome outcome) const {
  const auto index = static_cast<std::int64_t>(index_of(part));
  if (part.step.what != Do::kPop) return outcome.thrown() ? outcome : chosen(index);
  return chosen(index, outcome.kind == Outcome::kOk ? outcome.value : kNoItem);
}

void ModelObjects::begin_select(Frame& frame) {
  for (const Step& step : cases_of(frame.step)) {
    auto part = std::make_unique<Frame>();
    part->step = step;
    part->fiber = frame.fiber;
    part->begin = frame.begin;
    part->final = outcome_of_part(step, frame.parts.size(), frame.final);
    part->whole = &frame;
    frame.parts.push_back(std::move(part));
  }
  for (const auto& part : frame.parts) {
    begin_part(*part);
    if (frame.state == Frame::kDecided) return;
  }
  frame.step.time == 0 ? decide(frame, frame.late) : enlist_parts(frame);
}

void ModelObjects::begin_part(Frame& part) {
  if (part.step.what <= Do::kJoinQueue) return begin_queue(part);
  if (part.step.what <= Do::kArrive) return begin_signal(part);
  begin_future(part);
}

}  // namespace weft::test
