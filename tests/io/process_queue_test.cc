// Between processes: children are forked first, while this one has one thread.

#include "weft/io/process_queue.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/bound.h"
#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(process_queue)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Children = std::vector<std::unique_ptr<ChildProcess>>;

template <class F>
std::unique_ptr<ChildProcess> child(F f) {
  return std::make_unique<ChildProcess>(std::move(f));
}

// Which an item of another content, or of a part, is not.
std::string text_of(std::size_t size) {
  std::string text(size, 'x');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i + size) % 26);
  return text;
}

bool is_whole(const std::string& text) { return text == text_of(text.size()); }

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// Pushes until there is no room; returns how many were pushed.
int fill(ProcessQueue<int>& queue) {
  int pushed = 0;
  while (queue.try_push(pushed)) ++pushed;
  return pushed;
}

}  // namespace

// ---- Items --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(items_come_in_order_and_equal) {
  using Item = std::pair<std::string, std::vector<int>>;
  ProcessQueue<Item> queue;
  queue.push({"one", {1}});
  queue.push({"", {}});
  queue.push({"three", {1, 2, 3}});
  queue.close();
  std::vector<Item> items;
  for (auto&& item : queue) items.push_back(std::move(item));
  BOOST_TEST((items == std::vector<Item>{{"one", {1}}, {"", {}}, {"three", {1, 2, 3}}}));
}

