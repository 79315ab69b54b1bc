#ifndef WEFT_IO_FD_STREAM_H_
#define WEFT_IO_FD_STREAM_H_

#include <string>
#include <utility>

#include "weft/io/stream_socket.h"

namespace weft {

// A stream over a descriptor that is no socket: an end of a pipe, a fifo, a terminal, a device. See
// StreamSocket for what it can do; these differ:
//
// - What an end of a pipe cannot do fails with bad_file_descriptor, such as writing to the reading
//   end.
// - shutdown_write() is close(): there is no other way to tell the reader of a pipe.
// - A write to a pipe that nobody reads any more fails with broken_pipe. SIGPIPE is held back
//   meanwhile, which costs two system calls a write.
//
//   FdStream log = FdStream::adopt(open("/run/events", O_RDONLY | O_CLOEXEC));  // a fifo
//   BufferedReader reader(log);
//   while (const auto line = reader.read_line()) handle(*line);
class FdStream final : public StreamSocket {
 public:
  // Not open.
  FdStream() = default;

  // Takes over a descriptor that the program has, and makes it non-blocking: also for all that
  // share it by dup() or fork(), as a shell does its terminal. Does not wait. Throws
  // std::system_error, naming adopt and the descriptor, and changes nothing: bad_file_descriptor,
  // device_or_resource_busy if a stream of weft's owns it. A file on a disk works as well, but
  // holds up the thread: see File.
  static FdStream adopt(int fd);

 private:
  friend class Process;
  friend struct Pipe;

  FdStream(internal::Fd fd, std::string name, bool drained_by_short_reads) noexcept
      : StreamSocket(std::move(fd), drained_by_short_reads, Kind::kOther), name_(std::move(name)) {}

  std::string peer_name() const override { return name_.text(); }

  internal::Name name_;
};

// A pipe within this process: what is written to one end is read from the other. The kernel keeps
// 64 KiB between the two.
//
//   Pipe pipe;
//   auto writer = weft::spawn([&] { pipe.writer.write_all("hello\n"), pipe.writer.close(); });
//   const std::string all = BufferedReader(pipe.reader).read_all();
struct Pipe {
  // Needs no fiber and does not wait. Throws std::system_error if the process is out of
  // descriptors.
  Pipe();

  FdStream reader;
  FdStream writer;
};

}  // namespace weft

#endif  // WEFT_IO_FD_STREAM_H_
