#include "weft/io/udp.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(udp)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kLargest = 65'507;  // of IPv4

struct Datagram {
  std::string text;
  Address from;
  bool truncated = false;
};

Datagram receive(UdpSocket& socket, std::size_t room = 100) {
  std::string text(room, '?');
  const UdpSocket::Received received = socket.receive_from(text);
  text.resize(received.size);
  return {text, received.from, received.truncated};
}

// That address with the socket's port.
Address at(const char* host, const UdpSocket& socket) {
  return Address::parse(host, socket.local_address().port());
}

bool has_ipv6() {
  try {
    UdpSocket("[::1]:0");
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

}  // namespace

// ---- Addresses ----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_datagram_comes_with_its_sender) {
  std::vector<const char*> places = {"127.0.0.1:0"};
  if (has_ipv6()) places.push_back("[::1]:0");
  for (const char* place : places) {
    UdpSocket first(place), second(place);
    BOOST_TEST(first.local_address().port() != 0);
    first.send_to("text", second.local_address());
    first.send_to(std::vector<unsigned char>{65, 0, 66}, second.local_address());
    const Datagram datagram = receive(second);
    BOOST_TEST(datagram.text == "text");
    BOOST_TEST((datagram.from == first.local_address()));
    BOOST_TEST(!datagram.truncated);
    BOOST_TEST(receive(second).text == std::string("A\0B", 3));
    second.send_to("answer", datagram.from);
    BOOST_TEST(receive(first).text == "answer");
  }
}

WEFT_REAL_TIME_TEST_CASE(without_a_host_it_is_there_for_both_families) {
  UdpSocket all(":0"), v4("127.0.0.1:0");
  v4.send_to("four", at("127.0.0.1", all));
  const Datagram datagram = receive(all);
  BOOST_TEST(datagram.text == "four");
  BOOST_TEST(datagram.from.to_string() == v4.local_address().to_string());
  all.send_to("answer", datagram.from);
  BOOST_TEST(receive(v4).text == "answer");
  all.send_to("again", datagram.from.mapped());
  BOOST_TEST(receive(v4).text == "again");
  if (!has_ipv6()) return;
  UdpSocket v6("[::1]:0");
  v6.send_to("six", at("::1", all));
  const Datagram other = receive(all);
  BOOST_TEST(other.text == "six");
  BOOST_TEST((other.from == v6.local_address()));
  all.send_to("answer", other.from);
  BOOST_TEST(receive(v6).text == "answer");
}

// Of whichever family: what it got comes from where it can send to.
WEFT_REAL_TIME_TEST_CASE(every_sender_can_be_answered) {
  if (!has_ipv6()) return;
  for (const Address& every : {Address::parse("[::]:0"), Address::parse(":0")}) {
    UdpSocket all(every), v4("127.0.0.1:0");
    v4.send_to("four", at("127.0.0.1", all));
    Datagram datagram;
    try {
      datagram = with_timeout(100ms, [&] { return receive(all); });
    } catch (const TimeoutError&) {
      continue;  // it is not for IPv4
    }
    std::error_code error;
    all.send_to("answer", datagram.from, error);
    BOOST_TEST(!error, error.message());
  }
}

