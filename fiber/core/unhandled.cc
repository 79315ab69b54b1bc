// Failures that no caller gets: what Home declares of the exception handler, and what Scope
// and Fiber do with those that are kept.

#include "weft/fiber/core/unhandled.h"

#include <exception>
#include <new>
#include <string>
#include <utility>

#include "weft/fiber/core/cancel_scope.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/home.h"

namespace weft::internal {
namespace {

// "weft: nobody took the exception of fiber 3 "name": what it says". `fiber` may be null.
void print(const char* sentence, std::exception_ptr exception, const Fiber* fiber) noexcept {
  const auto say = [&](const char* what) {
    const FiberLabel label = fiber ? FiberLabel(*fiber) : FiberLabel();
    const char* const of = fiber ? " of " : "";
    try {
      report(std::string("weft: ") + sentence + of + label.text + ": " + what);
    } catch (const std::bad_alloc&) {
      print_line("%s%s%s: %s", sentence, of, label.text, what);  // cut
    }
  };
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("its type is no std::exception");
  }
}

}  // namespace

void fail_unhandled(std::exception_ptr exception, const Fiber* fiber) noexcept {
  print("nobody took the exception", std::move(exception), fiber);
  std::terminate();
}

// The default for a failure on top of another one that is being reported: prints it.
static void print_further(std::exception_ptr exception, const Fiber* fiber) noexcept {
  print("a further failure", std::move(exception), fiber);
}

void Home::handle_exception(const Fiber& fiber, std::exception_ptr exception) noexcept {
  const auto handler = handler_;
  if (!handler) fail_unhandled(std::move(exception), &fiber);
  const ShieldScope unwatched;
  (*handler)(std::move(exception));
}

void Home::handle_exception_here(std::exception_ptr exception, const Fiber* failed) noexcept {
  Home* const here = Home::here();
  if (!here) {
    if (std::uncaught_exceptions() != 0) return print_further(std::move(exception), nullptr);
    fail_unhandled(std::move(exception), nullptr);
  }
  Fiber* const self = running.fiber;
  if (!self) {
    here->handle_exception(here->loop_, std::move(exception));
  } else if (!Scope::unwinds(*self)) {
    here->handle_exception(failed ? *failed : *self, std::move(exception));
  } else if (self->work && !self->kept) {
    self->kept = std::move(exception);
    self->kept_in = Scope::owner_of_failures(*self);
    self->kept_while_cancelled = self->cancelled;
  } else {
    here->handle_further(failed ? *failed : *self, std::move(exception));
  }
}

void Home::handle_further(const Fiber& fiber, std::exception_ptr exception) noexcept {
  if (handler_) {
    handle_exception(fiber, std::move(exception));
  } else {
    print_further(std::move(exception), &fiber);
  }
}

void Fiber::report_kept() noexcept {
  Home::of(*this).handle_further(*this, std::exchange(kept, nullptr));
}

}  // namespace weft::internal