BOOST_AUTO_TEST_CASE(four_producers_and_four_consumers_pass_each_item_once) {
  constexpr int kItems = 500;
  ProcessQueue<int> queue(20'000);
  ProcessQueue<std::vector<int>> results;
  Children producers, consumers;
  for (int i = 0; i < 4; ++i) {
    const auto produce = [&queue, i] {
      for (int item = i * kItems; item < (i + 1) * kItems; ++item) queue.push(item);
      return 0;
    };
    const auto consume = [&queue, &results] {
      std::vector<int> items;
      for (int item : queue) items.push_back(item);
      results.push(items);
      return 0;
    };
    const bool has_runtime = i % 2 == 0;
    producers.push_back(child([=] { return has_runtime ? run(produce) : produce(); }));
    consumers.push_back(child([=] { return has_runtime ? run(consume) : consume(); }));
  }
  for (auto& producer : producers) BOOST_TEST(producer->wait().exit_code == 0);
  queue.close();
  std::vector<int> all;
  for (auto& consumer : consumers) {
    BOOST_TEST(consumer->wait().exit_code == 0);
    const std::vector<int> some = results.pop();
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end());
  std::vector<int> expected(4 * kItems);
  std::iota(expected.begin(), expected.end(), 0);
  BOOST_TEST((all == expected));
}

BOOST_AUTO_TEST_CASE(items_of_any_size_come_whole) {
  constexpr std::size_t kSizes[] = {0, 1, 1000, 65'527, 65'528, 65'529, 65'536, 70'000, 10'000'000};
  ProcessQueue<std::string> queue;
  const auto producer = child([&] {
    for (const std::size_t size : kSizes) queue.push(text_of(size));
    return 0;
  });
  const auto before = open_descriptors();
  for (const std::size_t size : kSizes) {
    const std::string text = queue.pop();
    BOOST_TEST(text.size() == size);
    BOOST_TEST(is_whole(text));
  }
  BOOST_TEST(producer->wait().exit_code == 0);
  BOOST_TEST(open_descriptors() == before - 1);  // the end of the child's pipe is closed
}

BOOST_AUTO_TEST_CASE(an_item_that_is_larger_than_the_queue_fits) {
  ProcessQueue<std::string> queue(1);
  queue.push(text_of(10'000));
  BOOST_TEST(is_whole(queue.pop()));
}

BOOST_AUTO_TEST_CASE(a_large_item_needs_a_descriptor) {
  ProcessQueue<std::string> queue;
  for (const std::size_t size : {100'000, 1}) queue.push(text_of(size));
  const ChildEnd end = run_in_child([&] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &limit);
    try {
      queue.push(text_of(100'000));
      return 1;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::too_many_files_open) return 2;
    }
    try {
      queue.pop();
      return 3;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::too_many_files_open) return 4;
    }
    return queue.pop() == text_of(1) ? 0 : 5;
  });
  BOOST_TEST(end.exit_code == 0);
}

// ---- Room ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(about_as_many_bytes_fit_as_were_asked_for) {
  ProcessQueue<int> small(10'000), large(100'000);
  const int few = fill(small);
  const int many = fill(large);
  BOOST_TEST(few >= 5);
  BOOST_TEST(few <= 50);
  BOOST_TEST(many >= 5 * few);
  BOOST_TEST(!small.try_push_for(0, 1ms));
}

BOOST_AUTO_TEST_CASE(a_push_to_a_full_queue_waits_for_a_consumer_of_another_process) {
  ProcessQueue<int> queue(10'000), go;
  const int items = fill(queue);
  const auto consumer = child([&] {
    go.pop();
    for (int i = 0; i <= items; ++i) {
      if (queue.pop() != i) return 1;
    }
    return 0;
  });
  run([&] {
    auto producer = spawn([&] { queue.push(items); }, {.eager = true});
    for (int i = 0; i < 5; ++i) sleep_for(1ms);  // the thread is free
    BOOST_TEST(!producer.done());
    go.push(1);
    producer.get();
  });
  BOOST_TEST(consumer->wait().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(a_push_that_is_cancelled_or_too_late_adds_nothing) {
  ProcessQueue<int> queue(10'000);
  const int items = fill(queue);
  run([&] {
    auto producer =
        spawn([&] { BOOST_TEST(throws_cancelled([&] { queue.push(-1); })); }, {.eager = true});
    BOOST_TEST(!queue.try_push_for(-2, 1ms));
    BOOST_TEST(!queue.try_push_for(-3, -1ms));
    producer.cancel();
    producer.wait();
  });
  for (int i = 0; i < items; ++i) BOOST_TEST(queue.pop() == i);
  BOOST_TEST(!queue.try_pop().has_value());
}

// ---- Waiting for items --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_fiber_that_waits_frees_its_thread) {
  ProcessQueue<int> queue, go;
  const auto producer = child([&] {
    queue.push(go.pop());
    return 0;
  });
  run([&] {
    auto consumer = spawn([&] { return queue.pop(); }, {.eager = true});
    for (int i = 0; i < 5; ++i) sleep_for(1ms);
    BOOST_TEST(!consumer.done());
    go.push(7);
    BOOST_TEST(consumer.get() == 7);
  });
  BOOST_TEST(producer->wait().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(fibers_of_two_schedulers_and_a_plain_thread_share_a_queue) {
  constexpr int kItems = 300;
  ProcessQueue<int> queue(10'000);
  const auto producer = child([&] {
    for (int i = 1; i <= kItems; ++i) queue.push(i);
    queue.close();
    return 0;
  });
  std::atomic<int> sum{0};
  const auto consume = [&] {
    for (int item : queue) sum += item;
  };
  std::thread thread(consume);
  run([&] { spread_all(consume); }, {.threads = 2});
  thread.join();
  BOOST_TEST(producer->wait().exit_code == 0);
  BOOST_TEST(sum.load() == kItems * (kItems + 1) / 2);
}

BOOST_AUTO_TEST_CASE(a_pop_that_is_cancelled_or_too_late_takes_nothing) {
  ProcessQueue<int> queue;
  run([&] {
    auto consumer =
        spawn([&] { BOOST_TEST(throws_cancelled([&] { queue.pop(); })); }, {.eager = true});
    BOOST_TEST(!queue.try_pop_for(1ms).has_value());
    BOOST_TEST(!queue.try_pop_for(-1ms).has_value());
    sleep_for(1ms);
    consumer.cancel();
    queue.push(1);
    consumer.wait();
    BOOST_TEST(queue.pop() == 1);
    BOOST_CHECK_THROW(with_timeout(1ms, [&] { queue.pop(); }), TimeoutError);
    queue.push(2);
    BOOST_TEST(queue.try_pop().value() == 2);
  });
}

BOOST_AUTO_TEST_CASE(a_plain_thread_waits_until_its_time_is_over) {
  ProcessQueue<int> queue;
  const TimePoint start = Clock::now();
  BOOST_TEST(!queue.try_pop_for(2ms).has_value());
  BOOST_TEST((Clock::now() - start >= 2ms));
  std::optional<int> item = 7;
  BOOST_TEST((queue.pop_for(item, 1ms) == PopStatus::kLate));
  BOOST_TEST(!item.has_value());
}

BOOST_AUTO_TEST_CASE(a_long_wait_takes_no_time_on_a_virtual_clock) {
  ProcessQueue<int> queue;
  weft::run([&] { BOOST_TEST(!queue.try_pop_for(1h).has_value()); }, {.virtual_time = true});
}

BOOST_AUTO_TEST_CASE(a_fiber_outside_a_runtime_is_refused_if_it_has_to_wait) {
  ProcessQueue<int> queue;
  ThreadPort port;
  run_on(port, [&] {
    queue.push(1);
    BOOST_TEST(queue.pop() == 1);
    BOOST_CHECK_THROW(queue.pop(), std::logic_error);
  });
}

// ---- Closing ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(close_in_one_process_closes_it_in_all) {
  ProcessQueue<int> queue, go;
  const auto other = child([&] {
    go.pop();
    try {
      queue.push(3);
      return 1;
    } catch (const QueueClosed&) {
    }
    return queue.pop() == 2 ? 0 : 2;
  });
  queue.push(1);
  queue.push(2);
  queue.close();
  queue.close();
  BOOST_CHECK_THROW(queue.push(4), QueueClosed);
  BOOST_CHECK_THROW(queue.try_push(4), QueueClosed);
  BOOST_TEST(queue.pop() == 1);
  go.push(1);
  BOOST_TEST(other->wait().exit_code == 0);
  BOOST_CHECK_THROW(queue.pop(), QueueClosed);
  BOOST_TEST(!queue.try_pop().has_value());
  std::optional<int> item;
  BOOST_TEST((queue.pop_for(item, 1h) == PopStatus::kClosed));
}

BOOST_AUTO_TEST_CASE(close_wakes_waiters_of_all_processes) {
  ProcessQueue<int> empty, full(10'000);
  fill(full);
  Children waiters;
  for (const bool has_runtime : {false, true}) {
    const auto waits_in_vain = [](auto wait) {
      try {
        wait();
        return 1;
      } catch (const QueueClosed&) {
        return 0;
      }
    };
    const auto pop = [&empty, waits_in_vain] { return waits_in_vain([&] { empty.pop(); }); };
    const auto push = [&full, waits_in_vain] { return waits_in_vain([&] { full.push(-1); }); };
    waiters.push_back(child([=] { return has_runtime ? run(pop) : pop(); }));
    waiters.push_back(child([=] { return has_runtime ? run(push) : push(); }));
  }
  sleep_for(20ms);  // until they wait, most likely
  empty.close();
  full.close();
  for (auto& waiter : waiters) BOOST_TEST(waiter->wait().exit_code == 0);
}

// ---- Death --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(producers_that_are_killed_leave_no_part_of_an_item) {
  const int deaths = bound(200, 30);
  ProcessQueue<std::string> queue(100'000);
  const auto producer = [&] {
    return child([&] {
      for (std::size_t size = 1;; size = size * 7 % 100'003) queue.push(text_of(size));
      return 0;
    });
  };
  Children producers;
  for (int i = 0; i < 3; ++i) producers.push_back(producer());
  for (int i = 0; i < deaths; ++i) {
    for (int items = i % 20; items >= 0; --items) BOOST_TEST(is_whole(queue.pop()));
    auto& one = producers[static_cast<unsigned>(i) % producers.size()];
    kill(one->pid(), SIGKILL);
    one.reset();
    one = producer();
  }
  for (auto& one : producers) {
    kill(one->pid(), SIGKILL);
    one.reset();
  }
  while (const std::optional<std::string> rest = queue.try_pop()) BOOST_TEST(is_whole(*rest));
}

BOOST_AUTO_TEST_CASE(consumers_that_are_killed_take_an_item_each_at_most) {
  const int deaths = bound(200, 30);
  ProcessQueue<int> queue(20'000), taken;
  const auto consumer = [&] {
    return child([&] {
      for (int item : queue) taken.push(item);
      return 0;
    });
  };
  Children consumers;
  for (int i = 0; i < 3; ++i) consumers.push_back(consumer());
  int pushed = 0;
  std::vector<int> seen;
  const auto collect = [&](Duration time) {
    while (const std::optional<int> item = taken.try_pop_for(time)) seen.push_back(*item);
  };
  for (int i = 0; i < deaths; ++i) {
    for (int items = i % 20; items >= 0; --items) queue.push(pushed++);
    collect(0s);
    auto& one = consumers[static_cast<unsigned>(i) % consumers.size()];
    kill(one->pid(), SIGKILL);
    one.reset();
    one = consumer();
  }
  queue.close();
  for (auto& one : consumers) BOOST_TEST(one->wait().exit_code == 0);
  collect(0s);
  std::sort(seen.begin(), seen.end());
  BOOST_TEST((std::adjacent_find(seen.begin(), seen.end()) == seen.end()));
  BOOST_TEST(static_cast<int>(seen.size()) <= pushed);
  BOOST_TEST(static_cast<int>(seen.size()) >= pushed - deaths);
}

BOOST_AUTO_TEST_SUITE_END()
