// Descriptors that are there: taken over from the program, and given back to it.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(adopt)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

bool is_blocking(int fd) { return (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0; }
void make_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }
bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

// Both ends of a connection, as another library would have them.
template <class Stream>
std::pair<Fd, Fd> given(Stream& first, Stream& second) {
  std::pair<Fd, Fd> ends{Fd(first.release()), Fd(second.release())};
  make_blocking(ends.first.get());
  make_blocking(ends.second.get());
  return ends;
}

template <class Stream>
void check_that_they_talk(Stream& client, Stream& server) {
  auto echo = spawn([&] {
    char text[8];
    server.read_exactly(MutableBuffer(text, 4));
    server.write_all(ConstBuffer(text, 4));
  });
  sleep_for(1ms);
  client.write_all("ping");
  char text[4];
  client.read_exactly(text);
  BOOST_TEST(std::string(text, 4) == "ping");
  echo.get();
}

// What adopt() refuses stays as it was.
template <class Socket>
void check_refused(int fd, std::errc code) {
  const bool blocking = is_blocking(fd);
  BOOST_CHECK_EXCEPTION(Socket::adopt(fd), std::system_error,
                        is(code, "adopt of descriptor " + std::to_string(fd)));
  BOOST_TEST((fd < 0 || is_open(fd)));
  BOOST_TEST(is_blocking(fd) == blocking);
}

// A blocking socket of the system's.
Fd new_blocking(int family, int type) { return Fd(::socket(family, type | SOCK_CLOEXEC, 0)); }

}  // namespace

// ---- Adopting -----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(an_adopted_tcp_connection_is_as_one_of_wefts) {
  TcpPair pair;
  const Address client = pair.client.local_address(), server = pair.server.local_address();
  auto [first, second] = given(pair.client, pair.server);
  TcpStream one = TcpStream::adopt(first.release()), other = TcpStream::adopt(second.release());
  BOOST_TEST(!is_blocking(one.native_handle()));
  BOOST_TEST((one.peer_address() == server));
  BOOST_TEST((other.peer_address() == client));
  check_that_they_talk(one, other);
}

WEFT_REAL_TIME_TEST_CASE(an_adopted_tcp_listener_accepts) {
  TcpListener original("127.0.0.1:0");
  const Address place = original.local_address();
  const int fd = original.release();
  make_blocking(fd);
  TcpListener listener = TcpListener::adopt(fd);
  BOOST_TEST(listener.native_handle() == fd);
  BOOST_TEST((listener.local_address() == place));
  auto accepting = spawn([&] { return listener.accept(); }, {.eager = true});
  TcpStream client = TcpStream::connect(place);
  TcpStream server = accepting.get();
  check_that_they_talk(client, server);
  auto waiting = spawn([&] { listener.accept(); }, {.eager = true});
  listener.close();
  BOOST_CHECK_EXCEPTION(waiting.get(), std::system_error,
                        is(std::errc::operation_canceled, "accept on " + place.to_string()));
}

WEFT_REAL_TIME_TEST_CASE(adopted_unix_sockets_work_and_their_file_stays) {
  const TemporaryDirectory folder;
  const std::string path = folder / "socket";
  {
    UnixListener original(path);
    const int fd = original.release();
    BOOST_TEST(!original.is_open());
    make_blocking(fd);
    UnixListener listener = UnixListener::adopt(fd);
    BOOST_TEST(listener.path() == path);
    auto accepting = spawn([&] { return listener.accept(); }, {.eager = true});
    UnixStream client = UnixStream::connect(path);
    UnixStream server = accepting.get();
    auto [first, second] = given(client, server);
    UnixStream one = UnixStream::adopt(first.release()),
               other = UnixStream::adopt(second.release());
    check_that_they_talk(one, other);
    other.close();
    BOOST_CHECK_EXCEPTION(one.write_all("x"), std::system_error, is(std::errc::broken_pipe, path));
  }
  BOOST_TEST(access(path.c_str(), F_OK) == 0);
}