BOOST_AUTO_TEST_CASE(a_socket_needs_no_fiber_where_it_does_not_wait) {
  UdpSocket first("127.0.0.1:0"), second(Address::parse("127.0.0.1", 0));
  for (int i = 0; i < 100; ++i) {
    first.send_to("text", second.local_address());
    BOOST_TEST(receive(second).text == "text");
  }
  BOOST_CHECK_THROW(receive(second), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_malformed_address_is_refused_by_its_name) {
  for (const char* text : {"", "127.0.0.1", "localhost:80", "127.0.0.1:http", "::1:80", "[::1]"}) {
    BOOST_CHECK_EXCEPTION(UdpSocket{text}, std::system_error,
                          is(std::errc::invalid_argument, "", "\"" + std::string(text) + "\""));
  }
}

BOOST_AUTO_TEST_CASE(an_address_of_others_is_an_error_that_names_it) {
  BOOST_CHECK_EXCEPTION(UdpSocket("192.0.2.1:5"), std::system_error,
                        is(std::errc::address_not_available, "bind", "192.0.2.1:5"));
}

BOOST_AUTO_TEST_CASE(a_port_in_use_is_an_error_that_names_it) {
  const UdpSocket first("127.0.0.1:0");
  const std::string place = first.local_address().to_string();
  const auto in_use = is(std::errc::address_in_use, "bind", place);
  const auto before = test::open_descriptors();
  BOOST_CHECK_EXCEPTION(UdpSocket{place}, std::system_error, in_use);
  BOOST_CHECK_EXCEPTION(UdpSocket{first.local_address()}, std::system_error, in_use);
  BOOST_CHECK_EXCEPTION(UdpSocket(place, {.reuse_port = true}), std::system_error, in_use);
  BOOST_CHECK_THROW(UdpSocket(":" + std::to_string(first.local_address().port())),
                    std::system_error);
  BOOST_TEST(test::open_descriptors() == before);
}

WEFT_REAL_TIME_TEST_CASE(several_sockets_may_share_a_port) {
  std::vector<UdpSocket> sharers;
  sharers.emplace_back("127.0.0.1:0", UdpSocketOptions{.reuse_port = true});
  const Address place = sharers.front().local_address();
  for (int i = 0; i < 3; ++i) sharers.emplace_back(place, UdpSocketOptions{.reuse_port = true});
  constexpr int kSenders = 100;
  int received = 0;
  std::vector<Task<void>> receivers;
  for (UdpSocket& sharer : sharers) {
    receivers.push_back(spawn([&] {
      for (;;) {
        BOOST_TEST(receive(sharer).text == "text");
        ++received;
      }
    }));
  }
  for (int i = 0; i < kSenders; ++i) UdpSocket("127.0.0.1:0").send_to("text", place);
  BOOST_TEST(eventually([&] { return received == kSenders; }));
}

BOOST_AUTO_TEST_CASE(an_address_may_be_used_again_where_both_say_so) {
  const UdpSocket first("127.0.0.1:0", {.reuse_address = true});
  const UdpSocket second(first.local_address(), {.reuse_address = true});
  BOOST_TEST((first.local_address() == second.local_address()));
  BOOST_CHECK_THROW(UdpSocket{first.local_address()}, std::system_error);
}

// ---- Datagrams ----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(what_does_not_fit_is_lost_and_said_to_be) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  for (const char* text : {"12345", "12345", "12345", "next"}) {
    first.send_to(text, second.local_address());
  }
  Datagram datagram = receive(second, 4);
  BOOST_TEST(datagram.text == "1234");
  BOOST_TEST(datagram.truncated);
  BOOST_TEST((datagram.from == first.local_address()));
  datagram = receive(second, 5);
  BOOST_TEST(datagram.text == "12345");
  BOOST_TEST(!datagram.truncated);
  datagram = receive(second, 0);
  BOOST_TEST(datagram.truncated);
  BOOST_TEST(receive(second).text == "next");
}

WEFT_REAL_TIME_TEST_CASE(a_datagram_may_be_empty) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  first.send_to("", second.local_address());
  first.send_to({}, second.local_address());
  first.send_to("text", second.local_address());
  for (const std::size_t room : {10, 0}) {
    const Datagram datagram = receive(second, room);
    BOOST_TEST(datagram.text == "");
    BOOST_TEST(!datagram.truncated);
    BOOST_TEST((datagram.from == first.local_address()));
  }
  BOOST_TEST(receive(second).text == "text");
}

