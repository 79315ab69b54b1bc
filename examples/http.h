// The part of HTTP/1.1 (RFC 9110, 9112) that a small server needs: texts in, texts out, no I/O.
// Strict: what two programs might read in two ways is refused, so that what comes behind a request
// is never taken for a part of it, nor a part of it for the next one.
#ifndef WEFT_EXAMPLES_HTTP_H_
#define WEFT_EXAMPLES_HTTP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace http {

// A request without its body. The views are into the text that it was made from.
struct Request {
  int refusal = 0;  // if not 0: the status to refuse it with; what follows is what is known of it
  std::string_view method;
  std::string_view path;  // begins with /, if a GET or HEAD; as it came, without the query
  int minor_version = 1;
  bool keep_alive = false;
  std::uint64_t content_length = 0;  // of its body; 0: it has none
};

// `head` is everything up to and including the first empty line ("\r\n\r\n").
// Refusals: 400 what is not correct; 417 an Expect, the answer to which the client would wait for;
// 501 a Transfer-Encoding; 505 a version other than 1.x.
Request parse(std::string_view head);

// The file that a path names, relative to the folder that is served: with %-escapes decoded, and
// never outside. Nothing for a path that has empty parts or such that begin with a dot, or is not
// correct.
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
