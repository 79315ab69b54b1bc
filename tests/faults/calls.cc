// The calls that the linker takes instead of the system's: __wrap_f instead of f, which is
// __real_f here. Each asks whether it is its turn to fail.

#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <vector>

#include "tests/faults/seam.h"
#include "tests/faults/turns.h"

struct pollfd;

namespace weft::faults {
namespace {

constinit std::atomic<long> mapped{0};

// What each descriptor is registered with: a later event is asked for by registering it anew.
struct Registration {
  int epoll = -1;
  epoll_event event{};
};
std::mutex registrations_lock;
std::vector<Registration>& registrations() {
  static auto* const all = new std::vector<Registration>(65536);
  return *all;
}

// Reading a signalfd can only find nothing.
constinit std::atomic<bool> is_signalfd[65536];

bool known(int fd) { return fd >= 0 && fd < 65536; }

int failed(int error) {
  errno = error;
  return -1;
}

}  // namespace

long mapped_bytes() { return mapped; }

}  // namespace weft::faults

using namespace weft::faults;

// A call that fails by -1 and errno, and needs nothing else.
#define WEFT_SEAM(Result, name, parameters, arguments)                    \
  extern "C" Result __real_##name parameters;                             \
  extern "C" Result __wrap_##name parameters {                            \
    if (const int error = turn_of(index_of(#name))) return failed(error); \
    return __real_##name arguments;                                       \
  }

// ---- Descriptors --------------------------------------------------------------------------------

WEFT_SEAM(int, bind, (int fd, const sockaddr* address, socklen_t size), (fd, address, size))
WEFT_SEAM(int, epoll_create1, (int flags), (flags))
WEFT_SEAM(pid_t, fork, (), ())
WEFT_SEAM(int, fstat, (int fd, struct stat* info), (fd, info))
WEFT_SEAM(int, fsync, (int fd), (fd))
WEFT_SEAM(int, getpeername, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
WEFT_SEAM(int, getsockname, (int fd, sockaddr* address, socklen_t* size), (fd, address, size))
WEFT_SEAM(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* size),
          (fd, level, name, value, size))
WEFT_SEAM(int, listen, (int fd, int backlog), (fd, backlog))
WEFT_SEAM(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
WEFT_SEAM(int, lstat, (const char* path, struct stat* info), (path, info))
WEFT_SEAM(int, memfd_create, (const char* name, unsigned flags), (name, flags))
WEFT_SEAM(int, poll, (pollfd * all, unsigned long count, int timeout), (all, count, timeout))
WEFT_SEAM(int, ppoll,
          (pollfd * all, unsigned long count, const timespec* timeout, const sigset_t* mask),
          (all, count, timeout, mask))
WEFT_SEAM(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t size),
          (fd, level, name, value, size))
WEFT_SEAM(int, shutdown, (int fd, int how), (fd, how))
WEFT_SEAM(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WEFT_SEAM(int, socketpair, (int domain, int type, int protocol, int ends[2]),
          (domain, type, protocol, ends))

extern "C" int __real_eventfd(unsigned value, int flags);
extern "C" int __wrap_eventfd(unsigned value, int flags) {
  if (const int error = turn_of(index_of("eventfd"))) return failed(error);
  return __real_eventfd(value, flags);
}

extern "C" int __real_signalfd(int old, const sigset_t* set, int flags);
extern "C" int __wrap_signalfd(int old, const sigset_t* set, int flags) {
  if (const int error = turn_of(index_of("signalfd"))) return failed(error);
  const int fd = __real_signalfd(old, set, flags);
  if (known(fd)) is_signalfd[fd] = true;
  return fd;
}

// Interrupted or not, it closes.
extern "C" int __real_close(int fd);
extern "C" int __wrap_close(int fd) {
  const int error = turn_of(index_of("close"));
  if (known(fd)) {
    is_signalfd[fd] = false;
    const std::lock_guard lock(registrations_lock);
    registrations()[static_cast<std::size_t>(fd)] = {};
  }
  const int result = __real_close(fd);
  return error ? failed(error) : result;
}

// Interrupted, it goes on.
extern "C" int __real_connect(int fd, const sockaddr* address, socklen_t size);
extern "C" int __wrap_connect(int fd, const sockaddr* address, socklen_t size) {
  const int error = turn_of(index_of("connect"));
  if (error != kPassed && error != EINTR) return failed(error);
  const int result = __real_connect(fd, address, size);
  return error ? failed(error) : result;
}

extern "C" int __real_open(const char* path, int flags, ...);
extern "C" int __wrap_open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = va_arg(arguments, unsigned);
  va_end(arguments);
  if (const int error = turn_of(index_of("open"))) return failed(error);
  return __real_open(path, flags, mode);
}

extern "C" int __real_fcntl(int fd, int command, ...);
extern "C" int __wrap_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const auto argument = va_arg(arguments, long);
  va_end(arguments);
  // A look at a descriptor does not fail.
  const int error = command == F_GETFD ? 0 : turn_of(index_of("fcntl"));
  if (error) return failed(error);
  return __real_fcntl(fd, command, argument);
}

// ---- epoll --------------------------------------------------------------------------------------

extern "C" int __real_epoll_ctl(int epoll, int operation, int fd, epoll_event* event);
extern "C" int __wrap_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  // What is registered can be taken off.
  if (operation != EPOLL_CTL_DEL) {
    if (const int error = turn_of(index_of("epoll_ctl"))) return failed(error);
  }
  const int result = __real_epoll_ctl(epoll, operation, fd, event);
  if (result == 0 && known(fd)) {
    const std::lock_guard lock(registrations_lock);
    Registration& registration = registrations()[static_cast<std::size_t>(fd)];
    registration = {};
    if (operation != EPOLL_CTL_DEL && event) registration = {epoll, *event};
  }
  return result;
}

