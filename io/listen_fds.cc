#include "weft/io/listen_fds.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

std::vector<int> listen_fds(std::string_view name) {
  if (variable("LISTEN_PID") != internal::decimal(getpid())) return {};
  const std::string_view text = variable("LISTEN_FDS");
  const auto count = internal::port_number(text);
  if (!count) internal::fail(EINVAL, {"listen_fds: LISTEN_FDS is \"", text, "\""});
  std::vector<int> named;
  std::string_view names = variable("LISTEN_FDNAMES");
  for (int fd = kFirst; fd < kFirst + *count; ++fd) {
    internal::checked(fcntl(fd, F_SETFD, FD_CLOEXEC), {"listen_fds: ", internal::decimal(fd)});
    const std::string_view its_name = names.substr(0, names.find(':'));
    names.remove_prefix(std::min(its_name.size() + 1, names.size()));
    if (name.empty() || name == its_name) named.push_back(fd);
  }
  return named;
}

}  // namespace weft
