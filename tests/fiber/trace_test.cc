#include "weft/fiber/trace.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/cores.h"
#include "tests/support/fixture.h"
#include "tests/support/fxt.h"
#include "tests/support/temporary_directory.h"
#include "weft/fiber/core/tracer.h"

BOOST_AUTO_TEST_SUITE(trace)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::uint64_t own_id() { return current_task().id; }

// What a trace has to say of itself now.
Fxt written(Trace& trace) {
  const TemporaryDirectory folder;
  trace.write(folder / "trace.fxt");
  return Fxt(folder / "trace.fxt");
}

// What holds for each trace: on each scheduler the one that stops is the one that went on last,
// times ascend, and wake-ups are of threads that wait, or have not run yet.
void check_order(const Fxt& fxt) {
  std::map<std::uint64_t, std::uint64_t> running, time;
  std::map<std::uint64_t, std::uint64_t> states;
  std::uint64_t last = 0;
  for (const Fxt::Switch& now : fxt.switches) {
    if (running.count(now.processor)) BOOST_TEST(now.from == running[now.processor]);
    BOOST_TEST(now.time >= time[now.processor]);
    BOOST_TEST(now.time >= last);
    running[now.processor] = now.to;
    last = time[now.processor] = now.time;
  }
  for (const Fxt::Wake& wake : fxt.wakes) {
    // The last switch of the woken one before this.
    const Fxt::Switch* before = nullptr;
    for (const Fxt::Switch& now : fxt.switches) {
      if (now.time <= wake.time && (now.from == wake.id || now.to == wake.id)) before = &now;
    }
    if (before && before->time < wake.time) {
      BOOST_TEST(before->from == wake.id);
      BOOST_TEST(before->state == Fxt::kBlocked);
    }
  }
}

// The ids in the order in which they went on, without the loop.
std::vector<std::uint64_t> order_of(const Fxt& fxt, std::uint64_t processor = 0) {
  std::vector<std::uint64_t> ids;
  for (const Fxt::Switch& now : fxt.switches) {
    if (now.processor == processor && !now.to_idle) ids.push_back(now.to);
  }
  return ids;
}

// Fibers that switch in each way there is, and write down which of them goes on.
class Mixture {
 public:
  void run() {
    note();
    Event event;
    Queue<int> queue(1);
    TaskGroup group;
    group.spawn([&] { part([&] { event.wait(); }); }, {.name = "waits"});
    group.spawn([&] { part([&] { sleep_for(1ms); }); }, {.name = "sleeps"});
    group.spawn([&] { part([&] { queue.push(1), queue.push(2), queue.push(3); }); });
    group.spawn([&] { part([&] { queue.pop(), queue.pop(), queue.pop(); }); });
    group.spawn([&] { part([&] { event.set(); }); }, {.eager = true});
    note();
    group.spawn([&] {
      part([&] {
        for (int i = 0; i < 5; ++i) yield(), note();
      });
    });
    Scheduler::current().call_soon([this] { part([] { sleep_for(1ms); }); });
    Scheduler::current().call_soon([this] { note(); });
    auto eager = spawn([this] { part([] { yield(); }); }, {.eager = true});
    note();
    eager.get();
    note();
    group.join();
    sleep_for(1s);  // the calls have ended
    note();
  }

  // Ids, each as often as it was found to go on, one after another once.
  const std::vector<std::uint64_t>& order() const { return order_; }

 private:
  template <class F>
  void part(F f) {
    note();
    f();
    note();
  }
  void note() {
    if (order_.empty() || order_.back() != own_id()) order_.push_back(own_id());
  }

  std::vector<std::uint64_t> order_;
};

// Whether `some` are among `all`, in their order.
bool is_part_of(const std::vector<std::uint64_t>& some, const std::vector<std::uint64_t>& all) {
  std::size_t found = 0;
  for (std::uint64_t id : all) found += found < some.size() && some[found] == id;
  return found == some.size();
}

}  // namespace

// ---- What is recorded ---------------------------------------------------------------------------

WEFT_ANY_ORDER_TEST_CASE(whatever_goes_on_is_recorded_in_its_order) {
  Trace trace;
  Mixture mixture;
  mixture.run();
  const Fxt fxt = written(trace);
  check_order(fxt);
  BOOST_TEST(is_part_of(mixture.order(), order_of(fxt)));
}

