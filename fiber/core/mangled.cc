#include "weft/fiber/core/mangled.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace weft::internal {
namespace {

// A mangled name from its outermost scope on, such as "4weft8internal4Loop3runEv"; empty if it is
// none.
struct Scoped {
  explicit Scoped(const char* symbol) noexcept {
    std::string_view name(symbol ? symbol : "");
    if (!name.starts_with("_Z")) return;
    name.remove_prefix(2);
    // Local to a function; nested; const, volatile, restrict; for lvalues, rvalues; static.
    const std::size_t marks = std::min(name.find_first_not_of("ZNKVrROL"), name.size());
    is_nested = name.substr(0, marks).find('N') != name.npos;
    rest = name.substr(marks);
  }
  bool is_in(std::string_view scope) const noexcept { return is_nested && rest.starts_with(scope); }

  std::string_view rest;
  bool is_nested = false;
};

}  // namespace

std::string demangled(const char* symbol) {
  if (!symbol) return {};
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(symbol, nullptr, nullptr, nullptr), &std::free);
  return name ? name.get() : symbol;
}

bool is_weft(const char* symbol) noexcept {
  const Scoped scoped(symbol);
  return scoped.is_in("4weft") || scoped.is_in("5boost7context");
}

bool is_plumbing(const char* symbol) noexcept {
  const Scoped scoped(symbol);
  if (is_weft(symbol) || scoped.is_in("9__gnu_cxx")) return true;
  // std, and those of its classes that have an abbreviation.
  if (scoped.rest.starts_with('S')) return true;
  return symbol && std::string_view(symbol).ends_with("_fcontext");
}

}  // namespace weft::internal
