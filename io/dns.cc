#include "weft/io/dns.h"

#include <netdb.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"
#include "weft/sync/executor.h"

namespace weft {
namespace {

// Never destroyed, as everything that the lane's threads use.
class ResolveCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "weft.resolve"; }
  std::string message(int code) const override { return gai_strerror(code); }
};

// The threads that look up names. Never destroyed: a name server that does not answer may keep a
// thread for half a minute, and a process that ends need not wait for that.
struct Lane {
  const internal::HomeProcess process = {};
  const Lane* before = nullptr;  // the parent's, which so is reachable, and no leak
  ThreadPool pool{ThreadPoolOptions{.threads = 2, .max_threads = 16}};
};

// Returns the pool of this process: a child makes its own. Takes no lock, as another thread might
// hold that when the process forks.
ThreadPool& lane() {
  constinit static std::atomic<Lane*> current{nullptr};
  Lane* lane = current.load(std::memory_order_acquire);
  if (lane && lane->process.is_this()) return lane->pool;
  auto made = std::make_unique<Lane>();
  made->before = lane;
  // Release: a thread that loads the pointer sees the object. Acquire: another thread may have been
  // first.
  if (!current.compare_exchange_strong(lane, made.get(), std::memory_order_acq_rel)) {
    return lane->pool;
  }
  return made.release()->pool;
}

// What a look-up has found.
struct Answer {
  std::vector<Address> addresses = {};
  std::error_code error = {};
};

// Every address of this machine: IPv6 sockets can take IPv4, too, so they come first.
std::vector<Address> everywhere(std::uint16_t port) {
  return {Address::parse("::", port), Address::parse("0.0.0.0", port)};
}

Answer look_up(const std::string& host, const std::string& service) {
  addrinfo hints{};
  addrinfo* list = nullptr;
  int code = EAI_SERVICE;
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {  // some services have UDP only
    if (code != EAI_SERVICE) break;
    hints.ai_socktype = type;
    code = getaddrinfo(host.empty() ? nullptr : host.c_str(), service.c_str(), &hints, &list);
  }
  if (code == EAI_SYSTEM) return {.error = internal::error_of(-errno)};
  if (code != 0) return {.error = {code, resolve_category()}};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  std::vector<Address> addresses;
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    Address address;
    if (entry->ai_addrlen > Address::kMaxSize) continue;
    std::memcpy(address.data(), entry->ai_addr, entry->ai_addrlen);
    addresses.push_back(address);
  }
  if (addresses.empty()) return {.error = {EAI_NONAME, resolve_category()}};
  if (host.empty()) return {everywhere(addresses.front().port())};
  return {std::move(addresses)};
}

Answer answer_for(std::string_view host, std::string_view service) {
  if (const auto port = internal::port_number(service)) {
    if (host.empty()) return {everywhere(*port)};
    if (const auto address = Address::try_parse(host, *port)) return {{*address}};
  }
  // getaddrinfo() would stop at a zero, and take * for this machine.
  const bool is_name = host != "*" && internal::is_plain(host);
  const bool is_service = internal::is_service(service);
  if (!is_name || !is_service)
    return {.error = {is_service ? EAI_NONAME : EAI_SERVICE, resolve_category()}};
  internal::require_fiber("weft::resolve, for a name,");
  const auto job = [host = std::string(host), service = std::string(service)] {
    return look_up(host, service);
  };
  return run_in_executor(lane(), job, {.abandon = true});
}

}  // namespace

const std::error_category& resolve_category() noexcept {
  static const auto* const category = new ResolveCategory;
  return *category;
}

std::vector<Address> resolve(std::string_view host, std::string_view service,
                             internal::ErrorTo error) {
  internal::count_wait();
  Answer answer = answer_for(host, service);
  if (error.take(answer.error)) return std::move(answer.addresses);
  internal::throw_system_error(answer.error,
                               {"resolve of \"", host, "\", service \"", service, "\""});
}

}  // namespace weft
