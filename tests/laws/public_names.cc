// tests/public_names.txt has every name of namespace weft that a program may use.

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "tests/laws/names.h"
#include "tests/laws/sources.h"
#include "tests/support/check.h"

namespace laws {
namespace {

// The names of the public headers, and the header of each.
std::map<std::string, std::string> names_of_public_headers(const Tree& tree) {
  std::map<std::string, std::string> names;
  for (const auto& [path, text] : tree) {
    if (!is_public(path)) continue;
    for (const std::string& name : names_given_by(text)) names.emplace(name, path);
  }
  return names;
}

Breaches differences(const Tree& tree, std::string_view list) {
  const auto listed = list_in(list);
  const auto names = names_of_public_headers(tree);
  const std::set<std::string> sorted(listed.begin(), listed.end());
  Breaches breaches;
  for (const auto& [name, path] : names) {
    if (sorted.count(name) == 0) breaches.push_back("add " + name + " (" + path + ")");
  }
  for (const std::string& name : sorted) {
    if (names.count(name) == 0) breaches.push_back("remove " + name);
  }
  const bool is_sorted = std::equal(listed.begin(), listed.end(), sorted.begin(), sorted.end());
  if (breaches.empty() && !is_sorted) breaches.push_back("sort the list, as LC_ALL=C sort -u does");
  return breaches;
}

// What internal headers have in namespace weft, but for forward declarations of public classes.
Breaches names_in_core(const Tree& tree) {
  const auto names = names_of_public_headers(tree);
  Breaches breaches;
  for (const auto& [path, text] : tree) {
    if (!is_core(path) || !is_header(path)) continue;
    for (const Declaration& declaration : declarations_in(text)) {
      if (declaration.scope != "weft") continue;
      if (declaration.is_forward && names.count(declaration.name) != 0) continue;
      breaches.push_back(place(path, declaration.line) + declaration.name +
                         " is in namespace weft, not in weft::internal");
    }
  }
  return breaches;
}

BOOST_AUTO_TEST_SUITE(public_names)

BOOST_AUTO_TEST_CASE(the_list_has_what_public_headers_declare) {
  expect_none(differences(library(), read_file("tests/public_names.txt")));
}
BOOST_AUTO_TEST_CASE(internal_headers_declare_none) { expect_none(names_in_core(library())); }

constexpr const char* kHeader = R"(
#ifndef WEFT_FIBER_A_H_
#define WEFT_FIBER_A_H_
#define WEFT_MACRO(x) \
  class NotThis {}
namespace weft {
// class Comment {};
class Forward;
class Scheduler* pointer();
template <class T>
requires std::is_arithmetic_v<T> && requires { T::now(); }
class [[nodiscard]] Class final : public Base<T> {
 public:
  class Nested {};
  friend void befriended();
  void method() { call(); }
};
template <>
struct Class<int> {};
enum class Enum : unsigned char { first, second };
template <class R>
concept Concept = requires(R& range) {
  std::begin(range) != std::end(range);
};
using Alias = std::chrono::duration<int, std::nano>;
using std::swap;
typedef unsigned long Long;
inline constexpr Alias kConstant = Alias::max();
extern thread_local int variable[1'000];
inline const char* kText{"class Quoted {}; } {"};
[[noreturn]] void function(Alias a = {}, int b = Enum::first) noexcept(noexcept(f()));
template <class F>
auto with_body(F&& f, std::size_t n = sizeof(int)) -> std::invoke_result_t<F&> {
  struct Local {};
  if (f) return {};
}
template <class T>
template <class F>
std::vector<T> Class<T>::method(F&& f) const {
  return f;
}
template <class T>
Class<T>::Class() : a_(1), b_{2} {
  body();
}
template <class T>
bool operator==(const Class<T>& a, int b) { return true; }
struct Outer::Inner {};
namespace internal {
class Hidden {};
void hidden();
}  // namespace internal
namespace {
void anonymous();
}
inline auto kLambda = [](int x) { return x; };
static_assert(sizeof(Class<int>) > 0, "class Asserted {};");
decltype(auto) deduced();
}  // namespace weft
namespace weft::internal {
struct AlsoHidden {};
}
namespace weft {
struct Last {
  int a;
};
}
namespace weft::testing {
void tested();
}
struct Outside {};
#endif
)";

BOOST_AUTO_TEST_CASE(each_kind_of_name_is_found) {
  const std::set<std::string> expected{
      "Alias",          "Class",    "Concept",   "Enum",
      "Last",           "Long",     "deduced",   "function",
      "kConstant",      "kLambda",  "kText",     "pointer",
      "swap",           "variable", "with_body", "WEFT_MACRO (macro)",
      "testing::tested"};
  BOOST_TEST(joined(names_given_by(kHeader)) == joined(expected));
}

BOOST_AUTO_TEST_CASE(a_difference_is_seen) {
  const Tree tree{{"fiber/a.h", "namespace weft {\nclass A {};\nvoid f();\nclass B;\n}\n"},
                  {"fiber/core/a.h", "namespace weft {\nclass A;\nclass C;\nclass D {};\n}\n"}};
  const Breaches breaches = differences(tree, "A\nB\n");
  BOOST_TEST(breaches.size() == 2u);
  BOOST_TEST(has(breaches, "add f (fiber/a.h)"));
  BOOST_TEST(has(breaches, "remove B"));
  BOOST_TEST(has(differences(tree, "f\nA\n"), "sort the list"));
  const Breaches in_core = names_in_core(tree);
  BOOST_TEST(in_core.size() == 2u);
  BOOST_TEST(has(in_core, "fiber/core/a.h:3: C is in namespace weft"));
  BOOST_TEST(has(in_core, "fiber/core/a.h:4: D is in namespace weft"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace laws
