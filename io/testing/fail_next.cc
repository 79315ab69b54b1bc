#include "weft/io/testing/fail_next.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>

#include "weft/fiber/core/error.h"

namespace weft::internal {

// A function of libc, or of a sanitizer before it, which this program calls by way of this file.
// All arguments of these functions are in registers, whatever their types are, and so is the
// result: they are passed on as they come.
//
// Threads: any. Safe in a handler for signals.
struct FaultyCall {
  using Function = long(long, long, long, long, long, long);

  explicit FaultyCall(const char* its_name)
      : name(its_name), function(reinterpret_cast<Function*>(dlsym(RTLD_NEXT, its_name))) {
    if (!function) fail_misuse("weft::testing::fail_next needs a program with a dynamic libc");
  }

  long operator()(long a, long b, long c, long d, long e, long f) {
    // Acquire: pairs with the release of fail_next(), and sees the options.
    const int failure = error.load(std::memory_order_acquire);
    // Relaxed, here and below: a test learns by other means which calls have been made. The number
    // of an earlier call minus `first` is far above `count`.
    if (failure == 0 ||
        calls.fetch_add(1, std::memory_order_relaxed) + 1 - options.first >= options.count)
      return function(a, b, c, d, e, f);
    if (name == "getaddrinfo") return failure;
    errno = failure;
    return -1;
  }

  const std::string_view name;
  Function* const function;
  testing::FaultOptions options;
  std::atomic<int> error{0};  // 0: no fault
  std::atomic<unsigned> calls{0};
};

namespace {

#define WEFT_FOR_EACH_CALL(what)                                                                  \
  what(accept4) what(bind) what(connect) what(epoll_create1) what(epoll_ctl) what(eventfd)        \
      what(fsync) what(getaddrinfo) what(getpeername) what(getsockname) what(getsockopt)          \
          what(listen) what(lseek) what(open) what(pread) what(pwrite) what(read) what(recv)      \
              what(recvmsg) what(send) what(sendfile) what(sendmsg) what(sendto) what(setsockopt) \
                  what(shutdown) what(socket) what(socketpair) what(write)

// Each stands in for the function of libc whose name it has in the linker's table. Made when it is
// first called: by another file's variable before main(), maybe.
#define WEFT_DEFINE_CALL(name)                                                           \
  FaultyCall& name##_call() {                                                            \
    static FaultyCall call(#name);                                                       \
    return call;                                                                         \
  }                                                                                      \
  extern "C" long weft_faulty_##name(long, long, long, long, long, long) __asm__(#name); \
  extern "C" long weft_faulty_##name(long a, long b, long c, long d, long e, long f) {   \
    return name##_call()(a, b, c, d, e, f);                                              \
  }
WEFT_FOR_EACH_CALL(WEFT_DEFINE_CALL)

// At the start: in a handler for signals it would be too late to look for them.
#define WEFT_ADDRESS_OF_CALL(name) &name##_call(),
FaultyCall* const all_calls[] = {WEFT_FOR_EACH_CALL(WEFT_ADDRESS_OF_CALL)};

FaultyCall& call_of(std::string_view name) {
  for (FaultyCall* call : all_calls) {
    if (call->name == name) return *call;
  }
  throw_invalid_argument("weft::testing::fail_next: unknown: ", std::string(name).c_str());
}

}  // namespace
}  // namespace weft::internal

namespace weft::testing {

Fault fail_next(std::string_view name, int error, FaultOptions options) {
  internal::FaultyCall& call = internal::call_of(name);
  if (error == 0 || error == EAGAIN || options.first == 0 || options.count == 0) {
    internal::throw_invalid_argument("weft::testing::fail_next: no such fault: ", call.name.data());
  }
  if (call.error.load(std::memory_order_relaxed) != 0) {
    internal::throw_logic_error("weft::testing::fail_next: there is one already: ",
                                call.name.data());
  }
  call.options = options;
  call.calls.store(0, std::memory_order_relaxed);
  call.error.store(error, std::memory_order_release);
  return Fault(call);
}

Fault::~Fault() { call_.error.store(0, std::memory_order_relaxed); }
unsigned Fault::calls() const noexcept { return call_.calls.load(std::memory_order_relaxed); }
unsigned Fault::failed() const noexcept {
  return std::min(calls() - std::min(calls(), call_.options.first - 1), call_.options.count);
}

}  // namespace weft::testing
