#ifndef WEFT_TESTS_SUPPORT_SYSTEM_CALL_H_
#define WEFT_TESTS_SUPPORT_SYSTEM_CALL_H_

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

namespace weft::test {

// How many threads of this process are in such a system call (SYS_read) on the descriptor now,
// and so wait in it.
inline std::size_t threads_in(long call, int fd) {
  std::size_t count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(thread.path() / "syscall");
    long number = -1;
    std::string first;
    // Of a thread that runs it is one word.
    if (!(file >> number >> first)) continue;
    count += number == call && std::stoul(first, nullptr, 16) == static_cast<unsigned long>(fd);
  }
  return count;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_SYSTEM_CALL_H_
