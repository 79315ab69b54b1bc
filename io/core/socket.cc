#include "weft/io/core/socket.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "weft/io/core/error.h"

namespace weft::internal {

Fd::~Fd() {
  // Linux closes the descriptor whatever close() returns: a second try might close another one.
  if (fd_ >= 0) close(fd_);
}

void fill_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // It gets the lowest free number. Not O_CLOEXEC: programs that are started need it, too.
    int opened = open("/dev/null", O_RDWR);
    if (opened < 0) opened = open("/", O_PATH);
    checked(opened, {"open of /dev/null, as descriptor ", decimal(fd), " is closed"});
    if (opened != fd) close(opened);  // another thread was faster
  }
}

}  // namespace weft::internal
