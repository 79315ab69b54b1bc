// A program whose calls fail as WEFT_FAULT says (see seam.h), and that writes to the file
// WEFT_FAULT_REPORT how often it called what, and what it has left behind. An exception that leaves
// its main() is printed and ends it with 1, so that everything is unwound.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "tests/faults/seam.h"
// TSan asks for it, and would else wait a second at the end of each of thousands of programs.
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }

namespace {

using namespace weft::faults;

void report(const char* path, const std::vector<std::string>& before) {
  const std::vector<Count> called = counts();
  const long strikes = struck_last();
  disarm();
  FILE* const file = std::fopen(path, "we");
  if (!file) std::abort();
  for (const auto& [call, count] : called) std::fprintf(file, "called %s %ld\n", call, count);
  std::fprintf(file, "struck %ld\n", strikes);
  if (mapped_bytes() != 0) std::fprintf(file, "left %ld bytes mapped\n", mapped_bytes());
  const std::string own = std::to_string(fileno(file)) + " ";
  for (const std::string& descriptor : descriptors()) {
    bool known = descriptor.starts_with(own);
    for (const std::string& old : before) known = known || old == descriptor;
    if (!known) std::fprintf(file, "left descriptor %s\n", descriptor.c_str());
  }
  std::fputs("end\n", file);
  if (std::fclose(file) != 0) std::abort();
}

}  // namespace

extern "C" int __real_main(int argc, char** argv);
extern "C" int __wrap_main(int argc, char** argv) {
  const std::vector<std::string> before = descriptors();
  const char* const faults = std::getenv("WEFT_FAULT");
  arm(faults ? faults : "");
  int result = 1;
  try {
    result = __real_main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  if (const char* const path = std::getenv("WEFT_FAULT_REPORT")) report(path, before);
  return result;
}
