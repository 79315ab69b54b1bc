// Boost.Asio's and Boost.Beast's synchronous functions drive TcpStream.

#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/multi_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http.hpp>
#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"

BOOST_AUTO_TEST_SUITE(beast)

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::flat_buffer;
using boost::beast::multi_buffer;
using boost::system::error_code;
using weft::TcpStream;

static_assert(boost::beast::is_sync_stream<TcpStream>::value);
static_assert(boost::beast::is_sync_stream<weft::UnixStream>::value);

void check_error(const error_code& error, const error_code& expected) {
  BOOST_TEST(error == expected, error << " is not " << expected);
}

// Two fibers, each with an end of a connection.
template <class Server, class Client>
void converse(Server serve, Client ask) {
  weft::run([&] {
    weft::with_timeout(std::chrono::seconds(10), [&] {
      weft::TcpListener listener("127.0.0.1:0");
      auto server = weft::spawn([&] {
        TcpStream stream = listener.accept();
        serve(stream);
      });
      {
        TcpStream stream = TcpStream::connect(listener.local_address());
        ask(stream);
      }
      server.get();
    });
  });
}

http::request<http::string_body> request_with(std::string body) {
  http::request<http::string_body> request(http::verb::post, "/numbers", 11);
  request.set(http::field::host, "localhost");
  request.body() = std::move(body);
  request.prepare_payload();
  return request;
}

std::string numbers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += std::to_string(i) + ' ';
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_request_and_its_response_pass_between_two_fibers) {
  converse(
      [](TcpStream& stream) {
        flat_buffer buffer;
        http::request<http::string_body> request;
        BOOST_TEST(http::read(stream, buffer, request) > 0u);
        BOOST_TEST(request.target() == "/numbers");
        BOOST_TEST(request.body() == "1 2 3");
        http::response<http::string_body> response(http::status::ok, 11);
        response.body() = "6";
        response.prepare_payload();
        BOOST_TEST(http::write(stream, response) > 0u);
      },
      [](TcpStream& stream) {
        http::write(stream, request_with("1 2 3"));
        multi_buffer buffer;
        http::response<http::string_body> response;
        http::read(stream, buffer, response);
        BOOST_TEST(response.result_int() == 200u);
        BOOST_TEST(response.body() == "6");
      });
}

BOOST_AUTO_TEST_CASE(a_chunked_body_larger_than_the_sockets_buffers_passes) {
  const std::string large = numbers(1'000'000);
  converse(
      [&](TcpStream& stream) {
        http::response<http::string_body> response(http::status::ok, 11);
        response.chunked(true);
        response.body() = large;
        http::write(stream, response);
      },
      [&](TcpStream& stream) {
        flat_buffer buffer;
        http::response_parser<http::string_body> parser;
        parser.body_limit(boost::none);
        http::read(stream, buffer, parser);
        BOOST_TEST(parser.chunked());
        BOOST_TEST((parser.get().body() == large));
      });
}

BOOST_AUTO_TEST_CASE(the_end_is_reported_as_such) {
  converse(
      [](TcpStream& stream) {
        error_code error;
        flat_buffer buffer;
        http::request<http::string_body> request;
        http::read(stream, buffer, request);
        http::read(stream, buffer, request, error);
        check_error(error, http::error::end_of_stream);
        std::array<char, 8> more;
        BOOST_TEST(asio::read(stream, asio::buffer(more), error) == 0u);
        check_error(error, asio::error::eof);
        BOOST_CHECK_EXCEPTION(
            stream.read_some(asio::buffer(more)), std::system_error,
            [](const auto& e) { return e.code() == std::errc::no_message_available; });
      },
      [](TcpStream& stream) { http::write(stream, request_with("")); });
}

BOOST_AUTO_TEST_CASE(an_end_within_a_message_is_an_error_of_its_own) {
  converse(
      [](TcpStream& stream) {
        error_code error;
        flat_buffer buffer;
        http::request<http::string_body> request;
        http::read(stream, buffer, request, error);
        check_error(error, http::error::partial_message);
      },
      [](TcpStream& stream) { stream.write_all("GET / HTTP/1.1\r\nHost: a\r\n"); });
}

