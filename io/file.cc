#include "weft/io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/io/error.h"
#include "weft/sync/thread_pool.h"

namespace weft {
namespace {

// read_all() of what has no size, such as a file of /proc, or grows meanwhile.
constexpr std::size_t kLeastRoom = 16 * 1024;

// Runs call() on a thread. Cancelled when that has begun, it still gives the result, which else
// would be lost, with what was opened or read: the next wait throws.
template <class Call>
auto in_executor(Call call) {
  std::optional<decltype(call())> result;
  try {
    run_in_executor([&] { result.emplace(call()); });
  } catch (const Cancelled&) {
    if (!result) throw;
  }
  return std::move(*result);
}

// A call that EINTR does not end.
template <class Call>
ssize_t retrying(Call call) {
  for (;;) {
    const ssize_t result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// Writes everything: write(first byte, how many) as often as it takes. -1, or what is written.
template <class Write>
ssize_t write_fully(ConstBuffer buffer, Write write) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ConstBuffer rest = buffer.drop_front(done);
    const ssize_t size = retrying([&] { return write(rest, done); });
    if (size == 0) errno = EIO;  // or else this would go on for ever
    if (size <= 0) return -1;
    done += static_cast<std::size_t>(size);
  }
  return static_cast<ssize_t>(done);
}

ssize_t size_of(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 ? ssize_t{info.st_size} : -1;
}

}  // namespace

File::File(Fd fd, std::string_view path)
    : fd_(std::make_shared<const Fd>(std::move(fd))), path_(path) {}

// Runs call(fd) on a thread; throws what errno says if it returns -1.
template <class Call>
std::uint64_t File::run(const char* what, Call call) {
  const std::shared_ptr<const Fd> fd = fd_;
  if (!fd) fail(EBADF, {what, " ", path_});
  const auto [result, reason] = in_executor([&] {
    const ssize_t value = call(fd->get());
    return std::pair(value, errno);
  });
  if (result < 0) fail(reason, {what, " ", path_});
  return static_cast<std::uint64_t>(result);
}

File File::open(std::string_view path, int flags, unsigned mode) {
  const std::string name(path);
  if (path.find('\0') != std::string_view::npos) fail(EINVAL, {"open ", path});
  auto [fd, reason] = in_executor([&] {
    Fd opened(static_cast<int>(
        retrying([&] { return ssize_t{::open(name.c_str(), flags | O_CLOEXEC, mode)}; })));
    int error = errno;
    struct stat info {};
    if (opened.get() >= 0 && fstat(opened.get(), &info) == 0 && S_ISDIR(info.st_mode)) {
      opened = Fd();
      error = EISDIR;
    }
    return std::pair(std::move(opened), error);
  });
  if (fd.get() < 0) fail(reason, {"open ", path});
  return File(std::move(fd), path);
}

std::size_t File::read(MutableBuffer buffer) {
  return run("read", [&](int fd) {
    return retrying([&] { return ::read(fd, buffer.data(), buffer.size()); });
  });
}

std::size_t File::pread(MutableBuffer buffer, std::uint64_t offset) {
  return run("pread", [&](int fd) {
    return retrying(
        [&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
  });
}

std::size_t File::write(ConstBuffer buffer) {
  return run("write", [&](int fd) {
    return write_fully(buffer, [&](ConstBuffer rest, std::size_t) {
      return ::write(fd, rest.data(), rest.size());
    });
  });
}

std::size_t File::pwrite(ConstBuffer buffer, std::uint64_t offset) {
  return run("pwrite", [&](int fd) {
    return write_fully(buffer, [&](ConstBuffer rest, std::size_t done) {
      return ::pwrite(fd, rest.data(), rest.size(), static_cast<off_t>(offset + done));
    });
  });
}

std::string File::read_all() {
  std::string content;
  run("read", [&](int fd) {
    const off_t position = lseek(fd, 0, SEEK_CUR);
    const ssize_t all = size_of(fd);
    std::size_t room = kLeastRoom;
    // One more than there is, so that the end is found without growing.
    if (position >= 0 && all > position) room = static_cast<std::size_t>(all - position) + 1;
    content.resize(room);
    for (std::size_t size = 0;;) {
      if (size == content.size()) content.resize(size + kLeastRoom);
      const ssize_t count =
          retrying([&] { return ::read(fd, &content[size], content.size() - size); });
      if (count <= 0) {
        content.resize(size);
        return count;
      }
      size += static_cast<std::size_t>(count);
    }
  });
  return content;
}

std::uint64_t File::size() { return run("size of", size_of); }

void File::sync() {
  run("fsync", [](int fd) { return ssize_t{fsync(fd)}; });
}

}  // namespace weft
