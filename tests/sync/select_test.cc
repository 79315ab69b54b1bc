#include "weft/sync/select.h"

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/failure.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(select)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

// ---- What can be done at once -------------------------------------------------------------------

template <class... Cases>
concept CanBeSelected = requires(Cases&... cases) {
  weft::select(cases...);
};

BOOST_AUTO_TEST_CASE(a_select_of_no_case_does_not_compile) {
  BOOST_TEST(!CanBeSelected<>);
  BOOST_TEST(CanBeSelected<Event::Case>);
}

WEFT_TEST_CASE(the_first_case_that_can_be_done_is_done_and_no_other) {
  Queue<int> first, second, third;
  second.push(2);
  third.push(3);
  std::optional<int> item;
  BOOST_TEST(weft::select(on_pop(first, item), on_pop(second, item), on_pop(third, item)) == 1u);
  BOOST_TEST(item.value() == 2);
  BOOST_TEST(second.empty());
  BOOST_TEST(third.size() == 1u);
}

WEFT_TEST_CASE(an_item_may_be_taken_into_a_plain_variable) {
  Queue<std::string> words;
  words.push("word");
  std::string word = "before";
  BOOST_TEST(weft::select(on_pop(words, word)) == 0u);
  BOOST_TEST(word == "word");
}

WEFT_TEST_CASE(a_push_moves_its_item_only_if_it_is_chosen) {
  Queue<std::unique_ptr<int>> full(1), empty(1);
  full.push(std::make_unique<int>(1));
  auto stays = std::make_unique<int>(2), goes = std::make_unique<int>(3);
  BOOST_TEST(weft::select(on_push(full, std::move(stays)), on_push(empty, std::move(goes))) == 1u);
  BOOST_TEST(stays != nullptr);
  BOOST_TEST(goes == nullptr);
  BOOST_TEST(*empty.pop() == 3);
}

WEFT_TEST_CASE(a_push_copies_an_item_that_is_not_moved) {
  Queue<std::string> words(1);
  const std::string word = "word";
  BOOST_TEST(weft::select(on_push(words, word)) == 0u);
  BOOST_TEST(word == "word");
  BOOST_TEST(words.pop() == "word");
}

WEFT_TEST_CASE(otherwise_is_done_if_none_before_it_can_be) {
  Queue<int> queue;
  std::optional<int> item;
  BOOST_TEST(weft::select(on_pop(queue, item), otherwise()) == 1u);
  BOOST_TEST(!item);
  queue.push(1);
  BOOST_TEST(weft::select(on_pop(queue, item), otherwise()) == 0u);
}

WEFT_TEST_CASE(no_time_is_over_at_once) {
  Queue<int> queue;
  std::optional<int> item;
  const TimePoint begin = now();
  BOOST_TEST(weft::select(on_pop(queue, item), after(0s)) == 1u);
  BOOST_TEST(weft::select(on_pop(queue, item), after(-1s)) == 1u);
  BOOST_TEST((now() == begin));
}

// ---- Waits --------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(it_waits_until_one_case_can_be_done) {
  Queue<int> first, second;
  Event event;
  std::size_t chosen = 9;
  std::optional<int> item;
  auto selecting =
      spawn([&] { chosen = weft::select(on_pop(first, item), on(event), on_pop(second, item)); });
  run_until_blocked();
  BOOST_TEST(all_tasks().size() == 2u);
  second.push(7);
  selecting.get();
  BOOST_TEST(chosen == 2u);
  BOOST_TEST(item.value() == 7);
}

WEFT_SHUFFLED_TEST_CASE(a_case_that_was_not_chosen_leaves_nothing_behind) {
  Queue<int> first, second;
  std::optional<int> item;
  auto selecting = spawn([&] { return weft::select(on_pop(first, item), on_pop(second, item)); });
  run_until_blocked();
  first.push(1);
  second.push(2);
  BOOST_TEST(selecting.get() == 0u);
  BOOST_TEST(item.value() == 1);
  BOOST_TEST(second.pop() == 2);
}

// The item of the second push comes while the select has been chosen, and has not run yet.
WEFT_TEST_CASE(what_a_case_that_was_not_chosen_would_have_got_goes_to_the_next_in_line) {
  Queue<int> first, second;
  std::optional<int> item, other;
  auto selecting = spawn([&] { return weft::select(on_pop(first, item), on_pop(second, item)); });
  auto popping = spawn([&] { other = second.pop(); });
  run_until_blocked();
  first.push(1);
  second.push(2);
  BOOST_TEST(selecting.get() == 0u);
  popping.get();
  BOOST_TEST(other.value() == 2);
}

