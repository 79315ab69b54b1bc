#include "weft/io/core/readiness.h"

#include <sys/epoll.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/io/unix_socket.h"

BOOST_AUTO_TEST_SUITE(readiness)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;

namespace {

// Two descriptors, registered or not, that tell of nothing by themselves.
struct Pair {
  std::pair<UnixStream, UnixStream> ends = UnixStream::pair();
  int fd() const { return ends.first.native_handle(); }
};

Readiness& add(Registry& registry, int fd, Direction missing = Direction::kRead) {
  Readiness* slot = nullptr;
  BOOST_REQUIRE(registry.add(fd, missing, slot) == 0);
  return *slot;
}

// The tag of the events that the kernel has for a registry.
std::uint64_t next_tag(const Registry& registry) {
  epoll_event event{};
  BOOST_REQUIRE(epoll_wait(registry.epoll(), &event, 1, 0) == 1);
  return event.data.u64;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_found_used_up_is_not_ready_and_the_rest_is_worth_a_try) {
  const auto registry = std::make_shared<Registry>();
  const Pair one, other;
  Readiness& reader = add(*registry, one.fd(), Direction::kRead);
  BOOST_TEST(!reader.ready(Direction::kRead));
  BOOST_TEST(reader.ready(Direction::kWrite));
  Readiness& writer = add(*registry, other.fd(), Direction::kWrite);
  BOOST_TEST(writer.ready(Direction::kRead));
  BOOST_TEST(!writer.ready(Direction::kWrite));
  reader.deregister(one.fd());
  writer.deregister(other.fd());
}

BOOST_AUTO_TEST_CASE(what_an_event_told_is_kept_until_it_is_used_up) {
  const auto registry = std::make_shared<Registry>();
  const Pair pair;
  Readiness& slot = add(*registry, pair.fd());
  const std::uint64_t tag = next_tag(*registry);  // it can be written to
  registry->note(tag, EPOLLIN | EPOLLOUT);
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    BOOST_TEST(slot.ready(direction));
    BOOST_TEST(!slot.ended(direction));
    slot.used_up(direction);
    BOOST_TEST(!slot.ready(direction));
  }
  registry->note(tag, EPOLLOUT);
  BOOST_TEST(!slot.ready(Direction::kRead));
  BOOST_TEST(slot.ready(Direction::kWrite));
  slot.deregister(pair.fd());
}

BOOST_AUTO_TEST_CASE(after_an_end_or_urgent_data_a_short_read_proves_nothing) {
  const auto registry = std::make_shared<Registry>();
  for (const std::uint32_t events : {EPOLLRDHUP, EPOLLPRI, EPOLLHUP, EPOLLERR}) {
    const Pair pair;
    Readiness& slot = add(*registry, pair.fd());
    registry->note(next_tag(*registry), events);
    BOOST_TEST(slot.ready(Direction::kRead));
    BOOST_TEST(slot.ended(Direction::kRead));
    BOOST_TEST(slot.ended(Direction::kWrite) == (events == EPOLLHUP || events == EPOLLERR));
    slot.used_up(Direction::kRead);  // by EAGAIN, which proves something
    BOOST_TEST(!slot.ready(Direction::kRead));
    slot.deregister(pair.fd());
  }
}

BOOST_AUTO_TEST_CASE(an_event_of_an_earlier_generation_has_no_effect) {
  const auto registry = std::make_shared<Registry>();
  const Pair pair;
  Readiness& first = add(*registry, pair.fd());
  const std::uint64_t stale = next_tag(*registry);
  first.deregister(pair.fd());
  registry->note(stale, EPOLLIN);  // nobody has the slot
  for (int i = 0; i < 5; ++i) {
    Readiness& slot = add(*registry, pair.fd());
    BOOST_TEST(&slot == &first);  // the slot is used again
    const std::uint64_t tag = next_tag(*registry);
    BOOST_TEST(tag != stale);
    registry->note(stale, EPOLLIN | EPOLLHUP);
    BOOST_TEST(!slot.ready(Direction::kRead));
    registry->note(tag, EPOLLIN);
    BOOST_TEST(slot.ready(Direction::kRead));
    slot.deregister(pair.fd());
  }
}

BOOST_AUTO_TEST_CASE(what_the_kernel_does_not_take_is_an_error_and_leaves_nothing) {
  const auto registry = std::make_shared<Registry>();
  Readiness* slot = nullptr;
  BOOST_TEST(registry->add(9999, Direction::kRead, slot) == -EBADF);
  BOOST_TEST(!slot);
}

BOOST_AUTO_TEST_CASE(a_registry_lasts_until_its_last_socket_is_deregistered) {
  const auto before = open_descriptors();
  {
    const Pair pair;
    Readiness* slot = nullptr;
    {
      const auto registry = std::make_shared<Registry>();
      slot = &add(*registry, pair.fd());
    }
    BOOST_TEST(open_descriptors() == before + 3);
    slot->deregister(pair.fd());
    BOOST_TEST(open_descriptors() == before + 2);
  }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(there_are_as_many_slots_as_it_takes) {
  const auto registry = std::make_shared<Registry>();
  std::vector<Pair> pairs(200);
  std::vector<Readiness*> slots;
  for (const Pair& pair : pairs) slots.push_back(&add(*registry, pair.fd()));
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::uint64_t tag = next_tag(*registry);  // in the order in which they were registered
    registry->note(tag, EPOLLIN);
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      BOOST_REQUIRE(slots[j]->ready(Direction::kRead) == (j <= i));
    }
  }
  for (std::size_t i = 0; i < pairs.size(); ++i) slots[i]->deregister(pairs[i].fd());
}

BOOST_AUTO_TEST_SUITE_END()
