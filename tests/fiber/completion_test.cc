#include "weft/fiber/core/completion.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(completion)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

#if defined(WEFT_TSAN) || defined(WEFT_ASAN)
constexpr int kRounds = 200;
#else
constexpr int kRounds = 2'000;
#endif

void complete(Completion& completion) {
  WaitQueue::Lock lock(completion.queue());
  completion.complete(lock, [] {});
}

}  // namespace

WEFT_SHUFFLED_TEST_CASE(completing_wakes_everybody) {
  Completion completion;
  BOOST_TEST(!completion.done());
  std::vector<Task<bool>> tasks;
  for (int i = 0; i < 10; ++i) {
    tasks.push_back(spawn([&, i] {
      return completion.wait(i % 2 ? kForever : now() + 1h, "wait") && completion.done();
    }));
  }
  sleep_for(1s);
  for (auto& task : tasks) BOOST_TEST(!task.done());
  complete(completion);
  BOOST_TEST(completion.done());
  for (auto& task : tasks) BOOST_TEST(task.get());
}

WEFT_TEST_CASE(those_who_wait_are_woken_in_their_order) {
  Completion completion;
  std::string order;
  TaskGroup group;
  for (const char name : {'a', 'b', 'c'}) {
    group.spawn([&, name] {
      completion.wait(kForever, "wait");
      order += name;
    });
  }
  run_until_blocked();
  complete(completion);
  group.join();
  BOOST_TEST(order == "abc");
}

WEFT_SHUFFLED_TEST_CASE(a_wait_ends_at_its_deadline) {
  Completion completion;
  const TimePoint start = now();
  BOOST_TEST(!completion.wait(start + 1s, "wait"));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!completion.wait(kPast, "wait"));
  complete(completion);
}

WEFT_TEST_CASE(what_is_done_looks_at_neither_clock_nor_cancellation) {
  Completion completion;
  complete(completion);
  BOOST_TEST(completion.wait(kPast, "wait"));
  bool waited = false;
  auto task = spawn(when_cancelled([&] { waited = completion.wait(kForever, "wait"); }));
  run_until_blocked();
  task.cancel();
  task.wait();
  BOOST_TEST(waited);
}

WEFT_SHUFFLED_TEST_CASE(a_wait_can_be_cancelled) {
  Completion completion;
  auto task = spawn([&] { completion.wait(kForever, "wait"); });
  run_until_blocked();
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(!completion.done());
  complete(completion);
}

WEFT_TEST_CASE(the_last_word_is_said_when_it_is_done_and_before_anybody_runs) {
  Completion completion;
  std::string order;
  auto task = spawn([&] {
    completion.wait(kForever, "wait");
    order += "woken";
  });
  run_until_blocked();
  WaitQueue::Lock lock(completion.queue());
  completion.complete(lock, [&] {
    BOOST_TEST(completion.done());
    BOOST_TEST(lock.owns_lock());
    order += "last ";
  });
  BOOST_TEST(!lock.owns_lock());
  task.get();
  BOOST_TEST(order == "last woken");
}

WEFT_TEST_CASE(watchers_are_told_at_once) {
  struct Watcher : Waiter {
    explicit Watcher(Completion& its_completion)
        : Waiter([](Waiter& waiter) noexcept -> Waiter* {
            auto& self = static_cast<Watcher&>(waiter);
            self.told = self.completion.done();
            return nullptr;
          }),
          completion(its_completion) {}
    Completion& completion;
    bool told = false;
  };
  Completion completion;
  Watcher stays(completion), leaves(completion);
  {
    WaitQueue::Lock lock(completion.queue());
    completion.queue().watch(lock, stays);
    completion.queue().watch(lock, leaves);
  }
  BOOST_TEST(completion.queue().unwatch(leaves));
  complete(completion);
  BOOST_TEST(stays.told);
  BOOST_TEST(!leaves.told);
}

WEFT_SHUFFLED_TEST_CASE(it_can_be_made_as_new) {
  Completion completion;
  for (int i = 0; i < 3; ++i) {
    auto task = spawn([&] { return completion.wait(kForever, "wait"); });
    run_until_blocked();
    BOOST_TEST(!task.done());
    complete(completion);
    BOOST_TEST(task.get());
    completion.reset();
    BOOST_TEST(!completion.done());
  }
}

BOOST_AUTO_TEST_CASE(what_was_written_before_is_seen_by_all_threads) {
  SchedulerThread other;
  for (int i = 0; i < kRounds; ++i) {
    Completion completion;
    int written = 0, seen = 0;
    auto task = spawn(
        [&] {
          completion.wait(kForever, "wait");
          return written;
        },
        {.on = other.get()});
    std::thread thread;
    if (i % 10 == 0) {
      thread = std::thread([&] {
        while (!completion.done()) std::this_thread::yield();
        seen = written;
      });
    }
    written = 7;
    complete(completion);
    BOOST_REQUIRE(task.get() == 7);
    if (thread.joinable()) {
      thread.join();
      BOOST_REQUIRE(seen == 7);
    }
  }
}

// Somebody who finds it done need not have been woken: the lock tells that the other has left.
BOOST_AUTO_TEST_CASE(once_done_it_may_be_destroyed_by_who_had_the_lock) {
  SchedulerThread other;
  for (int i = 0; i < kRounds; ++i) {
    auto owned = std::make_unique<Completion>();
    Completion& completion = *owned;
    const auto wait_and_destroy = [&] {
      owned->wait(kForever, "wait");
      WaitQueue::Lock(owned->queue()).unlock();
      owned.reset();
    };
    if (i % 2) {
      auto waiter = spawn(wait_and_destroy, {.on = other.get()});
      complete(completion);
      waiter.get();
    } else {
      auto completer = spawn([&] { complete(completion); }, {.on = other.get()});
      wait_and_destroy();
      completer.get();
    }
    BOOST_REQUIRE(!owned);
  }
}

BOOST_AUTO_TEST_SUITE_END()
