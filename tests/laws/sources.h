// The sources of the library as text, for the tests that hold them to the laws of the house.
#ifndef WEFT_TESTS_LAWS_SOURCES_H_
#define WEFT_TESTS_LAWS_SOURCES_H_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

// Files: their texts by their paths, e.g. "fiber/core/loop.h".
using Tree = std::map<std::string, std::string>;

// What breaks a law, one sentence each.
using Breaches = std::vector<std::string>;

// All headers and sources of fiber/, sync/ and io/, weft.h, testing.h and version.h.
const Tree& library();

// A file beside them. Throws std::runtime_error if it cannot be read.
std::string read_file(const std::string& path);

// Fails the test once for each breach.
void expect_none(const Breaches& breaches);

// True if one of them contains the text: for tests that show that a breach is seen.
bool has(const Breaches& breaches, std::string_view text);

bool is_header(std::string_view path);
bool is_core(std::string_view path);       // fiber/core/loop.h
bool is_public(std::string_view path);     // a header that users may include: fiber/time.h, weft.h
bool is_for_tests(std::string_view path);  // io/testing/run_test.h, testing.h

std::vector<std::string> lines_of(std::string_view text);
std::string_view trimmed(std::string_view text);
std::string joined(const std::set<std::string>& names);  // "a, b"

// A text's code and its comments. Each has the other's characters, and those in quotes, as blanks,
// so that lines and columns stay. The quotes themselves stay, and what an #include names.
struct Parts {
  std::string code;
  std::string comments;
};
Parts parts_of(std::string_view text);

// "fiber/core/loop.h:12: "
std::string place(const std::string& path, int line);

struct Directive {
  int line;
  std::string text;  // without blanks at either end, and without a comment
};
std::vector<Directive> directives_of(std::string_view text);

struct Include {
  int line;
  std::string path;  // as in a Tree, without weft/
};
std::vector<Include> includes_of(std::string_view text);  // those of weft's own headers

// The public headers of a tree, and all headers that they include, directly or not.
std::set<std::string> reachable_from_public(const Tree& tree);

// A line each, without blank ones and those that begin with a #.
std::vector<std::string> list_in(std::string_view text);

}  // namespace laws

#endif  // WEFT_TESTS_LAWS_SOURCES_H_
