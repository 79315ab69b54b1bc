#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/pool.h"

BOOST_AUTO_TEST_SUITE(pool_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::Pool;

namespace {

// Counts the connections that are open, on all threads.
struct Connection {
  explicit Connection(int its_number) : number(its_number) { ++open; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { --open; }
  const int number;
  bool healthy = true;

  static inline std::atomic<int> open{0};
};

// Makes connections with the numbers 1, 2 and so on.
auto counter() {
  return [made = std::make_shared<std::atomic<int>>(0)] { return Connection(++*made); };
}

bool is_healthy(Connection& connection) { return connection.healthy; }

}  // namespace

WEFT_TEST_CASE(a_connection_is_used_again) {
  Pool<Connection> pool(counter(), 3);
  BOOST_TEST(pool.acquire()->number == 1);
  BOOST_TEST((*pool.acquire()).number == 1);
  BOOST_TEST(Connection::open == 1);
}

WEFT_TEST_CASE(the_one_that_was_used_last_is_lent_first) {
  Pool<Connection> pool(counter(), 4);
  std::optional<Pool<Connection>::Lease> first(pool.acquire());
  auto second = pool.acquire();
  { const auto third = pool.acquire(); }
  sleep_for(1s);
  first.reset();
  BOOST_TEST(pool.acquire()->number == 1);
  const auto one = pool.acquire();
  const auto three = pool.acquire();
  BOOST_TEST(one->number == 1);
  BOOST_TEST(three->number == 3);
}

WEFT_TEST_CASE(of_two_that_were_used_last_the_one_that_came_back_first_is_lent) {
  Pool<Connection> pool(counter(), 10);
  {
    std::vector<Pool<Connection>::Lease> leases;
    for (int i = 0; i < 9; ++i) leases.push_back(pool.acquire());
  }
  std::string order;
  std::vector<Pool<Connection>::Lease> leases;
  for (int i = 0; i < 9; ++i) {
    leases.push_back(pool.acquire());
    order += std::to_string(leases.back()->number);
  }
  BOOST_TEST(order == "123456789");
}

WEFT_SHUFFLED_TEST_CASE(callers_wait_in_their_order_while_all_are_lent) {
  Pool<Connection> pool(counter(), 2);
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) {
    group.spawn([&, name] {
      const auto lease = pool.acquire();
      order += name;
      sleep_for(name == 'a' ? 3s : 1s);
      BOOST_TEST(Connection::open <= 2);
    });
    run_until_blocked();
  }
  BOOST_TEST(order == "ab");
  group.join();
  BOOST_TEST(order == "abcde");
}

WEFT_TEST_CASE(one_that_was_idle_for_too_long_is_not_lent) {
  Pool<Connection> pool(counter(), 2, 10s);
  pool.acquire();
  sleep_for(10s);
  BOOST_TEST(pool.acquire()->number == 1);
  sleep_for(10s + 1ns);
  BOOST_TEST(pool.acquire()->number == 2);
  BOOST_TEST(Connection::open == 1);
}

WEFT_TEST_CASE(those_that_were_idle_for_too_long_can_be_destroyed) {
  Pool<Connection> pool(counter(), 3, 10s);
  {
    const auto one = pool.acquire();
    const auto two = pool.acquire();
  }
  sleep_for(6s);
  pool.acquire();
  pool.expire();
  BOOST_TEST(Connection::open == 2);
  sleep_for(6s);
  pool.expire();
  BOOST_TEST(Connection::open == 1);
  const auto one = pool.acquire();
  const auto two = pool.acquire();
  const auto three = pool.acquire();
  pool.expire();
  BOOST_TEST(Connection::open == 3);
}

WEFT_TEST_CASE(one_that_is_not_healthy_is_not_lent) {
  Pool<Connection> pool(counter(), 1, 1h, is_healthy);
  pool.acquire()->healthy = false;
  BOOST_TEST(pool.acquire()->number == 2);
  BOOST_TEST(pool.acquire()->number == 2);
  BOOST_TEST(Connection::open == 1);
}

WEFT_TEST_CASE(a_check_that_throws_destroys_the_connection) {
  Pool<Connection> pool(counter(), 1, 1h, [](Connection& connection) -> bool {
    throw std::runtime_error("connection " + std::to_string(connection.number));
  });
  pool.acquire();
  BOOST_CHECK_THROW(pool.acquire(), std::runtime_error);
  BOOST_TEST(Connection::open == 0);
  BOOST_TEST(pool.acquire()->number == 2);
}

WEFT_TEST_CASE(a_broken_one_is_dropped) {
  Pool<Connection> pool(counter(), 1);
  {
    auto lease = pool.acquire();
    lease.drop();
    BOOST_TEST(Connection::open == 0);
    BOOST_CHECK_THROW((void)lease->number, std::logic_error);
  }
  BOOST_TEST(pool.acquire()->number == 2);
}

WEFT_TEST_CASE(an_idle_one_is_lent_before_a_broken_one_is_replaced) {
  Pool<Connection> pool(counter(), 2);
  {
    auto broken = pool.acquire();
    pool.acquire();
    sleep_for(1s);
    broken.drop();
  }
  BOOST_TEST(pool.acquire()->number == 2);
}

WEFT_TEST_CASE(an_exception_that_passes_a_lease_drops_the_connection) {
  Pool<Connection> pool(counter(), 1);
  const auto fail = [&] {
    const auto lease = pool.acquire();
    throw std::runtime_error("half a request was sent");
  };
  BOOST_CHECK_THROW(fail(), std::runtime_error);
  BOOST_TEST(Connection::open == 0);
  BOOST_TEST(!try_within(1s, [&] {
    const auto lease = pool.acquire();
    sleep_for(1h);
  }));
  BOOST_TEST(Connection::open == 0);
  BOOST_TEST(pool.acquire()->number == 3);
}

WEFT_SHUFFLED_TEST_CASE(a_connection_that_cannot_be_made_leaves_room_for_another) {
  int calls = 0;
  Pool<Connection> pool(
      [&] {
        if (++calls == 1) throw std::runtime_error("refused");
        if (calls == 2) sleep_for(1h);
        return Connection(calls);
      },
      1);
  BOOST_CHECK_THROW(pool.acquire(), std::runtime_error);
  BOOST_CHECK_THROW(with_timeout(1s, [&] { pool.acquire(); }), TimeoutError);
  BOOST_TEST(pool.acquire()->number == 3);
}

WEFT_SHUFFLED_TEST_CASE(a_caller_that_is_cancelled_while_it_waits_takes_nothing) {
  Pool<Connection> pool(counter(), 1);
  std::optional<Pool<Connection>::Lease> lease(pool.acquire());
  auto cancelled = spawn([&] { pool.acquire(); });
  run_until_blocked();
  auto next = spawn([&] { return pool.acquire()->number; });
  auto cancel = spawn([&] { cancelled.cancel(); });
  auto back = spawn([&] { lease.reset(); });
  cancelled.wait(), cancel.wait(), back.wait();
  BOOST_TEST(next.get() == 1);
}

WEFT_SHUFFLED_TEST_CASE(closing_ends_waits_and_destroys_what_is_idle_or_comes_back) {
  Pool<Connection> pool(counter(), 2);
  std::optional<Pool<Connection>::Lease> lease(pool.acquire());
  pool.acquire();
  BOOST_TEST(Connection::open == 2);
  auto waits = spawn([&] {
    const auto other = pool.acquire();
    BOOST_CHECK_THROW(pool.acquire(), QueueClosed);
    BOOST_TEST(other->number == 2);
  });
  run_until_blocked();
  pool.close();
  waits.get();
  BOOST_TEST(Connection::open == 1);
  BOOST_CHECK_THROW(pool.acquire(), QueueClosed);
  BOOST_TEST((*lease)->number == 1);
  lease.reset();
  BOOST_TEST(Connection::open == 0);
}

WEFT_TEST_CASE(a_lease_moves) {
  Pool<Connection> pool(counter(), 1);
  {
    auto lease = pool.acquire();
    const auto moved = std::move(lease);
    BOOST_CHECK_THROW(*lease, std::logic_error);
    BOOST_TEST(moved->number == 1);
  }
  BOOST_TEST(pool.acquire()->number == 1);
}

WEFT_TEST_CASE(what_makes_no_sense_is_refused) {
  BOOST_CHECK_THROW(Pool<Connection>(nullptr, 1), std::invalid_argument);
  BOOST_CHECK_THROW(Pool<Connection>(counter(), 0), std::invalid_argument);
}

WEFT_CORES_TEST_CASE(several_schedulers_share_a_pool) {
  Pool<Connection> pool(counter(), 2, 1h, is_healthy);
  std::atomic<int> too_many{0};
  std::atomic<int> lent{0};
  TaskGroup group;
  for (std::size_t i = 0; i < 9; ++i) {
    group.spawn(
        [&, i] {
          for (int j = 0; j < 30; ++j) {
            const auto lease = pool.acquire();
            if (++lent > 2 || Connection::open > 2) ++too_many;
            if (i % 2) sleep_for(1ms);
            lease->healthy = j % 3;
            --lent;
          }
        },
        on(i % 3));
  }
  group.join();
  BOOST_TEST(too_many == 0);
  pool.close();
  BOOST_TEST(Connection::open == 0);
}

BOOST_AUTO_TEST_SUITE_END()
