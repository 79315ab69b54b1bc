#include "weft/io/runtime.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(runtime)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// In a forked child, where it would hang otherwise: f must return without a hang or an abort.
template <class F>
void check_in_child(F f) {
  const ChildEnd end = run_in_child([&] {
    alarm(5);
    return f() ? 7 : 8;
  });
  BOOST_TEST(end.signal == 0);
  BOOST_TEST(end.exit_code == 7, end.said);
}

template <class Exception, class F>
bool throws(F f) {
  try {
    f();
  } catch (const Exception&) {
    return true;
  }
  return false;
}

Duration cpu_time() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace

// ---- Standard descriptors ----

// Without stdin, stdout and stderr: what weft opens next would get their numbers.
BOOST_AUTO_TEST_CASE(no_socket_becomes_a_standard_descriptor_that_is_closed) {
  const std::vector<std::function<int()>> opened_first = {
      [] { return TcpListener("127.0.0.1:0").native_handle(); },
      [] { return UdpSocket("127.0.0.1:0").native_handle(); },
      [] { return UnixListener("@weft " + std::to_string(getpid())).native_handle(); },
      [] { return UnixStream::pair().first.native_handle(); },
      [] { return run([] { return TcpListener("127.0.0.1:0").native_handle(); }); },
      // A runtime and a SignalSet have two descriptors or one of their own, which cannot be seen.
      [] { return run([] { return open("/dev/null", O_RDONLY); }); },
      [] {
        const SignalSet signals({SIGUSR1});
        return open("/dev/null", O_RDONLY);
      },
  };
  for (const auto& open_one : opened_first) {
    check_in_child([&] {
      for (const int fd : {0, 1, 2}) close(fd);
      bool right = open_one() > 2;
      char byte = '?';
      right &= read(0, &byte, 1) == 0;
      for (const int fd : {1, 2}) right &= write(fd, "text", 4) == 4;
      for (const int fd : {0, 1, 2}) right &= fcntl(fd, F_GETFD) == 0;  // a program inherits them
      return right;
    });
  }
}

BOOST_AUTO_TEST_CASE(standard_descriptors_that_are_open_stay_as_they_are) {
  check_in_child([] {
    const int directory = open("/", O_RDONLY | O_DIRECTORY);
    dup2(directory, 1);
    close(0);
    run([] {});
    struct stat root {
    }, out{};
    stat("/", &root);
    fstat(1, &out);
    return root.st_ino == out.st_ino && fcntl(0, F_GETFD) == 0;
  });
}

BOOST_AUTO_TEST_CASE(without_a_dev_null_the_numbers_are_taken_all_the_same) {
  const TemporaryDirectory empty;
  check_in_child([&] {
    if (chroot(empty.path().c_str()) != 0 || chdir("/") != 0) return true;  // it needs to be root
    for (const int fd : {0, 1, 2}) close(fd);
    char byte = '?';
    return run([] { return TcpListener("127.0.0.1:0").native_handle() > 2; }) &&
           read(0, &byte, 1) < 0 && write(2, "text", 4) < 0;
  });
}

// ---- run ----------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(run_returns_the_result_of_main) {
  int variable = 0;
  BOOST_TEST(run([] { return 7; }) == 7);
  run([] {});
  BOOST_TEST(*run([] { return std::make_unique<int>(7); }) == 7);
  BOOST_TEST(&run([&]() -> int& { return variable; }) == &variable);
  BOOST_TEST(run([moved = std::make_unique<int>(7)] { return *moved; }) == 7);
}

BOOST_AUTO_TEST_CASE(run_throws_the_exception_of_main) {
  BOOST_CHECK_EXCEPTION(run([]() -> int { throw std::runtime_error("of main"); }),
                        std::runtime_error,
                        [](const auto& error) { return error.what() == std::string("of main"); });
}

BOOST_AUTO_TEST_CASE(main_is_a_task_called_main) {
  BOOST_TEST(run([] { return current_task().name; }) == "main");
}

