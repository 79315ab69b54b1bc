#include "weft/fiber/core/roster.h"

#include <pthread.h>

#include <mutex>

#include "weft/fiber/core/home.h"

namespace weft::internal {
namespace {

// Not ThreadMutex: an explorer of orders need not try those of this lock.
constinit std::mutex lock;

// fork() waits until no other thread holds the lock, which would not be released in the child.
[[maybe_unused]] const int roster_at_fork =
    pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); }, [] { lock.unlock(); });

}  // namespace

constinit DebuggerRoster weft_roster{&weft_layout, nullptr};

Roster::Roster() noexcept { lock.lock(); }

Roster::~Roster() { lock.unlock(); }

Home* Roster::first() const noexcept { return weft_roster.first; }

Home* Roster::next(const Home& home) const noexcept { return home.next_in_roster_; }

bool Roster::has(const Home& home) const noexcept {
  const Home* other = weft_roster.first;
  while (other && other != &home) other = other->next_in_roster_;
  return other != nullptr;
}

void Roster::add(Home& home) noexcept {
  const std::lock_guard held(lock);
  Home** end = &weft_roster.first;
  while (*end) end = &(*end)->next_in_roster_;
  *end = &home;
}

void Roster::remove(Home& home) noexcept {
  const std::lock_guard held(lock);
  Home** place = &weft_roster.first;
  while (*place != &home) place = &(*place)->next_in_roster_;
  *place = home.next_in_roster_;
}

}  // namespace weft::internal
