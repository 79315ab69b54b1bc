#include "weft/fiber/fiber_local.h"

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/core/loop.h"

BOOST_AUTO_TEST_SUITE(fiber_local)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

FiberLocal<std::string> user("nobody");
FiberLocal<int> depth;

}  // namespace

WEFT_TEST_CASE(a_variable_starts_with_its_initial_value) {
  BOOST_TEST(user.get() == "nobody");
  BOOST_TEST(depth.get() == 0);
}

WEFT_SHUFFLED_TEST_CASE(each_fiber_has_its_own_value) {
  TaskGroup group;
  for (int i = 0; i < 10; ++i) {
    group.spawn([i] {
      user.set(std::to_string(i));
      depth.set(i);
      yield();
      sleep_for(1s);
      BOOST_TEST(user.get() == std::to_string(i));
      BOOST_TEST(depth.get() == i);
    });
  }
  group.join();
  BOOST_TEST(user.get() == "nobody");
}

WEFT_SHUFFLED_TEST_CASE(a_child_starts_with_a_copy_made_at_the_spawn) {
  user.set("parent");
  auto child = spawn([] {
    BOOST_TEST(user.get() == "parent");
    yield();
    BOOST_TEST(user.get() == "parent");
    user.set("child");
    auto grandchild = spawn([] { return user.get(); });
    user.set("child, later");
    return grandchild.get();
  });
  user.set("parent, later");
  BOOST_TEST(child.get() == "child");
  BOOST_TEST(user.get() == "parent, later");
}

WEFT_TEST_CASE(setting_one_variable_leaves_the_others) {
  user.set("a");
  depth.set(1);
  auto child = spawn([] {
    depth.set(2);
    BOOST_TEST(user.get() == "a");
    user.set("b");
    BOOST_TEST(depth.get() == 2);
  });
  child.get();
  BOOST_TEST(depth.get() == 1);
  BOOST_TEST(user.get() == "a");
}

WEFT_TEST_CASE(a_reference_is_valid_until_the_next_set_of_its_variable) {
  user.set("kept");
  const std::string& kept = user.get();
  auto sharer = spawn([] { sleep_for(1s); });
  for (int i = 0; i < 100; ++i) depth.set(i);
  BOOST_TEST(kept == "kept");
  sharer.get();
  depth.set(0);
  BOOST_TEST(kept == "kept");
}

WEFT_TEST_CASE(values_are_destroyed_with_the_last_fiber_that_has_them) {
  FiberLocal<std::shared_ptr<int>> variable;
  const auto value = std::make_shared<int>();
  auto parent = spawn([&] {
    variable.set(value);
    auto child = spawn([] { sleep_for(1s); });
    yield();
    child.detach();
  });
  parent.get();
  BOOST_TEST(value.use_count() == 2);
  sleep_for(2s);
  BOOST_TEST(value.use_count() == 1);
  spawn([&] {
    variable.set(value);
    variable.set(nullptr);
    BOOST_TEST(value.use_count() == 1);
  }).get();
}

WEFT_TEST_CASE(a_new_task_on_a_used_stack_has_nothing_of_the_last_one) {
  spawn([] { user.set("last"); }).get();
  BOOST_TEST(spawn([] { return user.get(); }).get() == "nobody");
}

WEFT_TEST_CASE(a_new_variable_has_no_value_of_a_destroyed_one) {
  auto first = std::make_unique<FiberLocal<int>>(1);
  first->set(2);
  first.reset();
  const FiberLocal<int> second(3);
  BOOST_TEST(second.get() == 3);
}

WEFT_SHUFFLED_TEST_CASE(calls_and_done_callbacks_count_as_children) {
  Scheduler& scheduler = Scheduler::current();
  Promise<void> promise;
  std::vector<std::string> seen;
  const auto look = [&] { seen.push_back(user.get()); };
  user.set("caller");
  scheduler.call_soon(look);
  scheduler.call_later(1s, look);
  scheduler.call_at(now() + 2s, look);
  scheduler.post(look);
  promise.future().add_done_callback(look);
  user.set("caller, later");
  auto setter = spawn([&] {
    user.set("setter");
    promise.set_value();
  });
  sleep_for(1h);
  BOOST_TEST(seen == std::vector<std::string>(5, "caller"));
}

WEFT_TEST_CASE(an_eager_child_inherits_too) {
  user.set("parent");
  auto child = spawn([] { return user.get(); }, {.eager = true});
  BOOST_TEST(user.get() == "parent");
  BOOST_TEST(child.get() == "parent");
}

