// The names that a source declares at the scope of a namespace. No compiler: it reads what weft's
// own style writes.
#ifndef WEFT_TESTS_LAWS_NAMES_H_
#define WEFT_TESTS_LAWS_NAMES_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/laws/sources.h"

namespace laws {

struct Declaration {
  std::string scope;  // "weft::internal", "" outside of namespaces, "weft::(anonymous)"
  std::string name;
  int line;
  bool is_class;    // or a struct or a union
  bool is_forward;  // a class or an enum that is not defined here
};
std::vector<Declaration> declarations_in(std::string_view text);

// Names of namespace weft, those of weft::testing as "testing::run_test", and macros that begin
// with WEFT_, as "WEFT_VERSION (macro)"; without forward declarations and include guards.
std::set<std::string> names_given_by(std::string_view text);

// Of classes, of any named namespace.
std::set<std::string> defined_classes(std::string_view text);

// `class X;` and `struct X;` of any scope, also after `friend`, and where.
std::map<std::string, int> forward_declarations(std::string_view text);

// Each `using namespace` with its line.
std::map<int, std::string> using_directives(std::string_view text);

}  // namespace laws

#endif  // WEFT_TESTS_LAWS_NAMES_H_
