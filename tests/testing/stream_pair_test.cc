#include "weft/io/testing/stream_pair.h"

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(stream_pair)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using testing::MemoryStream;

namespace {

template <class F>
std::error_code error_of(F f) {
  try {
    f();
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}

std::string text_of(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i % 26);
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_one_end_writes_the_other_reads_in_any_pieces) {
  std::set<std::size_t> first_pieces;
  testing::run_shuffled(
      [&](std::uint64_t seed) {
        auto [client, server] = testing::stream_pair({.seed = seed});
        const std::string sent = text_of(1000);
        auto writing = spawn([&, &client = client] {
          BOOST_TEST(client.write_all(sent) == sent.size());
          client.shutdown_write();
        });
        std::string received;
        std::array<char, 100> room{};
        while (const std::size_t size = server.read_some(room)) {
          if (received.empty()) first_pieces.insert(size);
          received.append(room.data(), size);
        }
        BOOST_TEST(received == sent);
        writing.get();
      },
      50);
  BOOST_TEST(first_pieces.size() > 5u);
}

WEFT_TEST_CASE(several_writes_may_come_in_one_read) {
  auto [client, server] = testing::stream_pair({.seed = 1});
  client.write_all("abcdef");
  client.write_all("ghijkl");
  std::set<std::size_t> sizes;
  std::array<char, 12> room{};
  server.read_exactly(room);
  BOOST_TEST(std::string(room.data(), room.size()) == "abcdefghijkl");
  bool beyond = false;
  for (int round = 0; round < 100 && !beyond; ++round) {
    while (client.write_some("ab") != 2) server.read_some(room);
    client.write_some("c");
    beyond = server.read_some(room) > 2;
    client.write_all("z");
    while (room[server.read_some(room) - 1] != 'z') {
    }
  }
  BOOST_TEST(beyond);
}

WEFT_TEST_CASE(a_seed_always_splits_in_the_same_way) {
  const auto sizes = [](std::uint64_t seed) {
    auto [client, server] = testing::stream_pair({.seed = seed});
    std::string sizes;
    for (int i = 0; i < 10; ++i) sizes += std::to_string(client.write_some(text_of(1000))) + ' ';
    return sizes;
  };
  BOOST_TEST(sizes(1) == sizes(1));
  BOOST_TEST(sizes(1) != sizes(2));
}

WEFT_TEST_CASE(a_reader_of_lines_reads_it) {
  auto [client, server] = testing::stream_pair({.seed = 3});
  auto writing = spawn([&client = client] {
    client.write_all("first\nsecond\n");
    client.close();
  });
  BufferedReader reader(server);
  BOOST_TEST(reader.read_line().value() == "first");
  BOOST_TEST(reader.read_line().value() == "second");
  BOOST_TEST(!reader.read_line());
}

WEFT_TEST_CASE(a_write_waits_while_there_is_no_room) {
  auto [client, server] = testing::stream_pair({.capacity = 1});
  std::size_t written = 0;
  auto writing = spawn([&, &client = client] { written = client.write_all(text_of(1000)); });
  run_until_blocked();
  BOOST_TEST(written == 0u);
  std::array<char, 1000> room{};
  BOOST_TEST(server.read_exactly(room) == room.size());
  writing.get();
  BOOST_TEST(written == 1000u);
}

WEFT_TEST_CASE(after_so_many_bytes_both_ends_fail) {
  auto [client, server] = testing::stream_pair({.fail_after = 10});
  const auto too_much = [&client = client] { client.write_all(text_of(100)); };
  BOOST_TEST((error_of(too_much) == std::errc::connection_reset));
  BOOST_TEST(
      (error_of([&server = server] { server.write_all("x"); }) == std::errc::connection_reset));
  std::array<char, 10> room{};
  BOOST_TEST(server.read_exactly(room) == 10u);  // what was written before
  BOOST_TEST(std::string(room.data(), room.size()) == text_of(10));
  BOOST_TEST(
      (error_of([&, &server = server] { server.read_some(room); }) == std::errc::connection_reset));
  BOOST_TEST(
      (error_of([&, &client = client] { client.read_some(room); }) == std::errc::connection_reset));
}

WEFT_TEST_CASE(bytes_of_both_directions_count_towards_the_failure) {
  auto [client, server] = testing::stream_pair({.fail_after = 10, .error = std::errc::timed_out});
  client.write_all("12345");
  server.write_all("12345");
  BOOST_TEST((error_of([&client = client] { client.write_all("x"); }) == std::errc::timed_out));
}

WEFT_TEST_CASE(a_failure_ends_waits_of_both_ends) {
  auto [client, server] = testing::stream_pair({.fail_after = 1, .capacity = 1});
  auto reading = spawn([&client = client] {
    char byte = 0;
    return error_of([&] { client.read_some({&byte, 1}); });
  });
  run_until_blocked();
  client.write_some("x");
  BOOST_TEST((reading.get() == std::errc::connection_reset));
}

WEFT_TEST_CASE(no_room_to_read_to_and_nothing_to_write_transfer_nothing) {
  auto [client, server] = testing::stream_pair();
  BOOST_TEST(client.read_some({}) == 0u);
  BOOST_TEST(client.write_some({}) == 0u);
  BOOST_TEST(client.write_all("") == 0u);
  BOOST_TEST(client.read_exactly({}) == 0u);
}

WEFT_TEST_CASE(the_end_comes_after_what_was_written) {
  auto [client, server] = testing::stream_pair();
  client.write_all("ab");
  client.shutdown_write();
  client.shutdown_write();
  BOOST_TEST((error_of([&client = client] { client.write_some("x"); }) == std::errc::broken_pipe));
  std::array<char, 3> room{};
  BOOST_TEST((error_of([&, &server = server] { server.read_exactly(room); }) ==
              std::errc::no_message_available));
  BOOST_TEST(std::string(room.data(), 2) == "ab");
  BOOST_TEST(server.read_some(room) == 0u);
  server.write_all("still");  // the other direction is open
  BOOST_TEST(client.read_some(room) > 0u);
}

WEFT_TEST_CASE(a_write_to_an_end_that_is_gone_is_a_broken_pipe) {
  auto [client, server] = testing::stream_pair();
  server = MemoryStream();
  BOOST_TEST(!server.is_open());
  BOOST_TEST((error_of([&client = client] { client.write_some("x"); }) == std::errc::broken_pipe));
  char byte = 0;
  BOOST_TEST(client.read_some({&byte, 1}) == 0u);
}

WEFT_TEST_CASE(close_ends_calls_that_wait_on_this_end) {
  auto [client, server] = testing::stream_pair({.capacity = 1});
  auto reading = spawn([&client = client] {
    char byte = 0;
    return error_of([&] { client.read_some({&byte, 1}); });
  });
  auto writing =
      spawn([&client = client] { return error_of([&] { client.write_all(text_of(1000)); }); });
  run_until_blocked();
  client.close();
  client.close();
  BOOST_TEST((reading.get() == std::errc::operation_canceled));
  BOOST_TEST((writing.get() == std::errc::operation_canceled));
  BOOST_TEST(
      (error_of([&client = client] { client.write_some("x"); }) == std::errc::bad_file_descriptor));
  char byte = 0;
  BOOST_TEST((error_of([&, &client = client] {
                client.read_some({&byte, 1});
              }) == std::errc::bad_file_descriptor));
}

WEFT_TEST_CASE(a_cancelled_read_takes_nothing) {
  auto [client, server] = testing::stream_pair();
  auto reading = spawn(
      [&server = server] {
        char byte = 0;
        return throws_cancelled([&] { server.read_some({&byte, 1}); });
      },
      {.eager = true});
  reading.cancel();
  BOOST_TEST(reading.get());
  client.write_all("x");
  char byte = 0;
  BOOST_TEST(server.read_some({&byte, 1}) == 1u);
  BOOST_TEST(byte == 'x');
}

WEFT_TEST_CASE(an_end_can_be_moved) {
  auto [client, server] = testing::stream_pair();
  MemoryStream moved = std::move(client);
  BOOST_TEST(!client.is_open());
  moved.write_all("x");
  char byte = 0;
  BOOST_TEST(server.read_some({&byte, 1}) == 1u);
}

WEFT_TEST_CASE(a_write_whose_peer_closes_as_it_goes_on_returns_what_it_wrote) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto [client, server] = testing::stream_pair({.seed = seed, .capacity = 1});
    client.write_all("x");
    auto writer = spawn([&, &client = client] { return client.write_some("abcdef"); });
    run_until_blocked();
    char byte;
    server.read_some(MutableBuffer(&byte, 1));  // makes room for one more
    server.close();
    BOOST_TEST(writer.get() == 1u);
    BOOST_CHECK_THROW(client.write_some("b"), std::system_error);
  }
}

BOOST_AUTO_TEST_SUITE_END()
