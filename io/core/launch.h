#ifndef WEFT_IO_CORE_LAUNCH_H_
#define WEFT_IO_CORE_LAUNCH_H_

#include <span>
#include <string>
#include <vector>

#include "weft/io/core/child.h"

namespace weft::internal {

// How a program is started.
struct Launch {
  std::vector<const char*> arguments = {};    // and a null
  std::vector<const char*> environment = {};  // and a null
  std::vector<std::string> files = {};  // the program: the first of these that can be executed
  const char* directory = nullptr;      // where it is started; null: here
  bool own_group = false;
  std::span<const int> descriptors = {};  // the n-th of them is n there; all others stay here
};

// Starts a program. The calling thread stands still until the kernel has loaded it. Throws
// std::system_error, naming the program and the step that failed.
//
// The child shares this process's memory until then, as that of vfork() does: it copies nothing,
// however large the process is, and runs no handler and no code of the program's.
Child launch(const Launch& launch);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_LAUNCH_H_
