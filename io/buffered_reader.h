#ifndef WEFT_IO_BUFFERED_READER_H_
#define WEFT_IO_BUFFERED_READER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/io/buffer.h"

namespace weft {

// Reads a stream in pieces that mean something: lines, messages of a known size. Over anything with
// `std::size_t read_some(MutableBuffer)` that gives 0 at the end: TcpStream, UnixStream, File, or
// another reader. It reads ahead, so read from the stream itself no more.
//
// Every call blocks, and is a cancellation point, where the stream's read_some() is; what that
// throws comes through. Nothing is lost where a call throws: it may be repeated.
//
// Threads: one at a time. The stream must outlive it.
class BufferedReader {
 public:
  // `limit`: the longest line, or piece up to a delimiter, in bytes, not counting its end. For
  // these memory grows to twice that, or 4 KiB.
  template <class Stream>
  explicit BufferedReader(Stream& stream, std::size_t limit = 64 * 1024)
      : read_([](void* object, MutableBuffer buffer) {
          return static_cast<Stream*>(object)->read_some(buffer);
        }),
        stream_(&stream),
        limit_(limit) {}
  BufferedReader(BufferedReader&& other) noexcept
      : read_(other.read_),
        stream_(other.stream_),
        limit_(other.limit_),
        buffer_(std::move(other.buffer_)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  BufferedReader& operator=(BufferedReader&& other) noexcept {
    if (this == &other) return *this;
    read_ = other.read_;
    stream_ = other.stream_;
    limit_ = other.limit_;
    buffer_ = std::move(other.buffer_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
  }

  // The next line, without its \n or \r\n; nothing at the end. What comes after the last end of a
  // line is a line, too. Throws std::system_error (message_size) if it is longer than the limit.
  std::optional<std::string> read_line();
  // The same into a string whose memory is used again; returns false at the end.
  bool read_line(std::string& line);

  // All up to and including the delimiter; nothing at the end. Throws std::system_error:
  // message_size as above, no_message_available if the end comes without a delimiter,
  // invalid_argument if that is empty.
  std::optional<std::string> read_until(std::string_view delimiter);
  bool read_until(std::string_view delimiter, std::string& piece);

  // Exactly `size` bytes. A peer may have announced that size: memory grows with what has come, in
  // steps that double, from 64 KiB at most. Throws std::system_error: message_size before anything
  // is read if `size` is more than `limit`, which is this call's own; no_message_available if the
  // end comes first.
  std::string read_exactly(std::size_t size, std::size_t limit = kReadLimit);
  // The same into a buffer, which it fills.
  void read_exactly(MutableBuffer buffer);

  // What there is, at least a byte; 0 at the end.
  std::size_t read_some(MutableBuffer buffer);

  // All up to the end. Throws std::system_error (message_size) if that is more than `limit` bytes,
  // which is this call's own; what was read then stays in the reader. Memory grows to at most three
  // times what has come.
  std::string read_all(std::size_t limit = kReadLimit);

  // Whether nothing more comes: waits for the next byte or the end.
  bool at_end();

  // What has been read ahead, until the next call.
  std::string_view buffered() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }

 private:
  std::size_t fill();
  void fill_up(MutableBuffer buffer, std::size_t& done);
  std::optional<std::size_t> find(std::string_view delimiter, std::size_t limit, const char* call);
  std::size_t take(MutableBuffer buffer) noexcept;
  void drop(std::size_t size) noexcept;
  void put_back(MutableBuffer taken);

  std::size_t (*read_)(void* stream, MutableBuffer buffer);
  void* stream_;
  std::size_t limit_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what has been read ahead
  std::size_t end_ = 0;
};

}  // namespace weft

#endif  // WEFT_IO_BUFFERED_READER_H_