WEFT_REAL_TIME_TEST_CASE(too_large_a_datagram_is_an_error_that_names_the_receiver) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  const std::string largest(kLargest, 'x');
  BOOST_CHECK_EXCEPTION(first.send_to(largest + "x", second.local_address()), std::system_error,
                        is(std::errc::message_size, "send_to", second.local_address().to_string()));
  std::error_code error;
  first.send_to(largest + "x", second.local_address(), error);
  BOOST_TEST((error == std::errc::message_size));
  first.send_to(largest, second.local_address(), error);
  BOOST_TEST(!error, error.message());
  BOOST_TEST((receive(second, 70'000).text == largest));
}

WEFT_REAL_TIME_TEST_CASE(an_address_of_the_other_family_is_an_error) {
  UdpSocket v4("127.0.0.1:0");
  std::error_code error;
  v4.send_to("text", Address::parse("[::1]:9"), error);
  BOOST_TEST(!!error);
  BOOST_CHECK_EXCEPTION(v4.send_to("text", Address::parse("[::1]:9")), std::system_error,
                        [&](const std::system_error& its) {
                          return its.code() == error &&
                                 std::string(its.what()).find("[::1]:9") != std::string::npos;
                        });
}

// ---- Peers and groups ---------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_connected_socket_talks_to_its_peer_only) {
  std::vector<const char*> places = {"127.0.0.1:0"};
  if (has_ipv6()) places.push_back("[::1]:0");
  for (const char* place : places) {
    UdpSocket client(place), server(place), stranger(place);
    client.connect(server.local_address());
    client.send("question");
    const Datagram datagram = receive(server);
    BOOST_TEST((datagram.from == client.local_address()));
    stranger.send_to("not asked for", client.local_address());
    server.send_to("answer", datagram.from);
    std::string text(100, '?');
    text.resize(client.receive(text));
    BOOST_TEST(text == "answer");
    client.send_to("elsewhere", stranger.local_address());
    BOOST_TEST(receive(stranger).text == "elsewhere");
  }
}

WEFT_REAL_TIME_TEST_CASE(a_socket_of_both_families_connects_to_either) {
  UdpSocket all(":0"), v4("127.0.0.1:0");
  all.connect(v4.local_address());
  all.send("text");
  BOOST_TEST(receive(v4).text == "text");
}

WEFT_REAL_TIME_TEST_CASE(a_peer_that_is_not_there_is_told_to_the_sender) {
  UdpSocket client("127.0.0.1:0");
  Address gone;
  { gone = UdpSocket("127.0.0.1:0").local_address(); }
  BOOST_CHECK_EXCEPTION(
      client.send("x"), std::system_error,
      is(std::errc::destination_address_required, "send on", client.local_address().to_string()));
  client.connect(gone);
  client.send("x");
  char text[4];
  BOOST_CHECK_EXCEPTION(client.receive(text), std::system_error,
                        is(std::errc::connection_refused, "receive on"));
  std::error_code error;
  client.send("x", error);
  BOOST_TEST(!error);
  client.send("x", error);
  BOOST_TEST((error == std::errc::connection_refused));
  BOOST_CHECK_EXCEPTION(client.connect(Address::parse("[::1]:9")), std::system_error,
                        [](const std::system_error& its) {
                          return std::string(its.what()).find("connect to [::1]:9") !=
                                 std::string::npos;
                        });
}

WEFT_REAL_TIME_TEST_CASE(what_is_too_large_for_receive_is_an_error) {
  UdpSocket client("127.0.0.1:0"), server("127.0.0.1:0");
  client.send_to("12345", server.local_address());
  client.send_to("1234", server.local_address());
  char text[4];
  BOOST_CHECK_EXCEPTION(server.receive(text), std::system_error,
                        is(std::errc::message_size, "receive on"));
  BOOST_TEST(server.receive(text) == 4u);
}

WEFT_REAL_TIME_TEST_CASE(members_of_a_group_get_what_is_sent_to_it_until_they_leave) {
  UdpSocket member("0.0.0.0:0"), sender("127.0.0.1:0");
  const Address group = Address::parse("239.255.77.1", member.local_address().port());
  member.join_group(group, "lo");
  BOOST_CHECK_EXCEPTION(member.join_group(group, "lo"), std::system_error,
                        is(std::errc::address_in_use, "join_group of " + group.to_string()));
  set_options(sender.native_handle(), {.multicast_ttl = 0, .multicast_loop = true});
  sender.send_to("all", group);
  BOOST_TEST(receive(member).text == "all");
  member.leave_group(group, "lo");
  sender.send_to("nobody", group);
  sender.send_to("you", at("127.0.0.1", member));
  BOOST_TEST(receive(member).text == "you");
  BOOST_CHECK_EXCEPTION(member.leave_group(group, "lo"), std::system_error,
                        is(std::errc::address_not_available, "leave_group of"));
}

WEFT_REAL_TIME_TEST_CASE(a_group_of_ipv6_may_name_its_interface) {
  if (!has_ipv6()) return;
  UdpSocket member("[::]:0");
  member.join_group(Address::parse("[ff02::77%lo]:0"));
  BOOST_CHECK_EXCEPTION(member.join_group(Address::parse("[ff02::77]:0"), "lo"), std::system_error,
                        is(std::errc::address_in_use, "join_group"));
  member.leave_group(Address::parse("[ff02::77]:0"), "lo");
}

BOOST_AUTO_TEST_CASE(what_is_no_group_or_interface_is_refused) {
  UdpSocket socket("0.0.0.0:0");
  BOOST_CHECK_EXCEPTION(socket.join_group(Address::parse("239.255.77.1:0"), "no-such"),
                        std::system_error,
                        is(std::errc::no_such_device, "join_group of 239.255.77.1:0", "no-such"));
  BOOST_CHECK_EXCEPTION(socket.join_group(Address::parse("127.0.0.1:0"), "lo"), std::system_error,
                        is(std::errc::invalid_argument, "join_group of 127.0.0.1:0"));
}

// ---- Waiting ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(each_of_several_receivers_gets_a_datagram_of_its_own) {
  UdpSocket sender("127.0.0.1:0"), receiver("127.0.0.1:0");
  constexpr int kReceivers = 20;
  for (int round = 0; round < 5; ++round) {
    std::vector<std::string> texts;
    TaskGroup group;
    for (int i = 0; i < kReceivers; ++i) {
      group.spawn([&] { texts.push_back(receive(receiver).text); }, {.eager = true});
    }
    BOOST_TEST(texts.empty());
    for (int i = 0; i < kReceivers; ++i) {
      sender.send_to(std::to_string(10 + i), receiver.local_address());
      if (i % 3 == 0) yield();
    }
    group.join();
    std::sort(texts.begin(), texts.end());
    for (int i = 0; i < kReceivers; ++i) {
      BOOST_TEST(texts[static_cast<std::size_t>(i)] == std::to_string(10 + i));
    }
  }
}

