#include "weft/io/tcp.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "weft/fiber/core/running.h"
#include "weft/fiber/task.h"
#include "weft/fiber/timeout.h"
#include "weft/fiber/wait.h"
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

// IPv4 and IPv6 in turn, beginning with the family of the first.
std::vector<Address> interleaved(std::vector<Address> addresses) {
  const int first = addresses.empty() ? AF_INET : addresses.front().family();
  const auto middle = std::stable_partition(addresses.begin(), addresses.end(),
                                            [&](const Address& a) { return a.family() == first; });
  std::vector<Address> result;
  for (auto one = addresses.begin(), other = middle; one != middle || other != addresses.end();) {
    if (one != middle) result.push_back(*one++);
    if (other != addresses.end()) result.push_back(*other++);
  }
  return result;
}

}  // namespace

// ---- TcpStream ----------------------------------------------------------------------------------

// A call of connect(): what it may do, and what it has tried, for messages.
struct TcpStream::Attempt {
  explicit Attempt(const ConnectOptions& its_options)
      : options(its_options), deadline(internal::deadline_within(its_options.timeout)) {}

  // Return a stream that is not open if they fail.
  TcpStream to(const Address& address);
  TcpStream to(std::string_view host_and_port);
  TcpStream to_first(const std::vector<Address>& found);

  const ConnectOptions& options;
  TimePoint deadline;
  std::error_code error = {};
  const char* call = "";  // that has failed
  std::string addresses = {};
};

