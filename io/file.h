#ifndef WEFT_IO_FILE_H_
#define WEFT_IO_FILE_H_

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "weft/io/buffer.h"
#include "weft/io/core/fd.h"

namespace weft {

// A file on a disk. The kernel has no way to wait for one, so every call runs on a thread of
// run_in_executor() while the fiber waits.
//
// Every call is a cancellation point until its thread has begun; from then on it ends, with its
// result, and the next wait throws. Errors: std::system_error, naming call and path; after a
// close() bad_file_descriptor. It needs a fiber of a runtime: std::logic_error elsewhere.
//
// Threads: as with a descriptor, any number of calls at once; those that use the file's position
// move it one after the other. Moving and destroying: when no call is under way. close() at any
// time, from this file's fibers: what is under way ends as it would have.
class File {
 public:
  // Not open.
  File() = default;
  File(const File&) = default;
  File(File&&) = default;
  File& operator=(const File&) = default;
  File& operator=(File&&) = default;

  // Opens, with open(2)'s flags; O_CLOEXEC is always set. `mode` is for O_CREAT, less the umask.
  // Throws no_such_file_or_directory and so on; is_a_directory for a directory. Opening a fifo
  // waits on its thread for the other end, and cannot be cancelled then.
  static File open(std::string_view path, int flags = O_RDONLY, unsigned mode = 0666);

  // Reads at most what fits, from the file's position; 0 at the end, and if there is no room.
  std::size_t read(MutableBuffer buffer);
  // The same under the name that streams have, for BufferedReader.
  std::size_t read_some(MutableBuffer buffer) { return read(buffer); }

  // Writes everything at the file's position (at the end with O_APPEND); returns how much. With an
  // error code that is less if it fails: what was written before, such as until the disk was full.
  std::size_t write(ConstBuffer buffer);
  std::size_t write(ConstBuffer buffer, std::error_code& error);

  // Read and write at a place, without moving the file's position. pwrite() to a file with O_APPEND
  // fails with invalid_argument: Linux would append, whatever the place.
  std::size_t pread(MutableBuffer buffer, std::uint64_t offset);
  std::size_t pwrite(ConstBuffer buffer, std::uint64_t offset);
  std::size_t pwrite(ConstBuffer buffer, std::uint64_t offset, std::error_code& error);

  // From the file's position to its end. Throws file_too_large, naming path and sizes, if that is
  // more than `limit` bytes: before anything is read if the file says so itself; else, such as of a
  // pipe, what was read is lost. Memory grows with what is read, in steps that double, from 16 MiB
  // at most.
  std::string read_all(std::size_t limit = kReadLimit);

  // In bytes, as it is now.
  std::uint64_t size();

  // Waits until what was written is on the disk (fsync).
  void sync();

  // No effect twice. Does not wait: what was written is the kernel's.
  void close() noexcept { fd_.reset(); }
  bool is_open() const noexcept { return fd_ != nullptr; }

  // For weft's own files: null after close().
  std::shared_ptr<const internal::Fd> descriptor() const noexcept { return fd_; }

  // As it was given.
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
