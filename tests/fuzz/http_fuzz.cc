// examples/http: a request is the same however its bytes come; what is taken, Boost.Beast takes for
// the same; an answer reads as what it was made from; no path leads outside.

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "examples/http.h"
#include "tests/fuzz/fuzz.h"
#include "weft/io/buffered_reader.h"

namespace {

namespace beast = boost::beast::http;
using weft::fuzz::Choices;
using weft::fuzz::require;

constexpr std::string_view kEnd = "\r\n\r\n";
constexpr std::size_t kMaxHead = 1024;
constexpr std::size_t kMaxBody = 1024;

// A request with texts of its own, and what ended the conversation.
struct Heard {
  explicit Heard(const http::Request& request)
      : refusal(request.refusal),
        method(request.method),
        path(request.path),
        minor_version(request.minor_version),
        keep_alive(request.keep_alive),
        content_length(request.content_length) {}
  explicit Heard(std::errc error) : refusal(static_cast<int>(error)) {}
  friend bool operator==(const Heard&, const Heard&) = default;

  int refusal = 0;
  std::string method{};
  std::string path{};
  int minor_version = 1;
  bool keep_alive = false;
  std::uint64_t content_length = 0;
};

bool goes_on(const http::Request& request) {
  return request.refusal == 0 && request.keep_alive && request.content_length <= kMaxBody;
}

// What a server makes of a text that it has as a whole.
std::vector<Heard> heard_at_once(std::string_view text) {
  std::vector<Heard> heard;
  while (!text.empty()) {
    const std::size_t end = text.find(kEnd);
    if (end > kMaxHead && text.size() >= kMaxHead + kEnd.size()) {
      heard.emplace_back(std::errc::message_size);
      break;
    }
    if (end == text.npos) {
      heard.emplace_back(std::errc::no_message_available);
      break;
    }
    const http::Request request = http::parse(text.substr(0, end + kEnd.size()));
    heard.emplace_back(request);
    text.remove_prefix(end + kEnd.size());
    if (!goes_on(request)) break;
    if (request.content_length > text.size()) {
      heard.emplace_back(std::errc::no_message_available);
      break;
    }
    text.remove_prefix(request.content_length);
  }
  return heard;
}

// A text that comes in pieces.
class Pieces {
 public:
  Pieces(std::string_view text, Choices& sizes) : text_(text), sizes_(sizes) {}

  std::size_t read_some(weft::MutableBuffer buffer) {
    const std::size_t most = sizes_.left() ? 1 + sizes_.next() : text_.size();
    const std::size_t size = std::min({most, buffer.size(), text_.size()});
    if (size > 0) std::memcpy(buffer.data(), text_.data(), size);
    text_.remove_prefix(size);
    return size;
  }

