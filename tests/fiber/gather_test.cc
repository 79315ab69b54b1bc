#include "weft/fiber/gather.h"

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(gather)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  ~Counted() { --alive; }
  static inline int alive = 0;
};

}  // namespace

WEFT_SHUFFLED_TEST_CASE(results_come_in_the_order_of_the_arguments) {
  const TimePoint start = now();
  const auto [number, text, nothing, pointer] = weft::gather(
      [] { return sleep_for(3s), 7; }, [] { return sleep_for(1s), std::string("text"); },
      [] { sleep_for(2s); }, [] { return std::make_unique<int>(8); });
  BOOST_TEST(number == 7);
  BOOST_TEST(text == "text");
  BOOST_TEST(*pointer == 8);
  static_assert(std::is_same_v<decltype(nothing), const std::monostate>);
  BOOST_TEST((now() == start + 3s), "they ran one after another");
}

WEFT_TEST_CASE(nothing_may_be_gathered) {
  static_assert(std::is_same_v<decltype(weft::gather()), std::tuple<>>);
  weft::gather();
  std::vector<std::function<int()>> none;
  BOOST_TEST(weft::gather(none).empty());
}

WEFT_SHUFFLED_TEST_CASE(a_range_gives_a_vector) {
  std::vector<std::function<int()>> callables;
  for (int i = 0; i < 10; ++i) callables.push_back([i] { return sleep_for((10 - i) * 1s), i; });
  const std::vector<int> results = weft::gather(callables);
  BOOST_TEST(results == (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  BOOST_TEST(weft::gather(std::array{+[] { return true; }, +[] { return false; }}) ==
             (std::vector{true, false}));
}

WEFT_SHUFFLED_TEST_CASE(a_range_of_callables_that_return_nothing_gives_nothing) {
  int ran = 0;
  std::vector<std::function<void()>> callables(5, [&] { sleep_for(1s), ++ran; });
  weft::gather(callables);
  static_assert(std::is_void_v<decltype(weft::gather(callables))>);
  BOOST_TEST(ran == 5);
}

WEFT_TEST_CASE(callables_are_used_in_place) {
  struct Uncopyable {
    Uncopyable() = default;
    Uncopyable(const Uncopyable&) = delete;
    int operator()() { return ++calls; }
    int calls = 0;
  } f;
  BOOST_TEST(std::get<0>(weft::gather(f)) == 1);
  std::array<Uncopyable, 2> range;
  weft::gather(range);
  BOOST_TEST(range[1].calls == 1);
}

WEFT_SHUFFLED_TEST_CASE(the_first_exception_cancels_the_rest_and_is_thrown_when_all_have_ended) {
  const TimePoint start = now();
  bool cleaned = false;
  const auto rest = [&] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
      shield([] { sleep_for(1s); });
      cleaned = true;
      throw std::logic_error("a consequence");
    }
    return 7;
  };
  const auto fails = []() -> int {
    sleep_for(1s);
    throw std::runtime_error("first");
  };
  BOOST_CHECK_THROW(weft::gather(rest, fails), std::runtime_error);
  BOOST_TEST(cleaned);
  BOOST_TEST((now() == start + 2s));
  std::vector<std::function<int()>> range{rest, fails, rest};
  BOOST_CHECK_THROW(weft::gather(range), std::runtime_error);
}

WEFT_SHUFFLED_TEST_CASE(cancelling_the_caller_cancels_all) {
  int cancelled = 0;
  const auto child = when_cancelled([&] {
    ++cancelled;
    throw;
  });
  auto of_arguments = spawn([&] { weft::gather(child, child); });
  auto of_range = spawn([&] { weft::gather(std::vector<std::function<void()>>(3, child)); });
  run_until_blocked();
  of_arguments.cancel(), of_range.cancel();
  BOOST_CHECK_THROW(of_arguments.get(), TaskCancelled);
  BOOST_CHECK_THROW(of_range.get(), TaskCancelled);
  BOOST_TEST(cancelled == 5);
}

// Not the exception handler, which would end the program.
WEFT_SHUFFLED_TEST_CASE(the_caller_who_was_cancelled_is_told_that_a_child_failed) {
  const auto fails = when_cancelled([] {
    shield([] { sleep_for(1s); });
    throw std::domain_error("in cleanup");
  });
  const auto ends = [] { sleep_for(1h); };
  auto of_arguments = spawn([&] { weft::gather(ends, fails, fails); });
  auto of_range = spawn([&] { weft::gather(std::vector<std::function<void()>>{fails, ends}); });
  auto of_results = spawn([&] {
    const std::function<int()> fails_too = [&] { return fails(), 7; };
    weft::gather(std::vector{fails_too, fails_too});
  });
  run_until_blocked();
  const TimePoint start = now();
  of_arguments.cancel(), of_range.cancel(), of_results.cancel();
  BOOST_CHECK_THROW(of_arguments.get(), std::domain_error);
  BOOST_CHECK_THROW(of_range.get(), std::domain_error);
  BOOST_CHECK_THROW(of_results.get(), std::domain_error);
  BOOST_TEST((now() == start + 1s), "who fails is waited for");
  BOOST_CHECK_THROW(with_timeout(1s, [&] { weft::gather(fails, ends); }), std::domain_error);
}

WEFT_SHUFFLED_TEST_CASE(a_timeout_ends_all) {
  BOOST_CHECK_THROW(
      with_timeout(1s, [] { weft::gather([] { sleep_for(1h); }, [] { sleep_for(2h); }); }),
      TimeoutError);
}

WEFT_SHUFFLED_TEST_CASE(a_result_that_comes_after_the_cancellation_finds_its_place) {
  const auto late = [] { return shield([] { return sleep_for(1s), Counted(); }); };
  auto of_arguments = spawn([&] { weft::gather(late, late); });
  auto of_range = spawn([&] { weft::gather(std::vector<std::function<Counted()>>(3, late)); });
  run_until_blocked();
  of_arguments.cancel(), of_range.cancel();
  BOOST_CHECK_THROW(of_arguments.get(), TaskCancelled);
  BOOST_CHECK_THROW(of_range.get(), TaskCancelled);
  BOOST_TEST(Counted::alive == 0);
}

WEFT_TEST_CASE(a_null_callable_is_refused_and_cancels_the_others) {
  std::vector<std::function<int()>> range{[] { return 1; }, nullptr};
  BOOST_CHECK_THROW(weft::gather(range), std::invalid_argument);
  BOOST_CHECK_THROW(weft::gather(range[0], range[1]), std::invalid_argument);
}

// The runtime cancels all fibers at its end, the children of one who is shielded too.
BOOST_AUTO_TEST_CASE(a_child_that_alone_was_cancelled_has_no_result_to_give) {
  int refused = 0;
  run(
      [&] {
        const auto value = [] { return sleep_for(1h), std::string(100, 'x'); };
        const auto gather_arguments = [=] { weft::gather(value, value); };
        const auto gather_range = [=] {
          weft::gather(std::vector<std::function<std::string()>>(2, value));
        };
        for (const std::function<void()>& f :
             std::vector<std::function<void()>>{gather_arguments, gather_range}) {
          spawn([&refused, f] {
            shield([&] {
              try {
                f();
              } catch (const TaskCancelled&) {
                ++refused;
              }
            });
          }).detach();
        }
        run_until_blocked();
      },
      {.virtual_time = true});
  BOOST_TEST(refused == 2);
}

BOOST_AUTO_TEST_SUITE_END()