WEFT_TEST_CASE(a_switch_says_how_the_one_that_stops_is_left) {
  Trace trace;
  spawn([] { yield(), sleep_for(1ms); }, {.name = "child"}).get();
  const Fxt fxt = written(trace);
  std::vector<std::uint64_t> states;
  for (const Fxt::Switch& now : fxt.switches) {
    if (now.from == fxt.id_of("child")) states.push_back(now.state);
  }
  // Alone on the ready queue it goes on at once: that is no switch.
  BOOST_TEST((states == std::vector<std::uint64_t>{Fxt::kBlocked, Fxt::kDead}));
  check_order(fxt);
}

WEFT_TEST_CASE(a_yield_to_others_leaves_a_fiber_runnable) {
  Trace trace;
  auto other = spawn([] {}, {.name = "other"});
  yield();
  other.get();
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.switches.size() >= 2u);
  BOOST_TEST(fxt.switches[1].from == own_id());
  BOOST_TEST(fxt.switches[1].to == fxt.id_of("other"));
  BOOST_TEST(fxt.switches[1].state == Fxt::kRunnable);
  BOOST_TEST(fxt.switches[2].state == Fxt::kDead);
}

WEFT_TEST_CASE(a_yield_with_none_ready_is_no_switch) {
  Trace trace;
  for (int i = 0; i < 100; ++i) yield();
  BOOST_TEST(written(trace).switches.size() == 1u);  // that this one runs
}

WEFT_TEST_CASE(the_one_that_runs_as_it_begins_is_known) {
  Trace trace;
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.switches.size() == 1u);
  BOOST_TEST(fxt.switches[0].from_idle);
  BOOST_TEST(fxt.switches[0].to == own_id());
  BOOST_TEST(fxt.threads.size() == 1u);
}

WEFT_TEST_CASE(a_wake_up_says_by_whom) {
  Trace trace;
  Event event;
  auto waiter = spawn([&] { event.wait(); }, {.name = "waiter"});
  run_until_blocked();
  spawn([&] { event.set(); }, {.name = "waker"}).get();
  waiter.get();
  const Fxt fxt = written(trace);
  std::vector<std::uint64_t> wakers;
  for (const Fxt::Wake& wake : fxt.wakes) {
    if (wake.id == fxt.id_of("waiter")) wakers.push_back(wake.waker);
  }
  // The start, and the event.
  BOOST_TEST((wakers == std::vector<std::uint64_t>{own_id(), fxt.id_of("waker")}));
  check_order(fxt);
}

WEFT_TEST_CASE(the_waker_of_a_sleeper_is_not_named) {
  Trace trace;
  sleep_for(1ms);
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.wakes.size() == 1u);
  BOOST_TEST(fxt.wakes[0].id == own_id());
  BOOST_TEST(fxt.wakes[0].waker == 0u);
}

WEFT_TEST_CASE(each_call_is_a_thread_of_its_own) {
  Trace trace;
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    Scheduler::current().call_soon([&] { ids.push_back(own_id()); });
  }
  run_until_blocked();
  const Fxt fxt = written(trace);
  BOOST_TEST(ids.size() == 3u);
  BOOST_TEST(is_part_of(ids, order_of(fxt)));
  check_order(fxt);
}

WEFT_TEST_CASE(calls_that_let_others_run_are_recorded) {
  Trace trace;
  std::vector<std::uint64_t> ids;
  const auto note = [&] {
    if (ids.empty() || ids.back() != own_id()) ids.push_back(own_id());
  };
  for (int i = 0; i < 200; ++i) Scheduler::current().call_soon(note);
  auto other = spawn([&] {
    for (int i = 0; i < 5; ++i) note(), yield();
  });
  run_until_blocked();
  const Fxt fxt = written(trace);
  BOOST_TEST(ids.size() > 202u);  // the other one ran in between
  BOOST_TEST(is_part_of(ids, order_of(fxt)));
  check_order(fxt);
}

WEFT_TEST_CASE(names_of_any_length_come_out_whole) {
  Trace trace;
  const std::string longest(31, 'x');
  for (const std::string& name : {std::string("a"), std::string("eight888"), longest}) {
    spawn([] {}, {.name = name}).get();
  }
  auto live = spawn([] { sleep_for(1h); }, {.name = "it still lives"});
  auto nameless = spawn([] {});
  run_until_blocked();
  const Fxt fxt = written(trace);
  for (const std::string& name : {std::string("a"), std::string("eight888"), longest}) {
    BOOST_TEST(fxt.id_of(name) != 0u);
  }
  BOOST_TEST(fxt.id_of("it still lives") != 0u);
  BOOST_TEST(fxt.id_of("fiber") != 0u);
  live.cancel();
}

