#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/unix_socket.h"

BOOST_AUTO_TEST_SUITE(unix_datagram)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string receive(UnixDatagram& socket) {
  std::string text(100, '?');
  text.resize(socket.receive(text));
  return text;
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

WEFT_REAL_TIME_TEST_CASE(a_datagram_comes_with_the_path_of_its_sender_which_can_be_answered) {
  const TemporaryDirectory folder;
  UnixDatagram server(folder / "server"), client(folder / "client"), nameless("");
  BOOST_TEST(server.path() == folder / "server");
  BOOST_TEST(nameless.path().starts_with("@"));
  for (UnixDatagram* sender : {&client, &nameless}) {
    sender->send_to("question", server.path());
    char text[100];
    const auto [size, from, truncated] = server.receive_from(text);
    BOOST_TEST(std::string_view(text, size) == "question");
    BOOST_TEST(from == sender->path());
    BOOST_TEST(!truncated);
    server.send_to("answer", from);
    BOOST_TEST(receive(*sender) == "answer");
  }
}

BOOST_AUTO_TEST_CASE(a_pair_is_connected_and_needs_no_fiber) {
  auto [one, other] = UnixDatagram::pair();
  one.send("there");
  one.send("");
  BOOST_TEST(receive(other) == "there");
  char text[10];
  const auto received = other.receive_from(text);
  BOOST_TEST(received.size == 0u);
  BOOST_TEST(received.from == "");
  BOOST_TEST(one.path() == "");
  other.send("back");
  BOOST_TEST(receive(one) == "back");
}

WEFT_REAL_TIME_TEST_CASE(a_connected_socket_sends_to_its_peer) {
  const TemporaryDirectory folder;
  UnixDatagram server(folder / "server"), other(folder / "other"), client("");
  BOOST_CHECK_THROW(client.send("nobody's"), std::system_error);
  client.connect(server.path());
  client.send("one");
  BOOST_TEST(receive(server) == "one");
  client.connect(other.path());
  client.send("two");
  BOOST_TEST(receive(other) == "two");
}

WEFT_REAL_TIME_TEST_CASE(what_does_not_fit_is_an_error_or_said_to_be_cut) {
  auto [one, other] = UnixDatagram::pair();
  for (int i = 0; i < 3; ++i) one.send("12345");
  char text[4];
  std::error_code error;
  BOOST_TEST(other.receive(text, error) == 0u);
  BOOST_TEST((error == std::errc::message_size));
  BOOST_CHECK_EXCEPTION(other.receive(text), std::system_error,
                        is(std::errc::message_size, "receive on"));
  const auto received = other.receive_from(text);
  BOOST_TEST(received.truncated);
  BOOST_TEST(received.size == 4u);
}

// Nothing is lost, whether the sender is connected, and then woken, or not.
WEFT_REAL_TIME_TEST_CASE(a_full_receiver_makes_senders_wait) {
  constexpr int kCount = 500;
  for (const bool connected : {false, true}) {
    const TemporaryDirectory folder;
    UnixDatagram server(folder / "server"), client("");
    if (connected) client.connect(server.path());
    int sent = 0;
    auto sender = spawn([&] {
      for (; sent < kCount; ++sent) {
        const std::string text = std::to_string(sent);
        connected ? client.send(text) : client.send_to(text, server.path());
      }
    });
    sleep_for(5ms);
    BOOST_TEST(sent < kCount);  // it waits
    for (int i = 0; i < kCount; ++i) BOOST_TEST(receive(server) == std::to_string(i));
    sender.get();
  }
}

WEFT_REAL_TIME_TEST_CASE(a_sender_that_waits_can_be_cancelled_and_closed) {
  const TemporaryDirectory folder;
  UnixDatagram server(folder / "server");
  const auto fill = [&](UnixDatagram& client) {
    for (;;) client.send_to("text", server.path());
  };
  UnixDatagram client("");
  BOOST_CHECK_THROW(with_timeout(10ms, [&] { fill(client); }), TimeoutError);
  auto sender = spawn([&] { fill(client); }, {.eager = true});
  sleep_for(3ms);
  client.close();
  BOOST_CHECK_EXCEPTION(sender.get(), std::system_error,
                        is(std::errc::operation_canceled, "send_to " + server.path()));
}

WEFT_REAL_TIME_TEST_CASE(a_close_wakes_receivers) {
  auto pair = UnixDatagram::pair();
  auto waiter = spawn([&] { receive(pair.first); }, {.eager = true});
  pair.first.close();
  BOOST_CHECK_EXCEPTION(waiter.get(), std::system_error,
                        is(std::errc::operation_canceled, "receive on"));
  BOOST_CHECK_EXCEPTION(pair.first.send("x"), std::system_error,
                        is(std::errc::bad_file_descriptor, "send on"));
  BOOST_CHECK_EXCEPTION(pair.first.path(), std::system_error,
                        is(std::errc::bad_file_descriptor, "path"));
}

BOOST_AUTO_TEST_CASE(the_file_goes_with_the_socket_and_a_stale_one_is_replaced) {
  const TemporaryDirectory folder;
  const std::string path = folder / "socket";
  {
    UnixDatagram socket(path);
    BOOST_TEST(exists(path));
    BOOST_CHECK_EXCEPTION(UnixDatagram{path}, std::system_error,
                          is(std::errc::address_in_use, "bind to " + path));
    // In a child it is the parent's.
    BOOST_TEST(run_in_child([&] { return socket.close(), 0; }).exit_code == 0);
    BOOST_TEST(exists(path));
    UnixDatagram moved = std::move(socket);
    BOOST_TEST(exists(path));
  }
  BOOST_TEST(!exists(path));
  const int fd = UnixDatagram(path).release();
  close(fd);
  BOOST_TEST(exists(path));  // it stays, stale
  UnixDatagram successor(path);
  successor.send_to("x", path);
  BOOST_TEST(receive(successor) == "x");
}

WEFT_REAL_TIME_TEST_CASE(an_error_names_the_path) {
  const TemporaryDirectory folder;
  UnixDatagram client("");
  const std::string missing = folder / "missing";
  BOOST_CHECK_EXCEPTION(client.send_to("x", missing), std::system_error,
                        is(std::errc::no_such_file_or_directory, "send_to " + missing));
  BOOST_CHECK_EXCEPTION(client.connect(missing), std::system_error,
                        is(std::errc::no_such_file_or_directory, "connect to " + missing));
  BOOST_CHECK_EXCEPTION(client.connect(""), std::system_error,
                        is(std::errc::invalid_argument, "connect"));
  BOOST_CHECK_EXCEPTION(UnixDatagram(std::string(108, 'x')), std::system_error,
                        is(std::errc::filename_too_long, "bind"));
  BOOST_CHECK_EXCEPTION(client.send_to(std::string(10'000'000, 'x'), client.path()),
                        std::system_error, is(std::errc::message_size, "send_to"));
}

WEFT_REAL_TIME_TEST_CASE(an_error_code_gets_what_would_be_thrown) {
  const TemporaryDirectory folder;
  UnixDatagram server(folder / "server"), client("");
  std::error_code error = std::make_error_code(std::errc::io_error);
  client.send_to("text", server.path(), error);
  BOOST_TEST(!error);
  char text[4];
  error = std::make_error_code(std::errc::io_error);
  BOOST_TEST(server.receive_from(text, error).from == client.path());
  BOOST_TEST(!error);
  client.send_to("text", folder / "missing", error);
  BOOST_TEST((error == std::errc::no_such_file_or_directory));
  client.send("text", error);
  BOOST_TEST((error == std::errc::not_connected));
  BOOST_CHECK_THROW(client.send_to("text", "", error), std::system_error);  // no path
  auto waiting = spawn([&] { return client.receive_from(text, error); }, {.eager = true});
  client.close();
  const auto nothing = waiting.get();
  BOOST_TEST((error == std::errc::operation_canceled));
  BOOST_TEST(nothing.size == 0u);
  BOOST_TEST(nothing.from == "");
  BOOST_TEST(client.receive_from(text, error).from == "");
  BOOST_TEST((error == std::errc::bad_file_descriptor));
}

// The wait for room, too.
WEFT_REAL_TIME_TEST_CASE(an_error_code_gets_a_close_while_the_receiver_is_full) {
  const TemporaryDirectory folder;
  UnixDatagram server(folder / "server"), client("");
  auto sender = spawn(
      [&] {
        std::error_code error;
        while (!error) client.send_to("text", server.path(), error);
        return error;
      },
      {.eager = true});
  sleep_for(3ms);
  client.close();
  BOOST_TEST((sender.get() == std::errc::operation_canceled));
}

BOOST_AUTO_TEST_SUITE_END()