BOOST_AUTO_TEST_CASE(bad_options_are_refused) {
  const auto f = [] {};
  BOOST_CHECK_THROW(run(f, {.threads = 0}), std::invalid_argument);
  BOOST_CHECK_THROW(run(f, {.stack_size = 4096}), std::invalid_argument);
  BOOST_CHECK_THROW(run(std::function<void()>()), std::invalid_argument);
  void (*const null)() = nullptr;
  BOOST_CHECK_THROW(run(null), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(runs_do_not_nest) {
  check_in_child([] { return run([] { return throws<std::logic_error>([] { run([] {}); }); }); });
}

BOOST_AUTO_TEST_CASE(a_runtime_cannot_be_run_by_its_own_fibers) {
  check_in_child([] {
    Runtime runtime;
    return runtime.run([&] {
      return throws<std::logic_error>([&] { runtime.run([] {}); }) &&
             throws<std::logic_error>([&] { runtime.run_forever(); });
    });
  });
}

BOOST_AUTO_TEST_CASE(a_runtime_cannot_be_run_by_the_fibers_of_another) {
  check_in_child([] {
    Runtime outer, other;
    return outer.run([&] {
      return throws<std::logic_error>([&] { other.run([] {}); }) &&
             throws<std::logic_error>([&] { other.run_forever(); });
    });
  });
}

BOOST_AUTO_TEST_CASE(a_run_ends_as_soon_as_nothing_is_left) {
  const TimePoint start = Clock::now();
  for (int i = 0; i < 3; ++i) run([] { return std::string("a result to be destroyed"); });
  BOOST_TEST((Clock::now() - start < 4s));
}

BOOST_AUTO_TEST_CASE(a_runtime_that_never_ran_may_be_destroyed) {
  Runtime runtime;
  BOOST_TEST(runtime.schedulers().size() == 1u);
}

BOOST_AUTO_TEST_CASE(no_thread_and_no_descriptor_is_left) {
  const auto before = open_descriptors();
  for (int i = 0; i < 100; ++i) run([] {});
  BOOST_TEST(open_descriptors() == before);
}

// ---- Runtime ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(tasks_survive_from_one_run_to_the_next) {
  int ticks = 0;
  Runtime runtime({.virtual_time = true});
  const auto start = runtime.run([&] {
    spawn([&] {
      for (;;) sleep_for(1s), ++ticks;
    }).detach();
    return now();
  });
  BOOST_TEST(ticks == 0);
  runtime.run([] { sleep_for(10s + 1ns); });
  BOOST_TEST(ticks == 10);
  auto task = runtime.run([] { return spawn([] { return now(); }); });
  BOOST_TEST(!task.done());
  const auto end = runtime.run([&] { return task.get(); });
  BOOST_TEST((end == start + 10s + 1ns));
}

BOOST_AUTO_TEST_CASE(a_run_may_fail_and_be_followed_by_another) {
  Runtime runtime;
  BOOST_CHECK_THROW(runtime.run([] { throw std::runtime_error("once"); }), std::runtime_error);
  BOOST_TEST(runtime.run([] { return 7; }) == 7);
}

BOOST_AUTO_TEST_CASE(current_is_that_of_the_calling_fiber) {
  BOOST_CHECK_THROW(Runtime::current(), std::logic_error);
  Runtime first;
  {
    Runtime second;
    BOOST_TEST(first.run([] { return &Runtime::current(); }) == &first);
    BOOST_TEST(second.run([] { return &Runtime::current(); }) == &second);
    BOOST_TEST(
        first.run([] { return Runtime::current().schedulers().front() == &Scheduler::current(); }));
    BOOST_CHECK_THROW(Runtime::current(), std::logic_error);
  }
  BOOST_CHECK_THROW(Runtime::current(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(current_is_known_while_the_runtime_ends) {
  Runtime* seen = nullptr;
  Runtime* expected = nullptr;
  {
    Runtime runtime({.virtual_time = true});
    expected = &runtime;
    runtime.run([&] {
      spawn(when_cancelled([&] { seen = &Runtime::current(); })).detach();
      yield();
    });
  }
  BOOST_TEST(seen == expected);
}

BOOST_AUTO_TEST_CASE(run_forever_lasts_until_a_fiber_stops_it) {
  int ran = 0;
  Runtime runtime({.virtual_time = true});
  runtime.run([&] {
    Scheduler::current().call_later(1h, [&] {
      ++ran;
      Runtime::current().stop();
      ++ran;
    });
  });
  BOOST_TEST(ran == 0);
  runtime.run_forever();
  BOOST_TEST(ran == 2);
}

BOOST_AUTO_TEST_CASE(run_forever_lasts_until_another_thread_stops_it) {
  Runtime runtime;
  for (int i = 0; i < 100; ++i) {
    std::thread stopper([&] { runtime.stop(); });
    runtime.run_forever();
    stopper.join();
  }
  runtime.stop();
  runtime.run_forever();
}

BOOST_AUTO_TEST_CASE(other_threads_post_to_a_runtime) {
  Runtime runtime;
  std::thread poster([&] {
    runtime.schedulers().front()->post([] {
      sleep_for(1ms);
      Runtime::current().stop();
    });
  });
  runtime.run_forever();
  poster.join();
}

BOOST_AUTO_TEST_CASE(a_stop_does_not_end_run_before_main) {
  check_in_child([] {
    Runtime runtime;
    runtime.stop();
    if (runtime.run([] { return sleep_for(1ms), 7; }) != 7) return false;
    return runtime.run([] {
      Runtime::current().stop();
      sleep_for(1ms);
      return 7;
    }) == 7;
  });
}

BOOST_AUTO_TEST_CASE(what_main_captured_may_wait_when_it_is_destroyed) {
  check_in_child([] {
    struct Waits {
      explicit Waits(bool& its_done) : done(&its_done) {}
      Waits(Waits&& other) noexcept : done(std::exchange(other.done, nullptr)) {}
      ~Waits() {
        if (done) sleep_for(1ms), *done = true;
      }
      bool* done;
    };
    bool done = false;
    const int result = run([waits = Waits(done)] { return 7; });
    return result == 7 && done;
  });
}

// ---- The end ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_end_cancels_what_is_left_and_waits_for_it) {
  std::string order;
  run(
      [&] {
        spawn(when_cancelled([&] {
          order += 'b';
          shield([] { sleep_for(1s); });
          order += 'c';
        })).detach();
        Scheduler::current().call_later(500ms, [] { BOOST_ERROR("a pending call ran"); });
        yield();
        spawn([] { BOOST_ERROR("started after the end of main"); }).detach();
        order += 'a';
      },
      {.virtual_time = true});
  BOOST_TEST(order == "abc");
}

BOOST_AUTO_TEST_CASE(what_is_left_may_use_a_group_on_all_schedulers_at_the_end) {
  std::atomic<int> helped{0};
  run(
      [&] {
        spawn(when_cancelled([&] {
                shield([&] {
                  spread([&] { sleep_for(1s), ++helped; });
                  gather([&] { sleep_for(1s), ++helped; });
                });
              }),
              {.on = Runtime::current().schedulers()[1]})
            .detach();
        sleep_for(1s);
      },
      {.threads = 3, .virtual_time = true});
  BOOST_TEST(helped == 4);
}

BOOST_AUTO_TEST_CASE(what_is_left_may_start_and_join_helpers_at_the_end) {
  bool helped = false;
  run(
      [&] {
        spawn(when_cancelled([&] {
          shield([&] {
            auto helper = spawn([] { return sleep_for(1s), 7; });
            helped = helper.get() == 7;
          });
        })).detach();
        yield();
      },
      {.virtual_time = true});
  BOOST_TEST(helped);
}

BOOST_AUTO_TEST_CASE(what_is_detached_at_the_end_is_cancelled) {
  bool cancelled = false;
  run(
      [&] {
        spawn(when_cancelled([&] {
          auto helper = spawn(when_cancelled([&] { cancelled = true; }), {.eager = true});
          helper.detach();
        })).detach();
        yield();
      },
      {.virtual_time = true});
  BOOST_TEST(cancelled);
}

BOOST_AUTO_TEST_CASE(what_is_detached_at_the_end_on_another_scheduler_is_cancelled_at_once) {
  Duration took = 1h;
  run(
      [&] {
        const auto help = [&, start = now()](Event& begun) {
          try {
            begun.set();
            sleep_for(1h);
          } catch (const Cancelled&) {
            took = now() - start;
          }
        };
        spawn([help, other = Runtime::current().schedulers()[1]] {
          try {
            sleep_for(1h);
          } catch (const Cancelled&) {
            Event begun;
            auto helper = spawn([help, &begun] { help(begun); }, {.on = other});
            shield([&] { begun.wait(); });  // from now on only who detaches it can cancel it
            helper.detach();
          }
        }).detach();
        yield();
      },
      {.threads = 2, .virtual_time = true});
  BOOST_TEST(took.count() == 0);
}

BOOST_AUTO_TEST_CASE(the_end_waits_for_fibers_in_the_state_that_a_failed_main_leaves) {
  bool cleaned = false;
  BOOST_CHECK_THROW(run(
                        [&] {
                          auto task = spawn([&] {
                            struct Cleanup {
                              bool& cleaned;
                              ~Cleanup() { sleep_for(1s), cleaned = true; }
                            } const cleanup{cleaned};
                            sleep_for(1h);
                          });
                          yield();
                          throw std::runtime_error("of main");
                        },
                        {.virtual_time = true}),
                    std::runtime_error);
  BOOST_TEST(cleaned);
}

BOOST_AUTO_TEST_CASE(a_task_spawned_by_a_thread_during_the_end_does_not_outlast_it) {
  // The spawn comes while the runtime waits for a fiber in a shield.
  Task<void> late;
  const TimePoint start = Clock::now();
  {
    Runtime runtime;
    Scheduler* const scheduler = runtime.schedulers().front();
    runtime.run([&] {
      spawn(when_cancelled([&, scheduler] {
        std::thread([&] { late = spawn([] { sleep_for(1h); }, {.on = scheduler}); }).join();
      })).detach();
      yield();
    });
  }
  BOOST_TEST((Clock::now() - start < 4s), "the end waited until it lost its patience");
  BOOST_CHECK_THROW(late.get(), TaskCancelled);
}

// ---- Real time ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(short_sleeps_are_kept) {
  constexpr Duration kSleep = 100us;
  std::vector<Duration> took;
  run([&] {
    for (int i = 0; i < 200; ++i) {
      const TimePoint start = Clock::now();
      sleep_for(kSleep);
      took.push_back(Clock::now() - start);
    }
  });
  BOOST_TEST((*std::min_element(took.begin(), took.end()) >= kSleep), "a sleep was early");
  std::nth_element(took.begin(), took.begin() + 100, took.end());
  BOOST_TEST((took[100] < 2ms), "the median is " << took[100].count() << " ns");
}

BOOST_AUTO_TEST_CASE(an_idle_runtime_uses_no_cpu) {
  run([] {
    sleep_for(1ms);
    const Duration before = cpu_time();
    sleep_for(50ms);
    BOOST_TEST((cpu_time() - before < 10ms));
  });
}

BOOST_AUTO_TEST_CASE(what_is_left_for_the_pool_may_wait_for_what_it_starts) {
  bool cancelled = false;
  run([&] {
    internal::default_thread_pool().post([&cancelled, here = &Scheduler::current()] {
      // The runtime may be anywhere on its way to its end.
      while (!cancelled) {
        auto task = spawn([] { sleep_for(1h); }, {.on = here});
        if (!task.wait_for(1ms)) continue;
        BOOST_CHECK_THROW(task.get(), TaskCancelled);
        cancelled = true;
      }
    });
  });
  BOOST_TEST(cancelled);
}

BOOST_AUTO_TEST_CASE(virtual_time_does_not_spin) {
  run([] { sleep_for(1h); }, {.virtual_time = true, .spin = 1h});
}

BOOST_AUTO_TEST_CASE(one_may_spin_for_ever) {
  run([] { sleep_for(1ms); }, {.spin = Duration::max()});
}

// Whether it spins or sleeps shows in who has to be woken: a spinning thread needs no wake-up,
// which would be a voluntary switch of contexts.
BOOST_AUTO_TEST_CASE(a_scheduler_that_spins_does_not_sleep) {
  const auto sleeps = [] {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
  };
  const auto waits = [&] {
    const long before = sleeps();
    for (int i = 0; i < 10; ++i) sleep_for(1ms);
    return sleeps() - before;
  };
  BOOST_TEST(run(waits) >= 10);
  BOOST_TEST(run(waits, {.spin = 10ms}) < 10);
}

BOOST_AUTO_TEST_SUITE_END()
