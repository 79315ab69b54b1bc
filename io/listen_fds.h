#ifndef WEFT_IO_LISTEN_FDS_H_
#define WEFT_IO_LISTEN_FDS_H_

#include <string_view>
#include <vector>

namespace weft {

// The descriptors that the program was started with: by systemd's socket activation, or by a
// process before it that hands over its listener (examples/restart.cc). See sd_listen_fds(3).
//
//   const std::vector<int> given = listen_fds();
//   TcpListener listener =
//       given.empty() ? TcpListener(":8080") : TcpListener::adopt(given.front());
//
// Empty if there are none, or if they are for another process (LISTEN_PID, LISTEN_FDS). With a
// name: only those that have it (FileDescriptorName= of the unit, LISTEN_FDNAMES). Sets FD_CLOEXEC,
// so that programs which this one starts do not get them. The environment stays as it is.
//
// Does not wait, and needs no fiber. Any thread, but not while another one changes the environment.
// Throws std::system_error, naming listen_fds: invalid_argument if LISTEN_FDS is no number,
// bad_file_descriptor if one of them is not open.
std::vector<int> listen_fds(std::string_view name = {});

}  // namespace weft

#endif  // WEFT_IO_LISTEN_FDS_H_
