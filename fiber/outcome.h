#ifndef WEFT_FIBER_OUTCOME_H_
#define WEFT_FIBER_OUTCOME_H_

#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/callable.h"

namespace weft {

// The result of a call that may fail: the value that it returned, or the exception that it threw.
// Like std::expected, with any exception for the error. T may be void or a reference.
//
//   auto [user, cart] = weft::gather_all(find_user, find_cart);
//   if (!user) return log(user.exception());
//   show(*user, cart ? *cart : Cart());
//
// Movable and copyable as T is. Does not wait. Threads: as T.
template <class T>
class [[nodiscard]] Outcome {
 public:
  // Calls f() and keeps what comes of it. Cancelled is not kept: it goes on.
  template <class F>
  static Outcome of(F&& f) {
    Outcome outcome;
    try {
      outcome.kept_.template emplace<1>(internal::result_to_keep<T>(f));
    } catch (const Cancelled&) {
      throw;
    } catch (...) {
      outcome.kept_.template emplace<0>(std::current_exception());
    }
    return outcome;
  }

  // One that failed. A Cancelled turns into TaskCancelled.
  static Outcome failed(std::exception_ptr exception) {
    Outcome outcome;
    outcome.kept_.template emplace<0>(internal::for_another_task(std::move(exception)));
    return outcome;
  }

  bool has_value() const noexcept { return kept_.index() == 1; }
  explicit operator bool() const noexcept { return has_value(); }

  // The exception, or null if there is a value.
  std::exception_ptr exception() const noexcept {
    return has_value() ? nullptr : std::get<0>(kept_);
  }

  // Returns the value, or throws the exception.
  decltype(auto) value() & { return get(*this); }
  decltype(auto) value() const& { return get(*this); }
  decltype(auto) value() && { return get(std::move(*this)); }

  // The same.
  decltype(auto) operator*() & { return get(*this); }
  decltype(auto) operator*() const& { return get(*this); }
  decltype(auto) operator*() && { return get(std::move(*this)); }
  auto* operator->() { return &get(*this); }
  auto* operator->() const { return &get(*this); }

 private:
  Outcome() = default;

  template <class Self>
  static decltype(auto) get(Self&& self) {
    if (!self.has_value()) std::rethrow_exception(std::get<0>(self.kept_));
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*std::get<1>(self.kept_));
    } else if constexpr (!std::is_void_v<T>) {
      return std::get<1>(std::forward<Self>(self).kept_);
    }
  }

  std::variant<std::exception_ptr, internal::Kept<T>> kept_;
};

}  // namespace weft

#endif  // WEFT_FIBER_OUTCOME_H_
