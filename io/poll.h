#ifndef WEFT_IO_POLL_H_
#define WEFT_IO_POLL_H_

namespace weft {

// Wait until a descriptor that belongs to somebody else can be read from or written to, or has an
// error or an end to tell of: one of a client library, a pipe, standard input. They wait as poll(2)
// would, and return at once for what is always ready, such as a file.
//
// Nothing is kept of the descriptor between two calls, so that its owner may close it at any time
// but during one. Several fibers may wait for one descriptor. It need not be non-blocking, but then
// only the next read or write is sure not to block.
//
// A cancellation point where they wait. Throw std::system_error (bad_file_descriptor) if there is
// no such descriptor, and std::logic_error outside fibers. weft's own sockets are not for this:
// where one has had to wait before, it is refused (device_or_resource_busy), and else the wait may
// end early. Two system calls a wait.
void wait_readable(int fd);
void wait_writable(int fd);

}  // namespace weft

#endif  // WEFT_IO_POLL_H_
