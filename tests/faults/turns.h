#ifndef WEFT_TESTS_FAULTS_TURNS_H_
#define WEFT_TESTS_FAULTS_TURNS_H_

#include <cstddef>
#include <string_view>

// What the seam's calls ask: whether it is their turn to fail.
namespace weft::faults {

constexpr const char* kCalls[] = {
    "accept4",
    "bind",
    "clone",
    "close",
    "close_range",
    "connect",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait2",
    "eventfd",
    "fcntl",
    "fork",
    "fstat",
    "fsync",
    "getaddrinfo",
    "getpeername",
    "getsockname",
    "getsockopt",
    "kill",
    "listen",
    "lseek",
    "lstat",
    "madvise",
    "memfd_create",
    "mmap",
    "mmap_stack",
    "mprotect",
    "open",
    "pidfd_open",
    "pipe2",
    "poll",
    "ppoll",
    "pread",
    "pthread_create",
    "pwrite",
    "read",
    "read_signal",
    "readv",
    "recv",
    "recvmsg",
    "send",
    "sendfile",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "signalfd",
    "socket",
    "socketpair",
    "syscall",
    "waitid",
    "write",
    "writev",
    // Those of a child before its program is there.
    "child_chdir",
    "child_dup3",
    "child_execve",
    "child_fcntl",
    "child_getdents64",
    "child_openat",
    "child_setpgid",
};

consteval std::size_t index_of(std::string_view call) {
  std::size_t i = 0;
  while (call != kCalls[i]) ++i;  // does not compile if there is none
  return i;
}

// What happens to a call.
constexpr int kPassed = 0;
constexpr int kShort = -1;

// Counts a call. Returns kPassed, kShort, or the error that it fails with.
int turn_of(std::size_t call) noexcept;

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_TURNS_H_
