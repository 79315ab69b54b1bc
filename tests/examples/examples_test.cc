// The examples, run as a reader would, and what they print.

#include <fnmatch.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(examples)

namespace {

// Runs an example; it must succeed, and soon: what takes longest waits a second. Returns what it
// printed, stderr included.
std::string output_of(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  FILE* pipe = popen(("examples/" + command + " 2>&1").c_str(), "r");
  BOOST_TEST_REQUIRE(pipe, "cannot run " << command);
  std::string output;
  char buffer[512];
  for (std::size_t size; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.append(buffer, size);
  }
  const int status = pclose(pipe);
  BOOST_TEST(status == 0, command << " ended with status " << status << " and said:\n" << output);
  BOOST_TEST((std::chrono::steady_clock::now() - start < std::chrono::seconds(5)),
             command << " takes too long");
  return output;
}

// Each line of the output matches a pattern: `*` is any text, `?` any character.
void check_lines(const std::string& command, const std::vector<std::string>& patterns) {
  const std::string output = output_of(command);
  std::istringstream lines(output);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::string pattern = count < patterns.size() ? patterns[count] : "the end";
    BOOST_TEST(fnmatch(pattern.c_str(), line.c_str(), 0) == 0,
               command << ", line " << count + 1 << ": \"" << line << "\" is not " << pattern);
  }
  BOOST_TEST(count == patterns.size(), command << " printed:\n" << output);
}

}  // namespace

BOOST_AUTO_TEST_CASE(hello_waits_for_both_at_once) {
  check_lines("hello", {"Hello, world! It took 1* s, not 2."});
}

BOOST_AUTO_TEST_CASE(gather_takes_as_long_as_the_slowest) {
  BOOST_TEST(output_of("gather --quick") ==
             "  0.0 s  asking for three things\n"
             "  1.0 s  got price\n"
             "  2.0 s  got orders\n"
             "  4.0 s  got stock\n"
             "  4.0 s  all: stock, price, orders\n"
             "  5.0 s  failed: no such shop\n");
}

BOOST_AUTO_TEST_CASE(chain_hands_back_results_and_exceptions) {
  BOOST_TEST(output_of("chain") ==
             "greet(Ada) waits for describe\n"
             "  describe(Ada) waits for look_up\n"
             "    look_up(Ada) waits\n"
             "=> Hello! Ada was born in 1815.\n"
             "\n"
             "greet(Bob) waits for describe\n"
             "  describe(Bob) waits for look_up\n"
             "    look_up(Bob) waits\n"
             "=> caught what look_up threw: nobody is called Bob\n");
}

BOOST_AUTO_TEST_CASE(callbacks_come_in_the_order_of_their_times) {
  check_lines("callbacks", {
                               "* ms  main waits",
                               "* ms  call_soon: *",
                               "* ms  call_later: after 100 ms",
                               "* ms  call_later: and 100 ms more*",
                               "* ms  call_at: at 300 ms",
                               "* ms  main does something else*",
                               "* ms  done callback: the answer is 42",
                               "* ms  main asks, too: 42",
                           });
}

BOOST_AUTO_TEST_CASE(timeouts_unwind_what_they_end) {
  BOOST_TEST(output_of("timeouts") ==
             "Of two timeouts, the one whose time is over throws:\n"
             "  the inner query begins\n"
             "  the inner query is given up\n"
             "  the inner time is over; there is some left outside\n"
             "  a shorter query begins\n"
             "  a shorter query is finished\n"
             "What is shielded ends as it should, and the timeout comes afterwards:\n"
             "  the commit begins\n"
             "  the commit is finished\n"
             "  the report begins\n"
             "  the report is given up\n"
             "  caught TimeoutError: weft: the time is over\n"
             "A task that is cancelled unwinds, and get() throws:\n"
             "  the task begins\n"
             "  the task is given up\n"
             "  caught TaskCancelled: weft: the task was cancelled\n"
             "In a group, the first failure cancels the rest:\n"
             "  the first download begins\n"
             "  the second download begins\n"
             "  the third download fails\n"
             "  the first download is given up\n"
             "  the second download is given up\n"
             "  caught what it threw: the disk is full\n");
}

BOOST_AUTO_TEST_CASE(count_down_overlaps) {
  const std::string axis =
      "    |         |         |         |         |         |         |         |\n"
      "    0 s       1         2         3         4         5         6         7\n"
      "\n";
  BOOST_TEST(output_of("count_down --quick") ==
             "One after another:\n"
             "  1.0 s  A 3\n"
             "  2.0 s  A 2\n"
             "  3.0 s  A 1\n"
             "  3.8 s  B 3\n"
             "  4.6 s  B 2\n"
             "  5.4 s  B 1\n"
             "  5.9 s  C 3\n"
             "  6.4 s  C 2\n"
             "  6.9 s  C 1\n"
             "  6.9 s in all\n"
             "\n"
             "  A ---------3---------2---------1\n"
             "  B                               -------3-------2-------1\n"
             "  C                                                       ----3----2----1\n" +
                 axis +
                 "Together:\n"
                 "  0.5 s  C 3\n"
                 "  0.8 s  B 3\n"
                 "  1.0 s  A 3\n"
                 "  1.0 s  C 2\n"
                 "  1.5 s  C 1\n"
                 "  1.6 s  B 2\n"
                 "  2.0 s  A 2\n"
                 "  2.4 s  B 1\n"
                 "  3.0 s  A 1\n"
                 "  3.0 s in all\n"
                 "\n"
                 "  A ---------3---------2---------1\n"
                 "  B -------3-------2-------1\n"
                 "  C ----3----2----1\n" +
                 axis);
}

