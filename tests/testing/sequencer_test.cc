#include "weft/io/testing/sequencer.h"

#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/caught_reports.h"
#include "tests/support/fixture.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(sequencer)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using testing::Sequencer;

WEFT_SHUFFLED_TEST_CASE(points_are_passed_in_the_order_of_their_numbers) {
  Sequencer sequencer;
  std::string order;
  TaskGroup group;
  for (const int n : {3, 1, 0, 4, 2}) {
    group.spawn([&, n] {
      sequencer.at(static_cast<std::size_t>(n));
      order += static_cast<char>('0' + n);
    });
  }
  group.join();
  BOOST_TEST(order == "01234");
}

WEFT_TEST_CASE(a_point_whose_turn_it_is_does_not_wait) {
  Sequencer sequencer;
  testing::no_waiting([&] { sequencer.at(0), sequencer.at(1); });
}

WEFT_TEST_CASE(a_number_that_is_used_twice_is_an_error) {
  Sequencer sequencer;
  sequencer.at(0);
  BOOST_CHECK_THROW(sequencer.at(0), std::logic_error);
  auto first = spawn([&] { sequencer.at(2); }, {.eager = true});
  auto second = spawn([&] { sequencer.at(2); }, {.eager = true});
  sequencer.at(1);
  first.get();
  BOOST_CHECK_THROW(second.get(), std::logic_error);  // when the first has passed
}

WEFT_CORES_TEST_CASE(an_order_is_forced_upon_fibers_of_several_threads) {
  for (int round = 0; round < 50; ++round) {
    Sequencer sequencer;
    std::string order;  // not atomic: the points order all of it
    std::thread thread([&] { sequencer.at(0), order += 'a', sequencer.at(1); });
    auto other = spawn([&] { sequencer.at(2), order += 'b', sequencer.at(3); }, on(1));
    sequencer.at(4);
    BOOST_TEST(order == "ab");
    thread.join();
    other.get();
  }
}

BOOST_AUTO_TEST_CASE(a_point_that_is_never_reached_is_a_deadlock_that_names_it) {
  const Reports reports;
  BOOST_CHECK_THROW(testing::run_test([] { Sequencer().at(1); }), std::logic_error);
  BOOST_TEST(count_words(reports.text(), "Sequencer::at") > 0);
}

WEFT_TEST_CASE(a_wait_for_a_point_is_a_cancellation_point) {
  Sequencer sequencer;
  auto other = spawn([&] { return throws_cancelled([&] { sequencer.at(1); }); }, {.eager = true});
  other.cancel();
  BOOST_TEST(other.get());
}

BOOST_AUTO_TEST_SUITE_END()
