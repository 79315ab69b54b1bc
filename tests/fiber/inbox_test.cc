#include "weft/fiber/core/inbox.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/check.h"
#include "weft/fiber/core/parker.h"

BOOST_AUTO_TEST_SUITE(inbox)

using namespace weft;
using namespace weft::internal;

namespace {

// Appends its name to a log.
struct Note : InboxNode {
  Note(std::string& its_log, char its_name)
      : InboxNode([](InboxNode& node, Calls*) noexcept {
          auto& self = static_cast<Note&>(node);
          self.log += self.name;
        }),
        log(its_log),
        name(its_name) {}
  std::string& log;
  const char name;
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_pushed_first_runs_first) {
  std::string log;
  Note a(log, 'a'), b(log, 'b'), c(log, 'c');
  Inbox inbox;
  BOOST_TEST(inbox.empty());
  for (Note* note : {&a, &b, &c}) BOOST_TEST(!inbox.push(*note));
  BOOST_TEST(!inbox.empty());
  BOOST_TEST(log == "");
  inbox.drain();
  BOOST_TEST(log == "abc");
  BOOST_TEST(inbox.empty());
  inbox.drain();
  BOOST_TEST(log == "abc");
}

BOOST_AUTO_TEST_CASE(a_node_may_be_pushed_again_once_it_ran) {
  std::string log;
  Note a(log, 'a'), b(log, 'b');
  Inbox inbox;
  for (int i = 0; i < 3; ++i) {
    (void)inbox.push(a);
    (void)inbox.push(b);
    inbox.drain();
  }
  BOOST_TEST(log == "ababab");
}

BOOST_AUTO_TEST_CASE(a_node_may_push_itself_again_and_runs_at_the_next_drain) {
  struct Again : InboxNode {
    explicit Again(Inbox& its_inbox)
        : InboxNode([](InboxNode& node, Calls*) noexcept {
            auto& self = static_cast<Again&>(node);
            ++self.runs;
            (void)self.inbox.push(self);
          }),
          inbox(its_inbox) {}
    Inbox& inbox;
    int runs = 0;
  };
  Inbox inbox;
  Again first(inbox), second(inbox);
  (void)inbox.push(first);
  (void)inbox.push(second);
  for (int drains = 1; drains < 4; ++drains) {
    inbox.drain();
    BOOST_TEST(first.runs == drains);
    BOOST_TEST(second.runs == drains);
    BOOST_TEST(!inbox.empty());
  }
}

BOOST_AUTO_TEST_CASE(a_node_may_free_itself) {
  struct Freed : InboxNode {
    explicit Freed(int& count)
        : InboxNode([](InboxNode& node, Calls*) noexcept { delete static_cast<Freed*>(&node); }),
          alive(count) {
      ++alive;
    }
    ~Freed() { --alive; }
    int& alive;
  };
  int alive = 0;
  Inbox inbox;
  for (int i = 0; i < 3; ++i) (void)inbox.push(*new Freed(alive));
  BOOST_TEST(alive == 3);
  inbox.drain();
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(the_owner_may_not_sleep_when_something_came) {
  std::string log;
  Note a(log, 'a');
  Inbox inbox;
  (void)inbox.push(a);
  BOOST_TEST(!inbox.try_sleep());
  BOOST_TEST(!inbox.empty());
  inbox.drain();
  BOOST_TEST(log == "a");
  BOOST_TEST(inbox.try_sleep());
  BOOST_TEST(inbox.empty());
}

BOOST_AUTO_TEST_CASE(the_first_push_of_a_sleep_and_no_other_has_to_wake) {
  std::string log;
  Note a(log, 'a'), b(log, 'b'), c(log, 'c');
  Inbox inbox;
  for (int sleep = 0; sleep < 3; ++sleep) {
    log.clear();
    BOOST_TEST(inbox.try_sleep());
    BOOST_TEST(inbox.push(a));
    inbox.woke();
    BOOST_TEST(!inbox.push(b));
    inbox.drain();
    BOOST_TEST(log == "ab");
    BOOST_TEST(!inbox.push(c));
    inbox.drain();
  }
  inbox.settle();
}

BOOST_AUTO_TEST_CASE(a_drain_ends_a_sleep_that_nobody_disturbed) {
  std::string log;
  Note a(log, 'a');
  Inbox inbox;
  BOOST_TEST(inbox.try_sleep());
  inbox.drain();
  BOOST_TEST(!inbox.push(a));
  inbox.drain();
  BOOST_TEST(log == "a");
  inbox.settle();
}

BOOST_AUTO_TEST_CASE(settling_waits_for_those_who_still_have_to_wake) {
  std::string log;
  Note a(log, 'a');
  Inbox inbox;
  BOOST_TEST(inbox.try_sleep());
  BOOST_TEST(inbox.push(a));
  inbox.drain();
  std::atomic<bool> waking{false};
  std::thread waker([&] {
    for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
    waking = true;
    inbox.woke();
  });
  inbox.settle();
  BOOST_TEST(waking);
  waker.join();
}

BOOST_AUTO_TEST_CASE(nothing_is_lost_between_threads_and_each_sleep_is_ended_once) {
  constexpr int kThreads = 4;
  constexpr int kEach = 20'000;
  struct Numbered : InboxNode {
    Numbered()
        : InboxNode([](InboxNode& node, Calls*) noexcept { static_cast<Numbered&>(node).run(); }) {}
    void run() noexcept {
      if (number != (*next)++) ++*wrong;
      --*left;
    }
    int number = 0;
    int* next = nullptr;
    int* wrong = nullptr;
    int* left = nullptr;
  };
  Inbox inbox;
  Parker owner;
  std::atomic<int> wakes{0};
  std::array<int, kThreads> next{};
  int wrong = 0, left = kThreads * kEach, sleeps = 0;
  std::vector<std::vector<Numbered>> notes(kThreads);
  for (int self = 0; self < kThreads; ++self) {
    notes[self] = std::vector<Numbered>(kEach);
    for (int i = 0; i < kEach; ++i) {
      Numbered& note = notes[self][i];
      note.number = i;
      note.next = &next[self];
      note.wrong = &wrong;
      note.left = &left;
    }
  }
  std::vector<std::thread> threads;
  for (int self = 0; self < kThreads; ++self) {
    threads.emplace_back([&, self] {
      for (Numbered& note : notes[self]) {
        if (inbox.push(note)) {
          ++wakes;
          owner.post();
          inbox.woke();
        }
        if (note.number % 64 == 0) std::this_thread::yield();
      }
    });
  }
  while (left > 0) {
    inbox.drain();
    if (left > 0 && inbox.try_sleep()) {
      ++sleeps;
      owner.wait();
    }
  }
  inbox.settle();
  BOOST_TEST(wakes == sleeps);
  for (auto& thread : threads) thread.join();
  BOOST_TEST(wrong == 0);
  BOOST_TEST(sleeps > 0);
}

BOOST_AUTO_TEST_SUITE_END()
