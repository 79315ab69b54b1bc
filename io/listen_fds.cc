#include "weft/io/listen_fds.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "weft/io/address.h"
#include "weft/io/core/error.h"

namespace weft {
namespace {

constexpr int kFirst = 3;

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::vector<int> listen_fds() {
  if (variable("LISTEN_PID") != internal::decimal(getpid())) return {};
  const std::string_view text = variable("LISTEN_FDS");
  const auto count = internal::port_number(text);
  if (!count) internal::fail(EINVAL, {"listen_fds: LISTEN_FDS is \"", text, "\""});
  std::vector<int> fds;
  for (int fd = kFirst; fd < kFirst + *count; ++fd) {
    internal::checked(fcntl(fd, F_SETFD, FD_CLOEXEC),
                      {"listen_fds: descriptor ", internal::decimal(fd)});
    fds.push_back(fd);
  }
  return fds;
}

std::vector<int> listen_fds(std::string_view name) {
  std::vector<int> named;
  std::string_view names = variable("LISTEN_FDNAMES");
  for (const int fd : listen_fds()) {
    const std::size_t end = std::min(names.find(':'), names.size());
    if (names.substr(0, end) == name) named.push_back(fd);
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return named;
}

}  // namespace weft