WEFT_REAL_TIME_TEST_CASE(adopted_datagram_sockets_send_and_receive) {
  for (const char* place : {"127.0.0.1:0", "[::1]:0"}) {
    UdpSocket original(place);
    const Address address = original.local_address();
    const int fd = original.release();
    make_blocking(fd);
    UdpSocket socket = UdpSocket::adopt(fd);
    BOOST_TEST((socket.local_address() == address));
    UdpSocket other(place);
    auto receiving = spawn(
        [&] {
          char text[4];
          return socket.receive_from(text).size;
        },
        {.eager = true});
    other.send_to("text", address);
    BOOST_TEST(receiving.get() == 4u);
    socket.send_to("answer", other.local_address());
  }
  auto [one, other] = UnixDatagram::pair();
  const int fd = one.release();
  make_blocking(fd);
  UnixDatagram adopted = UnixDatagram::adopt(fd);
  adopted.send("text");
  char text[4];
  BOOST_TEST(other.receive(text) == 4u);
}

BOOST_AUTO_TEST_CASE(adopting_needs_no_fiber) {
  auto [one, other] = UnixStream::pair();
  UnixStream adopted = UnixStream::adopt(one.release());
  adopted.write_all("x");
  char byte;
  BOOST_TEST(other.read_some(MutableBuffer(&byte, 1)) == 1u);
}

WEFT_REAL_TIME_TEST_CASE(options_of_an_adopted_socket_stay_as_they_are) {
  TcpPair pair;
  pair.client.set_nodelay(false);
  TcpStream adopted = TcpStream::adopt(pair.client.release());
  int nodelay = -1;
  socklen_t size = sizeof(nodelay);
  getsockopt(adopted.native_handle(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &nodelay, &size);
  BOOST_TEST(nodelay == 0);
}

WEFT_REAL_TIME_TEST_CASE(each_kind_of_descriptor_is_made_non_blocking) {
  const auto check = []<class Socket>(Socket socket) {
    const int fd = socket.release();
    make_blocking(fd);
    const Socket adopted = Socket::adopt(fd);
    BOOST_TEST(adopted.native_handle() == fd);
    BOOST_TEST(!is_blocking(fd));
  };
  const TemporaryDirectory folder;
  TcpPair pair;
  check(std::move(pair.client));
  check(TcpListener("127.0.0.1:0"));
  check(UdpSocket("127.0.0.1:0"));
  auto ends = UnixStream::pair();
  check(std::move(ends.first));
  check(UnixListener(folder / "listener"));
  check(UnixDatagram(folder / "datagrams"));
}

// ---- What is refused ----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(what_is_no_socket_is_refused) {
  const Fd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const Fd gone(dup(file.get()));
  const int closed = 9999;
  const auto check = [&]<class Socket>() {
    check_refused<Socket>(file.get(), std::errc::not_a_socket);
    BOOST_CHECK_EXCEPTION(Socket::adopt(-1), std::system_error,
                          is(std::errc::bad_file_descriptor, "adopt of descriptor -1"));
    BOOST_CHECK_EXCEPTION(Socket::adopt(closed), std::system_error,
                          is(std::errc::bad_file_descriptor, "adopt of descriptor 9999"));
  };
  check.operator()<TcpStream>();
  check.operator()<TcpListener>();
  check.operator()<UdpSocket>();
  check.operator()<UnixStream>();
  check.operator()<UnixListener>();
  check.operator()<UnixDatagram>();
}

BOOST_AUTO_TEST_CASE(a_socket_of_another_family_is_refused) {
  const Fd v4 = new_blocking(AF_INET, SOCK_STREAM),
           v4_datagrams = new_blocking(AF_INET, SOCK_DGRAM);
  const Fd local = new_blocking(AF_UNIX, SOCK_STREAM),
           datagrams = new_blocking(AF_UNIX, SOCK_DGRAM);
  constexpr auto kOther = std::errc::address_family_not_supported;
  check_refused<TcpStream>(local.get(), kOther);
  check_refused<TcpListener>(local.get(), kOther);
  check_refused<UdpSocket>(datagrams.get(), kOther);
  check_refused<UnixStream>(v4.get(), kOther);
  check_refused<UnixListener>(v4.get(), kOther);
  check_refused<UnixDatagram>(v4_datagrams.get(), kOther);
}