// Connects to peer_address(). Returns 0 or a negative error.
int TcpStream::connect(Attempt& attempt) {
  const ConnectOptions& options = attempt.options;
  attempt.call = "connect to ";
  if (!is_open()) return -errno;
  internal::count_wait();
  attempt.call = "setsockopt for ";
  const int on = options.nodelay;
  if (setsockopt(native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) return -errno;
  set_options(native_handle(), options.socket);
  attempt.call = "bind for connect to ";
  if (const auto& from = options.from) {
    if (from->family() != peer_.family()) return -EAFNOSUPPORT;
    if (bind(native_handle(), from->data(), from->size()) != 0) return -errno;
  }
  attempt.call = "connect to ";
  // If a signal interrupts it, the kernel goes on.
  if (::connect(native_handle(), peer_.data(), peer_.size()) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return -errno;
    if (const int error = socket_.wait(internal::Direction::kWrite, attempt.deadline, "connect"))
      return error;
    int reason = 0;
    socklen_t size = sizeof(reason);
    if (getsockopt(native_handle(), SOL_SOCKET, SO_ERROR, &reason, &size) != 0) return -errno;
    if (reason != 0) return -reason;
  }
  Address reached;
  socklen_t size = Address::kMaxSize;
  // Fails if the peer has gone again already: then it was not this socket itself.
  if (getpeername(native_handle(), reached.data(), &size) != 0) return 0;
  peer_ = reached;
  return is_connected_to_itself(native_handle(), peer_) ? -ECONNREFUSED : 0;
}

TcpStream TcpStream::Attempt::to(const Address& address) {
  TcpStream stream(internal::new_socket(address.family(), SOCK_STREAM), address);
  error = internal::error_of(stream.connect(*this));
  if (error) stream.close();
  return stream;
}

TcpStream TcpStream::Attempt::to(std::string_view host_and_port) {
  internal::require_fiber("weft::TcpStream::connect");
  const internal::HostPort target = internal::HostPort::split(host_and_port);
  std::vector<Address> found;
  try {
    found = with_deadline(deadline, [&] { return resolve(target.host, target.port, error); });
  } catch (const TimeoutError&) {
    error = std::make_error_code(std::errc::timed_out);
  }
  if (error) return {};
  if (options.from) {
    std::erase_if(found, [&](const Address& a) { return a.family() != options.from->family(); });
  }
  if (found.empty()) error = std::make_error_code(std::errc::address_family_not_supported);
  found = interleaved(std::move(found));
  for (const Address& address : found) {
    addresses += (addresses.empty() ? "" : ", ") + address.to_string();
  }
  return found.size() == 1 ? to(found.front()) : to_first(found);
}

// Tries each address in a fiber of its own. The first success wins, and the first failure is kept.
TcpStream TcpStream::Attempt::to_first(const std::vector<Address>& found) {
  std::vector<Attempt> attempts(found.size(), *this);
  std::vector<Task<TcpStream>> running;  // cancelled and joined at the end
  for (std::size_t next = 0; next < found.size() || !running.empty();) {
    std::optional<AnyDuration> limit;
    if (next < found.size()) {
      running.push_back(spawn([&attempt = attempts[next], &address = found[next]]() -> TcpStream {
        return attempt.to(address);
      }));
      if (++next < found.size()) limit = options.stagger;
    }
    for (const std::size_t i : weft::wait(running, When::first_completed, limit).done) {
      TcpStream stream = running[i].get();
      if (stream.is_open()) return stream;
    }
    std::erase_if(running, [](const Task<TcpStream>& task) { return task.done(); });
  }
  if (found.empty()) return {};
  error = attempts.front().error;
  call = attempts.front().call;
  return {};
}

TcpStream TcpStream::connect(const Address& address, ConnectOptions options,
                             std::error_code& error) {
  Attempt attempt(options);
  TcpStream stream = attempt.to(address);
  error = attempt.error;
  return stream;
}

TcpStream TcpStream::connect(const Address& address, ConnectOptions options) {
  Attempt attempt(options);
  TcpStream stream = attempt.to(address);
  if (attempt.error) {
    internal::throw_system_error(attempt.error, {attempt.call, address.to_string()});
  }
  return stream;
}

TcpStream TcpStream::connect(std::string_view host_and_port, ConnectOptions options,
                             std::error_code& error) {
  Attempt attempt(options);
  TcpStream stream = attempt.to(host_and_port);
  error = attempt.error;
  return stream;
}

TcpStream TcpStream::connect(std::string_view host_and_port, ConnectOptions options) {
  Attempt attempt(options);
  TcpStream stream = attempt.to(host_and_port);
  if (!attempt.error) return stream;
  const std::string& tried = attempt.addresses;
  if (tried.empty()) {
    internal::throw_system_error(attempt.error, {"look-up for connect to ", host_and_port});
  }
  if (tried == host_and_port) internal::throw_system_error(attempt.error, {attempt.call, tried});
  internal::throw_system_error(attempt.error,
                               {attempt.call, host_and_port, " (tried ", tried, ")"});
}

TcpStream TcpStream::adopt(int fd) {
  Address peer;
  internal::prepare_to_adopt(fd, {.type = SOCK_STREAM}, peer.data(), Address::kMaxSize);
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
    : socket_(internal::bound_socket(SOCK_STREAM, address,
                                     {.reuse_address = options.reuse_address,
                                      .reuse_port = options.reuse_port,
                                      .both_families = both_families,
                                      .socket = options.socket})) {
  const std::string asked = address.to_string();
  // Accepted sockets inherit it.
  internal::set_option(native_handle(), IPPROTO_TCP, TCP_NODELAY, options.nodelay, asked);
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
  internal::prepare_to_adopt(fd, {.type = SOCK_STREAM, .listens = true});
  TcpListener listener;
  listener.name_ = internal::local_address_of(fd).to_string();
  listener.socket_ = internal::Socket(internal::Fd(fd));
  return listener;
}

TcpStream TcpListener::accept(std::error_code& error) {
  Address peer;
  internal::Fd fd = internal::accept(socket_, name_.text(), peer.data(), Address::kMaxSize, error);
  return TcpStream(std::move(fd), peer.unmapped());
}

TcpStream TcpListener::accept() {
  return internal::or_throw({"accept on ", name_.text()},
                            [this](std::error_code& error) { return accept(error); });
}

Address TcpListener::local_address() const { return internal::local_address_of(native_handle()); }

}  // namespace weft
