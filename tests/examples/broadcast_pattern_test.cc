#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/broadcast.h"

BOOST_AUTO_TEST_SUITE(broadcast_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::Broadcast;

namespace {

// What a receiver gets until the end: values, each after the number of those that were missed.
template <class T>
std::string all_of(typename Broadcast<T>::Receiver receiver) {
  std::string all;
  try {
    for (;;) {
      const auto item = receiver.pop();
      all += (item.missed ? '(' + std::to_string(item.missed) + ')' : "") +
             std::to_string(item.value) + ' ';
    }
  } catch (const QueueClosed&) {
    return all;
  }
}

struct Stubborn {
  bool copies = true;
  Stubborn() = default;
  explicit Stubborn(bool its) : copies(its) {}
  Stubborn(const Stubborn& other) : copies(other.copies) {
    if (!copies) throw std::runtime_error("no copy");
  }
  Stubborn(Stubborn&&) noexcept = default;
  Stubborn& operator=(Stubborn&&) noexcept = default;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(each_receiver_gets_each_value) {
  std::optional<Broadcast<int>> numbers(std::in_place, 10);
  auto first =
      spawn([own = numbers->subscribe()]() mutable { return all_of<int>(std::move(own)); });
  numbers->push(1);
  auto second =
      spawn([own = numbers->subscribe()]() mutable { return all_of<int>(std::move(own)); });
  numbers->push(2);
  yield();
  numbers->push(3);
  numbers.reset();
  BOOST_TEST(first.get() == "1 2 3 ");
  BOOST_TEST(second.get() == "2 3 ");
}

WEFT_TEST_CASE(a_slow_receiver_learns_how_many_it_has_missed) {
  std::optional<Broadcast<int>> numbers(std::in_place, 2);
  auto receiver = numbers->subscribe();
  for (int i = 1; i <= 5; ++i) numbers->push(i);
  const auto item = receiver.pop();
  BOOST_TEST(item.value == 4);
  BOOST_TEST(item.missed == 3u);
  for (int i = 6; i <= 7; ++i) numbers->push(i);
  numbers.reset();
  BOOST_TEST(all_of<int>(std::move(receiver)) == "(1)6 7 ");
}

WEFT_TEST_CASE(what_was_pushed_before_it_came_was_not_missed) {
  std::optional<Broadcast<int>> numbers(std::in_place, 1);
  for (int i = 1; i <= 3; ++i) numbers->push(i);
  auto receiver = numbers->subscribe();
  numbers->push(4);
  numbers.reset();
  BOOST_TEST(all_of<int>(std::move(receiver)) == "4 ");
}

WEFT_TEST_CASE(a_push_never_waits) {
  Broadcast<int> numbers(1);
  const auto slow = numbers.subscribe();
  testing::no_waiting([&] {
    for (int i = 0; i < 100; ++i) numbers.push(i);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_pop_that_waits_ends_with_the_broadcast) {
  std::optional<Broadcast<int>> numbers(std::in_place, 1);
  auto pop = spawn([own = numbers->subscribe()]() mutable { own.pop(); });
  auto end = spawn([&] { numbers.reset(); });
  BOOST_CHECK_THROW(pop.get(), QueueClosed);
  end.get();
}

WEFT_SHUFFLED_TEST_CASE(a_pop_that_is_cancelled_misses_nothing) {
  std::optional<Broadcast<int>> numbers(std::in_place, 3);
  auto receiver = numbers->subscribe();
  std::string got;
  auto pop = spawn([&] { got += std::to_string(receiver.pop().value) + ' '; });
  auto cancel = spawn([&] { pop.cancel(); });
  auto push = spawn([&] { numbers->push(1), numbers->push(2); });
  cancel.wait(), push.wait(), pop.wait();
  numbers.reset();
  BOOST_TEST(got + all_of<int>(std::move(receiver)) == "1 2 ");
}

WEFT_TEST_CASE(a_receiver_that_is_gone_keeps_nothing) {
  Broadcast<std::shared_ptr<int>> values(2);
  const auto value = std::make_shared<int>();
  {
    const auto receiver = values.subscribe();
    values.push(value);
    BOOST_TEST(value.use_count() == 2);
  }
  BOOST_TEST(value.use_count() == 1);
  values.push(value);
  BOOST_TEST(value.use_count() == 1);
}

WEFT_TEST_CASE(a_value_that_cannot_be_copied_was_missed) {
  Broadcast<Stubborn> values(2);
  auto receiver = values.subscribe();
  values.push(Stubborn(true));
  BOOST_CHECK_THROW(values.push(Stubborn(false)), std::runtime_error);
  values.push(Stubborn(true));
  BOOST_TEST(receiver.pop().missed == 0u);
  BOOST_TEST(receiver.pop().missed == 1u);
}

WEFT_TEST_CASE(a_receiver_is_a_case_of_select) {
  Broadcast<int> numbers(1);
  auto receiver = numbers.subscribe();
  std::optional<Broadcast<int>::Item> item;
  BOOST_TEST(select(on_pop(receiver.queue(), item), after(1s)) == 1u);
  for (int i = 1; i <= 3; ++i) numbers.push(i);
  BOOST_TEST(select(on_pop(receiver.queue(), item), after(1s)) == 0u);
  item = receiver.counted(*item);
  BOOST_TEST(item->value == 3);
  BOOST_TEST(item->missed == 2u);
}

WEFT_TEST_CASE(what_makes_no_sense_is_refused) {
  BOOST_CHECK_THROW(Broadcast<int>(0), std::invalid_argument);
  Broadcast<int> numbers(1);
  auto receiver = numbers.subscribe();
  const auto moved = std::move(receiver);
  BOOST_CHECK_THROW(receiver.pop(), std::logic_error);
}

WEFT_CORES_TEST_CASE(senders_and_receivers_may_be_on_several_schedulers) {
  std::optional<Broadcast<int>> numbers(std::in_place, 4);
  std::atomic<int> wrong{0};
  TaskGroup receivers;
  for (std::size_t i = 0; i < 3; ++i) {
    receivers.spawn(
        [own = numbers->subscribe(), &wrong]() mutable {
          std::uint64_t seen = 0;
          try {
            for (;;) seen += own.pop().missed + 1;
          } catch (const QueueClosed&) {
            if (seen != 300) ++wrong;  // the last values are not missed
          }
        },
        on(i));
  }
  {
    TaskGroup senders;
    for (std::size_t i = 0; i < 3; ++i) {
      senders.spawn(
          [&] {
            for (int j = 0; j < 100; ++j) numbers->push(j);
          },
          on(i));
    }
    senders.join();
  }
  numbers.reset();
  receivers.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()