WEFT_TEST_CASE(a_turn_that_is_over_leads_to_the_loop) {
  Trace trace;
  auto other = spawn([] {
    for (int i = 0; i < 5000; ++i) yield();
  });
  for (int i = 0; i < 5000; ++i) yield();
  other.get();
  const Fxt fxt = written(trace);
  const auto idle = std::count_if(fxt.switches.begin(), fxt.switches.end(),
                                  [](const Fxt::Switch& now) { return now.to_idle; });
  BOOST_TEST(idle >= 2);
  check_order(fxt);
}

WEFT_TEST_CASE(a_wait_that_is_over_and_ends_the_turn_leads_to_the_loop) {
  Promise<int> promise;
  promise.set_value(1);
  const Future<int> future = promise.future();
  Trace trace;
  for (int i = 0; i < 5000; ++i) (void)future.get();
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.switches.size() == 3u);
  BOOST_TEST(fxt.switches[1].to_idle);
  BOOST_TEST(fxt.switches[1].state == Fxt::kRunnable);
  BOOST_TEST(fxt.switches[2].to == own_id());
}

WEFT_REAL_TIME_TEST_CASE(times_are_those_of_the_clock) {
  const TimePoint begin = Clock::now();
  Trace trace;
  for (int i = 0; i < 3; ++i) sleep_for(5ms);
  const Fxt fxt = written(trace);
  const Duration passed = Clock::now() - begin;
  const auto ticks = static_cast<double>(fxt.switches.back().time);
  const double seconds = ticks / static_cast<double>(fxt.ticks_per_second);
  BOOST_TEST(seconds >= 0.0149);
  BOOST_TEST(seconds <= 1.01 * static_cast<double>(passed.count()) / 1e9);
}

// ---- Spans --------------------------------------------------------------------------------------

WEFT_TEST_CASE(spans_nest_and_contain_waits) {
  Trace trace;
  {
    const TraceSpan outer("outer");
    const TraceSpan inner("inner");
    sleep_for(1ms);
  }
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.spans.size() == 4u);
  const char* names[] = {"outer", "inner", "inner", "outer"};
  for (int i = 0; i < 4; ++i) {
    BOOST_TEST(fxt.spans[i].name == names[i]);
    BOOST_TEST(fxt.spans[i].begin == (i < 2));
    BOOST_TEST(fxt.spans[i].id == own_id());
  }
  BOOST_TEST(fxt.spans[2].time > fxt.spans[1].time);
}

WEFT_TEST_CASE(a_span_that_had_begun_before_the_trace_is_left_out) {
  std::optional<TraceSpan> early(std::in_place, "early");
  Trace trace;
  early.reset();
  { const TraceSpan late("late"); }
  const Fxt fxt = written(trace);
  BOOST_TEST_REQUIRE(fxt.spans.size() == 2u);
  BOOST_TEST(fxt.spans[0].name == "late");
}

WEFT_TEST_CASE(a_span_outlives_the_trace) {
  std::optional<Trace> trace(std::in_place);
  const TraceSpan span("long");
  trace.reset();
}

BOOST_AUTO_TEST_CASE(on_a_plain_thread_a_span_does_nothing) { const TraceSpan span("nowhere"); }

// ---- The ring -----------------------------------------------------------------------------------

WEFT_TEST_CASE(a_full_ring_keeps_the_newest) {
  Trace trace(100);  // there are 128 places
  for (int i = 0; i < 1000; ++i) sleep_for(1ms);
  { const TraceSpan span("the last"); }
  const Fxt fxt = written(trace);
  BOOST_TEST(fxt.switches.size() + fxt.wakes.size() + fxt.spans.size() == 128u);
  BOOST_TEST(fxt.spans.back().name == "the last");
  check_order(fxt);
}

WEFT_TEST_CASE(a_span_whose_beginning_is_lost_is_left_out) {
  Trace trace(4);
  {
    const TraceSpan span("lost");
    for (int i = 0; i < 10; ++i) sleep_for(1ms);
  }
  BOOST_TEST(written(trace).spans.empty());
}

