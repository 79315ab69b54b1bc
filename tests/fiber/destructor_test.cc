// Waits in destructors: on the normal path, during unwinding, in a fiber that is cancelled.

#include <functional>
#include <stdexcept>
#include <string>

#include "tests/support/child_process.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "weft/fiber/timeout.h"

BOOST_AUTO_TEST_SUITE(destructor)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Calls f() when it is destroyed.
class AtEnd {
 public:
  explicit AtEnd(std::function<void()> f) : f_(std::move(f)) {}
  ~AtEnd() { f_(); }
  AtEnd(const AtEnd&) = delete;
  AtEnd& operator=(const AtEnd&) = delete;

 private:
  const std::function<void()> f_;
};

// Calls f() in a destructor that unwinding calls, in each of the ways in which a stack unwinds.
void unwind_through(const std::function<void()>& f) {
  BOOST_CHECK_THROW(
      {
        const AtEnd end(f);
        throw std::runtime_error("test");
      },
      std::runtime_error);
  BOOST_CHECK_THROW(with_timeout(1s,
                                 [&] {
                                   const AtEnd end(f);
                                   sleep_for(24h);
                                 }),
                    TimeoutError);
  auto task = spawn([&] {
    const AtEnd end(f);
    sleep_for(1000h);
  });
  sleep_for(1s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
}

}  // namespace

// ---- shield_for ---------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(shield_for_says_whether_f_has_ended) {
  const TimePoint start = now();
  BOOST_TEST(shield_for(2s, [] { sleep_for(1s); }));
  BOOST_TEST((now() == start + 1s));
  BOOST_TEST(!shield_for(2s, [] { sleep_for(1h); }));
  BOOST_TEST((now() == start + 3s));
  sleep_for(1s);  // what comes afterwards is not cancelled
}

WEFT_SHUFFLED_TEST_CASE(shield_for_is_not_cancelled_but_ends_in_time) {
  std::string order;
  auto task = spawn([&] {
    const AtEnd second([&] { order += shield_for(1s, [] { sleep_for(2s); }) ? 'x' : 'b'; });
    const AtEnd first([&] { order += shield_for(2s, [] { sleep_for(1s); }) ? 'a' : 'x'; });
    sleep_for(1h);
  });
  run_until_blocked();
  const TimePoint start = now();
  task.cancel();
  task.wait();
  BOOST_TEST(order == "ab");
  BOOST_TEST((now() == start + 2s));
}

WEFT_SHUFFLED_TEST_CASE(a_destructor_that_nothing_unwinds_may_be_cancelled_in_it) {
  bool ended = false;
  auto task =
      spawn([&] { const AtEnd end([&] { ended = shield_for(5s, [] { sleep_for(2s); }); }); });
  sleep_for(1s);
  task.cancel();
  task.wait();
  BOOST_TEST(ended);
}

WEFT_SHUFFLED_TEST_CASE(shield_for_holds_while_the_stack_unwinds) {
  unwind_through([] {
    const TimePoint start = now();
    BOOST_TEST(!shield_for(1s, [] { sleep_for(1h); }));
    BOOST_TEST((now() == start + 1s));
    BOOST_TEST(shield_for(2s, [] { sleep_for(1s); }));
  });
}

WEFT_TEST_CASE(no_time_at_all_ends_f_at_its_first_wait) {
  const TimePoint start = now();
  bool began = false;
  BOOST_TEST(!shield_for(0s, [&] { began = true, sleep_for(1h); }));
  BOOST_TEST(!shield_for(-1s, [] { sleep_for(1h); }));
  BOOST_TEST(shield_for(0s, [] {}));
  BOOST_TEST(began);
  BOOST_TEST((now() == start));
}

WEFT_TEST_CASE(shield_for_passes_exceptions_of_f_on) {
  BOOST_CHECK_THROW(shield_for(1s, [] { throw std::runtime_error("test"); }), std::runtime_error);
  BOOST_CHECK_THROW(shield_for(2s, [] { with_timeout(1s, [] { sleep_for(1h); }); }), TimeoutError);
  const std::function<void()> null;
  BOOST_CHECK_THROW(shield_for(1s, null), std::invalid_argument);
}

WEFT_SHUFFLED_TEST_CASE(a_failure_that_f_destroys_on_its_way_out_is_thrown) {
  BOOST_CHECK_EXCEPTION(shield_for(1s,
                                   [] {
                                     auto task = spawn([] { throw Failure("kept"); });
                                     sleep_for(1h);
                                   }),
                        Failure, says("kept"));
}

BOOST_AUTO_TEST_CASE(shield_for_on_a_plain_thread_just_calls_f) {
  bool ran = false;
  BOOST_TEST(shield_for(0s, [&] { sleep_for(1ms), ran = true; }));
  BOOST_TEST(ran);
}

// ---- Scopes of the destructor's own -------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_timeout_holds_while_the_stack_unwinds) {
  unwind_through([] {
    const TimePoint start = now();
    BOOST_CHECK_THROW(with_timeout(1s, [] { sleep_for(1h); }), TimeoutError);
    BOOST_CHECK_THROW(with_timeout(0s,
                                   [] {
                                     for (;;) yield();
                                   }),
                      TimeoutError);
    BOOST_TEST((now() == start + 1s));
    BOOST_TEST(with_timeout(2s, [] { return sleep_for(1s), 7; }) == 7);
  });
}

