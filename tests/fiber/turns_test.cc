// How long the loop of a scheduler may be kept from looking at timers, I/O and other threads.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/thread_port.h"

BOOST_AUTO_TEST_SUITE(turns)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// A Port whose time passes only where a test says so, and the time stamp that goes with it.
class OwnClock final : public Port {
 public:
  static constexpr std::uint64_t kTicks = 3;  // a nanosecond

  TimePoint now() const noexcept override { return now_; }
  bool wait(TimePoint deadline) override {
    longest_ = std::max(longest_, now_ - looked_);
    ++looks_;
    if (deadline > now_ && !inner_.wait(kPast)) now_ = deadline;
    looked_ = now_;
    return false;
  }
  void wake() noexcept override { inner_.wake(); }

  void pass(Duration time) {
    now_ += time;
    stamp_ += kTicks * static_cast<std::uint64_t>(time.count());
  }

  // Runs f as a fiber, and returns the longest time that the loop has not looked outside since f
  // called begin().
  Duration longest_in(const std::function<void()>& f) {
    run_on(*this, f, {.trim = false, .time_stamp = &stamp_});
    return std::max(longest_, now_ - looked_);
  }
  void begin() {
    longest_ = now_ - looked_;
    looks_ = 0;
  }

  Duration longest() const { return longest_; }
  int looks() const { return looks_; }
  std::uint64_t& stamp() { return stamp_; }

 private:
  ThreadPort inner_;
  TimePoint now_{1h};
  TimePoint looked_ = now_;
  Duration longest_{};
  int looks_ = 0;
  std::uint64_t stamp_ = 1'000'000;
};

constexpr Duration kTurn = 100us;
// Slices, at most, beyond it: where those before were quick, and where they only switched.
constexpr int kQuickStride = 8;
constexpr int kStride = 32;

// A phase in which a turn has as many resumptions as it can.
void be_quick(OwnClock& clock, int times = 15'000, Duration slice = 10ns) {
  auto other = spawn([&] {
    for (int i = 0; i < times; ++i) clock.pass(slice), yield();
  });
  for (int i = 0; i < times; ++i) clock.pass(slice), yield();
  other.get();
}

// Computes, for real.
void burn(Duration time) {
  const TimePoint end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

void be_quick() {
  auto other = spawn([] {
    for (int i = 0; i < 50'000; ++i) yield();
  });
  for (int i = 0; i < 50'000; ++i) yield();
  other.get();
}

}  // namespace

// ---- How long the loop waits --------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_turn_of_quick_fibers_lasts_a_tenth_of_a_millisecond) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    be_quick(clock);
    clock.begin();
    be_quick(clock, 50'000);
    BOOST_TEST(clock.looks() >= 9);
    BOOST_TEST(clock.looks() <= 12, clock.looks() << " looks in a millisecond");
  });
  BOOST_TEST(longest.count() <= Duration(kTurn + kStride * 10ns).count());
}

