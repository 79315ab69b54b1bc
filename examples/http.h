// The part of HTTP/1.1 (RFC 9110, 9112) that a small server needs: texts in, texts out, no I/O.
// Strict: it refuses whatever two programs might read in two ways. So a part of one request is
// never taken for a part of the next.
#ifndef WEFT_EXAMPLES_HTTP_H_
#define WEFT_EXAMPLES_HTTP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace http {

// A request without its body. The views refer to the text that was parsed.
struct Request {
  int refusal = 0;  // the status to refuse it with, and the rest may be incomplete; 0: it is fine
  std::string_view method;
  std::string_view path;  // not decoded, without the query; of GET and HEAD it begins with /
  int minor_version = 1;
  bool keep_alive = false;
  std::uint64_t content_length = 0;  // 0 if there is no body
};

// `head` is everything up to and including the first empty line ("\r\n\r\n").
// Refusals: 400 for a malformed request; 417 for Expect, since the client would wait for an answer
// to that; 501 for Transfer-Encoding; 505 for a version other than 1.x.
Request parse(std::string_view head);

// The file that a path names, relative to the folder that is served: with %-escapes decoded, and
// never outside. Nullopt if the path is malformed, or if a part of it is empty or begins with a
// dot.
std::optional<std::string> file_name(std::string_view path);

// "Not Found" for 404.
std::string_view reason(int status);

// "text/plain" for a file whose name ends with ".txt".
std::string_view type_of(std::string_view file);

// Appends the head of the answer to a request; `size` is that of the body.
void add_head(std::string& text, const Request& request, int status, std::string_view type,
              std::uint64_t size);

}  // namespace http

#endif  // WEFT_EXAMPLES_HTTP_H_
