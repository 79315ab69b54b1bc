#ifndef WEFT_FIBER_CORE_MANGLED_H_
#define WEFT_FIBER_CORE_MANGLED_H_

#include <string>

namespace weft::internal {

// What the mangled name of a function says: see find_code() for where it is from.

// The name as in the source; the symbol itself if it is not mangled; empty for null.
std::string demangled(const char* symbol);

// By the mangled name; null is neither.
// A function of namespace weft, or what is local to one, such as a lambda; or of Boost.Context, by
// which weft switches: not all of that is inlined in a build without optimization.
bool is_weft(const char* symbol) noexcept;
// The same, or a function of the standard library: what lies between the functions of the
// program on a fiber's stack.
bool is_plumbing(const char* symbol) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_MANGLED_H_
