#include "tests/faults/driver.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <shared_mutex>
#include <sstream>
#include <string_view>
#include <thread>

#include "tests/faults/peer.h"
#include "tests/support/bound.h"

namespace weft::faults {
namespace {

using test::Program;

// Most programs sleep most of the time.
constexpr unsigned kPerProcessor = 4;

// How often what may be bad luck is tried again, with nothing beside it.
constexpr int kAgain = 2;

// A sanitizer's own exit code, which is not to be taken for the program's.
constexpr int kSanitizerFound = 99;

// What is called "weft: accept on ..." and the like when its socket cannot be registered.
constexpr const char* kWaits =
    "epoll_ctl|accept|read|write|connect|wait|wait_readable|send_to|receive_from";

// kMay:
// - epoll_ctl, recv, recvmsg, shutdown: a server goes on without that client, which may have heard
//   all that it waits for;
// - fstat, getsockname: some only look, and go on without (File::open(), TcpStream::connect());
// - madvise, mprotect: guards are installed in advance, too; advice may be refused;
// - pthread_create: of a pool's threads the first is enough.
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
    {"epoll_ctl", "ENOMEM", kWaits, Notice::kMay},
    {"epoll_ctl", "ENOSPC", kWaits, Notice::kMay},
    {"epoll_pwait2", "EINTR"},
    {"epoll_pwait2", "ENOSYS"},
    {"epoll_pwait2", "EPERM"},
    {"epoll_wait", "EINTR"},
    {"eventfd", "EMFILE", "eventfd"},
    {"fcntl", "EMFILE", "sendfile"},
    {"fstat", "EIO", "size of|fstat", Notice::kMay},
    {"fsync", "EIO", "fsync"},
    {"getpeername", "ENOTCONN"},
    {"getsockname", "ENOBUFS", "local_address|connect", Notice::kMay},
    {"getsockopt", "ENOBUFS", "connect"},
    {"listen", "EADDRINUSE", "listen"},
    {"lseek", "ESPIPE"},
    {"madvise", "EINVAL"},
    {"madvise", "ENOMEM", "madvise", Notice::kMay},
    {"madvise", "+ENOMEM", "madvise", Notice::kMay},
    {"mmap", "ENOMEM"},
    {"mmap", "+ENOMEM", "mmap"},
    {"mmap_stack", "ENOMEM"},
    {"mprotect", "ENOMEM", "mprotect", Notice::kMay},
    {"mprotect", "+ENOMEM", "mprotect", Notice::kMay},
    {"open", "EINTR"},
    {"open", "EMFILE", "open"},
    {"poll", "EINTR"},
    {"ppoll", "EINTR"},
    {"pread", "EINTR"},
    {"pread", "short"},
    {"pread", "EIO", "pread"},
    {"pthread_create", "EAGAIN", "pthread_create", Notice::kMay},
    {"pthread_create", "+EAGAIN", "pthread_create", Notice::kMay},
    {"read", "EINTR"},
    {"read", "EIO", "read|standard input"},
    {"read_signal", "EINTR"},
    {"read_signal", "EAGAIN"},
    {"recv", "EINTR"},
    {"recv", "EAGAIN"},
    {"recv", "short"},
    {"recv", "ECONNRESET", "read", Notice::kMay},
    {"recvmsg", "EINTR"},
    {"recvmsg", "EAGAIN"},
    {"recvmsg", "short"},
    {"recvmsg", "ECONNRESET", "read", Notice::kMay},
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
    {"shutdown", "ENOBUFS", "shutdown", Notice::kMay},
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

bool is_of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Whether the line has this, and not as a part of a longer word.
bool has_word(std::string_view line, std::string_view word) {
  for (std::size_t at = 0; (at = line.find(word, at)) != line.npos; ++at) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_of_word(line[at - 1])) && (end == line.size() || !is_of_word(line[end]))) {
      return true;
    }
  }
  return false;
}

// Whether it has one of the words, which are separated by |.
bool has_one_of(std::string_view line, std::string_view words) {
  for (;;) {
    const std::size_t end = words.find('|');
    if (has_word(line, words.substr(0, end))) return true;
    if (end == words.npos) return false;
    words.remove_prefix(end + 1);
  }
}

