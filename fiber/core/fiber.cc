#include "weft/fiber/core/fiber.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "weft/fiber/scheduler.h"
#include "weft/fiber/core/unhandled.h"
#include "weft/fiber/core/wait_queue.h"

namespace weft::internal {

Fiber::Fiber() noexcept
    : InboxNode([](InboxNode& node, Scheduler*) noexcept {
        auto& self = static_cast<Fiber&>(node);
        Scheduler::of(self).serve(self);
      }) {}

void Fiber::copy_name(std::string_view text) noexcept {
  name_size = static_cast<std::uint8_t>(std::min(text.size(), kNameSize - 1));
  std::memcpy(name, text.data(), name_size);
}

TaskInfo Fiber::info() const {
  TaskInfo info;
  info.id = id;
  info.name = name_view();
  if (done()) {
    info.state = TaskInfo::State::kDone;
  } else if (this == Scheduler::current_fiber()) {
    info.state = TaskInfo::State::kRunning;
  } else if (const Waiter* in = waiter) {
    info.state = TaskInfo::State::kWaiting;
    info.waiting_for = in->what();
  }
  return info;
}

FiberLabel::FiberLabel(const Fiber& fiber) noexcept {
  const int size =
      std::snprintf(text, sizeof(text), "fiber %llu", static_cast<unsigned long long>(fiber.id));
  if (fiber.name_size == 0) return;
  std::snprintf(text + size, sizeof(text) - static_cast<std::size_t>(size), " \"%.*s\"",
                static_cast<int>(fiber.name_size), fiber.name);
}

void Fiber::end_by_cancelled() noexcept {
  if (kept) {
    exception = std::exchange(kept, nullptr);
    ending = Ending::kException;
  } else if (cancel_requested) {
    ending = Ending::kCancelled;
  } else {
    // It came from another task, in an exception_ptr: this one was not cancelled.
    exception = std::make_exception_ptr(TaskCancelled());
    ending = Ending::kException;
  }
}

void Fiber::tell_of_kept() noexcept {
  Scheduler::of(*this).tell_of_further(*this, std::exchange(kept, nullptr));
}

void Fiber::fail_holding() const noexcept {
  char sentence[200];
  std::snprintf(sentence, sizeof(sentence),
                "%s has ended but still holds a Mutex or SharedMutex, which nobody else could "
                "unlock",
                FiberLabel(*this).text);
  fail_misuse(sentence);
}

void Fiber::request(Request what) noexcept {
  // Release: the home thread sees what came before the request. Acquire: ordered after the home
  // thread's last look, so that the node is out of the inbox when the word was 0.
  if (requests.fetch_or(what, std::memory_order_acq_rel) == 0) Scheduler::of(*this).deliver(*this);
}

void Fiber::cancel() noexcept {
  // Relaxed: on the home thread it does not change, and elsewhere the lock below orders it.
  Scheduler* const here = Scheduler::current_or_null();
  if (here && home.load(std::memory_order_relaxed) == here) {
    if (!work) return;
    cancel_requested = true;
    CancelScope::update(*this);
  } else {
    // Under the lock the fiber cannot end, and so its scheduler stays.
    const WaitQueue::Lock lock(completion.queue());
    if (!done()) request(kCancel);
  }
}

}  // namespace weft::internal
