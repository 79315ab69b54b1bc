#include "weft/fiber/core/fiber.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "weft/fiber/core/error.h"

namespace weft::internal {

constinit const OwnedWait Fiber::kJoin("Task::wait", &Fiber::owner_of);
constinit const OwnedWait Fiber::kJoinByDestructor("~Task", &Fiber::owner_of);

OwnedWait::Owner Fiber::owner_of(WaitQueue& queue) noexcept {
  const Fiber& fiber = object_with(Completion::of(queue), &Fiber::completion);
  return {&fiber, fiber.id};
}

void Fiber::copy_name(std::string_view text) noexcept {
  name_size = static_cast<std::uint8_t>(std::min(text.size(), kNameSize - 1));
  std::memcpy(name, text.data(), name_size);
}

FiberLabel::FiberLabel(const Fiber& fiber, const char* noun) noexcept {
  const int size =
      std::snprintf(text, sizeof(text), "%s %llu", noun, static_cast<unsigned long long>(fiber.id));
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

void Fiber::fail_holding() const noexcept {
  char sentence[200];
  std::snprintf(sentence, sizeof(sentence),
                "%s has ended but still holds a Mutex or SharedMutex, which nobody else could "
                "unlock",
                FiberLabel(*this).text);
  fail_misuse(sentence);
}

}  // namespace weft::internal
