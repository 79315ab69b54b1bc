#ifndef WEFT_IO_BUFFERED_READER_H_
#define WEFT_IO_BUFFERED_READER_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/io/buffer.h"
#include "weft/io/stream.h"

namespace weft {

// Reads a stream in pieces that mean something: lines, or messages of a known size.
//
//   BufferedReader reader(stream);
//   while (const auto line = reader.read_line()) handle(*line);
//   const std::string rest = reader.read_all();
//
// The source is a stream, a File, or another reader: see Source. The reader reads ahead: do not
// read from the stream itself any more.
//
// Every call waits, and is a cancellation point, if the stream's read_some() does and is; what that
// throws comes through. If a call throws, nothing is lost, and it may be repeated.
//
// Threads: one at a time. The stream must outlive the reader.
class BufferedReader {
 public:
  // `limit` is the size in bytes of the longest line, or piece before a delimiter, without its end.
  // Memory grows to twice that, or 4 KiB, for these.
  template <Source S>
  explicit BufferedReader(S& stream, std::size_t limit = 64 * 1024)
      : read_([](void* object, MutableBuffer buffer) {
          return static_cast<S*>(object)->read_some(buffer);
        }),
        stream_(&stream),
        limit_(limit) {}
  BufferedReader(BufferedReader&& other) noexcept { *this = std::move(other); }
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

  // Returns the next line, without its \n or \r\n, or nullopt at the end. A last line need not end
  // with one. Throws std::system_error (message_size) if the line is longer than the limit.
  std::optional<std::string> read_line();
  // The same into a string whose memory is used again; returns false at the end.
  bool read_line(std::string& line);

  // Returns all up to and including the delimiter, or nullopt at the end. Throws std::system_error:
  // message_size as above; no_message_available if the end comes without a delimiter;
  // invalid_argument if the delimiter is empty.
  std::optional<std::string> read_until(std::string_view delimiter);
  bool read_until(std::string_view delimiter, std::string& piece);

  // Returns exactly `size` bytes. The size may come from a peer: memory grows with what has
  // arrived, in steps that double, the first of at most 64 KiB. Throws std::system_error:
  // message_size before anything is read, if `size` is more than `limit`, which is this call's own;
  // no_message_available if the end comes first.
  std::string read_exactly(std::size_t size, std::size_t limit = kReadLimit);
  // The same into a buffer, which is filled.
  void read_exactly(MutableBuffer buffer);

  // Reads what there is, at least a byte; returns 0 at the end, and if the buffer has no room.
  std::size_t read_some(MutableBuffer buffer);

  // Returns all up to the end. Throws std::system_error (message_size) if that is more than `limit`
  // bytes, which is this call's own; what was read then stays in the reader. Memory grows to at
  // most three times what has arrived.
  std::string read_all(std::size_t limit = kReadLimit);

  // Waits for the next byte or the end; returns whether it is the end.
  bool at_end();

  // What has been read ahead. Valid until the next call. Does not wait.
  std::string_view buffered() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }

 private:
  std::size_t fill();
  void fill_up(MutableBuffer buffer, std::size_t& done);
  std::optional<std::size_t> find(std::string_view delimiter, std::size_t limit, const char* call);
  std::size_t take(MutableBuffer buffer) noexcept;
  void put_back(MutableBuffer taken);

  std::size_t (*read_)(void* stream, MutableBuffer buffer) = nullptr;
  void* stream_ = nullptr;
  std::size_t limit_ = 0;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what has been read ahead
  std::size_t end_ = 0;
};

}  // namespace weft

#endif  // WEFT_IO_BUFFERED_READER_H_