// Each kind of step that lets others run, or need not wait: fibers that take it again and again.
BOOST_AUTO_TEST_CASE(fibers_that_become_slow_delay_the_loop_by_no_more_than_a_few_slices) {
  const Duration slices[] = {100us, 2ms, 5ms};
  using Step = std::function<void()>;
  Promise<int> promise;
  promise.set_value(7);
  const Future<int> future = promise.future();
  Queue<int> queue;
  Queue<int> bounded(2);
  PriorityQueue<int> priorities(2);
  LifoQueue<int> lifo(2);
  Semaphore permits(1'000'000);
  Event event;
  event.set();
  Barrier alone(1);
  ConditionVariable changed;
  Mutex mutex;
  const std::vector futures{future};
  const auto true_at_once = [] { return true; };
  const std::map<std::string, Step> steps{
      {"yield", [] { yield(); }},
      {"Future::get", [&] { future.get(); }},
      {"Future::wait_for", [&] { future.wait_for(1s); }},
      {"Queue::pop", [&] { queue.try_push(1), queue.pop(); }},
      {"Queue::try_pop_for", [&] { queue.try_push(1), queue.try_pop_for(1s); }},
      {"for over a Queue",
       [] {
         Queue<int> items;
         items.try_push(1), items.close();
         for (int item : items) BOOST_TEST(item == 1);
       }},
      {"Queue::push", [&] { bounded.push(1), bounded.try_pop(); }},
      {"PriorityQueue", [&] { priorities.push(1), priorities.pop(); }},
      {"LifoQueue", [&] { lifo.push(1), lifo.pop(); }},
      {"Queue::join", [&] { Queue<int>().join(); }},
      {"Queue::try_push_for", [&] { bounded.try_push_for(1, 1s), bounded.try_pop(); }},
      {"Semaphore::acquire", [&] { permits.acquire(); }},
      {"Semaphore::try_acquire_for", [&] { permits.try_acquire_for(1s); }},
      {"Semaphore::try_acquire_until", [&] { permits.try_acquire_until(kForever); }},
      {"Event::wait", [&] { event.wait(); }},
      {"Event::wait_for", [&] { event.wait_for(1s); }},
      {"Event::wait_until", [&] { event.wait_until(kForever); }},
      {"Barrier", [&] { alone.arrive_and_wait(); }},
      {"ConditionVariable::wait",
       [&] {
         std::unique_lock lock(mutex);
         changed.wait(lock, true_at_once);
       }},
      {"ConditionVariable::wait_for",
       [&] {
         std::unique_lock lock(mutex);
         changed.wait_for(lock, 1s, true_at_once);
       }},
      {"Task::get", [] { spawn([] {}, {.eager = true}).get(); }},
      {"eager", [] { spawn([] {}, {.eager = true}).detach(); }},
      {"with_task_group", [] { with_task_group([](TaskGroup&) {}); }},
      {"resolve", [] { resolve("127.0.0.1", "80"); }},
      {"wait", [&] { weft::wait(futures); }},
      {"as_completed",
       [&] {
         for (const auto i : as_completed(futures)) BOOST_TEST(i == 0u);
       }},
  };
  for (const auto& [name, step] : steps) {
    for (const Duration slice : slices) {
      OwnClock clock;
      const Duration longest = clock.longest_in([&, &name = name, &step = step] {
        be_quick(clock);
        clock.begin();
        for (int i = 0; i < 500; ++i) clock.pass(slice), step();
        const Duration first = clock.longest();
        BOOST_TEST(first.count() <= Duration(kTurn + kStride * slice).count(),
                   name << ", slices of " << slice.count() << " ns: " << first.count() << " ns");
        // From then on each slice is looked at.
        clock.begin();
        for (int i = 0; i < 500; ++i) clock.pass(slice), step();
      });
      BOOST_TEST(longest.count() <= Duration(kTurn + 2 * slice).count(),
                 name << ", slices of " << slice.count() << " ns: " << longest.count() << " ns");
    }
  }
}

BOOST_AUTO_TEST_CASE(fibers_that_did_more_than_switch_delay_the_loop_by_eight_slices) {
  for (const Duration before : {Duration(100ns), Duration(1us), Duration(5us)}) {
    for (const Duration slice : {Duration(100us), Duration(2ms), Duration(5ms)}) {
      OwnClock clock;
      const Duration longest = clock.longest_in([&] {
        be_quick(clock, 15'000, before);
        clock.begin();
        for (int i = 0; i < 500; ++i) clock.pass(slice), yield();
      });
      BOOST_TEST(longest.count() <= Duration(kTurn + kQuickStride * slice).count(),
                 slice.count() << " ns after " << before.count() << " ns: " << longest.count());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_slow_fiber_among_quick_ones_delays_the_loop_by_a_slice_or_two) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    be_quick(clock);
    clock.begin();
    TaskGroup group;
    for (int i = 0; i < 100; ++i) {
      group.spawn([&clock, i] {
        for (int n = 0; n < 50; ++n) clock.pass(i == 0 ? 2ms : Duration(10ns)), yield();
      });
    }
    group.join();
  });
  BOOST_TEST(longest.count() <= Duration(kTurn + 2 * 2ms + 100 * 10ns).count());
}

BOOST_AUTO_TEST_CASE(a_descent_of_eager_starts_delays_the_loop_by_a_few_slices) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    be_quick(clock);
    clock.begin();
    std::function<void(int)> descend = [&](int depth) {
      clock.pass(2ms);
      if (depth == 0) return;
      bool started = false;
      auto child = spawn(
          [&] {
            started = true;
            descend(depth - 1);
          },
          {.eager = true});
      BOOST_TEST(started, "the parent goes on only when the child waits or ends");
      child.get();
    };
    descend(200);
  });
  BOOST_TEST(longest.count() <= Duration(kTurn + kStride * 2ms).count());
}