WEFT_SEAM(int, epoll_wait, (int epoll, epoll_event* events, int most, int timeout),
          (epoll, events, most, timeout))
WEFT_SEAM(int, epoll_pwait2,
          (int epoll, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask),
          (epoll, events, most, timeout, mask))

namespace {

// Has the event of what is possible now come once more.
void tell_again(int fd) {
  if (!known(fd)) return;
  const std::lock_guard lock(registrations_lock);
  Registration& registration = registrations()[static_cast<std::size_t>(fd)];
  if (registration.epoll >= 0) {
    __real_epoll_ctl(registration.epoll, EPOLL_CTL_MOD, fd, &registration.event);
  }
}

// A call that moves up to so many bytes.
template <class Call>
ssize_t move_bytes(std::size_t name, int fd, std::size_t size, Call call) {
  const int turn = turn_of(name);
  if (turn == kPassed) return call(size);
  if (turn == kShort) {
    const ssize_t result = call(std::min<std::size_t>(size, 1));
    const int error = errno;
    tell_again(fd);
    errno = error;
    return result;
  }
  if (turn == EAGAIN) tell_again(fd);
  return failed(turn);
}

// The same of a message.
template <class Message, class Call>
ssize_t move_message(std::size_t name, int fd, const Message* message, Call call) {
  std::size_t first = 0;
  while (first + 1 < message->msg_iovlen && message->msg_iov[first].iov_len == 0) ++first;
  const std::size_t size = message->msg_iovlen ? message->msg_iov[first].iov_len : 0;
  return move_bytes(name, fd, size, [&](std::size_t part) {
    if (part == size) return call(const_cast<msghdr*>(message));
    msghdr shorter = *message;
    iovec begin{message->msg_iov[first].iov_base, part};
    shorter.msg_iov = &begin;
    shorter.msg_iovlen = 1;
    return call(&shorter);
  });
}

// The same of several buffers.
template <class Call>
ssize_t move_parts(std::size_t name, int fd, const iovec* parts, int count, Call call) {
  const std::size_t size = count > 0 ? parts->iov_len : 0;
  return move_bytes(name, fd, size, [&](std::size_t part) {
    const iovec begin{count > 0 ? parts->iov_base : nullptr, part};
    return part == size ? call(fd, parts, count) : call(fd, &begin, 1);
  });
}

}  // namespace

// ---- Bytes --------------------------------------------------------------------------------------

extern "C" int __real_accept4(int fd, sockaddr* address, socklen_t* size, int flags);
extern "C" int __wrap_accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  return static_cast<int>(move_bytes(index_of("accept4"), fd, 1, [&](std::size_t) {
    return ssize_t{__real_accept4(fd, address, size, flags)};
  }));
}

