#include "weft/io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <optional>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/io/core/error.h"
#include "weft/sync/executor.h"

namespace weft {
namespace {

// The steps of read_all() if a file has no size, as those of /proc, or grows meanwhile.
constexpr std::size_t kLeastRoom = 16 * 1024;

// The most that read_all() allocates before it has read anything: a size need not be true.
constexpr std::size_t kMostAhead = 16 << 20;

// Runs call() on a thread, again if a signal interrupts it. Returns its result, or a negative
// error. If the fiber is cancelled after the call has begun, the result is returned all the same,
// because what was opened or read would be lost; the next wait throws.
ssize_t attempt(const std::function<ssize_t()>& call) {
  std::optional<ssize_t> result;
  try {
    run_in_executor([&] {
      do {
        const ssize_t value = call();
        result = value < 0 ? -errno : value;
      } while (result == -EINTR);
    });
  } catch (const Cancelled&) {
    if (!result) throw;
  }
  return *result;
}

// The same with the file's descriptor.
ssize_t attempt(const File& file, const std::function<ssize_t(int fd)>& call) {
  const std::shared_ptr<const internal::Fd> fd = file.descriptor();
  if (!fd) return internal::unless_cancelled(-EBADF);
  return attempt([&] { return call(fd->get()); });
}

// Throws if the result is an error.
std::uint64_t value_or_fail(ssize_t result, const char* what, std::string_view path) {
  if (result < 0) internal::fail(static_cast<int>(-result), {what, " ", path});
  return static_cast<std::uint64_t>(result);
}

std::uint64_t in_executor(const char* what, const File& file,
                          const std::function<ssize_t(int fd)>& call) {
  return value_or_fail(attempt(file, call), what, file.path());
}

// Writes everything: calls write(descriptor, the rest, the size of what was written) until then.
// The words are for its error.
std::size_t write_fully(const File& file, ConstBuffer buffer, internal::ErrorTo error,
                        internal::Words words,
                        const std::function<ssize_t(int, ConstBuffer, std::size_t)>& write) {
  std::size_t done = 0;
  const ssize_t result = attempt(file, [&](int fd) -> ssize_t {
    while (done < buffer.size()) {
      const ssize_t size = write(fd, buffer.drop_front(done), done);
      if (size == 0) errno = EIO;  // otherwise this loop would not end
      if (size <= 0) return -1;
      done += static_cast<std::size_t>(size);
    }
    return 0;
  });
  if (!error.take(internal::error_of(result))) internal::fail(static_cast<int>(-result), words);
  return done;
}

bool is_appended_to(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && flags & O_APPEND;
}

ssize_t size_of(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 ? ssize_t{info.st_size} : -1;
}

}  // namespace

File::File(internal::Fd fd, std::string_view path)
    : fd_(std::make_shared<const internal::Fd>(std::move(fd))), path_(std::string(path)) {}

File File::open(std::string_view path, int flags, unsigned mode) {
  if (path.find('\0') != std::string_view::npos) internal::fail(EINVAL, {"open ", path});
  const std::string name(path);
  const ssize_t result = attempt([&]() -> ssize_t {
    const int opened = ::open(name.c_str(), flags | O_CLOEXEC, mode);
    struct stat info {};
    if (opened < 0 || fstat(opened, &info) != 0 || !S_ISDIR(info.st_mode)) return opened;
    ::close(opened);
    errno = EISDIR;
    return -1;
  });
  return File(internal::Fd(static_cast<int>(value_or_fail(result, "open", path))), path);
}

std::size_t File::read(MutableBuffer buffer) {
  return in_executor("read", *this,
                     [&](int fd) { return ::read(fd, buffer.data(), buffer.size()); });
}

std::size_t File::pread(MutableBuffer buffer, std::uint64_t offset) {
  return in_executor("pread", *this, [&](int fd) {
    return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
  });
}

std::size_t File::write(ConstBuffer buffer, internal::ErrorTo error) {
  const auto write_some = [](int fd, ConstBuffer rest, std::size_t) {
    return ::write(fd, rest.data(), rest.size());
  };
  return write_fully(*this, buffer, error, {"write ", path()}, write_some);
}

std::size_t File::pwrite(ConstBuffer buffer, std::uint64_t offset, internal::ErrorTo error) {
  const bool appends = is_appended_to(native_handle());
  const auto write_some = [&](int fd, ConstBuffer rest, std::size_t done) {
    errno = EINVAL;
    return appends ? -1 : ::pwrite(fd, rest.data(), rest.size(), static_cast<off_t>(offset + done));
  };
  const char* const why = appends ? ": it has O_APPEND, and Linux would append instead" : "";
  return write_fully(*this, buffer, error, {"pwrite ", path(), why}, write_some);
}

std::string File::read_all(std::size_t limit) {
  std::string content;
  std::size_t size = 0;
  std::size_t announced = 0;
  in_executor("read", *this, [&](int fd) -> ssize_t {
    const off_t position = lseek(fd, 0, SEEK_CUR);
    const ssize_t all = size_of(fd);
    if (position >= 0 && all > position) announced = static_cast<std::size_t>(all - position);
    if (announced > limit) return 0;
    while (size <= limit) {
      if (size == content.size()) {
        // One byte more than is left, so that the end is found without growing.
        const std::size_t left = announced > size ? announced - size + 1 : kLeastRoom;
        content.resize(size + std::min(left, std::max(size, kMostAhead)));
      }
      const ssize_t count = ::read(fd, &content[size], content.size() - size);
      if (count <= 0) return count;
      size += static_cast<std::size_t>(count);
    }
    return 0;
  });
  if (announced > limit) {
    internal::fail(EFBIG, {"read_all of ", path(), ": ", internal::in_bytes(announced),
                           ", more than ", internal::in_bytes(limit)});
  }
  if (size > limit)
    internal::fail(EFBIG, {"read_all of ", path(), ": more than ", internal::in_bytes(limit)});
  content.resize(size);
  return content;
}

std::uint64_t File::size() { return in_executor("size of", *this, size_of); }

void File::sync() {
  in_executor("fsync", *this, [](int fd) { return ssize_t{fsync(fd)}; });
}

}  // namespace weft