BOOST_AUTO_TEST_CASE(producer_consumer_takes_in_three_orders) {
  BOOST_TEST(output_of("producer_consumer --quick") ==
             "Queue, with room for two: the producer is slowed down to what is consumed.\n"
             "  0.0 s  baked loaf 1\n"
             "  0.0 s  Ada eats loaf 1\n"
             "  0.1 s  baked loaf 2\n"
             "  0.1 s  Bob eats loaf 2\n"
             "  0.2 s  baked loaf 3\n"
             "  0.3 s  baked loaf 4\n"
             "  0.6 s  Ada eats loaf 3\n"
             "  0.6 s  baked loaf 5\n"
             "  0.7 s  Bob eats loaf 4\n"
             "  0.7 s  baked loaf 6\n"
             "  1.2 s  Ada eats loaf 5\n"
             "  1.3 s  Bob eats loaf 6\n"
             "\n"
             "PriorityQueue: the least comes first, and of equals the one that came first.\n"
             "  0.0 s  on the way to a fire\n"
             "  0.5 s  on the way to another fire\n"
             "  1.0 s  on the way to a flood\n"
             "  1.5 s  on the way to a cat in a tree\n"
             "  2.0 s  all calls are answered\n"
             "\n"
             "LifoQueue: what came last is taken first.\n"
             "  0.0 s  took the blue plate\n"
             "  0.0 s  took the green plate\n"
             "  0.0 s  took the red plate\n");
}

BOOST_AUTO_TEST_CASE(dining_lets_everybody_eat) {
  BOOST_TEST(output_of("dining --quick") ==
             "A letter for each tenth of a second: . thinks   w waits for forks   E eats\n"
             "\n"
             "  Aristotle  ..EEEEE..wwwwwEEEEE..wwwwwwEEEEE..wwwwwEEEEE\n"
             "  Buddha     ...wwwwwwEEEEE...wwwwwEEEEE...wwwwEEEEE...wwwwwEEEEE\n"
             "  Confucius  ....EEEEE....wwwwEEEEE....wwwEEEEE....wwwwEEEEE\n"
             "  Descartes  .....wwwwwwwEEEEE.....wwEEEEE.....wwwEEEEE.....wwEEEEE\n"
             "  Epicurus   ......wEEEEE......wEEEEE......wwEEEEE......wEEEEE\n"
             "\n"
             "20 meals in 5.4 s; one after another they would take 10.0 s.\n");
}

BOOST_AUTO_TEST_CASE(executor_keeps_the_beat) {
  check_lines("executor --quick",
              {
                  "4 sums of 25 million squares each, and a fiber that beats every 10 ms:",
                  "",
                  "  where the sums are           time    beats  worst lateness",
                  // After each of the four sums, and before the first, a beat that is due can come.
                  "  on the fibers' thread *?.?? s * [1-5] *?.? ms",
                  "  on the pool *?.?? s * ms",
                  "",
                  "The results are the same.",
              });
}

BOOST_AUTO_TEST_CASE(bridge_carries_every_message) {
  std::vector<std::string> lines(12, "  fiber [ABC] got message *");
  lines.push_back("12 messages from a thread, read by three fibers: *, * and *");
  check_lines("bridge", lines);
}

BOOST_AUTO_TEST_CASE(trace_writes_a_file_and_says_so) {
  check_lines("trace $TEST_TMPDIR/trace.fxt", {"wrote */trace.fxt: open it in ui.perfetto.dev*"});
}

BOOST_AUTO_TEST_CASE(skynet_sums_in_both_orders_on_one_thread_and_on_several) {
  const std::string cost = " 100 *?.? ms *?.? ms * ns *?.? MiB";
  check_lines("skynet 2 2",
              {
                  "",
                  "A tree of fibers: 100 leaves return their numbers, all others the sum.",
                  "",
                  "  order *threads *leaves *first time *again *a fiber *memory",
                  "  ---*",
                  "  eager * 1 *" + cost,
                  "  eager * 2 *" + cost,
                  "  breadth first * 1 *" + cost,
                  "  breadth first * 2 *" + cost,
                  "",
                  "  All sums are right: 0 + 1 + ... + 99 = 4,950.",
                  "  First time: *",
                  "  Eager, *",
              });
}

