#include "weft/fiber/fiber_local.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/fixture.h"
#include "tests/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(fiber_local)

using namespace weft;
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
  BOOST_TEST(seen == std::vector<std::string>(5, "caller"), boost::test_tools::per_element());
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

BOOST_AUTO_TEST_CASE(a_plain_thread_has_none) {
  BOOST_CHECK_THROW(user.get(), std::logic_error);
  BOOST_CHECK_THROW(user.set("nobody"), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()
