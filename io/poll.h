#ifndef WEFT_IO_POLL_H_
#define WEFT_IO_POLL_H_

#include <cstdint>
#include <memory>

#include "weft/fiber/core/selection.h"

namespace weft {

// What a descriptor can be ready for: reading, writing, both or neither.
enum class Events : unsigned char { kNone = 0, kRead = 1, kWrite = 2 };

constexpr Events operator|(Events a, Events b) noexcept {
  return static_cast<Events>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr Events operator&(Events a, Events b) noexcept {
  return static_cast<Events>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
constexpr Events& operator|=(Events& a, Events b) noexcept { return a = a | b; }

// Waits until a descriptor that belongs to another library or to the program is ready for one of
// `events`, and returns those of them that it is ready for. For client libraries that say what they
// need, such as libpq, curl and OpenSSL, for pipes, and for standard input:
//
//   while (PQflush(database) == 1) {  // libpq has more to send, and may have to read first
//     const Events came = wait_ready(PQsocket(database), Events::kRead | Events::kWrite);
//     if ((came & Events::kRead) != Events::kNone) PQconsumeInput(database);
//   }
//
// An error, or the end of the other side, counts as ready, as with poll(2). For a descriptor that
// is always ready, such as a file, it returns at once.
//
// weft forgets the descriptor between calls: its owner may close it whenever nobody waits for it.
// Several fibers may wait for one descriptor, for the same events or others. It need not be
// non-blocking, but then only the next read or write is sure not to block.
//
// A cancellation point if it waits. Throws std::invalid_argument if `events` is empty,
// std::system_error (bad_file_descriptor) if there is no such descriptor, and std::logic_error
// outside fibers. The descriptor of a weft socket is refused: device_or_resource_busy. Threads: any
// fiber. Two system calls a wait.
Events wait_ready(int fd, Events events);

// The same for one event.
void wait_readable(int fd);
void wait_writable(int fd);

namespace internal {

class ForeignWait;

// What on_ready() returns.
class ReadyCase final : public SelectCase {
 public:
  ReadyCase(int fd, Events events);
  ~ReadyCase();

  bool attempt() override;
  bool enlist(Selection& selection) override;

 private:
  const int fd_;
  const std::uint32_t events_;  // of epoll
  std::unique_ptr<ForeignWait> wait_;
};

}  // namespace internal

// wait_ready() as a case of weft::select(): the descriptor is ready for one of `events`.
//
//   const std::size_t first =
//       weft::select(on_ready(ttyfd, Events::kRead), on_pop(messages, message), after(1s));
//   if (first == 0) read(ttyfd, buffer, sizeof(buffer));
//
// Throws as wait_ready(). Costs a system call more, and an allocation if select() has to wait.
inline internal::ReadyCase on_ready(int fd, Events events) { return {fd, events}; }

}  // namespace weft

#endif  // WEFT_IO_POLL_H_