WEFT_TEST_CASE(it_waits_in_its_turn) {
  Queue<char> queue;
  Event never;
  std::string order;
  TaskGroup group;
  const auto pop = [&](char name) { return [&, name] { queue.pop(), order += name; }; };
  group.spawn(pop('a'));
  group.spawn([&] {
    char item = 0;
    weft::select(on(never), on_pop(queue, item));
    order += 'b';
  });
  group.spawn(pop('c'));
  run_until_blocked();
  for (int i = 0; i < 3; ++i) queue.push('x'), yield(), yield();
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_TEST_CASE(a_push_waits_for_room) {
  Queue<int> first(1), second(1);
  first.push(1);
  second.push(2);
  int item = 3;
  auto selecting =
      spawn([&] { return weft::select(on_push(first, std::move(item)), on_push(second, 4)); });
  run_until_blocked();
  BOOST_TEST(second.pop() == 2);
  BOOST_TEST(selecting.get() == 1u);
  BOOST_TEST(second.pop() == 4);
  BOOST_TEST(first.size() == 1u);
}

WEFT_TEST_CASE(one_select_can_give_to_another) {
  Queue<int> full(1), empty(1);
  Event never;
  full.push(0);
  std::optional<int> item;
  auto taking = spawn([&] { return weft::select(on(never), on_pop(empty, item)); });
  auto giving = spawn([&] { return weft::select(on_push(full, 1), on_push(empty, 2)); });
  BOOST_TEST(giving.get() == 1u);
  BOOST_TEST(taking.get() == 1u);
  BOOST_TEST(item.value() == 2);
}

WEFT_TEST_CASE(a_queue_may_be_in_two_cases) {
  Queue<int> queue;
  std::optional<int> one, two;
  auto selecting = spawn([&] { return weft::select(on_pop(queue, one), on_pop(queue, two)); });
  run_until_blocked();
  queue.push(1);
  queue.push(2);
  BOOST_TEST(selecting.get() == 0u);
  BOOST_TEST(one.value() == 1);
  BOOST_TEST(!two);
  BOOST_TEST(queue.pop() == 2);
}

WEFT_TEST_CASE(a_closed_queue_can_be_popped_of_nothing) {
  Queue<int> queue;
  Event never;
  std::optional<int> item = 5;
  queue.close();
  BOOST_TEST(weft::select(on(never), on_pop(queue, item)) == 1u);
  BOOST_TEST(!item);
  int plain = 5;
  BOOST_CHECK_THROW(weft::select(on(never), on_pop(queue, plain)), QueueClosed);
  BOOST_CHECK_THROW(weft::select(on_push(queue, std::move(plain)), on(never)), QueueClosed);
  BOOST_TEST(plain == 5);
}

WEFT_TEST_CASE(a_queue_that_is_closed_meanwhile_ends_the_wait) {
  Queue<int> popped, pushed(1);
  Event never;
  pushed.push(0);
  std::optional<int> item = 5;
  auto popping = spawn([&] { return weft::select(on(never), on_pop(popped, item)); });
  auto pushing = spawn([&] { return weft::select(on(never), on_push(pushed, 1)); });
  run_until_blocked();
  popped.close();
  pushed.close();
  BOOST_TEST(popping.get() == 1u);
  BOOST_TEST(!item);
  BOOST_CHECK_THROW(pushing.get(), QueueClosed);
}

// ---- Time and cancellation ----------------------------------------------------------------------

WEFT_TEST_CASE(time_is_a_case) {
  Queue<int> queue;
  std::optional<int> item;
  const TimePoint begin = now();
  BOOST_TEST(weft::select(after(3s), on_pop(queue, item), after(2s)) == 2u);
  BOOST_TEST((now() - begin == 2s));
}

WEFT_TEST_CASE(an_item_that_is_late_stays_in_its_queue) {
  Queue<int> queue;
  std::optional<int> item;
  auto selecting = spawn([&] { return weft::select(on_pop(queue, item), after(1s)); });
  sleep_for(2s);
  queue.push(1);
  BOOST_TEST(selecting.get() == 1u);
  BOOST_TEST(queue.pop() == 1);
}

WEFT_TEST_CASE(a_cancelled_select_has_done_nothing) {
  Queue<int> queue;
  Semaphore semaphore(0);
  Event event;
  bool cancelled = false;
  std::optional<int> item;
  auto selecting = spawn([&] {
    cancelled =
        throws_cancelled([&] { weft::select(on_pop(queue, item), on(semaphore), on(event)); });
  });
  run_until_blocked();
  selecting.cancel();
  queue.push(1);
  semaphore.release();
  event.set();
  selecting.wait();
  BOOST_TEST(cancelled);
  BOOST_TEST(!item);
  BOOST_TEST(queue.pop() == 1);
  BOOST_TEST(semaphore.try_acquire());
}

WEFT_TEST_CASE(a_wake_beats_a_later_cancel) {
  Queue<int> queue;
  Event never;
  std::optional<int> item;
  std::size_t chosen = 9;
  auto selecting = spawn([&] { chosen = weft::select(on(never), on_pop(queue, item)); });
  run_until_blocked();
  queue.push(1);
  selecting.cancel();
  selecting.wait();
  BOOST_TEST(chosen == 1u);
  BOOST_TEST(item.value() == 1);
}

WEFT_TEST_CASE(a_timeout_around_it_ends_it) {
  Queue<int> queue;
  std::optional<int> item;
  BOOST_CHECK_THROW(with_timeout(1s, [&] { weft::select(on_pop(queue, item), after(1h)); }),
                    TimeoutError);
  queue.push(1);
  BOOST_TEST(queue.pop() == 1);
}

// ---- Every kind of case -------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(an_event_a_task_a_future_a_semaphore_and_a_mutex_can_be_waited_for) {
  Event event, go;
  Semaphore semaphore(0);
  Mutex mutex;
  Promise<int> promise;
  const Future<int> future = promise.future();
  for (std::size_t which = 0; which < 5; ++which) {
    mutex.lock();
    go.clear();
    auto task = spawn([&] { go.wait(); });
    auto selecting = spawn([&] {
      const std::size_t chosen =
          weft::select(on(event), on(task), on(semaphore), on(mutex), on(future));
      if (chosen == 3) mutex.unlock();
      return chosen;
    });
    run_until_blocked();
    if (which == 0) event.set();
    if (which == 1) go.set();
    if (which == 2) semaphore.release();
    if (which == 3) mutex.unlock();
    if (which == 4) promise.set_value(1);
    BOOST_TEST(selecting.get() == which);
    event.clear();
    if (which != 3) mutex.unlock();
    BOOST_TEST(!semaphore.try_acquire());
  }
}