WEFT_SHUFFLED_TEST_CASE(a_group_s_body_is_interrupted_while_the_stack_unwinds) {
  unwind_through([] {
    const TimePoint start = now();
    const auto body = [](TaskGroup& group) {
      group.spawn([] { sleep_for(1s), throw Failure("child"); });
      sleep_for(1h);
    };
    BOOST_CHECK_EXCEPTION(with_task_group(body), Failure, says("child"));
    BOOST_TEST((now() == start + 1s));
  });
}

// Cancelled would have to leave the destructor.
WEFT_SHUFFLED_TEST_CASE(a_scope_of_the_destructor_s_own_lets_no_other_cancellation_in) {
  std::string order;
  auto task = spawn([&] {
    const AtEnd end([&] {
      const TimePoint start = now();
      BOOST_CHECK_THROW(with_timeout(5s, [] { sleep_for(1h); }), TimeoutError);
      BOOST_TEST((now() == start + 5s));
      with_timeout(5s, [] { sleep_for(1s); });
      yield();
      order += 'a';
    });
    BOOST_CHECK_THROW(with_timeout(1s,
                                   [&] {
                                     const AtEnd inner([&] {
                                       // The one around has expired, too, and wants it no more.
                                       BOOST_CHECK_THROW(with_timeout(1s, [] { sleep_for(1h); }),
                                                         TimeoutError);
                                       order += 'b';
                                     });
                                     sleep_for(1h);
                                   }),
                      TimeoutError);
    sleep_for(1h);
  });
  sleep_for(10s);
  task.cancel();
  sleep_for(1s);
  task.cancel();
  BOOST_CHECK_THROW(task.get(), TaskCancelled);
  BOOST_TEST(order == "ba");
}

WEFT_SHUFFLED_TEST_CASE(an_exception_in_the_destructor_s_own_scope_unwinds_uninterrupted) {
  unwind_through([] {
    const auto fail = [] {
      const AtEnd end([] { sleep_for(2s); });  // the time passes meanwhile
      throw std::runtime_error("inner");
    };
    const TimePoint start = now();
    BOOST_CHECK_THROW(with_timeout(1s, fail), std::runtime_error);
    BOOST_TEST((now() == start + 2s));
  });
}

WEFT_SHUFFLED_TEST_CASE(a_failure_found_in_the_destructor_s_own_scope_goes_to_the_handler_at_once) {
  std::string order;
  Scheduler::current().set_exception_handler([&](std::exception_ptr) { order += 'h'; });
  unwind_through([&] {
    shield_for(1h, [&] {
      auto task = spawn([] { throw Failure("lost"); });
      task.wait();
    });
    order += 'a';
    with_timeout(1h, [&] {
      auto task = spawn([] { throw Failure("lost"); });
      task.wait();
      task = {};
      order += 'b';
    });
  });
  sleep_for(1h);
  BOOST_TEST(order.size() == 12u, order);
  BOOST_TEST(order.find("hb") != order.npos, order);
}

// ---- A peer that does not read ------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_keeps_no_run_from_ending) {
  for (const bool fails : {false, true}) {
    std::size_t written = 1;
    std::error_code error;
    const auto serve = [&] {
      TcpListener listener("127.0.0.1:0");
      TcpStream peer = TcpStream::connect(listener.local_address());
      TcpStream stream = listener.accept();
      const AtEnd goodbye([&] {
        const std::string much(64 << 20, 'x');
        BOOST_TEST(shield_for(50ms, [&] { written = stream.write_some(much, error); }));
        BOOST_TEST(!shield_for(50ms, [&] { stream.write_all(much); }));
      });
      if (fails) throw std::runtime_error("test");
    };
    if (fails) {
      BOOST_CHECK_THROW(run(serve), std::runtime_error);
    } else {
      run(serve);
    }
    BOOST_TEST(!error);
    BOOST_TEST(written > 0u);
  }
}

// ---- Where it is done wrong ---------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(cancelled_that_leaves_a_destructor_ends_the_program_with_a_sentence) {
  const ChildEnd end = run_in_child([] {
    run(
        [] {
          auto task = spawn([] { const AtEnd end([] { sleep_for(1h); }); }, {.name = "careless"});
          run_until_blocked();
          task.cancel();
          task.wait();
        },
        {.virtual_time = true});
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(
      end.said.find("\"careless\" is cancelled, and waits in a destructor or another noexcept "
                    "function, which Cancelled may not leave; weft::shield_for() is for "
                    "that\n") != end.said.npos,
      end.said);
}

BOOST_AUTO_TEST_CASE(another_end_of_the_program_says_nothing_of_cancelled) {
  const ChildEnd end = run_in_child([] {
    run([] { const AtEnd end([] { throw std::runtime_error("test"); }); });
    return 0;
  });
  BOOST_TEST(end.signal == SIGABRT);
  BOOST_TEST(end.said == "");
}

BOOST_AUTO_TEST_SUITE_END()