WEFT_TEST_CASE(a_name_whose_beginning_is_lost_is_left_out) {
  Trace trace(4);
  const std::string longest(31, 'x');
  spawn([] {}, {.name = longest}).get();
  const Fxt fxt = written(trace);  // three of its parts, or fewer, are left
  for (const auto& [id, name] : fxt.threads) BOOST_TEST(name.find('x') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(times_ascend_also_if_the_processors_go_back) {
  internal::Tracer tracer(4, internal::Tracer::stamp() + 1'000'000'000'000);
  tracer.wake(1, 2);
  BOOST_TEST(tracer.events().at(0).ticks() == 0);
}

// ---- Its life -----------------------------------------------------------------------------------

WEFT_TEST_CASE(after_its_end_nothing_is_recorded) {
  std::optional<Trace> trace(std::in_place);
  trace.reset();
  BOOST_TEST(internal::running.tracer == nullptr);
  BOOST_TEST(internal::running.untraced == internal::running.scheduler);
  sleep_for(1ms);
  Trace second;
  BOOST_TEST(written(second).switches.size() == 1u);
}

WEFT_TEST_CASE(a_second_trace_at_the_same_time_throws) {
  Trace trace;
  BOOST_CHECK_THROW(Trace(), std::logic_error);
  spawn([] {}).get();
  BOOST_TEST(written(trace).switches.size() > 1u);  // the first one goes on
}

BOOST_AUTO_TEST_CASE(outside_of_fibers_it_throws) { BOOST_CHECK_THROW(Trace(), std::logic_error); }

WEFT_TEST_CASE(it_may_be_written_again_and_again) {
  Trace trace;
  const std::size_t first = written(trace).switches.size();
  sleep_for(1ms);
  BOOST_TEST(written(trace).switches.size() == first + 2);
}

WEFT_TEST_CASE(a_file_that_cannot_be_written_throws) {
  Trace trace;
  const auto is = [](std::errc code) {
    return [code](const std::system_error& error) { return error.code() == code; };
  };
  BOOST_CHECK_EXCEPTION(trace.write("/nowhere/trace.fxt"), std::system_error,
                        is(std::errc::no_such_file_or_directory));
  BOOST_CHECK_EXCEPTION(trace.write("/dev/full"), std::system_error,
                        is(std::errc::no_space_on_device));
}

WEFT_TEST_CASE(a_cancelled_fiber_may_begin_write_and_end) {
  auto task = spawn(when_cancelled([] {
    Trace trace;
    BOOST_TEST(written(trace).switches.size() == 1u);
  }));
  run_until_blocked();
  task.cancel();
  task.wait();
}

BOOST_AUTO_TEST_CASE(it_goes_on_in_the_next_run) {
  Runtime runtime({.virtual_time = true});
  std::optional<Trace> trace;
  runtime.run([&] { trace.emplace(); });
  runtime.run([&] {
    spawn([] {}, {.name = "later"}).get();
    const Fxt fxt = written(*trace);
    trace.reset();
    BOOST_TEST(fxt.id_of("later") != 0u);
    check_order(fxt);
  });
}

BOOST_AUTO_TEST_CASE(destroyed_outside_of_its_runtime_it_ends_the_program) {
  const auto careless = [] {
    std::optional<Trace> trace;
    run([&] { trace.emplace(); });
    trace.reset();
    return 0;
  };
  const ChildEnd end = run_in_child(careless);
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said.find("a Trace is destroyed") != std::string::npos);
}

// ---- What it changes ----------------------------------------------------------------------------

namespace {

// A program whose output depends on each turn, each order and each time. Turns are counted. It is
// traced, if at all, again and again, from the middle of a turn to the middle of another.
std::string output(bool traced, std::optional<std::uint64_t> seed) {
  std::string text;
  run(
      [&] {
        std::optional<Trace> trace;
        const auto trace_or_not = [&] {
          if (traced && text.size() % 100 == 50) trace.emplace(1024);
          if (text.size() % 100 == 0) trace.reset();
        };
        Semaphore permits(3);
        Promise<int> ready;
        const Future<int> future = [&] {
          ready.set_value(1);
          return ready.future();
        }();
        TaskGroup group;
        for (int i = 0; i < 20; ++i) {
          group.spawn(
              [&, i] {
                for (int j = 0; j < 700; ++j) {
                  if (j % 7 == i % 7) yield();
                  if (j % 50 == i) sleep_for(Duration(i));
                  if (j % 11 == i % 11) permits.acquire(), yield(), permits.release();
                  for (int k = 0; k < i && j % 40 == i; ++k) (void)future.get();
                  if (j % 100 == i) spawn([&] { text += 'e'; }, {.eager = true}).get();
                  if (j % 100 == i) Scheduler::current().call_soon([&] { text += 'c'; });
                  if (j % 10 != 0) continue;
                  text += static_cast<char>('A' + i);
                  trace_or_not();
                }
              },
              {.eager = i % 3 == 0});
        }
        group.join();
        trace.reset();
        text += std::to_string(now().time_since_epoch().count() % 1'000'000);
      },
      {.virtual_time = true, .shuffle_seed = seed});
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(everything_runs_in_the_same_order_with_it) {
  BOOST_TEST(output(false, {}).size() > 1000u);
  BOOST_TEST((output(true, {}) == output(false, {})));
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    BOOST_TEST((output(true, seed) == output(false, seed)), "seed " << seed);
  }
}

// ---- Several schedulers -------------------------------------------------------------------------

WEFT_CORES_TEST_CASE(all_schedulers_are_recorded) {
  Trace trace;
  std::vector<Task<std::uint64_t>> tasks;
  for (std::size_t i = 0; i < 3; ++i) {
    tasks.push_back(spawn(
        [] {
          const TraceSpan span("over there");
          sleep_for(1ms);
          return own_id();
        },
        on(i)));
  }
  std::vector<std::uint64_t> ids;
  for (auto& task : tasks) ids.push_back(task.get());
  const Fxt fxt = written(trace);
  check_order(fxt);
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST(is_part_of({ids[i], ids[i]}, order_of(fxt, i)));
  }
  BOOST_TEST(fxt.spans.size() == 6u);
}

WEFT_CORES_TEST_CASE(a_waker_on_another_scheduler_is_named) {
  Trace trace;
  Event event;
  auto waiter = spawn([&] { event.wait(); }, {.name = "waiter", .on = on(1).on});
  run_until_blocked();
  spawn([&] { event.set(); }, {.name = "waker", .on = on(2).on}).get();
  waiter.get();
  const Fxt fxt = written(trace);
  std::vector<std::uint64_t> wakers;
  for (const Fxt::Wake& wake : fxt.wakes) {
    if (wake.id == fxt.id_of("waiter")) {
      BOOST_TEST(wake.processor == 1u);
      wakers.push_back(wake.waker);
    }
  }
  BOOST_TEST((wakers == std::vector<std::uint64_t>{own_id(), fxt.id_of("waker")}));
  check_order(fxt);
}

WEFT_CORES_TEST_CASE(traces_follow_each_other_on_any_scheduler) {
  for (std::size_t i = 0; i < 30; ++i) {
    const Fxt fxt = spawn(
                        [] {
                          Trace trace(64);
                          spawn([] {}, on(0)).get();
                          return written(trace);
                        },
                        on(i % 3))
                        .get();
    BOOST_TEST(!fxt.switches.empty());
    check_order(fxt);
  }
}

WEFT_CORES_TEST_CASE(a_second_trace_throws_on_another_scheduler_too) {
  Trace trace;
  const bool thrown = spawn(
                          [] {
                            try {
                              const Trace second;
                              return false;
                            } catch (const std::logic_error&) {
                              return true;
                            }
                          },
                          on(1))
                          .get();
  BOOST_TEST(thrown);
}

// ---- Probes -------------------------------------------------------------------------------------

#if defined(__x86_64__) || defined(__aarch64__)
BOOST_AUTO_TEST_CASE(the_probes_are_listed_by_readelf) {
  if (std::system("readelf --version >/dev/null 2>&1") != 0) return;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  std::FILE* const out = popen(("readelf -n '" + self + "' 2>/dev/null").c_str(), "r");
  BOOST_TEST_REQUIRE(out != nullptr);
  std::string text;
  for (int c = std::fgetc(out); c != EOF; c = std::fgetc(out)) text += static_cast<char>(c);
  pclose(out);
  BOOST_TEST(text.find("Provider: weft") != std::string::npos);
  for (const char* name : {"switch", "wait", "wake"}) {
    BOOST_TEST(text.find("Name: " + std::string(name) + "\n") != std::string::npos, name);
  }
}
#endif

BOOST_AUTO_TEST_SUITE_END()