BOOST_AUTO_TEST_CASE(a_socket_of_another_type_is_refused) {
  const Fd tcp = new_blocking(AF_INET, SOCK_STREAM), udp = new_blocking(AF_INET6, SOCK_DGRAM);
  const Fd local = new_blocking(AF_UNIX, SOCK_STREAM),
           packets = new_blocking(AF_UNIX, SOCK_SEQPACKET);
  constexpr auto kOther = std::errc::wrong_protocol_type;
  check_refused<TcpStream>(udp.get(), kOther);
  check_refused<TcpListener>(udp.get(), kOther);
  check_refused<UdpSocket>(tcp.get(), kOther);
  check_refused<UnixStream>(packets.get(), kOther);
  check_refused<UnixListener>(packets.get(), kOther);
  check_refused<UnixDatagram>(local.get(), kOther);
}

BOOST_AUTO_TEST_CASE(a_stream_is_connected_and_a_listener_listens) {
  for (const int family : {AF_INET, AF_UNIX}) {
    const Fd idle = new_blocking(family, SOCK_STREAM),
             listening = new_blocking(family, SOCK_STREAM);
    if (family == AF_UNIX) {
      const sockaddr any{AF_UNIX, {}};
      BOOST_REQUIRE(bind(listening.get(), &any, sizeof(sa_family_t)) == 0);
    }
    BOOST_REQUIRE(listen(listening.get(), 1) == 0);
    if (family == AF_INET) {
      check_refused<TcpStream>(idle.get(), std::errc::not_connected);
      check_refused<TcpStream>(listening.get(), std::errc::invalid_argument);
      check_refused<TcpListener>(idle.get(), std::errc::invalid_argument);
    } else {
      check_refused<UnixStream>(idle.get(), std::errc::not_connected);
      check_refused<UnixStream>(listening.get(), std::errc::invalid_argument);
      check_refused<UnixListener>(idle.get(), std::errc::invalid_argument);
    }
  }
}

// Whether it has ever waited, or been registered, or moved.
WEFT_REAL_TIME_TEST_CASE(what_weft_has_already_is_refused_until_it_is_given_back) {
  constexpr auto kBusy = std::errc::device_or_resource_busy;
  TcpListener listener("127.0.0.1:0");
  check_refused<TcpListener>(listener.native_handle(), kBusy);
  check_refused<UdpSocket>(listener.native_handle(), kBusy);
  TcpPair pair;
  TcpStream moved = std::move(pair.client);
  check_refused<TcpStream>(moved.native_handle(), kBusy);
  check_refused<TcpStream>(pair.server.native_handle(), kBusy);
  UdpSocket udp("127.0.0.1:0");
  check_refused<UdpSocket>(udp.native_handle(), kBusy);

  const int fd = moved.release();
  TcpStream again = TcpStream::adopt(fd);
  check_refused<TcpStream>(fd, kBusy);
  again.close();
  BOOST_CHECK_EXCEPTION(TcpStream::adopt(fd), std::system_error,
                        is(std::errc::bad_file_descriptor, "adopt"));
}

// ---- What has been moved from -------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_socket_that_was_moved_from_is_closed_and_its_calls_name_themselves) {
  const auto check = [](auto socket, const char* call, auto use) {
    const int fd = socket.native_handle();
    auto moved = std::move(socket);
    BOOST_TEST(moved.native_handle() == fd);
    BOOST_TEST(!socket.is_open());
    BOOST_TEST(socket.native_handle() == -1);
    BOOST_TEST(socket.release() == -1);
    socket.close();
    BOOST_CHECK_EXCEPTION(use(socket), std::system_error, is(std::errc::bad_file_descriptor, call));
    BOOST_TEST(is_open(fd));
  };
  const TemporaryDirectory folder;
  char text[4];
  const auto read = [&](auto& stream) { stream.read_some(text); };
  const auto accept = [](auto& listener) { listener.accept(); };
  const auto receive = [&](auto& socket) { socket.receive_from(text); };
  TcpPair pair;
  check(std::move(pair.client), "read from 127.0.0.1", read);
  check(TcpListener("127.0.0.1:0"), "accept on", accept);
  check(UdpSocket("127.0.0.1:0"), "receive_from on", receive);
  auto ends = UnixStream::pair();
  check(std::move(ends.first), "read from", read);
  check(UnixListener(folder / "listener"), "accept on", accept);
  check(UnixDatagram(folder / "datagrams"), "receive_from on", receive);
}