BOOST_AUTO_TEST_CASE(eager_fan_out_stays_depth_first_however_long_it_takes) {
  OwnClock clock;
  constexpr int kDepth = 4;
  int alive = 0, most = 0;
  clock.longest_in([&] {
    std::function<void(int)> node = [&](int depth) {
      most = std::max(most, ++alive);
      for (int i = 0; i < 6 && depth > 0; ++i) {
        clock.pass(40us);
        spawn([&, depth] { node(depth - 1); }, {.eager = true}).get();
      }
      --alive;
    };
    node(kDepth);
  });
  BOOST_TEST(most == kDepth + 1);
}

BOOST_AUTO_TEST_CASE(one_that_never_has_to_wait_lets_others_run) {
  OwnClock clock;
  clock.longest_in([&] {
    Event event;
    event.set();
    int others = 0;
    const auto other = spawn([&] {
      for (;;) ++others, yield();
    });
    for (int i = 0; i < 60; ++i) clock.pass(kTurn), event.wait();
    BOOST_TEST(others >= 10);
    BOOST_TEST(others <= 60 / 4);  // three times of four it goes on first
  });
}

BOOST_AUTO_TEST_CASE(a_push_to_a_queue_of_any_number_lets_nobody_run) {
  OwnClock clock;
  clock.longest_in([&] {
    Queue<int> queue;
    bool ran = false;
    auto other = spawn([&] { ran = true; });
    for (int i = 0; i < 60; ++i) clock.pass(kTurn), queue.push(i);
    BOOST_TEST(!ran);
  });
}

BOOST_AUTO_TEST_CASE(an_eager_start_keeps_its_place_where_the_loop_looks_in_between) {
  OwnClock clock;
  clock.longest_in([&] {
    std::string order;
    auto third = spawn([&] { order += 'd'; });
    for (int i = 0; i < 10; ++i) {
      clock.pass(1ms);  // each start is at the end of a turn
      order.clear();
      auto other = spawn([&] { order += 'c'; });
      auto child = spawn(
          [&] {
            order += 'a';
            yield();
          },
          {.eager = true});
      order += 'b';
      other.get();
      BOOST_TEST(order.substr(0, 2) == "ab");
      child.get();
    }
  });
}

WEFT_SHUFFLED_TEST_CASE(an_eager_start_is_one_in_whatever_order) {
  for (int i = 0; i < 20; ++i) {
    auto other = spawn([] { yield(); });
    bool started = false;
    auto child = spawn([&] { started = true, yield(); }, {.eager = true});
    BOOST_TEST(started);
    child.get();
  }
}

BOOST_AUTO_TEST_CASE(a_stop_ends_the_turn_at_the_next_switch) {
  OwnClock clock;
  Loop scheduler(clock, {.trim = false, .time_stamp = &clock.stamp()});
  int other_ran = 0;
  bool stopped = false;
  scheduler.post([&] {
    be_quick(clock);
    auto other = spawn([&] {
      for (;;) yield(), other_ran += stopped;
    });
    for (int i = 0; i < 100; ++i) yield();
    stopped = true;
    scheduler.stop();
    yield();
  });
  scheduler.run();
  BOOST_TEST(stopped);
  BOOST_TEST(other_ran == 0);
  scheduler.shutdown();
}

// ---- Strange time stamps ------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_time_stamp_that_goes_back_ends_the_turn) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    be_quick(clock);
    clock.begin();
    for (int i = 0; i < 100; ++i) {
      for (int n = 0; n < 1000; ++n) clock.pass(100ns), yield();
      clock.stamp() -= 50'000 * OwnClock::kTicks;
    }
    BOOST_TEST(clock.looks() >= 50);
  });
  BOOST_TEST(longest.count() <= Duration(2 * kTurn).count());
}