BOOST_AUTO_TEST_CASE(sleep_race_measures_every_way) {
  check_lines("sleep_race --quick", {
                                        "",
                                        "Queries that each wait 0.05 s for their answer:",
                                        "",
                                        " *most *peak memory",
                                        "  way *queries *at once *wall time *overhead *per query",
                                        "  ---*",
                                        "  one after another * 10 * 1 * 0.??? s * ms *",
                                        "  a process each * 10 *?.??? s * ms *",
                                        "  ten pool threads * 10 *?.??? s * ms *",
                                        "  a fiber each * 10 *?.??? s * ms *",
                                        "  a fiber each * 100 *?.??? s * ms *",
                                        "",
                                        "  Overhead: *",
                                        "  Memory: *",
                                        "  threads *",
                                        "  All fibers *",
                                    });
}

// ---- Patterns -----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_channel_ends_with_the_last_of_its_ends) {
  BOOST_TEST(output_of("patterns/channel_program") ==
             "the gold mine is exhausted\n"
             "smelter 1: gold 1\n"
             "smelter 2: iron 1\n"
             "smelter 1: lead 1\n"
             "smelter 2: iron 2\n"
             "the iron mine is exhausted\n"
             "smelter 1: lead 2\n"
             "smelter 2: lead 3\n"
             "the lead mine is exhausted\n"
             "smelter 1 is done, after 3\n"
             "smelter 2 is done, after 3\n"
             "sold silver 1, and no more\n"
             "the silver mine is closed: there is no receiver any more\n");
}

BOOST_AUTO_TEST_CASE(a_broadcast_tells_the_slow_what_they_missed) {
  BOOST_TEST(output_of("patterns/broadcast_program") ==
             "Ada hears one\n"
             "Bob hears one\n"
             "Ada hears two\n"
             "Ada hears three\n"
             "Ada hears four\n"
             "Bob has missed 1\n"
             "Bob hears three\n"
             "Ada hears five\n"
             "Ada hears six\n"
             "Ada switches off\n"
             "Bob has missed 1\n"
             "Bob hears five\n"
             "Bob hears six\n"
             "Bob switches off\n");
}

BOOST_AUTO_TEST_CASE(a_watch_skips_to_the_latest) {
  BOOST_TEST(output_of("patterns/watch_program") ==
             "kitchen: 18 degrees\n"
             "cellar: 18 degrees\n"
             "kitchen: 19 degrees\n"
             "kitchen: 20 degrees\n"
             "cellar: 20 degrees\n"
             "kitchen: 21 degrees\n"
             "cellar: 21 degrees\n"
             "kitchen: off\n"
             "cellar: off\n");
}

BOOST_AUTO_TEST_CASE(a_ticker_goes_on_in_three_ways) {
  BOOST_TEST(output_of("patterns/ticker_program") ==
             "skip     10   20   54   60   70   80   90  100\n"
             "burst    10   20   54   56   58   60   70   80\n"
             "delay    10   20   54   64   74   84   94  104\n");
}

BOOST_AUTO_TEST_CASE(a_rate_limiter_lets_nobody_overtake) {
  BOOST_TEST(output_of("patterns/rate_limiter_program") ==
             "  0 ms  a request of one\n"
             "  0 ms  a request of one\n"
             "  0 ms  a request of one\n"
             "  0 ms  a request of one\n"
             "  0 ms  a request of one\n"
             " 10 ms  a request of one\n"
             " 50 ms  a request of four: nobody overtakes it\n"
             " 60 ms  a request of one\n"
             " 70 ms  a request of one\n"
             " 70 ms  none is left\n");
}

BOOST_AUTO_TEST_CASE(a_retry_ends_with_an_answer_or_the_last_failure) {
  BOOST_TEST(output_of("patterns/retry_program") ==
             "down for a while: an answer, to call 4\n"
             "down for good: call 4 was refused\n"
             "not worth it: call 1 was refused\n"
             "no patience: weft: the time is over\n");
}

BOOST_AUTO_TEST_CASE(a_pool_replaces_what_is_broken_or_old) {
  BOOST_TEST(output_of("patterns/pool_program") ==
             "connection 1 opens\n"
             "connection 2 opens\n"
             "client 1 has its answer by connection 1\n"
             "client 2 has its answer by connection 2\n"
             "connection 1 closes\n"
             "the answer to client 3 makes no sense\n"
             "client 4 has its answer by connection 2\n"
             "connection 3 opens\n"
             "client 5 has its answer by connection 3\n"
             "an hour passes\n"
             "connection 3 closes\n"
             "connection 4 opens\n"
             "client 6 has its answer by connection 4\n"
             "connection 4 closes\n"
             "connection 2 closes\n");
}

BOOST_AUTO_TEST_CASE(a_single_flight_loads_once_for_all) {
  BOOST_TEST(output_of("patterns/single_flight_program") ==
             "loading news\n"
             "loading weather\n"
             "reader 1 has no patience\n"
             "reader 2 has the text of news\n"
             "reader 3 has the text of news\n"
             "reader 4 has the text of news\n"
             "reader 5 has the text of weather\n"
             "loading news\n"
             "later: the text of news\n");
}

BOOST_AUTO_TEST_SUITE_END()