// ---- Giving back --------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(what_is_given_back_is_open_and_non_blocking_and_unknown_to_weft) {
  TcpPair pair;
  check_that_they_talk(pair.client, pair.server);  // it has waited, and is registered
  pair.server.write_all("rest");
  const Fd mine(pair.client.release());
  BOOST_TEST(is_open(mine.get()));
  BOOST_TEST(!is_blocking(mine.get()));
  BOOST_TEST(!pair.client.is_open());
  BOOST_TEST(pair.client.native_handle() == -1);
  BOOST_TEST(pair.client.release() == -1);
  wait_readable(mine.get());  // as of any descriptor of the program's
  char text[8];
  BOOST_TEST(recv(mine.get(), text, sizeof(text), 0) == 4);
  BOOST_CHECK_EXCEPTION(pair.client.write_all("x"), std::system_error,
                        is(std::errc::bad_file_descriptor, "write to"));
}

WEFT_REAL_TIME_TEST_CASE(giving_it_back_wakes_what_waits) {
  const auto canceled = is(std::errc::operation_canceled);
  TcpPair pair;
  auto reader = spawn(
      [&] {
        char c;
        pair.client.read_some(MutableBuffer(&c, 1));
      },
      {.eager = true});
  const Fd connection(pair.client.release());
  BOOST_CHECK_EXCEPTION(reader.get(), std::system_error, canceled);

  TcpListener listener("127.0.0.1:0");
  auto acceptor = spawn([&] { listener.accept(); }, {.eager = true});
  const Fd listening(listener.release());
  BOOST_CHECK_EXCEPTION(acceptor.get(), std::system_error, canceled);

  UdpSocket udp("127.0.0.1:0");
  char text[4];
  auto receiver = spawn([&] { udp.receive_from(text); }, {.eager = true});
  const Fd datagrams(udp.release());
  BOOST_CHECK_EXCEPTION(receiver.get(), std::system_error, canceled);
}

// An event comes, and before its fiber runs the descriptor is given back: nothing is taken from it.
// Which of the two it is depends on whether the thief lets others run once it has its byte.
WEFT_REAL_TIME_TEST_CASE(what_arrives_as_it_is_given_back_is_the_readers_or_the_new_owners) {
  auto ends = UnixStream::pair();
  auto waker = UnixStream::pair();
  std::size_t read = 0;
  bool canceled = false;
  Fd mine;
  auto thief = spawn(
      [&] {
        char byte;
        waker.first.read_some(MutableBuffer(&byte, 1));
        mine = Fd(ends.first.release());
      },
      {.eager = true});
  auto reader = spawn(
      [&] {
        char text[4];
        try {
          read = ends.first.read_some(text);
        } catch (const std::system_error& error) {
          canceled = error.code() == std::errc::operation_canceled;
        }
      },
      {.eager = true});
  waker.second.write_all("x");  // both events come at once
  ends.second.write_all("text");
  thief.get();
  reader.get();
  char text[4];
  const ssize_t left = recv(mine.get(), text, sizeof(text), 0);
  BOOST_TEST((canceled ? read == 0 && left == 4 : read == 4 && left == -1));
}

BOOST_AUTO_TEST_CASE(a_released_socket_goes_on_in_another_scheduler) {
  const auto body = [] {
    TcpPair pair;
    check_that_they_talk(pair.client, pair.server);
    const int fd = pair.client.release();
    auto elsewhere = spawn(
        [fd] {
          TcpStream stream = TcpStream::adopt(fd);
          char byte;
          stream.read_exactly(MutableBuffer(&byte, 1));
          stream.write_all("hello");
        },
        on(1));
    sleep_for(1ms);
    pair.server.write_all("x");
    elsewhere.get();
    char text[5];
    pair.server.read_exactly(text);
    BOOST_TEST(std::string(text, 5) == "hello");
  };
  run_real_time_case(body, {.threads = 2});
}

WEFT_REAL_TIME_TEST_CASE(a_released_listener_loses_no_connection) {
  TcpListener listener("127.0.0.1:0");
  const Address place = listener.local_address();
  TcpStream client = TcpStream::connect(place);  // waits in the backlog
  TcpListener next = TcpListener::adopt(listener.release());
  TcpStream server = next.accept();
  check_that_they_talk(client, server);
}

BOOST_AUTO_TEST_SUITE_END()