WEFT_TEST_CASE(what_is_done_already_is_done_at_once) {
  Event event;
  Semaphore semaphore(1);
  Mutex mutex;
  Promise<int> promise;
  promise.set_value(1);
  auto task = spawn([] {});
  task.wait();
  event.set();
  BOOST_TEST(weft::select(on(event)) == 0u);
  BOOST_TEST(weft::select(on(task)) == 0u);
  BOOST_TEST(weft::select(on(promise.future())) == 0u);
  BOOST_TEST(weft::select(on(semaphore)) == 0u);
  BOOST_TEST(!semaphore.try_acquire());
  BOOST_TEST(weft::select(on(mutex)) == 0u);
  BOOST_TEST(mutex.is_held());
  mutex.unlock();
}

WEFT_TEST_CASE(a_mutex_that_was_chosen_is_the_callers) {
  Mutex mutex;
  Event never;
  auto holder = spawn([&] {
    const std::lock_guard lock(mutex);
    sleep_for(1s);
  });
  yield();
  BOOST_TEST(weft::select(on(never), on(mutex)) == 1u);
  BOOST_TEST(mutex.is_held());
  mutex.unlock();
  BOOST_TEST(!mutex.is_held());
}

// A permit, or a mutex, that is offered to a select may be taken by a try before it runs.
WEFT_TEST_CASE(a_select_that_was_passed_over_waits_on_in_its_old_place) {
  Semaphore semaphore(0);
  Event never;
  std::string order;
  auto selecting = spawn([&] {
    weft::select(on(never), on(semaphore));
    order += 'a';
  });
  auto acquiring = spawn([&] { semaphore.acquire(), order += 'b'; });
  run_until_blocked();
  semaphore.release();
  BOOST_TEST(semaphore.try_acquire());  // the offer
  run_until_blocked();
  semaphore.release();
  run_until_blocked();
  semaphore.release();
  selecting.get();
  acquiring.get();
  BOOST_TEST(order == "ab");
}

WEFT_TEST_CASE(a_select_whose_mutex_was_taken_by_a_try_gets_it_next) {
  Mutex mutex;
  Event never;
  std::string order;
  mutex.lock();
  auto selecting = spawn([&] {
    weft::select(on(never), on(mutex));
    order += 'a';
    mutex.unlock();
  });
  auto locking = spawn([&] {
    const std::lock_guard lock(mutex);
    order += 'b';
  });
  run_until_blocked();
  mutex.unlock();
  BOOST_TEST(mutex.try_lock());  // the offer
  run_until_blocked();
  mutex.unlock();
  selecting.get();
  locking.get();
  BOOST_TEST(order == "ab");
}

