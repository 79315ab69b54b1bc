// Whose turn it is: the fibers of each scheduler go around by themselves.

#include <cstddef>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(turns_of_schedulers)

using namespace weft;
using namespace weft::test;

namespace {

// The places in Runtime::schedulers() of the next `count` turns.
std::vector<std::size_t> next_places(int count) {
  const auto all = Runtime::current().schedulers();
  std::vector<std::size_t> places;
  for (int i = 0; i < count; ++i) {
    const Scheduler* const next = round_robin();
    std::size_t place = 0;
    while (all[place] != next) ++place;
    places.push_back(place);
  }
  return places;
}

using Places = std::vector<std::size_t>;

}  // namespace

WEFT_CORES_TEST_CASE(each_scheduler_begins_with_itself) {
  const std::vector<Places> places = spread([] { return next_places(4); });
  BOOST_TEST((places == std::vector<Places>{{0, 1, 2, 0}, {1, 2, 0, 1}, {2, 0, 1, 2}}));
}

BOOST_AUTO_TEST_CASE(so_it_does_in_the_next_runtime_of_the_thread) {
  for (const unsigned threads : {3U, 2U, 3U}) {
    run(
        [] {
          const Places places = next_places(2);
          BOOST_TEST((places == Places{0, 1}));
        },
        {.threads = threads});
  }
}

BOOST_AUTO_TEST_SUITE_END()
