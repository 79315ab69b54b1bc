#ifndef WEFT_TESTS_SUPPORT_REPORTS_H_
#define WEFT_TESTS_SUPPORT_REPORTS_H_

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "weft/weft.h"

namespace weft::test {

inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return lines;
}

// The function that a line of a stack names, with its namespaces and arguments; empty if none.
inline std::string function_in(std::string_view line) {
  const std::size_t number = line.find('#');
  const std::size_t begin = number == line.npos ? line.npos : line.find(' ', number);
  const std::size_t end = line.rfind("  ");
  if (begin == line.npos || end == line.npos || end <= begin) return "";
  std::string_view name = line.substr(begin + 1, end - begin - 1);
  return std::string(name.substr(0, name.find_last_not_of(' ') + 1));
}

// The same without these and without its type: "inner"; for a lambda, the function that it is in.
inline std::string short_name(std::string name) {
  constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  for (std::size_t at; (at = name.find(kAnonymous)) != name.npos;) {
    name.erase(at, kAnonymous.size());
  }
  name = name.substr(0, name.find_first_of("(<"));
  const std::size_t scope = name.find_last_of(": ");
  return scope == name.npos ? name : name.substr(scope + 1);
}

// The functions that a stack as text names, by their short names, the innermost first.
inline std::vector<std::string> functions_of(std::string_view text) {
  std::vector<std::string> names;
  for (const std::string& line : lines_of(text)) names.push_back(short_name(function_in(line)));
  return names;
}
inline std::vector<std::string> functions_of(const StackTrace& stack) {
  return functions_of(stack.to_string());
}

// The first of them.
inline std::vector<std::string> innermost(std::size_t count, const StackTrace& stack) {
  std::vector<std::string> names = functions_of(stack);
  if (names.size() > count) names.resize(count);
  return names;
}

// What print_tasks() prints.
inline std::string printed_tasks() {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* const file = open_memstream(&text, &size);
  if (!file) std::abort();
  print_tasks(file);
  std::fclose(file);
  std::string printed(text, size);
  std::free(text);
  return printed;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_REPORTS_H_