// What the system says of the kind's error; of memory that is short weft says it itself.
std::string reason_of(const Kind& kind) {
  std::string_view what = kind.what;
  if (what.starts_with('+')) what.remove_prefix(1);
  for (int error = 1; error < 150; ++error) {
    const char* const known = strerrorname_np(error);
    if (!known || what != known) continue;
    return std::strerror(error) + std::string(error == ENOMEM ? "|there is no" : "");
  }
  return "no error";
}

bool is_own(const Flow& flow, const Kind& kind) {
  return std::find(flow.own_calls.begin(), flow.own_calls.end(), kind.call) != flow.own_calls.end();
}

// Whoever makes the call repeats it.
bool is_passing(const Kind& kind) {
  const std::string_view what = kind.what;
  return what == "EINTR" || what == "EAGAIN" || what == "short";
}

// Whether a line names what failed, and why.
bool is_named(const Flow& flow, const Kind& kind, const std::string& text) {
  const std::string reason = reason_of(kind);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (has_one_of(line, kind.words ? kind.words : kind.call) && has_one_of(line, reason)) {
      return true;
    }
    if (is_own(flow, kind) && !flow.own_words.empty() && has_one_of(line, flow.own_words)) {
      return true;
    }
  }
  return false;
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
    } catch (const Peer::Silence&) {
      throw;
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
  if (end.left_a_process) return "it left a process";
  const bool own = is_own(flow, kind);
  const bool named = is_named(flow, kind, end.err);
  // Ours, when it was on its way out.
  if (end.signal == SIGTERM && flow.talk && kind.words && named) return {};
  if (end.signal != 0) return "it was ended by signal " + std::to_string(end.signal);
  if (end.exit_code != 0 && end.exit_code != 1) {
    return "it ended with " + std::to_string(end.exit_code);
  }
  if (!run.reported) return "it did not come to the end of main()";
  if (!run.left.empty()) return run.left.front();
  if (run.struck == 0) return {};  // it took another way, on which there was no such call
  if (kind.notice == Notice::kNever && (!own || is_passing(kind))) {
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
  const bool told = end.exit_code != 0 || named || is_named(flow, kind, end.out) ||
                    without_numbers(run.heard) != without_numbers(plain.heard);
  if (kind.notice == Notice::kMust && !told) return "nobody notices";
  return {};
}

namespace {

// Runs it with such a fault, while others do that, too. It may then take long, or be ended on its
// way out, just before it says why: that is looked at again, with nothing beside it.
Run run_beside(std::shared_mutex& machine, const Flow& flow, const std::string& fault) {
  const auto unlucky = [&](const Run& one) {
    return one.hung || (flow.talk && one.end.signal == SIGTERM && one.end.err.empty());
  };
  Run one;
  {
    const std::shared_lock beside(machine);
    one = run(flow, fault);
  }
  for (int i = 0; i < kAgain && unlucky(one); ++i) {
    const std::unique_lock alone(machine);
    one = run(flow, fault);
  }
  return one;
}

}  // namespace

std::vector<std::string> complaints(const Flow& flow) {
  std::vector<std::string> result;
  Run plain = run(flow, "");
  for (int i = 0; i < kAgain && plain.hung; ++i) plain = run(flow, "");
  const auto tell = [&](const std::string& what, const Run& bad) {
    std::cerr << flow.program << ": " << what << std::endl;  // should the test run out of time
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
  const long most = std::min(flow.most_turns, weft::test::bound(flow.most_turns, 3L));
  for (const Kind& kind : kKinds) {
    const auto found = plain.called.find(kind.call);
    if (found == plain.called.end()) continue;
    if (("," + flow.given).find("," + std::string(kind.call) + ":") != std::string::npos) continue;
    for (long number = 1; number <= found->second; ++number) {
      if (number <= most || number == found->second) turns.push_back({&kind, number});
    }
  }
  std::atomic<std::size_t> next{0};
  std::mutex lock;
  std::shared_mutex machine;
  const auto work = [&] {
    for (std::size_t i; (i = next++) < turns.size();) {
      const Kind& kind = *turns[i].kind;
      const Run one = run_beside(machine, flow, fault_of(kind, turns[i].number));
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
  const unsigned at_once = kPerProcessor * std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < at_once; ++i) workers.emplace_back(work);
  workers.clear();
  BOOST_TEST_MESSAGE(flow.program << ": " << turns.size() << " faults");
  return result;
}

}  // namespace weft::faults
