#include "weft/io/tcp.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <functional>

#include "weft/fiber/core/running.h"
#include "weft/fiber/gather.h"
#include "weft/fiber/timeout.h"
#include "weft/io/core/accept.h"
#include "weft/io/core/error.h"
#include "weft/io/core/inet_socket.h"
#include "weft/io/dns.h"
#include "weft/io/runtime.h"

namespace weft {
namespace {

// If no process serves a port of this machine, the kernel may choose that very port for a
// connection to it, which is then connected to itself (TCP's simultaneous open). `peer` is the
// address that it reached, not the one that was asked for, such as 0.0.0.0.
bool is_connected_to_itself(int fd, const Address& peer) noexcept {
  Address local;
  socklen_t size = Address::kMaxSize;
  return getsockname(fd, local.data(), &size) == 0 && local == peer;
}

// Puts IPv4 and IPv6 in turn, beginning with the family of the first.
void interleave(std::vector<Address>& addresses) {
  for (auto place = addresses.begin(); place != addresses.end(); ++place) {
    const int family = place->family();
    const auto other = std::find_if(place, addresses.end(),
                                    [=](const Address& a) { return a.family() != family; });
    if (other == addresses.end()) return;
    std::rotate(place + 1, other, other + 1);
  }
}

// Calls connect() for each address, in a fiber of its own if there are several. If all fail, throws
// what the first address did.
TcpStream first_of(const std::vector<Address>& addresses, Duration stagger,
                   const std::function<TcpStream(const Address&)>& connect) {
  if (addresses.size() == 1) return connect(addresses.front());
  std::vector<std::function<TcpStream()>> attempts;
  for (const Address& address : addresses) attempts.push_back([&] { return connect(address); });
  try {
    return race(attempts, {.stagger = stagger});
  } catch (const RaceFailed& all) {
    std::rethrow_exception(all.failures.front());
  }
}

// Returns what connect() does. If that throws std::system_error, and the caller has an error code,
// sets it instead, and returns a stream that is not open.
template <class Connect>
TcpStream or_report(internal::ErrorTo error, Connect connect) try {
  error.take({});
  return connect();
} catch (const std::system_error& failure) {
  if (!error.take(failure.code())) throw;
  return {};
}

}  // namespace

// ---- TcpStream ----------------------------------------------------------------------------------

// Throws std::system_error, naming call and address.
TcpStream TcpStream::connect_until(TimePoint deadline, const Address& address,
                                   const ConnectOptions& options) {
  const std::string name = "connect to " + address.to_string();
  TcpStream stream(internal::new_socket(address.family(), SOCK_STREAM), address);
  const int fd = internal::checked(stream.native_handle(), {name});
  internal::count_wait();
  internal::set_option(fd, IPPROTO_TCP, TCP_NODELAY, options.nodelay, name);
  set_options(fd, options.socket);
  if (const auto& from = options.from) {
    if (from->family() != address.family()) internal::fail(EAFNOSUPPORT, {"bind for ", name});
    internal::checked(bind(fd, from->data(), from->size()), {"bind for ", name});
  }
  // If a signal interrupts it, the kernel goes on.
  if (::connect(fd, address.data(), address.size()) != 0) {
    int error = errno;
    if (error == EINPROGRESS || error == EINTR) {
      error = -stream.socket_.wait(internal::Direction::kWrite, deadline, "connect");
      if (error == 0) error = internal::get_option(fd, SO_ERROR, name);
    }
    if (error != 0) internal::fail(error, {name});
  }
  Address reached;
  socklen_t size = Address::kMaxSize;
  // Fails if the peer has gone again already: then it was not this socket itself.
  if (getpeername(fd, reached.data(), &size) != 0) return stream;
  if (is_connected_to_itself(fd, reached)) internal::fail(ECONNREFUSED, {name});
  stream.peer_ = reached;
  return stream;
}

// The same, naming what it tried.
TcpStream TcpStream::connect_by_name(std::string_view host_and_port,
                                     const ConnectOptions& options) {
  const TimePoint deadline = internal::deadline_within(options.timeout);
  const auto target = internal::HostPort::split(host_and_port);
  std::error_code error;
  auto found =
      try_within(options.timeout, [&] { return resolve(target.host, target.port, error); });
  if (!found) error = std::make_error_code(std::errc::timed_out);
  if (error) internal::throw_system_error(error, {"look-up for connect to ", host_and_port});
  if (const auto& from = options.from) {
    std::erase_if(*found, [&](const Address& a) { return a.family() != from->family(); });
    if (found->empty()) internal::fail(EAFNOSUPPORT, {"bind for connect to ", host_and_port});
  }
  interleave(*found);
  try {
    return first_of(*found, options.stagger, [&](const Address& address) {
      return connect_until(deadline, address, options);
    });
  } catch (const std::system_error& failure) {
    std::string tried;
    for (const Address& a : *found) tried += (tried.empty() ? "" : ", ") + a.to_string();
    if (tried == host_and_port) throw;
    internal::throw_system_error(failure.code(),
                                 {"connect to ", host_and_port, " (tried ", tried, ")"});
  }
}

TcpStream TcpStream::connect(const Address& address, ConnectOptions options,
                             internal::ErrorTo error) {
  return or_report(error, [&] {
    return connect_until(internal::deadline_within(options.timeout), address, options);
  });
}

TcpStream TcpStream::connect(std::string_view host_and_port, ConnectOptions options,
                             internal::ErrorTo error) {
  internal::require_fiber("weft::TcpStream::connect");
  internal::HostPort::split(host_and_port);  // what is none is thrown
  return or_report(error, [&] { return connect_by_name(host_and_port, options); });
}

TcpStream TcpStream::adopt(int fd) {
  Address peer;
  internal::prepare_to_adopt(fd, AF_INET, SOCK_STREAM, peer.data(), Address::kMaxSize);
  return TcpStream(internal::Fd(fd), peer.unmapped());
}

Address TcpStream::local_address() const { return internal::local_address_of(native_handle()); }

void TcpStream::set_nodelay(bool nodelay) {
  internal::set_option(native_handle(), IPPROTO_TCP, TCP_NODELAY, nodelay, peer_name());
}

std::string TcpStream::peer_name() const { return peer_.to_string(); }

// ---- TcpListener --------------------------------------------------------------------------------

TcpListener::TcpListener(const Address& address, TcpListenerOptions options)
    : TcpListener(address, options, false) {}

TcpListener::TcpListener(const Address& address, const TcpListenerOptions& options,
                         bool both_families)
    : socket_(internal::bound_socket(SOCK_STREAM, address, options, both_families)) {
  const std::string asked = address.to_string();
  // Accepted sockets inherit it.
  const bool nodelay = options.socket.nodelay.value_or(options.nodelay);
  internal::set_option(native_handle(), IPPROTO_TCP, TCP_NODELAY, nodelay, asked);
  internal::checked(::listen(native_handle(), options.backlog), {"listen on ", asked});
  name_ = local_address().to_string();  // with the port that the kernel chose
}

TcpListener::TcpListener(std::string_view host_and_port, TcpListenerOptions options)
    : TcpListener(std::move(listen(host_and_port, options, 1).front())) {}

std::vector<TcpListener> TcpListener::one_per_scheduler(std::string_view host_and_port,
                                                        TcpListenerOptions options) {
  return listen(host_and_port, options, Runtime::current().schedulers().size());
}

// Returns `count` listeners on one port of the first of the addresses that this machine has.
std::vector<TcpListener> TcpListener::listen(std::string_view host_and_port,
                                             const TcpListenerOptions& options, std::size_t count) {
  return internal::first_here(
      internal::HostPort::split(host_and_port),
      [&](const Address& address, bool both) { return listen(address, both, options, count); });
}

std::vector<TcpListener> TcpListener::listen(Address address, bool both_families,
                                             TcpListenerOptions options, std::size_t count) {
  std::vector<TcpListener> listeners;
  for (std::size_t i = 0; i < count; ++i) {
    TcpListener& listener = listeners.emplace_back(TcpListener(address, options, both_families));
    if (i > 0 || count == 1) continue;
    // Only now that the port is this process's. Otherwise a server that is started twice by mistake
    // would share it with itself.
    address = listener.local_address();
    internal::set_option(listener.native_handle(), SOL_SOCKET, SO_REUSEPORT, 1,
                         listener.name_.text());
    options.reuse_port = true;
  }
  return listeners;
}

TcpListener TcpListener::adopt(int fd) {
  internal::prepare_to_adopt(fd, AF_INET, SOCK_STREAM);
  TcpListener listener;
  listener.name_ = internal::local_address_of(fd).to_string();
  listener.socket_ = internal::Socket(internal::Fd(fd));
  return listener;
}

TcpStream TcpListener::accept(internal::ErrorTo error) {
  Address peer;
  internal::Fd fd = internal::accept(socket_, name_.text(), peer.data(), Address::kMaxSize, error);
  return TcpStream(std::move(fd), peer.unmapped());
}

Address TcpListener::local_address() const { return internal::local_address_of(native_handle()); }

}  // namespace weft