extern "C" ssize_t __real_recv(int fd, void* data, std::size_t size, int flags);
extern "C" ssize_t __wrap_recv(int fd, void* data, std::size_t size, int flags) {
  return move_bytes(index_of("recv"), fd, size,
                    [&](std::size_t part) { return __real_recv(fd, data, part, flags); });
}

extern "C" ssize_t __real_recvmsg(int fd, msghdr* message, int flags);
extern "C" ssize_t __wrap_recvmsg(int fd, msghdr* message, int flags) {
  return move_message(index_of("recvmsg"), fd, message,
                      [&](msghdr* part) { return __real_recvmsg(fd, part, flags); });
}

extern "C" ssize_t __real_send(int fd, const void* data, std::size_t size, int flags);
extern "C" ssize_t __wrap_send(int fd, const void* data, std::size_t size, int flags) {
  return move_bytes(index_of("send"), fd, size,
                    [&](std::size_t part) { return __real_send(fd, data, part, flags); });
}

extern "C" ssize_t __real_sendto(int fd, const void* data, std::size_t size, int flags,
                                 const sockaddr* address, socklen_t address_size);
extern "C" ssize_t __wrap_sendto(int fd, const void* data, std::size_t size, int flags,
                                 const sockaddr* address, socklen_t address_size) {
  return move_bytes(index_of("sendto"), fd, size, [&](std::size_t part) {
    return __real_sendto(fd, data, part, flags, address, address_size);
  });
}

extern "C" ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
extern "C" ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  return move_message(index_of("sendmsg"), fd, message,
                      [&](const msghdr* part) { return __real_sendmsg(fd, part, flags); });
}

extern "C" ssize_t __real_sendfile(int to, int from, off_t* offset, std::size_t size);
extern "C" ssize_t __wrap_sendfile(int to, int from, off_t* offset, std::size_t size) {
  return move_bytes(index_of("sendfile"), to, size,
                    [&](std::size_t part) { return __real_sendfile(to, from, offset, part); });
}

extern "C" ssize_t __real_read(int fd, void* data, std::size_t size);
extern "C" ssize_t __wrap_read(int fd, void* data, std::size_t size) {
  const bool signals = known(fd) && is_signalfd[fd];
  return move_bytes(signals ? index_of("read_signal") : index_of("read"), fd, size,
                    [&](std::size_t part) { return __real_read(fd, data, part); });
}

extern "C" ssize_t __real_pread(int fd, void* data, std::size_t size, off_t offset);
extern "C" ssize_t __wrap_pread(int fd, void* data, std::size_t size, off_t offset) {
  return move_bytes(index_of("pread"), fd, size,
                    [&](std::size_t part) { return __real_pread(fd, data, part, offset); });
}

extern "C" ssize_t __real_write(int fd, const void* data, std::size_t size);
extern "C" ssize_t __wrap_write(int fd, const void* data, std::size_t size) {
  return move_bytes(index_of("write"), fd, size,
                    [&](std::size_t part) { return __real_write(fd, data, part); });
}

extern "C" ssize_t __real_pwrite(int fd, const void* data, std::size_t size, off_t offset);
extern "C" ssize_t __wrap_pwrite(int fd, const void* data, std::size_t size, off_t offset) {
  return move_bytes(index_of("pwrite"), fd, size,
                    [&](std::size_t part) { return __real_pwrite(fd, data, part, offset); });
}

// ---- Memory -------------------------------------------------------------------------------------

WEFT_SEAM(int, madvise, (void* memory, std::size_t size, int advice), (memory, size, advice))
WEFT_SEAM(int, mprotect, (void* memory, std::size_t size, int rights), (memory, size, rights))

extern "C" void* __real_mmap(void* at, std::size_t size, int rights, int flags, int fd, off_t from);
extern "C" void* __wrap_mmap(void* at, std::size_t size, int rights, int flags, int fd,
                             off_t from) {
  // A stack for signals is one that weft can do without.
  const std::size_t call = flags & MAP_STACK ? index_of("mmap_stack") : index_of("mmap");
  if (const int error = turn_of(call)) {
    errno = error;
    return MAP_FAILED;
  }
  void* const memory = __real_mmap(at, size, rights, flags, fd, from);
  if (memory != MAP_FAILED) mapped += static_cast<long>(size);
  return memory;
}

