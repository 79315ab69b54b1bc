#ifndef WEFT_TESTS_SUPPORT_CHILDREN_H_
#define WEFT_TESTS_SUPPORT_CHILDREN_H_

#include <sys/types.h>
#include <sys/wait.h>

#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/fixture.h"

namespace weft::test {

// Whether this process has a child, which runs or waits to be reaped.
inline bool has_child() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// "R", "S", "T" (stopped), "Z" (ended, not reaped) and so on, of any process; "" if it is not
// there. REQUIRES: its name has no blank.
inline std::string state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  file >> number >> name >> state;
  return state;
}

// Whether a process has not ended.
inline bool is_alive(pid_t pid) {
  const std::string state = state_of(pid);
  return !state.empty() && state != "Z" && state != "X";
}

// What a file holds; empty if it is not there.
inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace weft::test

// A test case on the machine's time that leaves no child behind.
#define WEFT_PROCESS_TEST_CASE(name) \
  static void name##_process();      \
  WEFT_REAL_TIME_TEST_CASE(name) {   \
    name##_process();                \
    BOOST_TEST(!has_child());        \
  }                                  \
  static void name##_process()

#endif  // WEFT_TESTS_SUPPORT_CHILDREN_H_
