// Connections that are used again, and no more of them than a limit.
#ifndef WEFT_EXAMPLES_PATTERNS_POOL_H_
#define WEFT_EXAMPLES_PATTERNS_POOL_H_

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "weft/weft.h"

namespace patterns {

// Lends connections of type T, the last used first. Fair: the longest waiter gets the next one.
//
//   patterns::Pool<Client> pool([] { return Client("db:5432"); }, 4, 30s, &Client::ping);
//   auto client = pool.acquire();
//   client->query("select 1");
//
// Threads: any, at once; `make` and `healthy`, too, and they may wait. It must outlive its leases.
template <class T>
class Pool {
  // Since when a connection is idle, and that one; or zero and null: the right to make one.
  using Slot = std::pair<weft::TimePoint, std::unique_ptr<T>>;

 public:
  // A connection that is lent. Destroying it gives that back; but if an exception or a cancellation
  // unwinds the stack it destroys that, too, as a request may have been cut off.
  class Lease {
   public:
    Lease(Pool& pool, Slot slot) : pool_(&pool), slot_(std::move(slot)) {}
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), slot_(std::move(other.slot_)) {}
    ~Lease() {
      if (std::uncaught_exceptions() > 0) drop();
      slot_.first = slot_.second ? weft::now() : weft::TimePoint();
      if (pool_) pool_->put(std::move(slot_));
    }
    T& operator*() const { return *operator->(); }
    T* operator->() const {  // throws std::logic_error after a move or drop()
      if (!slot_.second) throw std::logic_error("patterns::Pool: the connection is gone");
      return slot_.second.get();
    }
    void drop() { slot_.second.reset(); }  // destroys a connection that is broken

   private:
    friend Pool;
    Pool* pool_;
    Slot slot_;
  };

  // One that was idle for longer than `idle`, or of which healthy() is false, is destroyed rather
  // than lent. Throws std::invalid_argument if `make` is null or the limit is 0.
  Pool(std::function<T()> make, unsigned limit, weft::AnyDuration idle = weft::Duration::max(),
       std::function<bool(T&)> healthy = nullptr)
      : make_(std::move(make)), idle_(idle), healthy_(std::move(healthy)) {
    if (!make_ || limit == 0) throw std::invalid_argument("patterns::Pool: no connections");
    while (slots_.size() < limit) slots_.push(Slot());
  }

  // Waits until fewer than `limit` are lent, and lends an idle one or a new one. A cancellation
  // point if it has to wait. Throws weft::QueueClosed after close(), and what the functions throw.
  Lease acquire() {
    Lease lease(*this, slots_.pop());
    std::unique_ptr<T>& connection = lease.slot_.second;
    if (is_old(lease.slot_) || (connection && healthy_ && !healthy_(*connection))) lease.drop();
    if (!connection) connection.reset(new T(make_()));
    return lease;
  }

  // Destroys what was idle for too long. Without it, that happens only instead of lending it.
  void expire() {
    std::vector<Slot> slots;
    slots.reserve(slots_.size());
    while (auto slot = slots_.try_pop()) slots.push_back(*std::move(slot));
    for (Slot& slot : slots) put(is_old(slot) ? Slot() : std::move(slot));
  }

  // Destroys what is idle, and later what is given back. acquire() throws, where it waits, too.
  void close() noexcept { slots_.close(weft::kDiscard); }

 private:
  static bool is_later(const Slot& a, const Slot& b) { return a.first > b.first; }
  bool is_old(const Slot& slot) const { return weft::now() - slot.first > idle_; }
  void put(Slot&& slot) try {
    slots_.push(std::move(slot));
  } catch (const weft::QueueClosed&) {  // destroyed with the slot
  }

  const std::function<T()> make_;
  const weft::Duration idle_;
  const std::function<bool(T&)> healthy_;
  weft::PriorityQueue<Slot, bool (*)(const Slot&, const Slot&)> slots_{0, is_later};
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_POOL_H_