WEFT_TEST_CASE(a_child_on_another_scheduler_inherits_too) {
  SchedulerThread other;
  user.set("parent");
  auto child = spawn(
      [] {
        const std::string inherited = user.get();
        user.set("child");
        return inherited;
      },
      {.on = other.get()});
  for (int i = 0; i < 100; ++i) depth.set(i);
  BOOST_TEST(child.get() == "parent");
  BOOST_TEST(user.get() == "parent");
}

BOOST_AUTO_TEST_CASE(a_plain_thread_has_the_initial_values_and_sets_none) {
  BOOST_TEST(user.get() == "nobody");
  BOOST_CHECK_THROW(user.set("somebody"), std::logic_error);
}

// ---- Jobs ---------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_job_starts_with_a_copy_made_when_it_is_posted) {
  ThreadPool pool(1);
  user.set("parent");
  BOOST_TEST(run_in_executor(pool, [] { return user.get(); }) == "parent");
  BOOST_TEST(run_in_executor([] { return user.get(); }) == "parent");
  Promise<std::string> posted;
  Event go;
  pool.post([&] {
    go.wait();
    posted.set_value(user.get());
  });
  user.set("changed");
  go.set();
  BOOST_TEST(posted.future().get() == "parent");
}

WEFT_TEST_CASE(what_a_job_sets_its_poster_and_the_next_job_do_not_see) {
  ThreadPool pool(1);
  run_in_executor(pool, [] {
    user.set("job");
    BOOST_TEST(user.get() == "job");
  });
  BOOST_TEST(user.get() == "nobody");
  BOOST_TEST(run_in_executor(pool, [] { return user.get(); }) == "nobody");
  user.set("parent");
  run_in_executor(pool, [] {
    user.set("job");
    BOOST_TEST(user.get() == "job");
  });
  BOOST_TEST(user.get() == "parent");
}

WEFT_TEST_CASE(a_job_keeps_its_own_when_it_drops_those_of_another) {
  ThreadPool pool(1), closed(1);
  closed.close();
  run_in_executor(pool, [&] {
    user.set("job");
    BOOST_CHECK_THROW(closed.post([] {}), std::logic_error);
    BOOST_TEST(user.get() == "job");
  });
}

WEFT_TEST_CASE(what_a_job_starts_counts_as_its_child) {
  Scheduler& here = Scheduler::current();
  user.set("parent");
  std::string spawned, posted;
  run_in_executor([&] {
    user.set("job");
    spawn([&] { spawned = user.get(); }, {.on = &here}).wait();
    here.post([&] { posted = user.get(); });
  });
  run_until_blocked();
  BOOST_TEST(spawned == "job");
  BOOST_TEST(posted == "job");
}

// ---- The end of a fiber -------------------------------------------------------------------------

// Sets a variable when it goes, on a fiber after a wait.
struct SetAtEnd {
  explicit SetAtEnd(std::function<void()> its_set) : set(std::move(its_set)) {}
  ~SetAtEnd() {
    if (Home::here()) sleep_for(1s);
    set();
  }
  std::function<void()> set;
};

FiberLocal<std::shared_ptr<const SetAtEnd>> last;
FiberLocal<std::shared_ptr<const int>> value;

WEFT_SHUFFLED_TEST_CASE(a_value_that_a_destructor_of_another_sets_goes_too) {
  int sets = 0;
  std::weak_ptr<const int> left;
  const auto set_another = [&] {
    ++sets;
    const auto its = std::make_shared<const int>(1);
    left = its;
    value.set(its);
  };
  const auto fill = [&] { last.set(std::make_shared<const SetAtEnd>(set_another)); };
  const auto check_gone = [&] {
    BOOST_TEST(std::exchange(sets, 0) == 1);
    BOOST_TEST(left.expired());
    BOOST_TEST(!spawn([] { return value.get() != nullptr; }).get());
  };
  spawn(fill).get();
  check_gone();
  Scheduler::current().post(fill);
  sleep_for(1h);
  check_gone();
  run_in_executor(fill);
  check_gone();
  // A failure keeps its own until it was taken.
  {
    auto failing = spawn([&] {
      fill();
      throw std::runtime_error("test");
    });
    BOOST_CHECK_THROW(failing.get(), std::runtime_error);
  }
  check_gone();
}

BOOST_AUTO_TEST_CASE(a_fiber_from_outside_starts_with_the_initial_values) {
  run_case([] {
    Scheduler& here = Scheduler::current();
    here.set_exception_handler([](std::exception_ptr) {
      user.set("handler");
      depth.set(7);
    });
    for (int i = 0; i < 50; ++i) spawn([] { throw std::runtime_error("test"); }).detach();
    run_until_blocked();
    user.set("here");
    std::thread outside([&] {
      for (int i = 0; i < 50; ++i) {
        const auto look = [] { return user.get() + std::to_string(depth.get()); };
        BOOST_TEST(spawn(look, {.on = &here}).get() == "nobody0");
        Promise<std::string> posted;
        here.post([&] { posted.set_value(look()); });
        BOOST_TEST(posted.future().get() == "nobody0");
      }
    });
    run_in_executor([&] { outside.join(); });
  });
}

