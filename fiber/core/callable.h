#ifndef WEFT_FIBER_CORE_CALLABLE_H_
#define WEFT_FIBER_CORE_CALLABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::internal {

template <class F>
concept ComparableToNull = requires(const F& f) {
  f == nullptr;
};

// Lambdas that capture nothing compare to null as well, because they convert to a pointer.
template <class F>
concept ConvertibleToPointer = requires(const F& f) {
  +f;
};

template <class F>
concept NullableCallable = std::is_pointer_v<F> || std::is_member_pointer_v<F> ||
    (ComparableToNull<F> && !ConvertibleToPointer<F>);

[[noreturn]] void fail_null_callable(const char* caller);

// Passes a callable on. Throws std::invalid_argument, naming `caller`, if it is a null pointer or
// an empty std::function.
template <class F>
F&& checked_callable(F&& f, const char* caller) {
  // A function itself, as opposed to a pointer to one, is never null.
  if constexpr (NullableCallable<std::decay_t<F>> &&
                !std::is_function_v<std::remove_reference_t<F>>) {
    if (f == nullptr) fail_null_callable(caller);
  }
  return std::forward<F>(f);
}

// Returns f(number), or f() if it takes no number.
template <class F>
decltype(auto) call_with(F& f, std::uint64_t number) {
  if constexpr (std::is_invocable_v<F&, std::uint64_t>)
    return std::invoke(f, number);
  else
    return std::invoke(f);
}

// The type of F's result as a caller gets it: `const T` counts as T, which can be moved.
template <class F, class... Arguments>
using ResultOf = std::remove_cv_t<std::invoke_result_t<F, Arguments...>>;

// How a result of type T is kept: itself, where it is a reference by its address, void by nothing.
struct NoResult {};
template <class T>
using Kept = std::conditional_t<
    std::is_void_v<T>, NoResult,
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::remove_cv_t<T>>>;

// A result that is kept and cannot be moved could not be returned afterwards.
template <class T>
constexpr bool kCanBeReturned =
    std::is_void_v<T> || std::is_reference_v<T> || std::is_move_constructible_v<Kept<T>>;

// f()'s result, to be kept; and what is kept of it as a result again, once.
template <class T, class F>
Kept<T> result_to_keep(F& f) {
  if constexpr (std::is_void_v<T>) {
    std::invoke(f);
    return {};
  } else if constexpr (std::is_reference_v<T>) {
    auto&& result = std::invoke(f);
    return std::addressof(result);
  } else {
    return std::invoke(f);
  }
}
template <class T>
T take_kept(Kept<T>& kept) {
  static_assert(kCanBeReturned<T>, "the result can be neither moved nor copied: return a pointer");
  if constexpr (std::is_reference_v<T>) {
    return static_cast<T>(*kept);
  } else if constexpr (!std::is_void_v<T>) {
    return std::move(kept);
  }
}

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_CALLABLE_H_
