// The seam knows each call of the system that weft makes: what the library leaves undefined is
// either wrapped (CALLS, see BUILD), or cannot fail, or is named here.

#include <fstream>
#include <set>
#include <string>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(calls)

namespace {

// No call of the system, or one that cannot fail as weft makes it.
const std::set<std::string> kHarmless{
    "_exit",
    "abort",
    "atoi",
    "bcmp",
    "clock_gettime",
    "dl_iterate_phdr",
    "eventfd_read",
    "environ",
    "eventfd_write",
    "fprintf",
    "fputc",
    "fputs",
    "free",
    "freeaddrinfo",
    "fwrite",
    "gai_strerror",
    "getauxval",
    "getenv",
    "getpid",
    "getppid",
    "getrlimit",
    "gettid",
    "htonl",
    "htons",
    "inet_ntop",
    "inet_pton",
    "memchr",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "nanosleep",
    "prctl",
    "ntohl",
    "ntohs",
    "pthread_mutex_lock",
    "pthread_mutex_trylock",
    "pthread_mutex_unlock",
    "pthread_self",
    "raise",
    "sched_getaffinity",
    "sched_yield",
    "sigabbrev_np",
    "sigaction",
    "sigaddset",
    "sigaltstack",
    "sigdelset",
    "sigemptyset",
    "sigfillset",
    "sigismember",
    "signal",
    "sigpending",
    "snprintf",
    "stderr",
    "strcmp",
    "strerror",
    "strlen",
    "strnlen",
    "strtol",
    "sysconf",
    "tgkill",
    "vsnprintf",
};

// Whose failure is an answer, or nobody's concern: an interface's name, a thread's name, clock,
// signals and processors, a file that is gone, what a report would know of a thread, which file is
// there, and what the kernel knows of a process that others have reaped.
const std::set<std::string> kAnswers{
    "access",
    "closedir",
    "dirfd",
    "fclose",
    "fflush",
    "fgets",
    "fopen",
    "if_indextoname",
    "if_nametoindex",
    "opendir",
    "ioctl",
    "pthread_atfork",
    "pthread_getcpuclockid",
    "pthread_key_create",
    "pthread_setname_np",
    "pthread_setspecific",
    "pthread_sigmask",
    "readdir",
    "sched_setaffinity",
    "setpgid",
    "setrlimit",
    "sigtimedwait",
    "stat",
    "unlink",
    "waitpid",
};

// Boost.Context's, the compiler's and the dynamic linker's with one underscore, what ASan has to be
// told of a stack, and what of weft's own has a name of C's kind.
const std::set<std::string> kOthers{
    "pthread_attr_destroy", "pthread_attr_getstack",
    "pthread_getattr_np",   "_GLOBAL_OFFSET_TABLE_",
    "_Unwind_Backtrace",    "_Unwind_GetCFA",
    "_Unwind_GetIP",        "_Unwind_GetIPInfo",
    "_Unwind_Resume",       "_dl_find_object",
    "jump_fcontext",        "make_fcontext",
    "ontop_fcontext",       "weft_layout",
    "weft_roster",          "weft_walk_parked_context",
};

// C++'s and sanitizers'. Of the system libstdc++ calls nothing for weft but for std::thread, which
// is wrapped.
bool is_of_the_language(const std::string& symbol) {
  return symbol.starts_with("__") || symbol.starts_with("_Z");
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_seam_is_before_each_call_of_the_library) {
  std::ifstream file("tests/faults/undefined.txt");
  std::set<std::string> wrapped, undefined;
  for (std::string kind; file >> kind;) {
    if (kind == "wrapped" || kind == "U" || kind == "w") {
      std::string symbol;
      file >> symbol;
      (kind == "wrapped" ? wrapped : undefined).insert(symbol);
    }
  }
  BOOST_TEST(undefined.contains("epoll_ctl"));  // it is weft's list
  for (const std::string& symbol : undefined) {
    const bool known = wrapped.contains(symbol) || kHarmless.contains(symbol) ||
                       kAnswers.contains(symbol) || kOthers.contains(symbol) ||
                       is_of_the_language(symbol);
    BOOST_TEST(known, "weft calls " << symbol << ": wrap it, or name it here");
  }
}

BOOST_AUTO_TEST_SUITE_END()
