#include "weft/io/testing/stream_pair.h"

#include <algorithm>
#include <random>

#include "weft/fiber/core/error.h"
#include "weft/sync/queue.h"

namespace weft::testing {
namespace {

[[noreturn]] void fail(std::errc error) {
  internal::throw_system_error(std::make_error_code(error), {"a stream in memory"});
}

}  // namespace

struct MemoryStream::Connection {
  explicit Connection(const StreamPairOptions& options)
      : written{Queue<std::byte>(options.capacity), Queue<std::byte>(options.capacity)},
        left(options.fail_after),
        error(options.error),
        random(options.seed) {
    if (left == 0) end();
  }

  std::size_t part_of(std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(1, most)(random);
  }
  void end() noexcept {
    for (auto& bytes : written) bytes.close();
  }

  Queue<std::byte> written[2];  // by each side; closed when it writes no more
  std::size_t left;             // bytes until it fails
  const std::errc error;
  std::mt19937_64 random;
};

// Both keep the connection: close() may come while they wait for their first byte.
std::size_t MemoryStream::read_some(MutableBuffer buffer) {
  const auto connection = connection_;
  if (!connection) fail(std::errc::bad_file_descriptor);
  if (buffer.empty()) return 0;
  auto& bytes = connection->written[1 - side_];
  try {
    *buffer.data() = bytes.pop();
  } catch (const QueueClosed&) {
    if (connection_ && connection->left > 0) return 0;
    fail(connection_ ? connection->error : std::errc::operation_canceled);
  }
  const std::size_t size = connection->part_of(std::min(buffer.size(), 1 + bytes.size()));
  std::generate_n(buffer.data() + 1, size - 1, [&] { return *bytes.try_pop(); });
  return size;
}

std::size_t MemoryStream::write_some(ConstBuffer buffer) {
  const auto connection = connection_;
  if (!connection) fail(std::errc::bad_file_descriptor);
  if (buffer.empty()) return 0;
  auto& bytes = connection->written[side_];
  try {
    bytes.push(*buffer.data());
  } catch (const QueueClosed&) {
    if (!connection_) fail(std::errc::operation_canceled);
    fail(connection->left == 0 ? connection->error : std::errc::broken_pipe);
  }
  const std::size_t left = std::max<std::size_t>(connection->left, 1);  // the peer may have written
  const std::size_t part = connection->part_of(std::min(buffer.size(), left));
  std::size_t size = 1;
  // It may have been closed since the push that had to wait.
  while (size < part && !bytes.is_closed() && bytes.try_push(buffer.data()[size])) ++size;
  connection->left = left - size;
  if (connection->left == 0) connection->end();
  return size;
}

std::size_t MemoryStream::read_exactly(MutableBuffer buffer) {
  for (std::size_t done = 0; done < buffer.size();) {
    const std::size_t size = read_some(buffer.drop_front(done));
    if (size == 0) fail(std::errc::no_message_available);
    done += size;
  }
  return buffer.size();
}

std::size_t MemoryStream::write_all(ConstBuffer buffer) {
  for (std::size_t done = 0; done < buffer.size();) done += write_some(buffer.drop_front(done));
  return buffer.size();
}

void MemoryStream::shutdown_write() noexcept {
  if (connection_) connection_->written[side_].close();
}

void MemoryStream::close() noexcept {
  if (const auto connection = std::exchange(connection_, nullptr)) connection->end();
}

std::pair<MemoryStream, MemoryStream> stream_pair(StreamPairOptions options) {
  const auto connection = std::make_shared<MemoryStream::Connection>(options);
  return {MemoryStream(connection, 0), MemoryStream(connection, 1)};
}

}  // namespace weft::testing
