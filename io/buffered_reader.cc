#include "weft/io/buffered_reader.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "weft/io/core/error.h"

namespace weft {
namespace {

constexpr std::size_t kFirstRoom = 4096;

// What read_exactly() allocates first, whatever the size: nothing of it has arrived yet.
constexpr std::size_t kFirstPiece = 64 * 1024;

[[noreturn]] void fail_too_long(const char* call, std::size_t limit) {
  internal::fail(EMSGSIZE, {call, " found no end within ", internal::in_bytes(limit)});
}

[[noreturn]] void fail_ended(const char* call, std::size_t size) {
  internal::fail(ENODATA, {call, " came to the end after ", internal::in_bytes(size)});
}

}  // namespace

// Reads more, behind what was read ahead. Returns its size; 0 at the end.
std::size_t BufferedReader::fill() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == buffer_.size()) {
    // The room is twice what was read ahead, so that moving costs no more than reading.
    const std::size_t ahead = end_ - begin_;
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, ahead);
    begin_ = 0;
    end_ = ahead;
    const std::size_t room = std::max(kFirstRoom, 2 * ahead);
    if (buffer_.size() < room) {
      buffer_.reserve(room);  // no more than that, which resize() alone might take
      buffer_.resize(room);
    }
  }
  const std::size_t size = read_(stream_, {buffer_.data() + end_, buffer_.size() - end_});
  end_ += size;
  return size;
}

// Returns the offset of the delimiter in what was read ahead, or nullopt if the end comes first.
std::optional<std::size_t> BufferedReader::find(std::string_view delimiter, std::size_t limit,
                                                const char* call) {
  std::size_t searched = 0;
  for (;;) {
    const std::size_t found = buffered().find(delimiter, searched);
    if (found != std::string_view::npos) {
      if (found > limit) fail_too_long(call, limit_);
      return found;
    }
    const std::size_t size = buffered().size();
    if (size > limit && size - limit >= delimiter.size()) fail_too_long(call, limit_);
    searched = size - std::min(size, delimiter.size() - 1);
    if (fill() == 0) return {};
  }
}

bool BufferedReader::read_line(std::string& line) {
  // One byte more, which may be the \r.
  const std::size_t most = limit_ == SIZE_MAX ? limit_ : limit_ + 1;
  const std::optional<std::size_t> found = find("\n", most, "read_line");
  if (!found && buffered().empty()) return false;
  std::size_t size = found.value_or(buffered().size());
  const std::size_t next = size + (found ? 1 : 0);
  if (found && size > 0 && buffered()[size - 1] == '\r') --size;
  if (size > limit_) fail_too_long("read_line", limit_);
  line.assign(buffered().substr(0, size));
  begin_ += next;
  return true;
}

std::optional<std::string> BufferedReader::read_line() {
  std::string line;
  if (!read_line(line)) return {};
  return line;
}

bool BufferedReader::read_until(std::string_view delimiter, std::string& piece) {
  if (delimiter.empty()) internal::fail(EINVAL, {"read_until an empty delimiter"});
  const std::optional<std::size_t> found = find(delimiter, limit_, "read_until");
  if (!found) {
    if (buffered().empty()) return false;
    fail_ended("read_until", buffered().size());
  }
  const std::size_t size = *found + delimiter.size();
  piece.assign(buffered().substr(0, size));
  begin_ += size;
  return true;
}

std::optional<std::string> BufferedReader::read_until(std::string_view delimiter) {
  std::string piece;
  if (!read_until(delimiter, piece)) return {};
  return piece;
}

// Moves what was read ahead into the buffer, as far as it fits.
std::size_t BufferedReader::take(MutableBuffer buffer) noexcept {
  const std::size_t size = std::min(buffer.size(), buffered().size());
  if (size > 0) std::memcpy(buffer.data(), buffered().data(), size);
  begin_ += size;
  return size;
}

// Puts back what a call that throws has taken, so that it can be repeated.
void BufferedReader::put_back(MutableBuffer taken) {
  if (taken.empty()) return;
  const auto* const data = reinterpret_cast<const char*>(taken.data());
  std::vector<char> all(data, data + taken.size());
  all.insert(all.end(), buffered().begin(), buffered().end());
  buffer_ = std::move(all);
  begin_ = 0;
  end_ = buffer_.size();
}

// Fills the buffer from `done` on. `done` counts what is there, also if this throws.
void BufferedReader::fill_up(MutableBuffer buffer, std::size_t& done) {
  done += take(buffer.drop_front(done));
  while (done < buffer.size()) {
    // A large piece is read straight into its place, a small one together with what follows it.
    const MutableBuffer rest = buffer.drop_front(done);
    const std::size_t size = rest.size() >= kFirstRoom ? read_(stream_, rest) : fill();
    if (size == 0) fail_ended("read_exactly", done);
    done += rest.size() >= kFirstRoom ? size : take(rest);
  }
}

void BufferedReader::read_exactly(MutableBuffer buffer) {
  std::size_t done = 0;
  try {
    fill_up(buffer, done);
  } catch (...) {
    put_back({buffer.data(), done});
    throw;
  }
}

std::string BufferedReader::read_exactly(std::size_t size, std::size_t limit) {
  if (size > limit) {
    internal::fail(EMSGSIZE, {"read_exactly of ", internal::in_bytes(size), ", more than ",
                              internal::in_bytes(limit)});
  }
  std::string piece;
  std::size_t done = 0;
  try {
    while (done < size) {
      piece.resize(done + std::min(size - done, std::max(done, kFirstPiece)));
      fill_up(piece, done);
    }
  } catch (...) {
    put_back({piece.data(), done});
    throw;
  }
  return piece;
}

std::size_t BufferedReader::read_some(MutableBuffer buffer) {
  if (buffer.empty()) return 0;
  if (buffered().empty()) {
    if (buffer.size() >= kFirstRoom) return read_(stream_, buffer);
    if (fill() == 0) return 0;
  }
  return take(buffer);
}

std::string BufferedReader::read_all(std::size_t limit) {
  do {
    if (buffered().size() > limit) fail_too_long("read_all", limit);
  } while (fill() > 0);
  std::string all(buffered());
  begin_ = end_;
  return all;
}

bool BufferedReader::at_end() { return buffered().empty() && fill() == 0; }

}  // namespace weft
