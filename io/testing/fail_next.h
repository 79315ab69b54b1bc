#ifndef WEFT_IO_TESTING_FAIL_NEXT_H_
#define WEFT_IO_TESTING_FAIL_NEXT_H_

#include <string_view>

namespace weft::internal {
struct FaultyCall;
}

namespace weft::testing {

struct FaultOptions {
  unsigned first = 1;  // the number of the call that fails first, counted from now on
  unsigned count = 1;  // how many fail in a row
};

// A failure that fail_next() has ordered. Its destructor withdraws it.
class [[nodiscard]] Fault {
 public:
  explicit Fault(internal::FaultyCall& call) noexcept : call_(call) {}
  ~Fault();
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

  unsigned calls() const noexcept;   // how many there were, of any thread
  unsigned failed() const noexcept;  // how many of them have failed

 private:
  internal::FaultyCall& call_;
};

// Makes the next call of a function of the system fail with `error`, as errno has it. The system
// does not get that call.
//
//   const auto fault = weft::testing::fail_next("recv", ECONNRESET);
//   BOOST_CHECK_THROW(client.ask("How are you?"), std::system_error);
//   BOOST_TEST(fault.failed() == 1);
//
// Known are accept4, bind, connect, epoll_create1, epoll_ctl, eventfd, fsync, getaddrinfo (with
// errors of its own, such as EAI_AGAIN), getpeername, getsockname, getsockopt, listen, lseek, open,
// pread, pwrite, read, recv, recvmsg, send, sendfile, sendmsg, sendto, setsockopt, shutdown,
// socket, socketpair and write. Calls of the whole program count: those of weft, of
// its user, and of libraries, on any thread. In a program that calls fail_next(), functions of
// these names come before those of libc, and pass calls on. So libc has to be linked dynamically,
// and the program must not define such functions itself.
//
// Does not wait. Throws std::invalid_argument for another function, a zero, and EAGAIN, after which
// the kernel would have to report when to try again; for short reads see stream_pair(). Throws
// std::logic_error if there is a fault of that function already. Threads: one at a time.
Fault fail_next(std::string_view call, int error, FaultOptions options = {});

}  // namespace weft::testing

#endif  // WEFT_IO_TESTING_FAIL_NEXT_H_