BOOST_AUTO_TEST_CASE(buffers_are_written_and_read_in_their_order) {
  const std::string text = numbers(10'000);
  converse(
      [&](TcpStream& stream) {
        // More than one call takes, and an empty one.
        std::vector<asio::const_buffer> parts{asio::const_buffer()};
        for (std::size_t i = 0; i < text.size(); i += 1000) {
          parts.push_back(asio::buffer(asio::buffer(text) + i, 1000));
        }
        BOOST_TEST(asio::write(stream, parts) == text.size());
      },
      [&](TcpStream& stream) {
        std::string head(10, '\0');
        std::string rest(text.size() - 10, '\0');
        const std::array<asio::mutable_buffer, 2> parts{asio::buffer(head), asio::buffer(rest)};
        BOOST_TEST(asio::read(stream, parts) == text.size());
        BOOST_TEST((head + rest == text));
      });
}

BOOST_AUTO_TEST_CASE(dynamic_buffers_are_written_and_filled) {
  const std::string text = numbers(1000);
  converse(
      [&](TcpStream& stream) {
        flat_buffer flat;
        flat.commit(asio::buffer_copy(flat.prepare(text.size()), asio::buffer(text)));
        BOOST_TEST(asio::write(stream, flat.data()) == text.size());
        multi_buffer multi;
        for (std::size_t i = 0; i < text.size(); i += 100) {
          multi.commit(asio::buffer_copy(multi.prepare(100), asio::buffer(text) + i));
        }
        BOOST_TEST(asio::write(stream, multi.data()) == text.size());
      },
      [&](TcpStream& stream) {
        multi_buffer multi;
        multi.commit(asio::read(stream, multi.prepare(text.size())));
        flat_buffer flat;
        flat.commit(asio::read(stream, flat.prepare(text.size())));
        BOOST_TEST((boost::beast::buffers_to_string(multi.data()) == text));
        BOOST_TEST((boost::beast::buffers_to_string(flat.data()) == text));
      });
}

BOOST_AUTO_TEST_CASE(no_room_reads_nothing_and_is_not_the_end) {
  converse([](TcpStream&) {},
           [](TcpStream& stream) {
             error_code error = asio::error::fault;
             BOOST_TEST(stream.read_some(asio::mutable_buffer(), error) == 0u);
             BOOST_TEST(!error);
           });
}

BOOST_AUTO_TEST_CASE(errors_are_those_of_asio) {
  std::array<char, 8> bytes{};
  error_code error;
  converse(
      [](TcpStream& stream) {
        std::array<char, 1> byte;
        stream.read_exactly(byte);
        // Closes with a reset.
        const linger none{1, 0};
        setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
      },
      [&](TcpStream& stream) {
        stream.write_all("x");
        asio::read(stream, asio::buffer(bytes), error);
        check_error(error, asio::error::connection_reset);
        asio::write(stream, asio::buffer(bytes), error);
        check_error(error, asio::error::broken_pipe);
        BOOST_TEST((error == std::errc::broken_pipe));
        stream.close();
        asio::read(stream, asio::buffer(bytes), error);
        check_error(error, asio::error::bad_descriptor);
      });
}

BOOST_AUTO_TEST_CASE(a_close_in_another_fiber_aborts_a_read) {
  converse(
      [](TcpStream& stream) {
        std::array<char, 1> byte;
        stream.read_some(byte);
      },
      [](TcpStream& stream) {
        auto reading = weft::spawn([&] {
          error_code error;
          flat_buffer buffer;
          http::response<http::string_body> response;
          http::read(stream, buffer, response, error);
          return error;
        });
        weft::test::wait_until_blocked(reading, "read_some");
        stream.close();
        check_error(reading.get(), asio::error::operation_aborted);
      });
}

BOOST_AUTO_TEST_SUITE_END()
