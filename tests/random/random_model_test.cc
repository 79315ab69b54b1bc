// The model of random programs finds what is wrong in a record. The records are made by hand: what
// there is so far is right, and then comes what must not be.

#include <cstddef>
#include <cstdint>

#include "tests/random/model.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(random_model)

using namespace weft::test;

namespace {

constexpr Outcome kNo{Outcome::kNo};
constexpr Outcome kCancelled{Outcome::kCancelled};

// A record under way: the first fiber has started the others, which have begun.
class Story {
 public:
  explicit Story(int fibers) {
    program.fibers.resize(static_cast<std::size_t>(fibers));
    enter({Entry::kFiberBegin, 0});
    for (int i = 1; i < fibers; ++i) does(0, {.what = Do::kSpawn, .object = i});
    for (int i = 1; i < fibers; ++i) enter({Entry::kFiberBegin, i});
  }

  Story& at(std::int64_t nanoseconds) {
    now_ = nanoseconds;
    return *this;
  }
  // The fiber waits in the step, or does others in it.
  Story& begins(int fiber, Step step) {
    enter({Entry::kBegin, fiber, 0, step});
    return may_look_later(step.what) ? enter({Entry::kParked, fiber}) : *this;
  }
  Story& ends(int fiber, Step step, Outcome outcome = {}) {
    return enter({Entry::kEnd, fiber, 0, step, outcome});
  }
  Story& does(int fiber, Step step, Outcome outcome = {}) {
    return enter({Entry::kBegin, fiber, 0, step}).ends(fiber, step, outcome);
  }
  Story& fiber_begins(int fiber) { return enter({Entry::kFiberBegin, fiber}); }
  Story& fiber_ends(int fiber, Outcome outcome) {
    return enter({Entry::kFiberEnd, fiber, 0, {}, outcome});
  }
  Story& told(Outcome outcome) { return enter({Entry::kUnhandled, 0, 0, {}, outcome}); }

  // All of it may be, but for its being cut off.
  bool right() const { return first_wrong() == record_.size(); }
  // The last entry must not be.
  bool wrong() const { return first_wrong() == record_.size() - 1; }

  Program program{};

 private:
  Story& enter(Entry entry) {
    entry.at = now_;
    record_.push_back(entry);
    return *this;
  }
  std::size_t first_wrong() const { return check(program, record_)->event; }