BOOST_AUTO_TEST_CASE(a_time_stamp_that_leaps_makes_no_turn_longer_than_twice_the_one_before) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    be_quick(clock);
    clock.begin();
    for (int i = 0; i < 100; ++i) {
      clock.stamp() += std::uint64_t{1} << 50;
      for (int n = 0; n < 20'000; ++n) clock.pass(100ns), yield();
    }
  });
  // The turn that the leap cuts short may go without a look at the port.
  BOOST_TEST(longest.count() <= Duration(kTurn / 2 + 2 * kTurn + 2 * kStride * 100ns).count());
}

BOOST_AUTO_TEST_CASE(a_time_stamp_that_stands_still_makes_turns_of_one_slice) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    clock.begin();
    for (int n = 0; n < 1000; ++n) {
      clock.pass(2ms);
      clock.stamp() = 5;
      yield();
    }
  });
  BOOST_TEST(longest.count() <= Duration(2 * 2ms).count());
}

BOOST_AUTO_TEST_CASE(a_slow_time_stamp_will_do) {
  OwnClock clock;
  const Duration longest = clock.longest_in([&] {
    std::uint64_t ticks = 0;
    const auto quick = [&](int times) {
      for (int n = 0; n < times; ++n) {
        clock.pass(100ns);
        clock.stamp() = ++ticks / 10;  // a microsecond each
        yield();
      }
    };
    quick(10'000);
    clock.begin();
    quick(100'000);
    BOOST_TEST(clock.looks() >= 90);
    BOOST_TEST(clock.looks() <= 130, clock.looks() << " looks in 10 ms");
  });
  BOOST_TEST(longest.count() <= Duration(kTurn + kTurn / 10).count());
}

// ---- What waits for the loop --------------------------------------------------------------------

namespace {

// Two fibers that compute for 2 ms between two yields, until `over` or for most of a second.
// Returns whether they were ended by `over`.
bool compute_until(const std::function<bool()>& over) {
  bool seen = false;
  const auto compute = [&] {
    for (int i = 0; i < 200 && !seen; ++i) burn(2ms), yield(), seen = over();
  };
  auto other = spawn(compute);
  compute();
  other.get();
  return seen;
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(fibers_that_compute_keep_no_sleeper) {
  be_quick();
  auto sleeper = spawn([] { sleep_for(10ms); });
  BOOST_TEST(compute_until([&] { return sleeper.done(); }));
}

WEFT_REAL_TIME_TEST_CASE(fibers_that_compute_keep_no_timeout) {
  be_quick();
  auto limited = spawn([] {
    try {
      with_timeout(10ms, [] { sleep_for(1h); });
    } catch (const TimeoutError&) {
    }
  });
  BOOST_TEST(compute_until([&] { return limited.done(); }));
}

WEFT_REAL_TIME_TEST_CASE(fibers_that_compute_keep_no_wake_up_by_a_thread) {
  Event event;
  auto waiter = spawn([&] { event.wait(); });
  be_quick();
  std::thread thread([&] { event.set(); });
  BOOST_TEST(compute_until([&] { return waiter.done(); }));
  thread.join();
}

WEFT_REAL_TIME_TEST_CASE(fibers_that_compute_keep_no_post) {
  be_quick();
  std::atomic<bool> ran{false};
  std::thread thread([&, &here = Scheduler::current()] { here.post([&] { ran = true; }); });
  BOOST_TEST(compute_until([&] { return ran.load(); }));
  thread.join();
}

WEFT_REAL_TIME_TEST_CASE(fibers_that_compute_keep_no_cancellation_by_a_thread) {
  auto task = spawn([] { sleep_for(1h); });
  be_quick();
  std::thread thread([&] { task.cancel(); });
  BOOST_TEST(compute_until([&] { return task.done(); }));
  thread.join();
}

BOOST_AUTO_TEST_CASE(fibers_that_compute_keep_no_signal) {
  const ChildEnd end = run_in_child([] {
    int slices = 0;
    try {
      run([&] {
        be_quick();
        std::raise(SIGINT);
        for (; slices < 200; ++slices) burn(2ms), yield();
      });
    } catch (const TaskCancelled&) {
    }
    return slices < 200 ? 7 : 8;
  });
  BOOST_TEST(end.exit_code == 7);
}

namespace {

// step(i), for i from 0 on, takes 2 ms and need not wait.
void check_that_it_keeps_no_sleeper(const std::function<void(int)>& step) {
  be_quick();
  int calls = 0;
  const auto calls_beside_a_sleeper = [&] {
    auto sleeper = spawn([] { sleep_for(10ms); }, {.eager = true});
    const int before = calls;
    while (!sleeper.done() && calls < before + 200) burn(2ms), step(calls++);
    return calls - before;
  };
  BOOST_TEST(calls_beside_a_sleeper() < 200);
  BOOST_TEST(calls_beside_a_sleeper() < 20);  // from now on the loop looks at each
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(a_socket_that_is_always_ready_keeps_no_sleeper) {
  auto [near, far] = UnixStream::pair();
  char byte[1];
  check_that_it_keeps_no_sleeper([&, &near = near, &far = far](int i) {
    i % 2 == 0 ? near.write_all("x") : far.read_exactly(byte);
  });
}

WEFT_REAL_TIME_TEST_CASE(datagrams_that_are_always_there_keep_no_sleeper) {
  UdpSocket socket("127.0.0.1:0");
  const Address self = socket.local_address();
  char byte[1];
  check_that_it_keeps_no_sleeper([&](int i) {
    i % 2 == 0 ? (void)socket.send_to("x", self) : (void)socket.receive_from(byte);
  });
}

WEFT_REAL_TIME_TEST_CASE(connections_that_are_always_there_keep_no_sleeper) {
  const std::string path = "@weft-turns-test-" + std::to_string(getpid());
  UnixListener listener(path);
  UnixStream near, far;
  check_that_it_keeps_no_sleeper(
      [&](int i) { i % 2 == 0 ? near = UnixStream::connect(path) : far = listener.accept(); });
}

WEFT_REAL_TIME_TEST_CASE(a_file_that_is_always_ready_keeps_no_sleeper) {
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  check_that_it_keeps_no_sleeper([&](int) { wait_readable(file.get()); });
}

WEFT_REAL_TIME_TEST_CASE(a_close_during_the_look_ends_the_call) {
  auto [near, far] = UnixStream::pair();
  be_quick();
  auto closer = spawn([&near = near] { near.close(); });
  std::error_code error;
  for (int i = 0; i < 32 && !error; ++i) burn(2ms), near.write_all("x", error);
  BOOST_TEST((error == std::errc::operation_canceled || error == std::errc::bad_file_descriptor),
             error.message());
}

// ---- What does not ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(waits_that_are_over_work_on_a_plain_thread) {
  Semaphore permits(200);
  Event event;
  event.set();
  Queue<int> queue(1);
  for (int i = 0; i < 100; ++i) {
    permits.acquire(), event.wait(), queue.push(i);
    BOOST_TEST(queue.pop() == i);
  }
}

WEFT_SHUFFLED_TEST_CASE(a_wait_that_is_over_is_no_cancellation_point) {
  Queue<int> queue(1);
  Semaphore permits(20'000);
  auto task = spawn([&] {
    try {
      sleep_for(1h);
    } catch (const Cancelled&) {
    }
    for (int i = 0; i < 10'000; ++i) permits.acquire(), queue.push(i), queue.pop();
    return 7;
  });
  run_until_blocked();
  task.cancel();
  BOOST_TEST(task.get() == 7);
}

namespace {

// The order of what three fibers and their posts do, each of which takes `slice` of real time.
std::string order_with(RunOptions options, Duration slice) {
  std::string order;
  Queue<int> queue(2);
  run(
      [&] {
        TaskGroup group;
        for (char name = 'a'; name <= 'c'; ++name) {
          group.spawn([&, name] {
            for (int i = 0; i < 40; ++i) {
              order += name;
              if (i % 8 == 0) {
                Scheduler::current().post([&, name] { order += static_cast<char>(name - 32); });
              }
              burn(slice);
              queue.push(i);
              yield();
              queue.pop();
            }
          });
        }
        group.join();
      },
      options);
  return order;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_order_does_not_depend_on_how_fast_the_machine_is) {
  BOOST_TEST(order_with({.virtual_time = true}, 0us) == order_with({.virtual_time = true}, 150us));
  for (const bool virtual_time : {true, false}) {
    std::set<std::string> orders;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const RunOptions options{.virtual_time = virtual_time, .shuffle_seed = seed};
      const std::string order = order_with(options, 0us);
      BOOST_TEST(order == order_with(options, 150us));
      orders.insert(order);
    }
    BOOST_TEST(orders.size() == 5u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
