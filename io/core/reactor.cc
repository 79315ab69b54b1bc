#include "weft/io/core/reactor.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <optional>

#include "weft/fiber/core/context.h"
#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"

namespace weft::internal {
namespace {

constexpr int kEvents = 256;
constexpr std::int64_t kLong = 50'000'000;  // nanoseconds; of less a thousandth is noise

// The tag of an event. kWakeup: the eventfd. With the bit kForeign: a descriptor of another owner,
// and above that bit the serial number of its arming. Otherwise: a slot and its generation.
constexpr std::uint64_t kWakeup = ~std::uint64_t{0};
constexpr std::uint64_t kForeign = std::uint64_t{1} << 31;

constexpr std::uint32_t kAnyEvent = ~std::uint32_t{0};

// Returns the time until a deadline, as system calls take it; nullopt for kForever.
std::optional<timespec> time_until(TimePoint deadline) noexcept {
  if (deadline == kForever) return {};
  if (deadline <= TimePoint()) return timespec{};
  std::int64_t left = std::max<std::int64_t>((deadline - Clock::now()).count(), 0);
  // The kernel may wait longer than epoll is asked to: by a thousandth, up to 100 ms. So a long
  // wait is shortened by that much, and the rest is waited for anew.
  if (left > kLong) left -= left / 1000;
  return timespec{.tv_sec = static_cast<time_t>(left / 1'000'000'000),
                  .tv_nsec = static_cast<long>(left % 1'000'000'000)};
}

// epoll_wait with a timeout in nanoseconds.
int wait_for_events(int epoll, epoll_event* events, const timespec* timeout) noexcept {
  // TSan and valgrind do not know epoll_pwait2(). TSan runs a signal's handler only when a call
  // that it knows returns; valgrind prints a warning.
#if defined(WEFT_TSAN) || defined(WEFT_VALGRIND)
  static std::atomic<bool> has_pwait2{false};
#else
  static std::atomic<bool> has_pwait2{true};
#endif
  // Relaxed: either way is right.
  if (has_pwait2.load(std::memory_order_relaxed)) {
    const int count = epoll_pwait2(epoll, events, kEvents, timeout, nullptr);
    // ENOSYS: the kernel is too old. EPERM: a sandbox is older than the call.
    if (count >= 0 || errno == EINTR) return count;
    has_pwait2.store(false, std::memory_order_relaxed);
  }
  int milliseconds = -1;
  if (timeout) {
    constexpr std::int64_t kHour = 3'600'000;  // waking early is allowed, overflowing is not
    const std::int64_t seconds = std::min<std::int64_t>(timeout->tv_sec, kHour / 1000);
    milliseconds = static_cast<int>(seconds * 1000 + (timeout->tv_nsec + 999'999) / 1'000'000);
  }
  return epoll_wait(epoll, events, kEvents, milliseconds);
}

}  // namespace

Reactor::Reactor()
    : registry_(std::make_shared<Registry>()),
      wakeup_(checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), {"eventfd"})) {
  checked(registry_->watch(wakeup_.get(), EPOLLIN | EPOLLET, kWakeup),
          {"epoll_ctl of the eventfd"});
}

Reactor::~Reactor() {
  // A socket may keep the epoll instance.
  epoll_ctl(registry_->epoll(), EPOLL_CTL_DEL, wakeup_.get(), nullptr);
}

void Reactor::close_in_child() noexcept {
  wakeup_ = Fd();
  registry_->close_in_child();
}

Reactor& Reactor::require(const char* caller) {
  if (!current_reactor) throw_logic_error(caller, " has to wait; call it inside weft::run");
  return *current_reactor;
}

bool Reactor::pending(TimePoint deadline) {
  const std::optional<timespec> timeout = time_until(deadline);
  pollfd epoll{registry_->epoll(), POLLIN, 0};
  return ppoll(&epoll, 1, timeout ? &*timeout : nullptr, nullptr) > 0;
}

bool Reactor::wait(TimePoint deadline) {
  const std::optional<timespec> timeout = time_until(deadline);
  epoll_event events[kEvents];
  const int count = wait_for_events(registry_->epoll(), events, timeout ? &*timeout : nullptr);
  // EINTR is an early return, which callers expect. There is no other error for this descriptor.
  for (int i = 0; i < count; ++i) {
    const std::uint64_t tag = events[i].data.u64;
    if (tag == kWakeup) continue;
    if (tag & kForeign) [[unlikely]] {
      note_foreign(tag, events[i].events);
    } else {
      registry_->note(tag, events[i].events);
    }
  }
  return count > 0;
}

void Reactor::wake() noexcept {
  if (!process_.is_this()) return;  // the parent shares the eventfd
  const int saved = errno;
  // Fails only if the counter is full, and then the reactor has an event already. No write(), which
  // a test of a user's may let fail.
  eventfd_write(wakeup_.get(), 1);
  errno = saved;
}

int Reactor::add(int fd, Direction missing, Readiness*& slot) {
  if (!foreign_.empty()) [[unlikely]] {
    // A fiber that waits for it as for a descriptor of another owner would get no more events.
    const auto found = foreign_.find(fd);
    if (found != foreign_.end()) {
      found->second.serial = 0;
      found->second.wake(kAnyEvent);
    }
  }
  return registry_->add(fd, missing, slot);
}

// ---- Descriptors of others ----------------------------------------------------------------------

ForeignWait::ForeignWait(Reactor& reactor, int fd, std::uint32_t events, const char* what)
    : waiter(events, what),
      reactor_(reactor),
      fd_(fd),
      foreign_(reactor.foreign_[fd]),
      awaiting_(reactor) {
  ++foreign_.waiting;
}

ForeignWait::~ForeignWait() {
  if (--foreign_.waiting > 0) return;
  reactor_.disarm(fd_, foreign_);
  reactor_.foreign_.erase(fd_);
}

void ForeignWait::refuse_own(int fd, const char* what) {
  if (!Socket::owns(fd)) return;
  fail(EBUSY, {what, " of descriptor ", decimal(fd), ", which is a socket of weft's"});
}

bool ForeignWait::arm() {
  refuse_own(fd_, waiter.what());
  const int error = -reactor_.arm(fd_, foreign_, foreign_.wanted() | waiter.wanted);
  if (error == EPERM) return false;
  if (error != 0) fail(error, {waiter.what(), " of descriptor ", decimal(fd_)});
  return true;
}

std::uint32_t Reactor::Foreign::wanted() noexcept {
  std::uint32_t events = 0;
  const WaitQueue::Lock lock(queue);
  for (Waiter* waiter = queue.first(lock); waiter; waiter = queue.next(lock, *waiter)) {
    events |= static_cast<ForeignWaiter*>(waiter)->wanted;
  }
  return events;
}

// Wakes the waiters that want one of these events.
void Reactor::Foreign::wake(std::uint32_t came) noexcept {
  Claimed claimed;
  WaitQueue::Lock lock(queue);
  for (Waiter* next = queue.first(lock); next;) {
    auto& waiter = static_cast<ForeignWaiter&>(*next);
    next = queue.next(lock, waiter);
    waiter.came = waiter.wanted & came;
    if (waiter.came == 0) continue;
    if (Waiter* woken = queue.claim(lock, waiter)) claimed.add(*woken);
  }
  lock.unlock();
  claimed.resume();
}

// Asks epoll for one event. Returns 0, or -errno if the kernel does not take it.
int Reactor::arm(int fd, Foreign& foreign, std::uint32_t events) noexcept {
  serial_ = serial_ == UINT32_MAX ? 1 : serial_ + 1;
  // Since it was last armed it may have been closed and reopened: it is registered or not.
  const int error =
      registry_->watch(fd, events | EPOLLONESHOT,
                       std::uint64_t{serial_} << 32 | kForeign | static_cast<std::uint32_t>(fd));
  if (error == 0) foreign.serial = serial_;
  return error;
}

void Reactor::note_foreign(std::uint64_t tag, std::uint32_t events) noexcept {
  const int fd = static_cast<int>(tag & (kForeign - 1));
  const auto found = foreign_.find(fd);
  if (found == foreign_.end() || found->second.serial != tag >> 32) return;
  Foreign& foreign = found->second;
  foreign.wake(events);
  if (const std::uint32_t left = foreign.wanted()) {
    if (arm(fd, foreign, left) == 0) return;
    foreign.wake(kAnyEvent);  // their own calls will report the error
  }
  disarm(fd, foreign);  // before a fiber can run and close it
}

// The owner may have closed it meanwhile, and the number may now be that of one of weft's sockets.
void Reactor::disarm(int fd, Foreign& foreign) noexcept {
  if (foreign.serial == 0) return;
  foreign.serial = 0;
  if (!Socket::owns(fd)) epoll_ctl(registry_->epoll(), EPOLL_CTL_DEL, fd, nullptr);
}

}  // namespace weft::internal