WEFT_REAL_TIME_TEST_CASE(who_always_has_something_to_receive_lets_others_run) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  bool stop = false;
  auto other = spawn([&] { stop = true; });
  int count = 0;
  for (; !stop && count < 10'000; ++count) {
    first.send_to("text", second.local_address());
    receive(second);
  }
  BOOST_TEST(count <= 64);
  other.get();
}

WEFT_REAL_TIME_TEST_CASE(a_timeout_or_a_cancellation_ends_a_wait_and_loses_nothing) {
  UdpSocket first("127.0.0.1:0"), second("127.0.0.1:0");
  for (int i = 0; i < 3; ++i) {
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { receive(second); }), TimeoutError);
    auto waiter = spawn([&] { receive(second); }, {.eager = true});
    first.send_to("text", second.local_address());
    waiter.cancel();
    BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
    BOOST_TEST(receive(second).text == "text");
  }
}

// ---- The end ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_close_wakes_everybody) {
  UdpSocket socket("127.0.0.1:0");
  const std::string place = socket.local_address().to_string();
  int woken = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn(
        [&] {
          BOOST_CHECK_EXCEPTION(receive(socket), std::system_error,
                                is(std::errc::operation_canceled, "receive_from", "127.0.0.1:"));
          ++woken;
        },
        {.eager = true});
  }
  socket.close();
  socket.close();
  group.join();
  BOOST_TEST(woken == 3);
  BOOST_TEST(!socket.is_open());
  UdpSocket again(place);
}

BOOST_AUTO_TEST_CASE(who_is_woken_and_finds_it_closed_meanwhile_hears_of_that) {
  int closed = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto body = [&] {
      UdpSocket sender("127.0.0.1:0"), first("127.0.0.1:0"), second("127.0.0.1:0");
      auto closer = spawn(
          [&] {
            receive(first);
            second.close();
          },
          {.eager = true});
      auto waiter = spawn([&] { receive(second); }, {.eager = true});
      // Both events come at once.
      sender.send_to("text", first.local_address());
      sender.send_to("text", second.local_address());
      try {
        waiter.get();
      } catch (const std::system_error& error) {
        BOOST_TEST((error.code() == std::errc::operation_canceled), error.what());
        ++closed;
      }
      closer.get();
    };
    run_real_time_case(body, {.shuffle_seed = seed});
  }
  BOOST_TEST(closed > 0);
}

WEFT_REAL_TIME_TEST_CASE(after_a_close_calls_fail) {
  for (const bool opened : {true, false}) {
    UdpSocket socket = opened ? UdpSocket("127.0.0.1:0") : UdpSocket();
    BOOST_TEST(socket.is_open() == opened);
    BOOST_TEST((socket.native_handle() >= 0) == opened);
    socket.close();
    BOOST_TEST(socket.native_handle() == -1);
    const auto bad = std::errc::bad_file_descriptor;
    BOOST_CHECK_EXCEPTION(receive(socket), std::system_error, is(bad, "receive_from", ""));
    BOOST_CHECK_EXCEPTION(socket.send_to("text", Address::parse("127.0.0.1:9")), std::system_error,
                          is(bad, "send_to", "127.0.0.1:9"));
    BOOST_CHECK_EXCEPTION(socket.local_address(), std::system_error, is(bad, "local_address", ""));
  }
}

WEFT_REAL_TIME_TEST_CASE(a_socket_can_be_moved) {
  UdpSocket sender("127.0.0.1:0"), first("127.0.0.1:0");
  BOOST_CHECK_THROW(with_timeout(0s, [&] { receive(first); }), TimeoutError);
  const Address place = first.local_address();
  UdpSocket second = std::move(first);
  BOOST_TEST(!first.is_open());
  sender.send_to("text", place);
  BOOST_TEST(receive(second).text == "text");
  first = UdpSocket("127.0.0.1:0");
  const Address gone = first.local_address();
  first = std::move(second);
  sender.send_to("again", place);
  BOOST_TEST(receive(first).text == "again");
  UdpSocket successor(gone);
}

BOOST_AUTO_TEST_CASE(a_socket_may_outlive_its_runtime) {
  UdpSocket sender("127.0.0.1:0"), socket("127.0.0.1:0");
  for (int i = 0; i < 3; ++i) {
    run([&] {
      auto waiter = spawn([&] { return receive(socket).text; }, {.eager = true});
      sender.send_to("text", socket.local_address());
      BOOST_TEST(waiter.get() == "text");
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
