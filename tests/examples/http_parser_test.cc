// What examples/http makes of a request, and what it refuses.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "examples/http.h"
#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(http_parser)

namespace {

using namespace std::string_literals;

// The status that a request with these header fields is refused with, 0 for none.
int refusal_of(const std::string& fields, const std::string& line = "GET / HTTP/1.1") {
  return http::parse(line + "\r\nHost: a\r\n" + fields + "\r\n").refusal;
}

int refusal_of_line(const std::string& line) { return refusal_of("", line); }

std::string path_of(const std::string& target) {
  const std::string head = "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
  const http::Request request = http::parse(head);
  return request.refusal == 0 ? std::string(request.path) : std::to_string(request.refusal);
}

bool keeps_alive(const std::string& version, const std::string& fields) {
  const http::Request request =
      http::parse("GET / HTTP/" + version + "\r\nHost: a\r\n" + fields + "\r\n");
  BOOST_TEST(request.refusal == 0);
  return request.keep_alive;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_request_has_method_path_and_body) {
  const std::string head = "POST /a/b?c=d HTTP/1.1\r\nHost: a:80\r\ncontent-LENGTH:\t 12 \r\n\r\n";
  const http::Request request = http::parse(head);
  BOOST_TEST(request.refusal == 0);
  BOOST_TEST(request.method == "POST");
  BOOST_TEST(request.path == "/a/b");
  BOOST_TEST(request.minor_version == 1);
  BOOST_TEST(request.content_length == 12u);
  BOOST_TEST(request.keep_alive);
}

BOOST_AUTO_TEST_CASE(an_empty_line_before_a_request_is_passed_over) {
  BOOST_TEST(http::parse("\r\nGET / HTTP/1.0\r\n\r\n").refusal == 0);
  BOOST_TEST(http::parse("\r\n\r\n").refusal == 400);
  BOOST_TEST(http::parse("\r\n\r\nGET / HTTP/1.0\r\n\r\n").refusal == 400);
}

BOOST_AUTO_TEST_CASE(a_head_that_has_no_end_is_refused) {
  const std::string head = "GET / HTTP/1.0\r\nAccept: a\r\n\r\n";
  BOOST_TEST(http::parse(head).refusal == 0);
  for (std::size_t size = 0; size < head.size(); ++size) {
    BOOST_TEST(http::parse(head.substr(0, size)).refusal == 400, "of " << size << " bytes");
  }
  BOOST_TEST(http::parse(head + "x").refusal == 400);
}

BOOST_AUTO_TEST_CASE(a_bad_request_line_is_refused) {
  for (const std::string line : {"",
                                 "GET",
                                 "GET /",
                                 "GET  / HTTP/1.1",
                                 "GET / HTTP/1.1 ",
                                 " GET / HTTP/1.1",
                                 "GET / / HTTP/1.1",
                                 "GET /\tHTTP/1.1",
                                 "G@T / HTTP/1.1",
                                 "GET x HTTP/1.1",
                                 "GET ?x HTTP/1.1",
                                 "POST ?x HTTP/1.1",
                                 "GET * HTTP/1.1",
                                 "GET /#x HTTP/1.1",
                                 "GET /\x80 HTTP/1.1",
                                 "GET /\x7f HTTP/1.1",
                                 "GET /\nX: HTTP/1.1",
                                 "GET / http/1.1",
                                 "GET / HTTP/1",
                                 "GET / HTTP/1.10",
                                 "GET / HTTP/x.1",
                                 "GET / HTTP/1.x",
                                 "GET / HTTP/1,1",
                                 "GET https://a/ HTTP/1.1",
                                 "GET http:///x HTTP/1.1",
                                 "GET http://a@b/ HTTP/1.1"}) {
    BOOST_TEST(refusal_of_line(line) == 400, line);
  }
  BOOST_TEST(refusal_of_line("GET /\0 HTTP/1.1"s) == 400);
}

BOOST_AUTO_TEST_CASE(other_methods_are_not_for_the_parser_to_refuse) {
  for (const std::string line : {"POST / HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT a:1 HTTP/1.1"}) {
    BOOST_TEST(refusal_of_line(line) == 0, line);
  }
}

BOOST_AUTO_TEST_CASE(only_version_1_is_served) {
  BOOST_TEST(refusal_of_line("GET / HTTP/1.0") == 0);
  BOOST_TEST(refusal_of_line("GET / HTTP/1.2") == 0);
  BOOST_TEST(refusal_of_line("GET / HTTP/0.9") == 505);
  BOOST_TEST(refusal_of_line("GET / HTTP/2.0") == 505);
  BOOST_TEST(http::parse("PRI * HTTP/2.0\r\n\r\n").refusal == 505);
}

BOOST_AUTO_TEST_CASE(a_target_may_be_a_whole_url) {
  BOOST_TEST(path_of("/") == "/");
  BOOST_TEST(path_of("/x?y?z") == "/x");
  BOOST_TEST(path_of("HTTP://a.b:80/x?y") == "/x");
  BOOST_TEST(path_of("http://a") == "/");
  BOOST_TEST(path_of("http://a?y") == "/");
  BOOST_TEST(path_of("//a/x") == "//a/x");
}

BOOST_AUTO_TEST_CASE(version_1_1_has_one_host) {
  const auto refusal = [](const std::string& rest) {
    return http::parse("GET / HTTP/1." + rest + "\r\n\r\n").refusal;
  };
  BOOST_TEST(refusal("1") == 400);
  BOOST_TEST(refusal("0") == 0);
  BOOST_TEST(refusal("1\r\nHost:") == 0);
  BOOST_TEST(refusal("1\r\nhOST: [::1]:80") == 0);
  BOOST_TEST(refusal("1\r\nHost: a\r\nHost: a") == 400);
  BOOST_TEST(refusal("0\r\nHost: a\r\nHost: a") == 400);
  BOOST_TEST(refusal("1\r\nHost: a b") == 400);
  BOOST_TEST(refusal("1\r\nHost: a/b") == 400);
  BOOST_TEST(refusal("1\r\nHost: a@b") == 400);
}

BOOST_AUTO_TEST_CASE(a_bad_header_field_is_refused) {
  for (const std::string field :
       {"X", ": x", "X : y", "X\t: y", " X: y", "X: y\r\n z: more", "X: y\r\n\tmore", "X Y: z",
        "X(: y", "X: \x01", "X: \x7f", "X: a\rb", "X: a\nY: b", "X: a\n", "\n", "\r"}) {
    BOOST_TEST(refusal_of(field + "\r\n") == 400, field);
  }
  BOOST_TEST(refusal_of("X: a\0b\r\n"s) == 400);
  BOOST_TEST(refusal_of("X\0: b\r\n"s) == 400);
  for (const std::string field :
       {"X:", "X: ", "X:\ty \t", "X: a: b", "X: \xc3\xa4", "!#~: a b\tc"}) {
    BOOST_TEST(refusal_of(field + "\r\n") == 0, field);
  }
}

BOOST_AUTO_TEST_CASE(the_length_of_a_body_is_one_number) {
  for (const std::string value : {"", "x", "-1", "+1", "1 2", "1,1", "1, 1", "0x1", "1.", "1\v"}) {
    BOOST_TEST(refusal_of("Content-Length: " + value + "\r\n") == 400, value);
  }
  BOOST_TEST(refusal_of("Content-Length: 1\r\nContent-Length: 2\r\n") == 400);
  BOOST_TEST(refusal_of("Content-Length: 1\r\ncontent-length: 1\r\n") == 400);
  const auto length = [](const std::string& value) {
    return http::parse("GET / HTTP/1.0\r\nContent-Length: " + value + "\r\n\r\n").content_length;
  };
  BOOST_TEST(length("0") == 0u);
  BOOST_TEST(length("007") == 7u);
  BOOST_TEST(length("18446744073709551615") == UINT64_MAX);
  BOOST_TEST(length("18446744073709551617") == UINT64_MAX);
  BOOST_TEST(length(std::string(1000, '9')) == UINT64_MAX);
}

BOOST_AUTO_TEST_CASE(a_transfer_encoding_is_refused) {
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  BOOST_TEST(refusal_of(chunked) == 501);
  BOOST_TEST(refusal_of("transfer-ENCODING: identity\r\n") == 501);
  BOOST_TEST(refusal_of(chunked + "Content-Length: 1\r\n") == 400);
  BOOST_TEST(refusal_of("Content-Length: 1\r\n" + chunked) == 400);
  BOOST_TEST(refusal_of(chunked, "GET / HTTP/1.0") == 400);
}

BOOST_AUTO_TEST_CASE(an_expectation_is_refused) {
  BOOST_TEST(refusal_of("Expect: 100-continue\r\nContent-Length: 1\r\n") == 417);
  BOOST_TEST(refusal_of("Expect: 100-continue\r\n", "GET / HTTP/1.0") == 0);
}

BOOST_AUTO_TEST_CASE(connections_stay_as_version_and_client_want) {
  BOOST_TEST(keeps_alive("1.1", ""));
  BOOST_TEST(!keeps_alive("1.1", "Connection: close\r\n"));
  BOOST_TEST(!keeps_alive("1.1", "Connection: foo , CLOSE,\r\n"));
  BOOST_TEST(!keeps_alive("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
  BOOST_TEST(keeps_alive("1.1", "Connection: closed\r\n"));
  BOOST_TEST(!keeps_alive("1.0", ""));
  BOOST_TEST(keeps_alive("1.0", "Connection: Keep-Alive\r\n"));
  BOOST_TEST(!keeps_alive("1.0", "Connection: keep-alive, close\r\n"));
}

BOOST_AUTO_TEST_CASE(a_path_names_a_file_within_the_folder) {
  BOOST_TEST(http::file_name("/a").value_or("") == "a");
  BOOST_TEST(http::file_name("/a/b.txt").value_or("") == "a/b.txt");
  BOOST_TEST(http::file_name("/%61%2Fb%20c").value_or("") == "a/b c");
  BOOST_TEST(http::file_name("/a..b/c.").value_or("") == "a..b/c.");
  for (const std::string path :
       {"",        "a",     "/",         "//",      "//a",           "/a//b",
        "/a/",     "/.",    "/..",       "/../a",   "/a/..",         "/a/../b",
        "/.a",     "/a/.b", "/%2e%2e/a", "/%2E./a", "/a/%2e%2e%2fb", "/%2fetc",
        "/%2Fetc", "/a%",   "/a%1",      "/a%1g",   "/a%g1",         "/a%00b",
        "/a%2",    "/%"}) {
    BOOST_TEST(!http::file_name(path), path);
  }
}

BOOST_AUTO_TEST_CASE(whatever_comes_is_taken_or_refused) {
  const std::string seeds[] = {
      "GET http://a:80/b/../%2e?c HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
      "HEAD /a/%61 HTTP/1.0\r\nConnection: keep-alive, close\r\nExpect: x\r\n\r\n",
      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"};
  const std::string pieces[] = {"\r\n", "\r",  "\n",  " ",    ":",           "/", "..",
                                "%",    "%2f", "\0"s, "\xff", "Host: a\r\n", "1"};
  const std::set<int> refusals = {0, 400, 417, 501, 505};
  std::mt19937 random(1);
  const auto below = [&](std::size_t end) { return random() % end; };
  for (int round = 0; round < 200'000; ++round) {
    const std::string& seed = seeds[below(std::size(seeds))];
    std::string head = seed;
    for (auto changes = below(6); changes > 0; --changes) {
      const auto place = below(head.size());
      const std::string& piece = pieces[below(std::size(pieces))];
      head.replace(place, below(4) == 0 ? below(30) : below(2), below(3) == 0 ? "" : piece);
      if (head.empty()) head = seed;
    }
    const http::Request request = http::parse(head);
    if (!refusals.contains(request.refusal)) BOOST_TEST(false, request.refusal << " for " << head);
    if (request.refusal == 0 && !head.ends_with("\r\n\r\n")) BOOST_TEST(false, head);
    const auto file = http::file_name(request.path);
    if (file && ("/" + *file + "/").find("/.") != std::string::npos) BOOST_TEST(false, *file);
    if (file && file->starts_with('/')) BOOST_TEST(false, *file);
  }
}

BOOST_AUTO_TEST_SUITE_END()