 private:
  std::string_view text_;
  Choices& sizes_;
};

// The same of one whose bytes come one after another, as examples/http_server reads them.
std::vector<Heard> heard_in_pieces(std::string_view text, Choices& sizes) {
  std::vector<Heard> heard;
  Pieces pieces(text, sizes);
  weft::BufferedReader reader(pieces, kMaxHead);
  try {
    while (const auto head = reader.read_until(kEnd)) {
      const http::Request request = http::parse(*head);
      heard.emplace_back(request);
      if (!goes_on(request)) break;
      reader.read_exactly(request.content_length);
    }
  } catch (const std::system_error& error) {
    heard.emplace_back(static_cast<std::errc>(error.code().value()));
  }
  return heard;
}

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

// What http.h says of what parse() returns.
void check_promises(std::string_view head, const http::Request& request) {
  constexpr int kRefusals[] = {0, 400, 417, 501, 505};
  require(std::count(std::begin(kRefusals), std::end(kRefusals), request.refusal) == 1,
          "a request is taken, or refused as http.h says");
  require(lies_in(request.method, head), "the method is of the head");
  require(lies_in(request.path, head) || request.path == "/", "the path is of the head");
  if (request.refusal != 0) return;
  require(head.find(kEnd) + kEnd.size() == head.size(), "a head ends with its first empty line");
  const bool reads = request.method == "GET" || request.method == "HEAD";
  require(!reads || request.path.starts_with('/'), "a path begins with /");
  require(request.path.find('?') == request.path.npos, "a path comes without its query");
  require(!request.method.empty() && !request.path.empty(), "a request has a method and a target");
}

// Strict: others take for the same what is taken here.
void check_with_beast(std::string_view head, const http::Request& request) {
  if (head.starts_with("\r\n")) head.remove_prefix(2);
  beast::request_parser<beast::empty_body> parser;
  parser.header_limit(UINT32_MAX);
  parser.body_limit(boost::none);
  boost::beast::error_code error;
  const std::size_t size = parser.put(boost::asio::buffer(head.data(), head.size()), error);
  // What Beast knows no better: versions behind 1.1, lengths above 64 bits, and lists of options
  // that are not quite correct, which a server may take.
  if (error == beast::error::bad_version && request.minor_version > 1) return;
  if (error == beast::error::bad_content_length && request.content_length == UINT64_MAX) return;
  if (error == beast::error::bad_value) return;
  require(!error && size == head.size() && parser.is_header_done(), "Beast takes what is taken");
  const auto& message = parser.get();
  const std::string_view method(message.method_string().data(), message.method_string().size());
  const std::string_view target(message.target().data(), message.target().size());
  require(request.method == method, "the method is the one that Beast sees");
  if (target.starts_with('/')) {
    require(request.path == target.substr(0, target.find('?')), "the path is that of the target");
  }
  require(message.version() == 10u + static_cast<unsigned>(request.minor_version), "the version");
  require(parser.content_length().value_or(0) == request.content_length, "the length of the body");
  if (message.count(beast::field::proxy_connection) > 0) return;  // Beast obeys that one, too
  const bool old = request.minor_version == 0;
  require(request.keep_alive ? parser.keep_alive() : old || !parser.keep_alive(),
          "a connection is kept where Beast would keep it");
}

// What is written anew from what was understood is understood alike.
void check_again(const http::Request& request) {
  std::string head(request.method);
  head.append(" ")
      .append(request.path)
      .append(request.minor_version == 0 ? " HTTP/1.0" : " HTTP/1.1");
  head += "\r\nHost: a\r\nConnection: ";
  head += request.keep_alive ? "keep-alive" : "close";
  head += "\r\nContent-Length: " + std::to_string(request.content_length) + "\r\n\r\n";
  Heard expected(request);
  if (expected.minor_version > 1) expected.minor_version = 1;
  require(Heard(http::parse(head)) == expected, "a request that is written anew is the same");
}

void check_answer(const http::Request& request, std::uint64_t size) {
  constexpr int kStatuses[] = {200, 400, 404, 405, 408, 413, 417, 431, 500, 501, 503, 505};
  const int status = kStatuses[size % std::size(kStatuses)];
  std::string text;
  http::add_head(text, request, status, "text/plain", size);
  beast::response_parser<beast::empty_body> parser;
  parser.skip(true);
  boost::beast::error_code error;
  require(parser.put(boost::asio::buffer(text), error) == text.size() && !error,
          "Beast takes the head of an answer");
  require(parser.get().result_int() == static_cast<unsigned>(status), "it has its status");
  require(parser.content_length() == size, "it has the length of its body");
  require(parser.get()["Connection"] != "close" || !request.keep_alive, "it says what follows");
  require(request.keep_alive || !parser.keep_alive(), "who is hung up on is told");
}

void check_path(std::string_view path) {
  const auto name = http::file_name(path);
  if (!name) return;
  require(path.starts_with('/'), "a path that names a file begins with /");
  require(name->find('\0') == name->npos, "a name has no zero in it, where the system would stop");
  const std::filesystem::path file(*name);
  require(file.is_relative() && file.has_filename(), "a name is relative, and that of a file");
  require(file.lexically_normal().native() == *name, "a name goes no roundabout way");
  for (const auto& part : file) require(!part.native().starts_with('.'), "nothing hidden is named");
  if (path.find('%') == path.npos) require(path.substr(1) == *name, "a path is a name with a /");
  require(!http::type_of(*name).empty(), "every file has a type");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = weft::fuzz::text_of(data, size);
  Choices sizes(text);
  require(heard_in_pieces(text, sizes) == heard_at_once(text),
          "requests are the same however their bytes come");

  const http::Request request = http::parse(text);
  check_promises(text, request);
  check_path(text);
  check_path(request.path);
  check_answer(request, size);
  if (request.refusal != 0) return 0;
  check_with_beast(text, request);
  check_again(request);
  require(http::parse(std::string(text) + 'x').refusal == 400, "nothing may follow a head");
  return 0;
}
