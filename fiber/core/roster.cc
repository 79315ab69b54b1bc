#include "weft/fiber/core/roster.h"

#include <pthread.h>

#include <mutex>

#include "weft/fiber/core/home.h"

namespace weft::internal {
namespace {

// Not ThreadMutex: an explorer of orders need not try those of this lock.
constinit std::mutex lock;
constinit Home* first_home = nullptr;

// fork() waits until no other thread holds the lock, which would not be released in the child.
[[maybe_unused]] const int registered =
    pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); }, [] { lock.unlock(); });

}  // namespace

Roster::Roster() noexcept { lock.lock(); }

Roster::~Roster() { lock.unlock(); }

Home* Roster::first() const noexcept { return first_home; }

Home* Roster::next(const Home& home) const noexcept { return home.next_in_roster_; }

bool Roster::has(const Home& home) const noexcept {
  const Home* other = first_home;
  while (other && other != &home) other = other->next_in_roster_;
  return other != nullptr;
}

void Roster::add(Home& home) noexcept {
  const std::lock_guard held(lock);
  Home** end = &first_home;
  while (*end) end = &(*end)->next_in_roster_;
  *end = &home;
}

void Roster::remove(Home& home) noexcept {
  const std::lock_guard held(lock);
  Home** place = &first_home;
  while (*place != &home) place = &(*place)->next_in_roster_;
  *place = home.next_in_roster_;
}

}  // namespace weft::internal