// What the exception handler finds.
struct Found {
  std::string user;
  std::string name;
};

void check_found(const std::function<void(const std::function<void()>& fail)>& lose) {
  std::vector<Found> found;
  Scheduler::current().set_exception_handler([&](std::exception_ptr) {
    sleep_for(1s);
    found.push_back({user.get(), current_task().name});
    user.set("handler");
  });
  user.set("here");
  lose([] {
    user.set("failed");
    throw std::runtime_error("test");
  });
  sleep_for(1h);
  BOOST_REQUIRE(found.size() == 1u);
  BOOST_TEST(found[0].user == "failed");
  BOOST_TEST(found[0].name == "culprit");
  BOOST_TEST(user.get() == "here");
}

WEFT_SHUFFLED_TEST_CASE(the_handler_has_the_locals_and_the_name_of_the_fiber_that_failed) {
  const SpawnOptions named{.name = "culprit"};
  check_found([&](const auto& fail) { spawn(fail, named).detach(); });
  check_found([&](const auto& fail) {
    auto task = spawn(fail, named);
    task.wait();
    task.detach();
  });
  check_found([&](const auto& fail) { spawn(fail, named).wait(); });
  check_found([&](const auto& fail) {
    auto task = spawn(fail, named);
    run_in_executor([&] { task.wait(), task = {}; });
  });
  check_found([&](const auto& fail) {
    auto task = spawn([&] { sleep_for(1s), fail(); }, named);
    run_in_executor([&] { task.detach(); });
    sleep_for(1h);
  });
}

WEFT_CORES_TEST_CASE(the_handler_has_the_locals_of_what_failed_on_another_scheduler) {
  std::string found;
  spread([&] {
    Scheduler::current().set_exception_handler(
        [&](std::exception_ptr) { found = user.get() + " " + current_task().name; });
  });
  spawn([] { user.set("failed"), throw std::runtime_error("test"); },
        {.name = "culprit", .on = on(1).on})
      .wait();
  sleep_for(1h);
  BOOST_TEST(found == "failed culprit");
}

BOOST_AUTO_TEST_CASE(the_handler_has_the_locals_of_a_task_that_outlives_its_scheduler) {
  std::string found;
  Task<void> left;
  run([&] {
    Scheduler::current().set_exception_handler([&](std::exception_ptr) { found = user.get(); });
    left = spawn([] { user.set("failed"), throw std::runtime_error("test"); });
    left.wait();
  });
  left = {};
  BOOST_TEST(found == "failed");
}

BOOST_AUTO_TEST_CASE(so_it_has_where_the_scheduler_has_run_for_the_last_time_but_is_there) {
  std::string found;
  {
    Task<void> left;
    ThreadPort port;
    Loop scheduler(port, {});
    scheduler.post([&] {
      scheduler.set_exception_handler([&](std::exception_ptr) { found = user.get(); });
      left = spawn([] { user.set("failed"), throw std::runtime_error("test"); });
      left.wait();
      scheduler.stop();
    });
    scheduler.run();
    scheduler.shutdown();
    left = {};
    BOOST_TEST(found == "");
  }
  BOOST_TEST(found == "failed");
}

// On the same stack: under a shuffle seed it would have another.
WEFT_TEST_CASE(those_of_a_call_go_before_the_next_one_starts) {
  std::weak_ptr<const int> first;
  bool gone = false;
  Scheduler::current().post([&] {
    const auto its = std::make_shared<const int>(1);
    first = its;
    value.set(its);
  });
  Scheduler::current().post([&] { gone = first.expired(); });
  run_until_blocked();
  BOOST_TEST(gone);
}

WEFT_SHUFFLED_TEST_CASE(locals_of_a_call_that_is_dropped_go_on_a_fiber) {
  bool gone = false;
  last.set(std::make_shared<const SetAtEnd>([&] { gone = true; }));
  Handle soon = Scheduler::current().call_soon([] {});
  Promise<void> promise;
  const auto id = promise.future().add_done_callback([] {});
  last.set(nullptr);
  soon.cancel();
  promise.future().remove_done_callback(id);
  sleep_for(1h);
  BOOST_TEST(gone);
}

BOOST_AUTO_TEST_SUITE_END()
