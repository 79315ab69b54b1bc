#ifndef WEFT_TESTS_SUPPORT_TCP_PAIR_H_
#define WEFT_TESTS_SUPPORT_TCP_PAIR_H_

#include <sys/socket.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "tests/support/check.h"
#include "tests/support/fixture.h"

namespace weft::test {

// `size` bytes in which each place can be told from its neighbours.
inline std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  return text;
}

// A connection within this process, both ends of it.
struct TcpPair {
  explicit TcpPair(const char* address = "127.0.0.1:0") {
    TcpListener listener(address);
    client = TcpStream::connect(listener.local_address());
    server = listener.accept();
  }

  TcpStream client;
  TcpStream server;
};

// Closes it as a process that dies with unread data does: the other side sees a reset.
inline void reset(TcpStream& stream) {
  const linger at_once{1, 0};
  setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  stream.close();
}

// Keeps what is on its way small, so that a writer soon has to wait.
inline void shrink_buffers(TcpPair& pair) {
  const int size = 64 * 1024;
  setsockopt(pair.server.native_handle(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  setsockopt(pair.client.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

// The error that f() throws; none if it does not. Its text has to name `object`.
template <class F>
std::error_code error_of(F f, const std::string& object = "") {
  try {
    f();
  } catch (const std::system_error& error) {
    const std::string what = error.what();
    BOOST_TEST(what.starts_with("weft: "), what);
    BOOST_TEST(what.find(object) != std::string::npos, what << " does not name " << object);
    return error.code();
  }
  return {};
}

// Lets others run until a task waits in this call.
template <class T>
void wait_until_blocked(const Task<T>& task, std::string_view call) {
  const bool blocked = eventually([&] {
    for (const TaskInfo& info : all_tasks()) {
      if (info.id == task.id() && info.waiting_for == call) return true;
    }
    return false;
  });
  BOOST_TEST_REQUIRE(blocked, "no task waits in " << call);
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_TCP_PAIR_H_
