#include "weft/io/core/readiness.h"

#include <mutex>
#include <utility>

#include "weft/io/core/error.h"

namespace weft::internal {

// ---- Readiness ----------------------------------------------------------------------------------

inline void Readiness::wake(Direction direction) noexcept {
  WaitQueue& queue = queues_[static_cast<unsigned>(direction)];
  WaitQueue::Lock lock(queue);
  queue.wake_all(lock);
}

inline void Readiness::note(std::uint32_t epoll_events) noexcept {
  std::uint32_t now = epoll_events & (kReadable | kWritable);
  if (epoll_events & ~std::uint32_t{EPOLLIN | EPOLLOUT}) [[unlikely]] {
    // Urgent data stops a read early, as the end does, and more may follow.
    now |= kReadEnded | kReadable;
    if (epoll_events & (EPOLLHUP | EPOLLERR)) now |= kWriteEnded | kWritable;
  }
  const std::uint32_t before = flags();
  set_flags(before | now);
  // If a bit was set before, no fiber waits.
  const std::uint32_t fresh = now & ~before;
  if (fresh & kReadable) wake(Direction::kRead);
  if (fresh & kWritable) wake(Direction::kWrite);
}

void Readiness::deregister(int fd) noexcept {
  const std::shared_ptr<Registry> registry = std::move(registry_);  // may be the last reference
  // In a child the lock is not taken either: another thread may have held it at the fork.
  if (!registry->process_.is_this()) return;
  // The descriptor may have a duplicate in a child process, and then close() would not deregister
  // it. Events that have been fetched already find no waiter, or another generation.
  epoll_ctl(registry->epoll(), EPOLL_CTL_DEL, fd, nullptr);
  for (WaitQueue& queue : queues_) {
    WaitQueue::Lock lock(queue);
    Claimed claimed;
    while (Waiter* waiter = queue.claim(lock)) {
      static_cast<SocketWaiter*>(waiter)->closed = true;
      claimed.add(*waiter);
    }
    lock.unlock();
    claimed.resume();
  }
  registry->recycle(*this);
}

// ---- Registry -----------------------------------------------------------------------------------

Registry::Registry() : epoll_(checked(epoll_create1(EPOLL_CLOEXEC), {"epoll_create1"})) {}

void Registry::note(std::uint64_t tag, std::uint32_t epoll_events) noexcept {
  const auto index = static_cast<std::uint32_t>(tag);
  Readiness& slot = chunks_[index / kChunk][index % kChunk];
  if (slot.generation_ == tag >> 32) slot.note(epoll_events);
}

Readiness& Registry::allocate() {
  if (const std::lock_guard lock(lock_); free_) return *std::exchange(free_, free_->next_free_);
  const auto first = static_cast<std::uint32_t>(chunks_.size()) * kChunk;
  chunks_.push_back(std::make_unique<Readiness[]>(kChunk));
  Readiness* const slots = chunks_.back().get();
  const std::lock_guard lock(lock_);
  for (std::uint32_t i = kChunk; i-- > 0;) {
    slots[i].index_ = first + i;
    slots[i].next_free_ = std::exchange(free_, &slots[i]);
  }
  return *std::exchange(free_, free_->next_free_);
}

int Registry::add(int fd, Direction missing, Readiness*& result) {
  Readiness& slot = allocate();
  slot.registry_ = shared_from_this();
  ++slot.generation_;
  slot.set_flags(missing == Direction::kRead ? Readiness::kWritable : Readiness::kReadable);
  // wait_readable() may have registered it already.
  const int error = watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                          std::uint64_t{slot.generation_} << 32 | slot.index_);
  if (error == 0) {
    result = &slot;
  } else {
    slot.registry_.reset();
    recycle(slot);
  }
  return error;
}

int Registry::watch(int fd, std::uint32_t epoll_events, std::uint64_t tag) noexcept {
  epoll_event event{};
  event.events = epoll_events;
  event.data.u64 = tag;
  if (epoll_ctl(epoll(), EPOLL_CTL_ADD, fd, &event) == 0) return 0;
  if (errno == EEXIST && epoll_ctl(epoll(), EPOLL_CTL_MOD, fd, &event) == 0) return 0;
  return -errno;
}

void Registry::recycle(Readiness& slot) noexcept {
  const std::lock_guard lock(lock_);
  slot.next_free_ = std::exchange(free_, &slot);
}

}  // namespace weft::internal
