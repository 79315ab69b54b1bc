// The macros of Boost.Test that tests use, over a few functions. Boost.Test's own header takes as
// long to read as all of weft's, and its macros instantiate templates for each case and check. A
// failed BOOST_TEST shows the expression, both operands and the message.
#ifndef WEFT_TESTS_SUPPORT_CHECK_H_
#define WEFT_TESTS_SUPPORT_CHECK_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::test {

// Begins a suite, or ends it.
struct Suite {
  Suite();
  Suite(const char* name, const char* file, int line);
};

// Adds a test case to the suite that was begun last.
struct Case {
  Case(const char* name, const char* file, int line, void (*body)());
};

// Text that is put together as in a stream.
class Text {
 public:
  Text();
  ~Text();
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  template <class T>
  Text& operator<<(const T& value) {
    *out_ << value;
    return *this;
  }
  Text& operator<<(const char* text);
  std::string string() const;

 private:
  std::unique_ptr<std::ostream> out_;
};

// What is printed with a failure while this lives.
class Context {
 public:
  explicit Context(const Text& text);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  const int id_;
};

template <class T>
concept Characters = std::convertible_to<const T&, const char*> && !std::is_null_pointer_v<T>;

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

// A value of any type, to be printed.
struct Printable {
  template <class T>
  explicit Printable(const T& of)
      : value(&of), print([](std::ostream& out, const void* it) {
          test::print(out, *static_cast<const T*>(it));
        }) {}
  const void* value;
  void (*print)(std::ostream& out, const void* value);
};

// What an expression has come to, and what its operands were if that was false.
struct Checked {
  bool holds;
  std::string* operands = nullptr;  // report() deletes it
  explicit operator bool() const noexcept { return holds; }
};

[[gnu::cold]] Checked failed(Printable left, const char* op, Printable right);

// Counts a check, and logs one that failed; throws what ends the test case if `required`.
void report(Checked result, bool required, const char* expression, const char* file, int line,
            const Text* message = nullptr);

// Counts a check that has failed, and logs why.
void fail(const Text& why, const char* file, int line);

// Notes where the test is, should an exception end it.
void set_checkpoint(const char* file, int line);

// For the log of level `message`.
void log(const Text& text);

// Texts are compared by their characters, and numbers may differ in sign, as in Boost.Test.
// Literals are taken as pointers: their types are many.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
#define WEFT_COMPARISON(op, opposite)                                       \
  template <class U>                                                        \
  Checked operator op(const U& right) const {                               \
    if constexpr (Characters<T> && Characters<U>) {                         \
      if (std::string_view(left) op std::string_view(right)) return {true}; \
    } else {                                                                \
      if (static_cast<bool>(left op right)) return {true};                  \
    }                                                                       \
    return failed(Printable(left), " " #opposite " ", Printable(right));    \
  }                                                                         \
  Checked operator op(const char* right) const { return operator op<const char*>(right); }

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

#define WEFT_JOIN(a, b) WEFT_JOINED(a, b)
#define WEFT_JOINED(a, b) a##b

// Several of the same name are one.
#define BOOST_AUTO_TEST_SUITE(name) \
  namespace name##_suite {          \
    static const ::weft::test::Suite WEFT_JOIN(weft_suite, __LINE__)(#name, __FILE__, __LINE__);
#define BOOST_AUTO_TEST_SUITE_END()                                 \
  static const ::weft::test::Suite WEFT_JOIN(weft_suite, __LINE__); \
  }

#define BOOST_AUTO_TEST_CASE(name)                                                            \
  static void name##_case();                                                                  \
  static const ::weft::test::Case name##_registered(#name, __FILE__, __LINE__, &name##_case); \
  static void name##_case()

#define WEFT_CHECK_1(required, expression)                                                         \
  ::weft::test::report(::weft::test::checked(::weft::test::Expression() <=> expression), required, \
                       #expression, __FILE__, __LINE__)
#define WEFT_CHECK_2(required, expression, message)                                             \
  do {                                                                                          \
    const auto weft_checked = ::weft::test::checked(::weft::test::Expression() <=> expression); \
    if (weft_checked.holds) {                                                                   \
      ::weft::test::report(weft_checked, required, #expression, __FILE__, __LINE__);            \
    } else {                                                                                    \
      ::weft::test::Text weft_message;                                                          \
      weft_message << message;                                                                  \
      ::weft::test::report(weft_checked, required, #expression, __FILE__, __LINE__,             \
                           &weft_message);                                                      \
    }                                                                                           \
  } while (false)
#define WEFT_CHECK(_1, _2, kind, ...) kind
#define BOOST_TEST(...) WEFT_CHECK(__VA_ARGS__, WEFT_CHECK_2, WEFT_CHECK_1, )(false, __VA_ARGS__)
#define BOOST_TEST_REQUIRE(...) \
  WEFT_CHECK(__VA_ARGS__, WEFT_CHECK_2, WEFT_CHECK_1, )(true, __VA_ARGS__)
#define BOOST_REQUIRE(condition) \
  ::weft::test::report({static_cast<bool>(condition)}, true, #condition, __FILE__, __LINE__)

#define BOOST_ERROR(message) ::weft::test::fail(::weft::test::Text() << message, __FILE__, __LINE__)

#define WEFT_CHECK_THROWS(statement, type, expected, words)               \
  do {                                                                    \
    try {                                                                 \
      ::weft::test::set_checkpoint(__FILE__, __LINE__);                   \
      statement;                                                          \
      BOOST_ERROR("exception " #type " expected but not raised");         \
    } catch ([[maybe_unused]] const type& weft_caught) {                  \
      ::weft::test::report({expected}, false, words, __FILE__, __LINE__); \
    }                                                                     \
  } while (false)
#define BOOST_CHECK_THROW(statement, type) WEFT_CHECK_THROWS(statement, type, true, "")
#define BOOST_CHECK_EXCEPTION(statement, type, predicate) \
  WEFT_CHECK_THROWS(statement, type, predicate(weft_caught), #predicate " of " #type)
#define BOOST_CHECK_NO_THROW(statement)                            \
  do {                                                             \
    try {                                                          \
      statement;                                                   \
      ::weft::test::report({true}, false, "", __FILE__, __LINE__); \
    } catch (...) {                                                \
      BOOST_ERROR("exception thrown by " #statement);              \
    }                                                              \
  } while (false)

#define BOOST_TEST_MESSAGE(message) ::weft::test::log(::weft::test::Text() << message)
#define BOOST_TEST_CONTEXT(message) \
  if (const ::weft::test::Context weft_context(::weft::test::Text() << message); true)

#endif  // WEFT_TESTS_SUPPORT_CHECK_H_
