#ifndef WEFT_TESTS_FAULTS_DRIVER_H_
#define WEFT_TESTS_FAULTS_DRIVER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/faults/notice.h"
#include "tests/support/program.h"

// Runs a program that has the seam (program.cc) again and again, and lets one call of the system
// fail each time.
namespace weft::faults {

// What a program does from its start to its end, with whom it talks to.
struct Flow {
  std::string program;  // of tests/faults
  std::vector<std::string> arguments = {};

  // Talks to it, and returns what was heard. May throw where the program has ended.
  std::function<std::string(test::Program&)> talk = {};

  // Whether it prints and tells the same each time, but for numbers.
  bool steady = true;

  // What fails from the beginning, in each run: on an older kernel, say. These calls do not fail in
  // another way.
  std::string given = {};

  // Functions that it calls itself, too, and what it may then say instead of weft's words.
  std::vector<std::string> own_calls = {};
  std::string own_words = {};

  // Of calls that are made often, so many of the first fail, and the last.
  long most_turns = 8;
};

// How a run ended.
struct Run {
  std::string command;  // repeats it, but for what is talked
  bool hung = false;
  test::Program::End end;
  std::string heard;
  std::map<std::string, long> called;
  long struck = 0;                // how many calls, by the fault and not by what is given
  bool reported = false;          // it came to the end of main()
  std::vector<std::string> left;  // mappings and descriptors
};

// Runs it once, with such a fault (seam.h) or none.
Run run(const Flow& flow, const std::string& fault);

// A way for a call to fail, and what is then expected of a program.
struct Kind {
  const char* call;
  const char* what;             // "ECONNRESET"; "short"; "+ENOMEM": from then on
  const char* words = nullptr;  // what names it, one of "a|b"
  Notice notice = words ? Notice::kMust : Notice::kNever;
};

// What is wrong with a run, in a sentence; empty if nothing is. `plain` is one without a fault.
std::string complaint(const Flow& flow, const Run& plain, const Kind& kind, const Run& run);

// Lets each call of each function fail, in each way; of a function that is called often the first
// `most_turns` and the last. Returns the complaints, each with the command that repeats the run.
std::vector<std::string> complaints(const Flow& flow);

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_DRIVER_H_
