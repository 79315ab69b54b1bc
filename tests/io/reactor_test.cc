#include "weft/io/core/reactor.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(reactor)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(a_past_deadline_only_polls) {
  Reactor reactor;
  BOOST_TEST(!reactor.wait(kPast));
  BOOST_TEST(!reactor.wait(TimePoint()));
  BOOST_TEST(!reactor.wait(reactor.now()));
  BOOST_TEST(!reactor.wait(reactor.now() - 1h));
}

BOOST_AUTO_TEST_CASE(a_wait_ends_at_its_deadline_and_not_before) {
  Reactor reactor;
  for (const Duration time : {Duration(1ns), Duration(50us), Duration(1ms), Duration(3ms)}) {
    const TimePoint deadline = reactor.now() + time;
    while (reactor.now() < deadline) BOOST_TEST(!reactor.wait(deadline));
    BOOST_TEST((reactor.now() >= deadline));
  }
}

BOOST_AUTO_TEST_CASE(a_wait_that_returns_without_an_event_was_not_early) {
  Reactor reactor;
  for (int i = 0; i < 20; ++i) {
    const TimePoint deadline = reactor.now() + 100us;
    BOOST_TEST(!reactor.wait(deadline));
    BOOST_TEST((reactor.now() >= deadline));
  }
}

BOOST_AUTO_TEST_CASE(a_wake_ends_the_next_wait_once) {
  Reactor reactor;
  reactor.wake();
  reactor.wake();
  BOOST_TEST(reactor.wait(kForever));
  BOOST_TEST(!reactor.wait(kPast));
  reactor.wake();
  BOOST_TEST(reactor.wait(kPast));
  BOOST_TEST(!reactor.wait(kPast));
}

BOOST_AUTO_TEST_CASE(a_wake_ends_a_wait_that_is_under_way) {
  Reactor reactor;
  for (int i = 0; i < 200; ++i) {
    std::thread waker([&] {
      for (int pause = i % 20; pause > 0; --pause) std::this_thread::yield();
      reactor.wake();
    });
    BOOST_TEST(reactor.wait(i % 2 ? kForever : reactor.now() + 1h));
    waker.join();
  }
}

BOOST_AUTO_TEST_CASE(a_wake_keeps_errno) {
  Reactor reactor;
  errno = EILSEQ;
  for (int i = 0; i < 10; ++i) reactor.wake();
  BOOST_TEST(errno == EILSEQ);
}

BOOST_AUTO_TEST_CASE(no_descriptor_is_left) {
  const auto before = open_descriptors();
  {
    Reactor first, second;
    BOOST_TEST(open_descriptors() == before + 4);
  }
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(running_out_of_descriptors_is_an_error_that_names_the_call) {
  // So many descriptors are allowed while it lives.
  struct Limit {
    explicit Limit(rlim_t count) {
      getrlimit(RLIMIT_NOFILE, &usual);
      const rlimit low{count, usual.rlim_max};
      setrlimit(RLIMIT_NOFILE, &low);
    }
    ~Limit() { setrlimit(RLIMIT_NOFILE, &usual); }
    rlimit usual{};
  };
  // UBSan needs descriptors to look at a type for the first time.
  const std::system_error first(std::make_error_code(std::errc::too_many_files_open));
  BOOST_TEST((first.code() == std::errc::too_many_files_open));

  std::string said;
  // Somewhere on the way there is room for none, for one, and for all.
  const auto in_use = static_cast<rlim_t>(open_descriptors());
  for (rlim_t limit = 0; limit < in_use + 16; ++limit) {
    try {
      const Limit low(limit);
      const Reactor reactor;
    } catch (const std::system_error& error) {
      BOOST_TEST((error.code() == std::errc::too_many_files_open));
      said += error.what();
    }
  }
  BOOST_TEST(said.find("epoll_create1") != std::string::npos);
  BOOST_TEST(said.find("eventfd") != std::string::npos);
}

#if !defined(WEFT_VALGRIND)

// As some sandboxes do that are older than the call.
BOOST_AUTO_TEST_CASE(where_epoll_pwait2_is_forbidden_it_sleeps_all_the_same) {
  const ChildEnd end = run_in_child([] {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 2;
    rusage before{}, after{};
    getrusage(RUSAGE_THREAD, &before);
    run([] { sleep_for(300ms); });
    getrusage(RUSAGE_THREAD, &after);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    const double used = seconds(after.ru_utime) + seconds(after.ru_stime) -
                        seconds(before.ru_utime) - seconds(before.ru_stime);
    return used < 0.15 ? 0 : 3;
  });
  BOOST_TEST(end.exit_code == 0, end.said);
}

#endif

BOOST_AUTO_TEST_SUITE_END()
