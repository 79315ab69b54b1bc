// examples/metrics: the numbers of several schedulers, one of which may be held up.

#include "examples/metrics.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(metrics)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string sample(const char* name, int scheduler, const char* value) {
  return "\n" + std::string(name) + "{scheduler=\"" + std::to_string(scheduler) + "\"} " + value +
         "\n";
}

bool has(const std::string& page, const std::string& text) { return page.find(text) != page.npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(each_scheduler_has_its_samples) {
  const std::vector<metrics::Counts> counts{{1, 10}, {2, 20}};
  const std::string page = run(
      [&] {
        auto task = spawn([] { sleep_for(1h); }, on(1));
        sleep_for(1ms);
        return metrics::page(counts);
      },
      {.threads = 2, .virtual_time = true});
  BOOST_TEST(has(page, sample("http_connections_total", 0, "1")), page);
  BOOST_TEST(has(page, sample("http_connections_total", 1, "2")), page);
  BOOST_TEST(has(page, sample("http_requests_total", 0, "10")), page);
  BOOST_TEST(has(page, sample("http_requests_total", 1, "20")), page);
  BOOST_TEST(has(page, sample("weft_timers", 1, "1")), page);
  BOOST_TEST(has(page, sample("weft_idle_seconds_total", 0, "0.001000000")), page);
  BOOST_TEST(has(page, "\nweft_pool_threads 0\n"), page);
}

BOOST_AUTO_TEST_CASE(a_scheduler_that_is_held_up_has_none_and_holds_up_no_other) {
  const std::vector<metrics::Counts> counts(2);
  std::atomic<bool> held{false}, release{false};
  std::string page;
  Duration took{};
  run(
      [&] {
        auto busy = spawn(
            [&] {
              held = true;
              while (!release) std::this_thread::yield();
            },
            on(1));
        BOOST_TEST(eventually([&] { return held.load(); }));
        const TimePoint begin = Clock::now();
        page = metrics::page(counts);
        took = Clock::now() - begin;
        release = true;
      },
      {.threads = 2});
  BOOST_TEST((took >= 100ms && took < 10s), took.count());
  BOOST_TEST(has(page, "scheduler=\"0\""), page);
  BOOST_TEST(!has(page, "scheduler=\"1\""), page);
}

BOOST_AUTO_TEST_SUITE_END()
