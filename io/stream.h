#ifndef WEFT_IO_STREAM_H_
#define WEFT_IO_STREAM_H_

#include <concepts>
#include <cstddef>

#include "weft/io/buffer.h"

namespace weft {

// An object that can be read from. `read_some(buffer)` waits for at least a byte, and returns the
// number of bytes, or 0 at the end. TcpStream, UnixStream, File and BufferedReader are sources.
//
//   void print(weft::Source auto& source) {
//     weft::BufferedReader reader(source);
//     while (const auto line = reader.read_line()) std::puts(line->c_str());
//   }
template <class S>
concept Source = requires(S& source, MutableBuffer buffer) {
  { source.read_some(buffer) } -> std::same_as<std::size_t>;
};

// A connection of any kind: TcpStream, UnixStream, or a layer above one that behaves the same.
//
//   void echo(weft::Stream auto& stream) {
//     char buffer[1024];
//     while (const std::size_t size = stream.read_some(buffer)) {
//       stream.write_all(std::span(buffer, size));
//     }
//     stream.shutdown_write();
//   }
//
// `write_all(buffer)` waits until all is written. After `shutdown_write()` the peer reads the end.
// `close()` ends both directions; calls that wait in other fibers fail with operation_canceled.
// Errors, cancellation and threads are those of StreamSocket.
template <class S>
concept Stream = Source<S> && requires(S& stream, ConstBuffer buffer) {
  { stream.write_all(buffer) } -> std::convertible_to<std::size_t>;
  stream.shutdown_write();
  stream.close();
};

}  // namespace weft

#endif  // WEFT_IO_STREAM_H_
