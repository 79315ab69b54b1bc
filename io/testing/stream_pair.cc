#include "weft/io/testing/stream_pair.h"

#include <algorithm>
#include <cstring>
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
      : written{Queue<std::string>(options.capacity), Queue<std::string>(options.capacity)},
        left(options.fail_after),
        error(options.error),
        random(options.seed) {
    if (left == 0) end();
  }

  std::size_t part_of(std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(1, most)(random);
  }
  void end() noexcept {
    for (auto& pieces : written) pieces.close();
  }

  Queue<std::string> written[2];  // by each side; closed when it writes no more
  std::size_t left;               // bytes until it fails
  const std::errc error;
  std::mt19937_64 random;
};

MemoryStream& MemoryStream::operator=(MemoryStream other) noexcept {
  connection_.swap(other.connection_);
  unread_.swap(other.unread_);
  std::swap(side_, other.side_);
  return *this;
}

// Both keep the connection: close() may come while they wait.
std::size_t MemoryStream::read_some(MutableBuffer buffer) {
  const auto connection = connection_;
  if (!connection) fail(std::errc::bad_file_descriptor);
  if (buffer.empty()) return 0;
  auto& pieces = connection->written[1 - side_];
  try {
    if (unread_.empty()) unread_ = pieces.pop();
  } catch (const QueueClosed&) {
    if (!connection_) fail(std::errc::operation_canceled);
    if (connection->left == 0) fail(connection->error);
    return 0;
  }
  while (const auto more = pieces.try_pop()) unread_ += *more;
  const std::size_t size = connection->part_of(std::min(buffer.size(), unread_.size()));
  std::memcpy(buffer.data(), unread_.data(), size);
  unread_.erase(0, size);
  return size;
}

std::size_t MemoryStream::write_some(ConstBuffer buffer) {
  const auto connection = connection_;
  if (!connection) fail(std::errc::bad_file_descriptor);
  if (buffer.empty()) return 0;
  if (connection->left == 0) fail(connection->error);
  const std::size_t size = connection->part_of(std::min(buffer.size(), connection->left));
  try {
    connection->written[side_].push({reinterpret_cast<const char*>(buffer.data()), size});
  } catch (const QueueClosed&) {
    if (!connection_) fail(std::errc::operation_canceled);
    fail(connection->left == 0 ? connection->error : std::errc::broken_pipe);
  }
  connection->left -= std::min(size, connection->left);  // the peer may have written meanwhile
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
  std::pair<MemoryStream, MemoryStream> ends;
  ends.first.connection_ = std::make_shared<MemoryStream::Connection>(options);
  ends.second.connection_ = ends.first.connection_;
  ends.second.side_ = 1;
  return ends;
}

}  // namespace weft::testing
