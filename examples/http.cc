#include "examples/http.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <ctime>
#include <limits>
#include <utility>

namespace http {
namespace {

using Characters = std::array<bool, 256>;

constexpr Characters characters(std::string_view others, bool with_alphanumerics) {
  Characters set{};
  for (unsigned char c : others) set[c] = true;
  for (unsigned c = 0; with_alphanumerics && c < 128; ++c) {
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) set[c] = true;
  }
  return set;
}

constexpr Characters range(unsigned first, unsigned last, bool with_tab) {
  Characters set{};
  for (unsigned c = first; c <= last; ++c) set[c] = true;
  set['\t'] = with_tab;
  set[0x7f] = false;
  return set;
}

constexpr Characters kToken = characters("!#$%&'*+-.^_`|~", true);
constexpr Characters kHost = characters("-._~%!$&'()*+,;=:[]", true);
constexpr Characters kTarget = range(0x21, 0x7e, false);
constexpr Characters kValue = range(0x20, 0xff, true);

bool consists_of(std::string_view text, const Characters& set) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) { return set[c]; });
}

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// True if they differ at most by upper and lower case. REQUIRES: `name` is in lower case.
bool is(std::string_view text, std::string_view name) {
  return text.size() == name.size() && std::equal(text.begin(), text.end(), name.begin(),
                                                  [](char a, char b) { return lower(a) == b; });
}

std::string_view without_blanks_around(std::string_view text) {
  const auto begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// Cuts off and returns the text before the delimiter, or all of it; drops the delimiter.
std::string_view cut(std::string_view& text, std::string_view delimiter) {
  const auto end = std::min(text.find(delimiter), text.size());
  const auto piece = text.substr(0, end);
  text.remove_prefix(std::min(end + delimiter.size(), text.size()));
  return piece;
}

bool parse_number(std::string_view digits, std::uint64_t& number) {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  number = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return false;
    number = number > (kMax - 9) / 10 ? kMax : number * 10 + static_cast<unsigned>(c - '0');
  }
  return !digits.empty();
}

int parse_request_line(std::string_view line, Request& request) {
  request.method = cut(line, " ");
  std::string_view target = cut(line, " ");
  if (request.method.empty() || !consists_of(request.method, kToken)) return 400;
  if (target.empty() || !consists_of(target, kTarget)) return 400;
  if (line.size() != 8 || !line.starts_with("HTTP/") || line[6] != '.') return 400;
  if (line[5] < '0' || line[5] > '9' || line[7] < '0' || line[7] > '9') return 400;
  if (line[5] != '1') return 505;
  request.minor_version = line[7] - '0';

  if (target.find('#') != target.npos) return 400;
  if (is(target.substr(0, 7), "http://")) {  // meant for proxies, but every server must accept it
    target.remove_prefix(7);
    const auto host = target.substr(0, target.find_first_of("/?"));
    if (host.empty() || !consists_of(host, kHost)) return 400;
    target.remove_prefix(host.size());
    if (!target.starts_with('/')) target = "/";
  }
  if (!target.starts_with('/') && (request.method == "GET" || request.method == "HEAD")) return 400;
  request.path = target.substr(0, target.find('?'));
  return request.path.empty() ? 400 : 0;
}

// The header fields that matter.
struct Fields {
  int hosts = 0;
  int lengths = 0;
  bool transfer_encoding = false;
  bool expect = false;
  bool close = false;
  bool keep_alive = false;
};

bool parse_field(std::string_view line, Fields& fields, Request& request) {
  const auto colon = line.find(':');
  if (colon == 0 || colon == line.npos) return false;
  const auto name = line.substr(0, colon);
  const auto value = without_blanks_around(line.substr(colon + 1));
  // A blank before or after the name is an error, and with it a continued line.
  if (!consists_of(name, kToken) || !consists_of(value, kValue)) return false;

  if (is(name, "host")) return ++fields.hosts == 1 && consists_of(value, kHost);
  if (is(name, "content-length")) {
    return ++fields.lengths == 1 && parse_number(value, request.content_length);
  }
  if (is(name, "transfer-encoding")) fields.transfer_encoding = true;
  if (is(name, "expect")) fields.expect = true;
  if (is(name, "connection")) {
    for (std::string_view rest = value; !rest.empty();) {
      const auto option = without_blanks_around(cut(rest, ","));
      if (is(option, "close")) fields.close = true;
      if (is(option, "keep-alive")) fields.keep_alive = true;
    }
  }
  return true;
}

int parse_into(Request& request, std::string_view head) {
  if (head.starts_with("\r\n")) head.remove_prefix(2);  // old clients send it after a body
  if (const int refusal = parse_request_line(cut(head, "\r\n"), request)) return refusal;
  Fields fields;
  for (;;) {
    if (head.empty()) return 400;
    const auto line = cut(head, "\r\n");
    if (line.empty()) break;
    if (!parse_field(line, fields, request)) return 400;
  }
  const bool old = request.minor_version == 0;
  if (!head.empty() || (fields.hosts == 0 && !old)) return 400;
  if (fields.transfer_encoding) return fields.lengths > 0 || old ? 400 : 501;
  if (fields.expect && !old) return 417;
  request.keep_alive = !fields.close && (fields.keep_alive || !old);
  return 0;
}

// The time as HTTP has it, made once a second.
std::string_view date() {
  thread_local std::time_t time_of_text = 0;
  thread_local char text[64];
  thread_local std::size_t size = 0;
  const std::time_t time = std::time(nullptr);
  if (time != time_of_text) {
    std::tm parts;
    size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&time, &parts));
    time_of_text = time;
  }
  return {text, size};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (lower(c) >= 'a' && lower(c) <= 'f') return lower(c) - 'a' + 10;
  return -1;
}

}  // namespace

Request parse(std::string_view head) {
  Request request;
  request.refusal = parse_into(request, head);
  return request;
}

std::optional<std::string> file_name(std::string_view path) {
  if (!path.starts_with('/')) return {};
  std::string name;
  for (path.remove_prefix(1); !path.empty(); path.remove_prefix(1)) {
    char c = path[0];
    if (c == '%') {
      const int high = path.size() > 2 ? hex_digit(path[1]) : -1;
      const int low = path.size() > 2 ? hex_digit(path[2]) : -1;
      if (high < 0 || low < 0) return {};
      c = static_cast<char>(high * 16 + low);
      path.remove_prefix(2);
    }
    if (c == '\0') return {};
    name += c;
  }
  // No part of it may be "..", nor may it begin with a /.
  std::size_t part = 0;
  do {
    if (part == name.size() || name[part] == '/' || name[part] == '.') return {};
    part = name.find('/', part) + 1;
  } while (part != 0);
  return name;
}

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

std::string_view type_of(std::string_view file) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html"},        {".css", "text/css"},  {".js", "text/javascript"},
      {".json", "application/json"}, {".png", "image/png"}, {".svg", "image/svg+xml"},
      {".txt", "text/plain"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (file.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

void add_head(std::string& text, const Request& request, int status, std::string_view type,
              std::uint64_t size) {
  const auto add = [&](const auto&... texts) { (text.append(texts), ...); };
  add("HTTP/1.1 ", std::to_string(status), " ", reason(status), "\r\nDate: ", date(),
      "\r\nContent-Type: ", type, "\r\nContent-Length: ", std::to_string(size), "\r\n");
  if (status == 405) add("Allow: GET, HEAD\r\n");
  if (!request.keep_alive) add("Connection: close\r\n");
  if (request.keep_alive && request.minor_version == 0) add("Connection: keep-alive\r\n");
  add("\r\n");
}

}  // namespace http