  Record record_;
  std::int64_t now_ = 0;
};

constexpr Step kAcquire{.what = Do::kAcquire};
constexpr Step kTryAcquireFor{.what = Do::kTryAcquireFor, .time = 1000};
constexpr Step kRelease{.what = Do::kRelease, .number = 1};
constexpr Step kPop{.what = Do::kPop};
constexpr Step kLock{.what = Do::kLock};
constexpr Step kCancelFirst{.what = Do::kCancel, .object = 1};
constexpr Step kShield{.what = Do::kShield};

constexpr Step kSet{.what = Do::kSet};
// Pops from the first queue, or waits for the first event.
constexpr Step kSelectItemOrEvent{.what = Do::kSelect, .number = 1030, .time = -1};

Step push(std::int64_t item) { return {.what = Do::kPush, .number = item}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_permit_for_whom_waited_less_is_wrong) {
  Story story(3);
  story.begins(1, kAcquire).begins(2, kAcquire).does(0, kRelease);
  BOOST_TEST(Story(story).ends(1, kAcquire).right());
  BOOST_TEST(Story(story).ends(2, kAcquire).wrong());
}

BOOST_AUTO_TEST_CASE(a_wake_up_that_is_lost_is_wrong) {
  Story story(3);
  story.begins(1, kAcquire).begins(2, {.what = Do::kSleep, .time = 500}).does(0, kRelease);
  BOOST_TEST(story.right());
  BOOST_TEST(story.at(500).ends(2, {.what = Do::kSleep, .time = 500}).wrong());
}

BOOST_AUTO_TEST_CASE(a_time_limit_that_ends_early_or_late_is_wrong) {
  Story story(2);
  story.begins(1, kTryAcquireFor).begins(0, {.what = Do::kSleep, .time = 5000});
  BOOST_TEST(Story(story).at(1000).ends(1, kTryAcquireFor, kNo).right());
  BOOST_TEST(Story(story).at(999).ends(1, kTryAcquireFor, kNo).wrong());
  BOOST_TEST(Story(story).at(1001).ends(1, kTryAcquireFor, kNo).wrong());
}

BOOST_AUTO_TEST_CASE(a_time_limit_after_the_wake_up_is_wrong) {
  Story story(2);
  story.begins(1, kTryAcquireFor).does(0, kRelease);
  BOOST_TEST(Story(story).ends(1, kTryAcquireFor).right());
  BOOST_TEST(Story(story).ends(1, kTryAcquireFor, kNo).wrong());
}

BOOST_AUTO_TEST_CASE(a_cancellation_that_is_swallowed_is_wrong) {
  Story story(2);
  const Step all{.what = Do::kTry, .all = true};
  story.begins(1, all).begins(1, kAcquire).does(0, kCancelFirst).ends(1, kAcquire, kCancelled);
  story.does(1, {.what = Do::kHandler}).ends(1, all);
  BOOST_TEST(Story(story).does(1, {.what = Do::kYield}, kCancelled).right());
  BOOST_TEST(Story(story).does(1, {.what = Do::kYield}).wrong());
}

BOOST_AUTO_TEST_CASE(a_cancellation_inside_of_a_shield_is_wrong) {
  Story story(2);
  story.begins(1, kShield).begins(1, kAcquire).does(0, kCancelFirst);
  BOOST_TEST(Story(story).ends(1, kAcquire, kCancelled).wrong());
  story.does(0, kRelease).ends(1, kAcquire);
  BOOST_TEST(Story(story).ends(1, kShield).does(1, kAcquire, kCancelled).right());
}

BOOST_AUTO_TEST_CASE(a_select_that_does_not_do_the_first_case_is_wrong) {
  Story story(2);
  story.does(0, kSet).does(0, push(7));
  BOOST_TEST(Story(story).does(1, kSelectItemOrEvent, chosen(0, 7)).right());
  BOOST_TEST(Story(story).does(1, kSelectItemOrEvent, chosen(1)).wrong());
}

BOOST_AUTO_TEST_CASE(a_select_that_takes_what_it_did_not_choose_is_wrong) {
  Story story(3);
  story.begins(1, kSelectItemOrEvent).does(0, kSet).does(0, push(7));
  BOOST_TEST(Story(story).ends(1, kSelectItemOrEvent, chosen(0, 7)).wrong());
  story.ends(1, kSelectItemOrEvent, chosen(1));
  BOOST_TEST(Story(story).does(2, kPop, {Outcome::kOk, 7}).right());
  BOOST_TEST(Story(story).begins(2, kPop).wrong());
}

BOOST_AUTO_TEST_CASE(a_select_before_its_turn_is_wrong) {
  Story story(3);
  story.begins(1, kPop).begins(2, kSelectItemOrEvent).does(0, push(7));
  BOOST_TEST(Story(story).ends(1, kPop, {Outcome::kOk, 7}).right());
  BOOST_TEST(Story(story).ends(2, kSelectItemOrEvent, chosen(0, 7)).wrong());
}

BOOST_AUTO_TEST_CASE(a_moved_deadline_that_ends_early_or_late_is_wrong) {
  const Step scope{.what = Do::kScope, .object = 1, .time = 100};
  const Step move{.what = Do::kMoveDeadline, .object = 1, .time = 500};
  Story story(2);
  story.begins(1, scope).does(1, move).begins(1, kAcquire);
  story.begins(0, {.what = Do::kSleep, .time = 5000});
  BOOST_TEST(Story(story).at(100).ends(1, kAcquire, kCancelled).wrong());
  BOOST_TEST(Story(story).at(501).ends(1, kAcquire, kCancelled).wrong());
  story.at(500).ends(1, kAcquire, kCancelled);
  BOOST_TEST(Story(story).ends(1, scope, kCancelled).wrong());
  BOOST_TEST(Story(story).ends(1, scope, kNo).right());
}

BOOST_AUTO_TEST_CASE(a_scope_that_is_cancelled_and_goes_on_is_wrong) {
  const Step scope{.what = Do::kScope, .object = 1, .time = -1};
  Story story(2);
  story.begins(1, scope).begins(1, kAcquire).does(0, {.what = Do::kCancelScope, .object = 1});
  BOOST_TEST(Story(story).ends(1, kAcquire).wrong());
  story.ends(1, kAcquire, kCancelled);
  BOOST_TEST(Story(story).does(1, kAcquire).wrong());
  story.ends(1, scope, kNo);
  BOOST_TEST(Story(story).does(1, {.what = Do::kYield}, kCancelled).wrong());
  BOOST_TEST(Story(story).does(0, {.what = Do::kCancelScope, .object = 1}, kNo).right());
}

BOOST_AUTO_TEST_CASE(a_cancellation_inside_of_a_scope_that_shields_is_wrong) {
  const Step scope{.what = Do::kScope, .object = 1, .time = -1};
  Story story(2);
  story.begins(1, scope).does(1, {.what = Do::kShieldOn, .object = 1}).begins(1, kAcquire);
  story.does(0, kCancelFirst);
  BOOST_TEST(Story(story).ends(1, kAcquire, kCancelled).wrong());
  story.does(0, kRelease).ends(1, kAcquire).does(1, {.what = Do::kShieldOff, .object = 1});
  BOOST_TEST(Story(story).does(1, kAcquire, kCancelled).right());
}

BOOST_AUTO_TEST_CASE(an_item_that_is_taken_twice_or_out_of_turn_is_wrong) {
  Story story(2);
  story.does(0, push(1)).does(0, push(2));
  BOOST_TEST(Story(story).does(1, kPop, {Outcome::kOk, 2}).wrong());
  story.does(1, kPop, {Outcome::kOk, 1});
  BOOST_TEST(Story(story).does(1, kPop, {Outcome::kOk, 2}).right());
  BOOST_TEST(Story(story).does(1, kPop, {Outcome::kOk, 1}).wrong());
}

BOOST_AUTO_TEST_CASE(two_owners_of_a_mutex_are_wrong) {
  Story story(2);
  story.does(0, kLock).begins(1, kLock);
  BOOST_TEST(story.right());
  BOOST_TEST(story.ends(1, kLock).wrong());
}

BOOST_AUTO_TEST_CASE(a_close_that_wakes_only_some_is_wrong) {
  Story story(3);
  story.begins(1, kPop).begins(2, kPop).does(0, {.what = Do::kClose});
  story.ends(1, kPop, {Outcome::kClosed}).fiber_ends(1, {Outcome::kClosed});
  story.begins(0, {.what = Do::kSleep, .time = 1});
  BOOST_TEST(story.right());
  BOOST_TEST(story.at(1).ends(0, {.what = Do::kSleep, .time = 1}).wrong());
}

BOOST_AUTO_TEST_CASE(a_failure_that_nobody_or_two_are_told_of_is_wrong) {
  const Step fail{.what = Do::kThrow, .number = 5};
  const Step drop{.what = Do::kDrop, .object = 1};
  const Outcome failure{Outcome::kFailure, 5};
  Story story(2);
  story.does(1, fail, failure).fiber_ends(1, failure);
  BOOST_TEST(Story(story).told(failure).wrong());  // its owner may ask for it
  BOOST_TEST(Story(story).begins(0, drop).told(failure).ends(0, drop).right());
  BOOST_TEST(Story(story).begins(0, drop).told(failure).told(failure).wrong());
  const Step sleep{.what = Do::kSleep, .time = 1};
  BOOST_TEST(Story(story).does(0, drop).begins(0, sleep).at(1).ends(0, sleep).wrong());
}

BOOST_AUTO_TEST_CASE(a_group_that_goes_on_after_a_failure_is_wrong) {
  const Step group{.what = Do::kGroup, .object = 1};
  const Step fail{.what = Do::kThrow, .number = 5};
  Story story(1);
  story.program.fibers.resize(3);
  story.begins(0, group);
  for (int i = 1; i <= 2; ++i) {
    story.does(0, {.what = Do::kSpawn, .object = i, .number = 1, .into = Into::kGroup});
  }
  story.begins(0, {.what = Do::kJoinGroup, .object = 1});
  story.fiber_begins(1).does(1, fail, {Outcome::kFailure, 5}).fiber_ends(1, {Outcome::kFailure, 5});
  BOOST_TEST(Story(story).fiber_ends(2, {Outcome::kNeverBegan}).right());
  BOOST_TEST(Story(story).fiber_begins(2).wrong());
}

BOOST_AUTO_TEST_CASE(a_body_that_goes_on_after_a_failure_is_wrong) {
  const Step group{.what = Do::kWithGroup, .object = 1};
  const Step body{.what = Do::kGroupBody, .object = 1};
  const Step spawn{.what = Do::kSpawn, .object = 1, .number = 1, .into = Into::kGroup};
  const Step fail{.what = Do::kThrow, .number = 5};
  const Outcome failure{Outcome::kFailure, 5};
  Story story(1);
  story.program.fibers.resize(3);
  story.begins(0, group).begins(0, body).does(0, spawn).begins(0, kAcquire);
  story.fiber_begins(1).does(1, fail, failure).fiber_ends(1, failure);
  BOOST_TEST(Story(story).ends(0, kAcquire).wrong());
  story.ends(0, kAcquire, kCancelled);
  Step another = spawn;
  another.object = 2;
  BOOST_TEST(Story(story).does(0, another).wrong());
  story.ends(0, body, kCancelled);
  BOOST_TEST(Story(story).ends(0, group, kCancelled).wrong());
  BOOST_TEST(Story(story).ends(0, group, failure).right());
}

BOOST_AUTO_TEST_CASE(the_failure_of_a_body_rather_than_an_earlier_one_is_wrong) {
  const Step group{.what = Do::kWithGroup, .object = 1};
  const Step body{.what = Do::kGroupBody, .object = 1};
  const Step spawn{
      .what = Do::kSpawn, .object = 1, .number = 1, .into = Into::kGroup, .eager = true};
  const Outcome first{Outcome::kFailure, 5};
  const Outcome second{Outcome::kFailure, 6};
  Story story(1);
  story.program.fibers.resize(2);
  story.begins(0, group).begins(0, body).begins(0, spawn).fiber_begins(1);
  story.does(1, {.what = Do::kThrow, .number = 5}, first).fiber_ends(1, first).ends(0, spawn);
  story.does(0, {.what = Do::kThrow, .number = 6}, second).ends(0, body, second);
  BOOST_TEST(Story(story).ends(0, group, second).wrong());
  BOOST_TEST(Story(story).ends(0, group, first).right());
}

BOOST_AUTO_TEST_CASE(a_handler_that_hears_of_what_an_owner_is_told_is_wrong) {
  const Step timeout{.what = Do::kTimeout, .time = 100};
  const Step group{.what = Do::kGroup, .object = 1};
  const Step close{.what = Do::kCloseGroup, .object = 1};
  const Step spawn{
      .what = Do::kSpawn, .object = 1, .number = 1, .into = Into::kGroup, .eager = true};
  const Outcome failure{Outcome::kFailure, 5};
  Story story(1);
  story.program.fibers.resize(2);
  story.begins(0, timeout).begins(0, group).begins(0, spawn).fiber_begins(1);
  story.does(1, {.what = Do::kThrow, .number = 5}, failure).fiber_ends(1, failure).ends(0, spawn);
  story.begins(0, kAcquire).at(100).ends(0, kAcquire, kCancelled).does(0, close);
  BOOST_TEST(Story(story).told(failure).wrong());
  story.ends(0, group, kCancelled);
  BOOST_TEST(Story(story).ends(0, timeout, {Outcome::kTimeoutError}).wrong());
  BOOST_TEST(Story(story).ends(0, timeout, failure).right());
}

BOOST_AUTO_TEST_CASE(a_cancellation_of_somebody_else_is_a_failure) {
  const Step all{.what = Do::kTry, .all = true};
  const Step handler{.what = Do::kHandler};
  Story story(3);
  story.begins(1, all).begins(1, kAcquire).does(0, kCancelFirst).ends(1, kAcquire, kCancelled);
  story.begins(1, handler).does(1, {.what = Do::kSave}).ends(1, handler).ends(1, all);
  story.does(2, {.what = Do::kThrowSaved}, kCancelled).fiber_ends(2, kCancelled);
  story.begins(0, {.what = Do::kDrop, .object = 2});
  BOOST_TEST(Story(story).told({Outcome::kTaskCancelled}).right());
  BOOST_TEST(Story(story).told(kCancelled).wrong());
}

BOOST_AUTO_TEST_CASE(only_a_try_takes_what_was_offered_and_its_heir_comes_next) {
  constexpr Step kTryLock{.what = Do::kTryLock};
  constexpr Step kUnlock{.what = Do::kUnlock};
  Story story(4);
  story.does(0, kLock).begins(1, kLock).begins(2, kLock).does(0, kUnlock);
  BOOST_TEST(Story(story).does(3, kLock).wrong());
  BOOST_TEST(Story(story).does(3, kTryLock, kNo).wrong());
  story.does(3, kTryLock);
  BOOST_TEST(Story(story).ends(1, kLock).wrong());
  story.does(3, kUnlock);
  BOOST_TEST(Story(story).ends(2, kLock).wrong());
  BOOST_TEST(Story(story).ends(1, kLock).right());
}

BOOST_AUTO_TEST_CASE(a_try_that_passes_an_heir_over_once_too_often_is_wrong) {
  constexpr Step kTryLock{.what = Do::kTryLock};
  constexpr Step kUnlock{.what = Do::kUnlock};
  constexpr Step kSleep{.what = Do::kSleep, .time = 10};
  Story story(2);
  story.does(0, kLock).begins(1, kLock);
  for (int times = 1; times <= 4; ++times) {
    story.begins(0, kSleep).at(10 * times).ends(0, kSleep);
    if (times < 4) story.does(0, kUnlock).does(0, kTryLock);
  }
  BOOST_TEST(Story(story).does(0, kUnlock).does(0, kTryLock, kNo).wrong());
  story.does(0, kUnlock).does(0, kTryLock).begins(0, kSleep).at(50).ends(0, kSleep);
  story.does(0, kUnlock);
  BOOST_TEST(Story(story).does(0, kTryLock).wrong());
  BOOST_TEST(Story(story).does(0, kTryLock, kNo).right());
}

BOOST_AUTO_TEST_CASE(a_yield_that_overlooks_a_cancellation_meanwhile_is_wrong) {
  const Step yield{.what = Do::kYield};
  Story story(2);
  story.begins(1, yield).does(0, kCancelFirst);
  BOOST_TEST(Story(story).ends(1, yield).wrong());
  BOOST_TEST(Story(story).ends(1, yield, kCancelled).right());
}

BOOST_AUTO_TEST_CASE(what_need_not_wait_lets_nobody_else_run) {
  Story story(2);
  story.begins(0, kRelease);
  BOOST_TEST(Story(story).ends(0, kRelease).right());
  BOOST_TEST(Story(story).begins(1, kLock).wrong());
}

BOOST_AUTO_TEST_SUITE_END()
