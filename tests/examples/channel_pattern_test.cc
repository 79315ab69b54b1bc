#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/channel.h"

BOOST_AUTO_TEST_SUITE(channel_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::channel;
using patterns::Receiver;
using patterns::Sender;

WEFT_SHUFFLED_TEST_CASE(each_item_goes_to_one_receiver) {
  auto [sender, receiver] = channel<int>(2);
  int sum = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn([sender = sender, i] {
      for (int j = 0; j < 5; ++j) sender.push(5 * i + j);
    });
    group.spawn([receiver = receiver, &sum] {
      for (const int item : receiver) sum += item;
    });
  }
  { const auto gone = std::move(sender); }
  group.join();
  BOOST_TEST(sum == 14 * 15 / 2);
  BOOST_CHECK_THROW(receiver.pop(), QueueClosed);
}

WEFT_TEST_CASE(receivers_take_what_is_left_when_the_last_sender_has_gone) {
  auto [sender, receiver] = channel<std::string>();
  std::optional<Sender<std::string>> last = sender;
  sender.push("one");
  { const auto gone = std::move(sender); }
  last->push("two");
  BOOST_TEST(last->try_push("three"));
  last.reset();
  std::string rest;
  for (const std::string& item : receiver) rest += item + ' ';
  BOOST_TEST(rest == "one two three ");
  BOOST_TEST(!receiver.try_pop());
}

WEFT_SHUFFLED_TEST_CASE(a_pop_that_waits_ends_when_the_last_sender_goes) {
  auto [sender, receiver] = channel<int>();
  auto pop = spawn([&receiver = receiver] { return receiver.pop(); });
  { const auto gone = std::move(sender); }
  BOOST_CHECK_THROW(pop.get(), QueueClosed);
}

WEFT_SHUFFLED_TEST_CASE(a_push_throws_when_the_last_receiver_has_gone) {
  auto [sender, receiver] = channel<std::unique_ptr<int>>(1);
  std::optional<Receiver<std::unique_ptr<int>>> last = receiver;
  sender.push(nullptr);
  auto waits = spawn([&sender = sender] {
    auto item = std::make_unique<int>(7);
    BOOST_CHECK_THROW(sender.push(std::move(item)), QueueClosed);
    BOOST_TEST_REQUIRE(item);  // untouched
    BOOST_TEST(*item == 7);
  });
  run_until_blocked();
  { const auto gone = std::move(receiver); }
  run_until_blocked();
  BOOST_TEST(!waits.done());
  last.reset();
  waits.get();
  BOOST_CHECK_THROW(sender.try_push(nullptr), QueueClosed);
}

WEFT_TEST_CASE(what_no_receiver_has_taken_goes_with_the_last_one) {
  const auto item = std::make_shared<int>();
  auto [sender, receiver] = channel<std::shared_ptr<int>>();
  sender.push(item);
  BOOST_TEST(item.use_count() == 2);
  { const auto gone = std::move(receiver); }
  BOOST_TEST(item.use_count() == 1);
}

WEFT_TEST_CASE(an_end_that_was_moved_from_is_none) {
  auto [sender, receiver] = channel<int>();
  const Sender<int> its_sender = std::move(sender);
  const Receiver<int> its_receiver = std::move(receiver);
  BOOST_CHECK_THROW(sender.push(1), std::logic_error);
  BOOST_CHECK_THROW(sender.try_push(1), std::logic_error);
  BOOST_CHECK_THROW(receiver.pop(), std::logic_error);
  BOOST_CHECK_THROW(receiver.try_pop(), std::logic_error);
  BOOST_CHECK_THROW(receiver.begin(), std::logic_error);
  its_sender.push(1);
  BOOST_TEST(its_receiver.pop() == 1);
}

WEFT_TEST_CASE(ends_are_cases_of_select) {
  auto [sender, receiver] = channel<int>(1);
  std::optional<int> item;
  BOOST_TEST(select(on_pop(receiver.queue(), item), after(1s)) == 1u);
  BOOST_TEST(select(on_push(sender.queue(), 7), otherwise()) == 0u);
  BOOST_TEST(select(on_push(sender.queue(), 8), otherwise()) == 1u);
  BOOST_TEST(select(on_pop(receiver.queue(), item), after(1s)) == 0u);
  BOOST_TEST((item == 7));
}

WEFT_SHUFFLED_TEST_CASE(a_pop_that_is_cancelled_takes_nothing) {
  auto [sender, receiver] = channel<int>();
  auto pop = spawn([&receiver = receiver] { receiver.pop(); });
  auto cancel = spawn([&] { pop.cancel(); });
  auto push = spawn([&sender = sender] { sender.push(7); });
  cancel.wait(), push.wait(), pop.wait();
  const std::optional<int> left = receiver.try_pop();
  if (pop.failed() || left) {
    BOOST_TEST((left == 7));
  } else {
    pop.get();  // it was first
  }
}

WEFT_CORES_TEST_CASE(ends_may_be_on_several_schedulers) {
  auto [sender, receiver] = channel<int>(3);
  std::atomic<int> sum{0};
  TaskGroup group;
  for (std::size_t i = 0; i < 3; ++i) {
    group.spawn(
        [sender = sender] {
          for (int j = 1; j <= 100; ++j) sender.push(j);
        },
        on(i));
    group.spawn(
        [receiver = receiver, &sum] {
          for (const int item : receiver) sum += item;
        },
        on((i + 1) % 3));
  }
  { const auto gone = std::move(sender); }
  group.join();
  BOOST_TEST(sum == 3 * 5050);
}

BOOST_AUTO_TEST_SUITE_END()
