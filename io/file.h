#ifndef WEFT_IO_FILE_H_
#define WEFT_IO_FILE_H_

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weft/io/buffer.h"
#include "weft/io/core/socket.h"

namespace weft {

// A file on a disk. The kernel has no way to wait for one, so every call runs on a thread of
// run_in_executor() while the fiber waits.
//
//   File file = File::open("notes.txt", O_RDWR | O_CREAT);
//   const std::string before = file.read_all();
//   file.write("one more line\n");
//
// Every call is a cancellation point until its thread has begun. From then on it completes, with
// its result, and the next wait throws. Errors: std::system_error, naming call and path;
// bad_file_descriptor after close(). Needs a fiber of a runtime: throws std::logic_error elsewhere.
//
// Threads: any number of calls at once, as with a descriptor; those that use the file's position
// move it one after the other. A copy shares descriptor and position. Move or destroy it only while
// no call is in progress. close() is allowed any time from the same scheduler; calls in progress
// complete.
class File {
 public:
  // Not open.
  File() = default;

  // Opens a file with the flags of open(2); O_CLOEXEC is always set. `mode` is for O_CREAT, less
  // the umask. Throws no_such_file_or_directory and so on; is_a_directory for a directory. Opening
  // a fifo waits on its thread for the other end, and cannot be cancelled then.
  static File open(std::string_view path, int flags = O_RDONLY, unsigned mode = 0666);

  // Reads at most what fits, from the file's position. Returns the size, 0 at the end, and if the
  // buffer has no room.
  std::size_t read(MutableBuffer buffer);
  // The same, by the name that streams use, for BufferedReader.
  std::size_t read_some(MutableBuffer buffer) { return read(buffer); }

  // Writes everything at the file's position (at the end with O_APPEND); returns the size. If it
  // gets a std::error_code, and fails, returns what was written before, e.g. until the disk was
  // full.
  std::size_t write(ConstBuffer buffer, internal::ErrorTo error = {});

  // Read and write at an offset in bytes, without moving the file's position. pwrite() to a file
  // with O_APPEND fails with invalid_argument: Linux would append, whatever the offset.
  std::size_t pread(MutableBuffer buffer, std::uint64_t offset);
  std::size_t pwrite(ConstBuffer buffer, std::uint64_t offset, internal::ErrorTo error = {});

  // Reads from the file's position to its end. Throws file_too_large, naming path and sizes, if
  // that is more than `limit` bytes. If the file has a size nothing has been read then; otherwise,
  // as from a pipe, what was read is lost. Memory grows with what is read, in steps that double,
  // the first of at most 16 MiB.
  std::string read_all(std::size_t limit = kReadLimit);

  // The size now, in bytes.
  std::uint64_t size();

  // Waits until what was written is on the disk (fsync).
  void sync();

  // Does not wait: what was written is the kernel's. No effect twice.
  void close() noexcept { fd_.reset(); }
  bool is_open() const noexcept { return fd_ != nullptr; }

  // For weft's own files. Null after close().
  std::shared_ptr<const internal::Fd> descriptor() const noexcept { return fd_; }

  // The path given to open().
  const std::string& path() const noexcept { return path_.text(); }

  // -1 after close().
  int native_handle() const noexcept { return fd_ ? fd_->get() : -1; }

 private:
  File(internal::Fd fd, std::string_view path);

  // Shared with calls that are under way, so that close() cannot pull it from under them.
  std::shared_ptr<const internal::Fd> fd_;
  internal::Name path_;
};

}  // namespace weft

#endif  // WEFT_IO_FILE_H_
