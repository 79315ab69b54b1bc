#ifndef WEFT_IO_TESTING_STREAM_PAIR_H_
#define WEFT_IO_TESTING_STREAM_PAIR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "weft/io/buffer.h"

namespace weft::testing {

struct StreamPairOptions {
  // Each read and write transfers a random part of what it could, at least a byte, drawn from this.
  std::uint64_t seed = 0;
  // After this many bytes, of both directions together, writes fail with `error`, and so do reads
  // once they have got what was written before.
  std::size_t fail_after = SIZE_MAX;
  std::errc error = std::errc::connection_reset;
  // How many bytes each direction holds until they are read: then a write waits. Zero: any number.
  std::size_t capacity = 64 * 1024;
};

// One end of a connection in memory: a weft::Stream for BufferedReader and for code that takes any
// stream. The functions do what those of StreamSocket do, with the same error codes; see there. But
// they take no std::error_code, and two fibers that read at once are not refused. They are
// cancellation points if they wait.
//
// Threads: fibers of one scheduler, both ends; one may read while another one writes. Move or
// destroy it only while no call is in progress.
class MemoryStream {
 public:
  // Not open.
  MemoryStream() = default;
  MemoryStream(MemoryStream&&) noexcept = default;
  MemoryStream& operator=(MemoryStream other) noexcept {
    connection_.swap(other.connection_);
    std::swap(side_, other.side_);
    return *this;
  }
  ~MemoryStream() { close(); }

  std::size_t read_some(MutableBuffer buffer);
  std::size_t read_exactly(MutableBuffer buffer);
  std::size_t write_some(ConstBuffer buffer);
  std::size_t write_all(ConstBuffer buffer);

  // Do not wait, and have no effect twice.
  void shutdown_write() noexcept;
  void close() noexcept;
  bool is_open() const noexcept { return connection_ != nullptr; }

 private:
  friend std::pair<MemoryStream, MemoryStream> stream_pair(StreamPairOptions options);
  struct Connection;

  MemoryStream(std::shared_ptr<Connection> connection, unsigned side) noexcept
      : connection_(std::move(connection)), side_(side) {}

  std::shared_ptr<Connection> connection_;  // null when it is closed
  unsigned side_ = 0;
};

// Returns two ends that are connected.
//
//   auto [client, server] = weft::testing::stream_pair({.seed = seed, .fail_after = 1000});
//   auto answering = weft::spawn([&] { serve(server); });
//   ask(client);
//
// Does not wait. Needs no fiber.
std::pair<MemoryStream, MemoryStream> stream_pair(StreamPairOptions options = {});

}  // namespace weft::testing

#endif  // WEFT_IO_TESTING_STREAM_PAIR_H_
