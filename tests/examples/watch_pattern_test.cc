#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/fixture.h"
#include "weft/examples/patterns/watch.h"

BOOST_AUTO_TEST_SUITE(watch_pattern)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using patterns::Watch;

WEFT_TEST_CASE(a_reader_has_seen_the_value_that_was_there) {
  Watch<std::string> name("Ada");
  auto reader = name.reader();
  BOOST_TEST(reader.get() == "Ada");
  BOOST_TEST(!reader.refresh());
  BOOST_TEST(!reader.changed().is_set());
}

WEFT_TEST_CASE(a_reader_skips_what_it_was_too_slow_for) {
  Watch<int> number(1);
  auto reader = number.reader();
  number.set(2), number.set(3);
  BOOST_TEST(reader.get() == 1);
  BOOST_TEST(reader.wait());
  BOOST_TEST(reader.get() == 3);
  BOOST_TEST(!reader.refresh());
}

WEFT_SHUFFLED_TEST_CASE(all_readers_that_wait_see_a_change) {
  Watch<int> number(1);
  int seen = 0;
  TaskGroup group;
  for (int i = 0; i < 3; ++i) {
    group.spawn([&, reader = number.reader()]() mutable {
      BOOST_TEST(reader.wait());
      seen += reader.get();
    });
  }
  group.spawn([&] { number.set(7); });
  group.join();
  BOOST_TEST(seen == 21);
}

WEFT_SHUFFLED_TEST_CASE(a_reader_gets_to_the_last_value_and_then_to_the_end) {
  std::optional<Watch<int>> number(1);
  auto last = spawn([reader = number->reader()]() mutable {
    while (reader.wait()) yield();
    BOOST_TEST(!reader.wait());
    return reader.get();
  });
  auto writer = spawn([&] {
    for (int i = 2; i <= 5; ++i) number->set(i), yield();
    number.reset();
  });
  BOOST_TEST(last.get() == 5);
  writer.get();
}

WEFT_TEST_CASE(a_value_lives_as_long_as_a_reader_holds_it) {
  const auto value = std::make_shared<int>();
  Watch<std::shared_ptr<int>> watch(value);
  auto reader = watch.reader();
  const std::shared_ptr<int>& held = reader.get();
  watch.set(nullptr);
  BOOST_TEST(value.use_count() == 2);
  BOOST_TEST(held == value);
  BOOST_TEST(reader.refresh());
  BOOST_TEST(value.use_count() == 1);
}

WEFT_SHUFFLED_TEST_CASE(a_wait_that_is_cancelled_has_seen_nothing) {
  Watch<int> number(1);
  auto reader = number.reader();
  bool saw = false;
  auto wait = spawn([&] { saw = reader.wait(); });
  auto cancel = spawn([&] { wait.cancel(); });
  auto set = spawn([&] { number.set(2); });
  cancel.wait(), set.wait(), wait.wait();
  BOOST_TEST(saw != reader.refresh());
  BOOST_TEST(reader.get() == 2);
}

WEFT_TEST_CASE(setting_does_not_wait) {
  Watch<int> number(1);
  auto reader = number.reader();
  auto wait = spawn([&] { return reader.wait(); }, {.eager = true});
  testing::no_waiting([&] { number.set(2); });
  BOOST_TEST(wait.get());
}

WEFT_TEST_CASE(a_change_is_a_case_of_select) {
  Watch<int> number(1);
  auto reader = number.reader();
  BOOST_TEST(select(on(reader.changed()), after(1s)) == 1u);
  number.set(2);
  BOOST_TEST(select(on(reader.changed()), after(1s)) == 0u);
  BOOST_TEST(reader.refresh());
}

WEFT_TEST_CASE(a_copy_of_a_reader_has_seen_the_same) {
  Watch<int> number(1);
  auto reader = number.reader();
  number.set(2);
  auto copy = reader;
  BOOST_TEST(reader.refresh());
  BOOST_TEST(copy.get() == 1);
  BOOST_TEST(copy.refresh());
}

WEFT_TEST_CASE(a_reader_that_was_moved_from_is_none) {
  Watch<int> number(1);
  auto reader = number.reader();
  auto moved = std::move(reader);
  BOOST_CHECK_THROW(reader.get(), std::logic_error);
  BOOST_CHECK_THROW(reader.wait(), std::logic_error);
  BOOST_CHECK_THROW(reader.refresh(), std::logic_error);
  BOOST_CHECK_THROW(reader.changed(), std::logic_error);
  BOOST_TEST(moved.get() == 1);
}

WEFT_CORES_TEST_CASE(writers_and_readers_may_be_on_several_schedulers) {
  std::optional<Watch<int>> number(0);
  std::atomic<int> wrong{0};
  TaskGroup readers;
  for (std::size_t i = 0; i < 3; ++i) {
    readers.spawn(
        [reader = number->reader(), &wrong]() mutable {
          while (reader.wait()) {
          }
          if (reader.get() != 7) ++wrong;
        },
        on(i));
  }
  {
    TaskGroup writers;
    for (std::size_t i = 0; i < 3; ++i) {
      writers.spawn(
          [&] {
            for (int j = 10; j < 100; ++j) number->set(j);
          },
          on(i));
    }
    writers.join();
  }
  number->set(7);
  number.reset();
  readers.join();
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_SUITE_END()
