#include "tests/faults/driver.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <sstream>
#include <string_view>
#include <thread>

namespace weft::faults {
namespace {

using test::Program;

// Most programs sleep most of the time.
constexpr unsigned kAtOnce = 8;

// A sanitizer's own exit code, which is not to be taken for the program's.
constexpr int kSanitizerFound = 99;

// What is called "weft: accept on ..." and the like when its socket cannot be registered.
#define WEFT_WAITS "epoll_ctl|accept|read|write|connect|wait|send|receive"

constexpr Kind kKinds[] = {
    {"accept4", "EINTR"},
    {"accept4", "EAGAIN"},
    {"accept4", "ECONNABORTED"},
    {"accept4", "EMFILE", "accept"},
    {"bind", "EADDRINUSE", "bind"},
    {"close", "EINTR"},
    {"connect", "EINTR"},
    {"connect", "ECONNREFUSED", "connect"},
    {"connect", "ENETUNREACH", "connect"},
    {"epoll_create1", "EMFILE", "epoll_create1"},
    {"epoll_ctl", "ENOMEM", WEFT_WAITS},
    {"epoll_ctl", "ENOSPC", WEFT_WAITS},
    {"epoll_pwait2", "EINTR"},
    {"epoll_pwait2", "ENOSYS"},
    {"epoll_pwait2", "EPERM"},
    {"epoll_wait", "EINTR"},
    {"eventfd", "EMFILE", "eventfd"},
    {"fcntl", "EMFILE", "sendfile"},
    {"fstat", "EIO", "size of|fstat"},
    {"fsync", "EIO", "fsync"},
    {"getsockname", "ENOBUFS", "local_address|connect"},
    {"getsockopt", "ENOBUFS", "connect"},
    {"listen", "EADDRINUSE", "listen"},
    {"lseek", "ESPIPE", "lseek|read"},
    {"madvise", "EINVAL"},
    {"madvise", "ENOMEM", "madvise"},
    {"madvise", "+ENOMEM", "madvise"},
    {"mmap", "ENOMEM"},
    {"mmap", "+ENOMEM", "mmap"},
    {"mprotect", "ENOMEM", "mprotect"},
    {"mprotect", "+ENOMEM", "mprotect"},
    {"open", "EINTR"},
    {"open", "EMFILE", "open"},
    {"poll", "EINTR"},
    {"ppoll", "EINTR"},
    {"pread", "EINTR"},
    {"pread", "short"},
    {"pread", "EIO", "pread"},
    {"pthread_create", "EAGAIN", "pthread_create"},
    {"pthread_create", "+EAGAIN", "pthread_create"},
    {"read", "EINTR"},
    {"read", "EIO", "read|standard input"},
    {"read_signal", "EINTR"},
    {"read_signal", "EAGAIN"},
    {"recv", "EINTR"},
    {"recv", "EAGAIN"},
    {"recv", "short"},
    {"recv", "ECONNRESET", "read"},
    {"recvmsg", "EINTR"},
    {"recvmsg", "EAGAIN"},
    {"recvmsg", "short"},
    {"recvmsg", "ECONNRESET", "read"},
    {"send", "EINTR"},
    {"send", "EAGAIN"},
    {"send", "short"},
    {"send", "EPIPE", "write"},
    {"sendfile", "EINTR"},
    {"sendfile", "EAGAIN"},
    {"sendfile", "short"},
    {"sendfile", "EIO", "sendfile"},
    {"sendmsg", "EINTR"},
    {"sendmsg", "EAGAIN"},
    {"sendmsg", "short"},
    {"sendmsg", "EPIPE", "write"},
    {"setsockopt", "ENOMEM", "setsockopt"},
    {"shutdown", "ENOTCONN"},
    {"shutdown", "ENOBUFS", "shutdown"},
    {"signalfd", "EMFILE", "signalfd"},
    {"socket", "EMFILE", "socket|connect"},
    {"syscall", "EINTR"},
    {"syscall", "EAGAIN"},
    {"write", "EINTR"},
    {"write", "short"},
    {"write", "EIO", "write"},
};

std::string fault_of(const Kind& kind, long turn) {
  std::string_view what = kind.what;
  const bool from_then_on = what.starts_with('+');
  if (from_then_on) what.remove_prefix(1);
  return std::string(kind.call) + ":" + std::to_string(turn) + (from_then_on ? "+:" : ":") +
         std::string(what);
}

std::string report_path() {
  static std::atomic<int> number{0};
  const char* folder = std::getenv("TEST_TMPDIR");
  return std::string(folder ? folder : "/tmp") + "/faults-" + std::to_string(getpid()) + "-" +
         std::to_string(++number);
}

void read_report(const std::string& path, Run& run) {
  FILE* const file = std::fopen(path.c_str(), "re");  // no program that starts now shall have it
  if (!file) return;
  char line[512];
  while (std::fgets(line, sizeof(line), file)) {
    line[std::strcspn(line, "\n")] = '\0';
    std::istringstream words(line);
    std::string word, call;
    words >> word;
    if (word == "called") words >> call >> run.called[call];
    if (word == "struck") words >> run.struck;
    if (word == "left") run.left.push_back(line);
    if (word == "end") run.reported = true;
  }
  std::fclose(file);
}

// Without what differs from run to run: numbers, and the blanks before them.
std::string without_numbers(const std::string& text) {
  std::string result;
  std::size_t kept = 0;  // without blanks at its end
  for (const char c : text) {
    if ((c >= '0' && c <= '9') || (c == '.' && kept > 0 && result[kept - 1] == '#')) {
      result.resize(kept);
      if (result.empty() || result.back() != '#') result += '#';
      kept = result.size();
    } else {
      result += c;
      if (c != ' ') kept = result.size();
    }
  }
  return result;
}

// Whether the text has one of the words, which are separated by |.
bool has_one_of(const std::string& text, std::string_view words) {
  for (;;) {
    const std::size_t end = words.find('|');
    if (text.find(words.substr(0, end)) != text.npos) return true;
    if (end == words.npos) return false;
    words.remove_prefix(end + 1);
  }
}

}  // namespace

Run run(const Flow& flow, const std::string& fault) {
  const std::string path = report_path();
  std::string faults = flow.given;
  if (!fault.empty()) faults += (faults.empty() ? "" : ",") + fault;
  std::vector<std::string> words{"WEFT_FAULT=" + faults, "tests/faults/" + flow.program};
  words.insert(words.end(), flow.arguments.begin(), flow.arguments.end());
  Run result;
  for (const std::string& word : words) {
    result.command += (result.command.empty() ? "" : " ") + word;
  }
  words.insert(words.begin(), "WEFT_FAULT_REPORT=" + path);
  for (const char* sanitizer : {"ASAN", "LSAN", "TSAN", "UBSAN"}) {
    const std::string name = std::string(sanitizer) + "_OPTIONS";
    const char* given = std::getenv(name.c_str());
    words.insert(words.begin(), name + "=" + (given ? std::string(given) + ":" : "") +
                                    "exitcode=" + std::to_string(kSanitizerFound));
  }
  const auto start = std::chrono::steady_clock::now();
  std::string trouble;
  try {
    Program program("env", words);
    try {
      if (flow.talk) result.heard = flow.talk(program);
    } catch (const std::exception& error) {  // as if it had ended
      trouble = error.what();
    }
    program.close_input();
    result.end = program.wait();
  } catch (const std::exception& error) {
    result.hung = true;
    result.end.err = error.what();
  }
  if (std::chrono::steady_clock::now() - start > Program::kPatience) result.hung = true;
  if (result.hung) result.end.err += trouble;
  read_report(path, result);
  std::filesystem::remove(path);
  return result;
}

std::string complaint(const Flow& flow, const Run& plain, const Kind& kind, const Run& run) {
  const auto& end = run.end;
  if (run.hung) return "it hangs";
  if (end.signal == SIGTERM && flow.talk) return {};  // ours, when it was on its way out
  const bool own =
      std::find(flow.own_calls.begin(), flow.own_calls.end(), kind.call) != flow.own_calls.end();
  const std::string words = std::string(kind.words ? kind.words : kind.call) +
                            (flow.own_words.empty() ? "" : "|" + flow.own_words);
  const bool named = has_one_of(end.err, words);
  const bool unhandled = end.err.find("weft: nobody took the exception of") != std::string::npos;
  if (end.signal == SIGABRT && flow.may_end_unhandled && unhandled && named) return {};
  if (end.signal != 0) return "it was ended by signal " + std::to_string(end.signal);
  if (end.exit_code != 0 && end.exit_code != 1) {
    return "it ended with " + std::to_string(end.exit_code);
  }
  if (!run.reported) return "it did not come to the end of main()";
  if (!run.left.empty()) return run.left.front();
  if (run.struck == 0) return {};  // it took another way, on which there was no such call
  if (!kind.words && !own) {
    if (end.exit_code != 0) return "it should not have noticed";
    if (flow.steady && without_numbers(end.out) != without_numbers(plain.end.out)) {
      return "it prints something else than \"" + plain.end.out + "\"";
    }
    if (flow.steady && run.heard != plain.heard) {
      return "it tells something else than \"" + plain.heard + "\"";
    }
    return {};
  }
  if (end.exit_code != 0 && end.err.empty()) return "it fails without a word";
  if (!end.err.empty() && !named) {
    return std::string("its words do not name ") + kind.call;
  }
  return {};
}

std::vector<std::string> complaints(const Flow& flow) {
  std::vector<std::string> result;
  const Run plain = run(flow, "");
  const auto tell = [&](const std::string& what, const Run& bad) {
    result.push_back(what + ": " + bad.command + "\nout: " + bad.end.out + "\nerr: " + bad.end.err +
                     "\nheard: " + bad.heard);
  };
  const Kind none{"", ""};
  if (const std::string what = complaint(flow, plain, none, plain); !what.empty())
    tell(what, plain);
  if (plain.end.exit_code != 0) tell("it fails without a fault", plain);
  if (!result.empty()) return result;

  struct Turn {
    const Kind* kind;
    long number;
  };
  std::vector<Turn> turns;
  for (const Kind& kind : kKinds) {
    const auto found = plain.called.find(kind.call);
    if (found == plain.called.end()) continue;
    for (long number = 1; number <= found->second; ++number) {
      if (number <= flow.most_turns || number == found->second) turns.push_back({&kind, number});
    }
  }
  std::atomic<std::size_t> next{0};
  std::mutex lock;
  const auto work = [&] {
    for (std::size_t i; (i = next++) < turns.size();) {
      const Kind& kind = *turns[i].kind;
      const Run one = run(flow, fault_of(kind, turns[i].number));
      std::string what = complaint(flow, plain, kind, one);
      const bool sure = turns[i].number == 1 && flow.steady && kind.call != std::string("syscall");
      if (what.empty() && sure && one.reported && one.struck == 0) {
        what = "the first call was not made";
      }
      const std::lock_guard guard(lock);
      if (!what.empty()) tell(what, one);
    }
  };
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < kAtOnce; ++i) workers.emplace_back(work);
  workers.clear();
  BOOST_TEST_MESSAGE(flow.program << ": " << turns.size() << " faults");
  return result;
}

}  // namespace weft::faults