WEFT_TEST_CASE(a_select_that_was_passed_over_may_do_another_case) {
  Semaphore semaphore(0);
  Event event;
  auto selecting = spawn([&] { return weft::select(on(semaphore), on(event)); });
  run_until_blocked();
  semaphore.release();
  BOOST_TEST(semaphore.try_acquire());
  event.set();
  BOOST_TEST(selecting.get() == 1u);
  semaphore.release();
  BOOST_TEST(semaphore.try_acquire());
}

WEFT_TEST_CASE(tasks_of_different_types_can_be_waited_for_together) {
  auto number = spawn([] { return sleep_for(2s), 1; });
  auto word = spawn([] { return sleep_for(1s), std::string("word"); });
  BOOST_TEST(weft::select(on(number), on(word)) == 1u);
  BOOST_TEST(word.get() == "word");
  BOOST_TEST(number.get() == 1);
}

WEFT_TEST_CASE(a_task_that_selects_itself_is_told) {
  Task<void> self;
  self = spawn([&] { BOOST_CHECK_THROW(weft::select(on(self)), std::logic_error); });
  self.get();
}

WEFT_TEST_CASE(a_mutex_that_the_caller_holds_is_passed_by) {
  Mutex mutex;
  Event event;
  event.set();
  const std::lock_guard lock(mutex);
  BOOST_TEST(weft::select(on(mutex), on(event)) == 1u);
}

WEFT_TEST_CASE(a_report_names_the_wait) {
  Event never;
  auto selecting = spawn([&] { weft::select(on(never), after(1h)); });
  run_until_blocked();
  bool found = false;
  for (const TaskInfo& task : all_tasks()) {
    found = found || (task.id == selecting.id() && task.waiting_for == std::string("select"));
  }
  BOOST_TEST(found);
  selecting.cancel();
}

// ---- Threads ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_plain_thread_can_select) {
  Queue<int> first, second;
  std::optional<int> item;
  std::size_t chosen = 9;
  std::thread thread([&] { chosen = weft::select(on_pop(first, item), on_pop(second, item)); });
  second.push(1);
  thread.join();
  BOOST_TEST(chosen == 1u);
  BOOST_TEST(item.value() == 1);
  BOOST_TEST(weft::select(on_pop(first, item), after(1ms)) == 1u);
}

// Two producers on threads of their own; every item arrives once.
WEFT_REAL_TIME_TEST_CASE(items_of_several_threads_arrive_once_each) {
  constexpr int kItems = 20'000;
  Queue<int> first(4), second(4);
  const auto produce = [](Queue<int>& queue) {
    for (int i = 1; i <= kItems; ++i) queue.push(i);
    queue.close();
  };
  std::thread one([&] { produce(first); }), two([&] { produce(second); });
  int last[2] = {0, 0};
  std::optional<int> item;
  for (bool open[2] = {true, true}; open[0] || open[1];) {
    std::size_t from = 0;
    if (open[0] && open[1]) {
      from = weft::select(on_pop(first, item), on_pop(second, item));
    } else {
      from = open[0] ? 0 : 1;
      weft::select(on_pop(open[0] ? first : second, item));
    }
    if (!item) {
      open[from] = false;
    } else if (*item == last[from] + 1) {
      last[from] = *item;
    }
  }
  one.join();
  two.join();
  BOOST_TEST(last[0] == kItems);
  BOOST_TEST(last[1] == kItems);
}

// ---- Exceptions ---------------------------------------------------------------------------------

namespace {

// When a select() begins to wait for it another thread pushes an item, and then it throws.
class Throwing final : public internal::SelectCase {
 public:
  explicit Throwing(Queue<int>& queue) : queue_(queue) {}
  bool attempt() override { return false; }
  bool enlist(internal::Selection&) override {
    std::thread([this] { queue_.push(7); }).join();
    throw Failure("enlist");
  }

 private:
  Queue<int>& queue_;
};

}  // namespace

WEFT_TEST_CASE(a_case_that_was_chosen_is_done_though_a_later_one_throws) {
  Queue<int> queue, other;
  Throwing throwing(queue);
  std::optional<int> item;
  BOOST_TEST(select(on_pop(queue, item), throwing) == 0u);
  BOOST_TEST((item == 7));
  Throwing elsewhere(other);
  BOOST_CHECK_THROW(select(on_pop(queue, item), elsewhere), Failure);
  BOOST_TEST(other.size() == 1u);
  queue.push(8);  // none waits for it
  BOOST_TEST(queue.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