extern "C" int __real_munmap(void* memory, std::size_t size);
extern "C" int __wrap_munmap(void* memory, std::size_t size) {
  const int result = __real_munmap(memory, size);
  if (result == 0) mapped -= static_cast<long>(size);
  return result;
}

// ---- Processes ----------------------------------------------------------------------------------

WEFT_SEAM(int, kill, (pid_t pid, int signal), (pid, signal))
WEFT_SEAM(int, pipe2, (int ends[2], int flags), (ends, flags))

// A short one gives no pidfd, as a kernel that does not know the flag.
extern "C" int __real_clone(int (*run)(void*), void* stack, int flags, void* argument, ...);
extern "C" int __wrap_clone(int (*run)(void*), void* stack, int flags, void* argument, void* pidfd,
                            void* tls, void* child) {
  const int turn = turn_of(index_of("clone"));
  if (turn == kShort) flags &= ~CLONE_PIDFD;
  if (turn > 0) return failed(turn);
  return __real_clone(run, stack, flags, argument, pidfd, tls, child);
}

// Only one that waits can be disturbed.
extern "C" int __real_waitid(idtype_t type, id_t id, siginfo_t* info, int options);
extern "C" int __wrap_waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  const int error = options & WNOHANG ? 0 : turn_of(index_of("waitid"));
  if (error) return failed(error);
  return __real_waitid(type, id, info, options);
}

extern "C" ssize_t __real_readv(int fd, const iovec* parts, int count);
extern "C" ssize_t __wrap_readv(int fd, const iovec* parts, int count) {
  return move_parts(index_of("readv"), fd, parts, count, __real_readv);
}

extern "C" ssize_t __real_writev(int fd, const iovec* parts, int count);
extern "C" ssize_t __wrap_writev(int fd, const iovec* parts, int count) {
  return move_parts(index_of("writev"), fd, parts, count, __real_writev);
}

namespace {

// The call, or one that is never armed.
std::size_t call_of(long number, long b) {
  switch (number) {
    case SYS_futex:  // only a thread that sleeps can be disturbed
      return (b & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET ? index_of("syscall") : SIZE_MAX;
    case SYS_chdir:
      return index_of("child_chdir");
    case SYS_close_range:
      return index_of("close_range");
    case SYS_dup3:
      return index_of("child_dup3");
    case SYS_execve:
      return index_of("child_execve");
    case SYS_fcntl:
      return index_of("child_fcntl");
    case SYS_getdents64:
      return index_of("child_getdents64");
    case SYS_openat:
      return index_of("child_openat");
    case SYS_pidfd_open:
      return index_of("pidfd_open");
    case SYS_setpgid:
      return index_of("child_setpgid");
    default:
      return SIZE_MAX;
  }
}

}  // namespace

extern "C" long __real_syscall(long number, ...);
extern "C" long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
  const std::size_t call = call_of(number, b);
  if (const int error = call == SIZE_MAX ? 0 : turn_of(call)) return failed(error);
  return __real_syscall(number, a, b, c, d, e, f);
}

// ---- Threads, names -----------------------------------------------------------------------------

// std::thread calls pthread_create in libstdc++, where the linker does not reach, and throws what
// that returns. This stands in for both. The second argument is a pointer to what owns the thread's
// function: it is passed by reference, as all that is not trivial.
#define WEFT_START_THREAD(prefix) \
  prefix##_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE

extern "C" void WEFT_START_THREAD(__real_)(void* self, void* function, void (*depend)());
extern "C" void WEFT_START_THREAD(__wrap_)(void* self, void* function, void (*depend)()) {
  if (const int error = turn_of(index_of("pthread_create"))) {
    throw std::system_error(error, std::generic_category());
  }
  WEFT_START_THREAD(__real_)(self, function, depend);
}

extern "C" int __real_getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                                  addrinfo** list);
extern "C" int __wrap_getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                                  addrinfo** list) {
  if (const int error = turn_of(index_of("getaddrinfo"))) {
    errno = error;
    return EAI_SYSTEM;
  }
  return __real_getaddrinfo(host, service, hints, list);
}
