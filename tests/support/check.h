// BOOST_TEST, which compiles in a third of the time: Boost.Test's own instantiates a tree of
// templates for each expression. A failure still shows the expression, both operands and the
// message.
#ifndef WEFT_TESTS_SUPPORT_CHECK_H_
#define WEFT_TESTS_SUPPORT_CHECK_H_

#include <boost/test/unit_test.hpp>
#include <concepts>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::test {

template <class T>
concept Text = std::convertible_to<const T&, const char*> && !std::is_null_pointer_v<T>;

template <class T>
void print(std::ostream& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    out << (value ? "true" : "false");
  } else if constexpr (std::is_enum_v<T>) {
    out << +static_cast<std::underlying_type_t<T>>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else if constexpr (requires { value.begin() != value.end(); }) {
    out << '{';
    const char* between = "";
    for (const auto& element : value) {
      out << std::exchange(between, ", ");
      print(out, element);
    }
    out << '}';
  } else {
    out << '?';
  }
}

// What an expression has come to, and what its operands were if that was false.
struct Checked {
  bool holds;
  std::string* operands = nullptr;  // report() deletes it
  explicit operator bool() const noexcept { return holds; }
};

template <class T, class U>
[[gnu::cold, gnu::noinline]] std::string* show(const T& left, const char* op, const U& right) {
  std::ostringstream out;
  print(out, left);
  out << op;
  print(out, right);
  return new std::string(std::move(out).str());
}

// Counts a check, and logs one that failed; throws what ends the test case if `required`.
void report(Checked result, bool required, const char* expression, const char* file, int line,
            const std::string* message = nullptr);

// Texts are compared by their characters, and numbers may differ in sign, as in Boost.Test.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#define WEFT_COMPARISON(op, opposite)                            \
  template <class U>                                             \
  Checked operator op(const U& right) const {                    \
    bool holds;                                                  \
    if constexpr (Text<T> && Text<U>) {                          \
      holds = std::string_view(left) op std::string_view(right); \
    } else {                                                     \
      holds = static_cast<bool>(left op right);                  \
    }                                                            \
    if (holds) [[likely]]                                        \
      return {true};                                             \
    return {false, show(left, " " #opposite " ", right)};        \
  }

// The left operand of a comparison, or all of an expression that is none.
template <class T>
struct Operand {
  const T& left;
  explicit operator bool() const { return static_cast<bool>(left); }
  WEFT_COMPARISON(==, !=)
  WEFT_COMPARISON(!=, ==)
  WEFT_COMPARISON(<, >=)
  WEFT_COMPARISON(<=, >)
  WEFT_COMPARISON(>, <=)
  WEFT_COMPARISON(>=, <)
};
#undef WEFT_COMPARISON
#pragma GCC diagnostic pop

// Takes the left operand: `<=>` binds more loosely than any arithmetic, and tighter than `<`.
struct Expression {
  template <class T>
  Operand<T> operator<=>(const T& left) const {
    return {left};
  }
};

inline Checked checked(Checked result) { return result; }
template <class T>
Checked checked(const T& result) {
  return {static_cast<bool>(result)};
}

}  // namespace weft::test

#undef BOOST_TEST
#undef BOOST_TEST_REQUIRE
#define WEFT_CHECKED(expression) ::weft::test::checked(::weft::test::Expression() <=> expression)
#define WEFT_TEST_1(required, expression) \
  ::weft::test::report(WEFT_CHECKED(expression), required, #expression, __FILE__, __LINE__)
#define WEFT_TEST_2(required, expression, ...)                                                   \
  do {                                                                                           \
    const ::weft::test::Checked weft_checked = WEFT_CHECKED(expression);                         \
    if (weft_checked.holds) {                                                                    \
      ::weft::test::report(weft_checked, required, #expression, __FILE__, __LINE__);             \
    } else {                                                                                     \
      std::ostringstream weft_message;                                                           \
      weft_message << __VA_ARGS__;                                                               \
      const std::string weft_text = std::move(weft_message).str();                               \
      ::weft::test::report(weft_checked, required, #expression, __FILE__, __LINE__, &weft_text); \
    }                                                                                            \
  } while (false)
#define BOOST_TEST(...) BOOST_TEST_INVOKE_IF_N_ARGS(2, WEFT_TEST_1, WEFT_TEST_2, false, __VA_ARGS__)
#define BOOST_TEST_REQUIRE(...) \
  BOOST_TEST_INVOKE_IF_N_ARGS(2, WEFT_TEST_1, WEFT_TEST_2, true, __VA_ARGS__)

#endif  // WEFT_TESTS_SUPPORT_CHECK_H_
