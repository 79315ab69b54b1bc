#ifndef WEFT_FIBER_CORE_SYMBOLS_H_
#define WEFT_FIBER_CORE_SYMBOLS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace weft::internal {

// The names of functions, from the symbol tables of the files that the program consists of. These
// have static functions and lambdas, too, also where nothing was compiled with -g or linked with
// -rdynamic. A file that was stripped has the names that other files may use.
//
//   const CodePlace place = find_code(address);
//   if (place.symbol) text += demangled(place.symbol);

// Where an address of code lies.
struct CodePlace {
  const char* symbol = nullptr;  // mangled, valid for ever; null: not known
  std::uintptr_t into = 0;       // bytes from the beginning of that function
  std::string_view module = {};  // base name of the file, while it is loaded; empty: not known
  std::uintptr_t offset = 0;     // in that module, as addr2line -e takes it; else the address
};

// The functions at addresses. A return address belongs to the call before it: pass it less one. The
// first look-up in a module maps its file and sorts its functions, once in the process. If there is
// no memory for that, or 64 modules have been looked into, it goes on without. A file that has
// changed since it was loaded gives no names. From any thread.
CodePlace find_code(const void* address) noexcept;

// The same in a handler for signals, slower: it takes no lock, allocates nothing, and looks at each
// function of the module. Where glibc is older than 2.35 it finds no module and no name.
CodePlace find_code_in_handler(const void* address) noexcept;

// What identifies the program's file, in hexadecimal digits, as the linker has noted it; empty if
// it has not.
std::string build_id();

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_SYMBOLS_H_
