// What happens when a call of a process's start, of its streams or of its end fails.

#include "weft/io/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "tests/faults/recovery.h"
#include "tests/faults/seam.h"
#include "tests/support/children.h"
#include "tests/support/temporary_directory.h"
#include "weft/fiber/core/context.h"

BOOST_AUTO_TEST_SUITE(process)

using namespace std::chrono_literals;
using weft::Process;
using weft::Stdio;
using weft::faults::Armed;
using weft::faults::check_recovery;
using weft::faults::may_throw;
using weft::faults::must_throw;
using weft::faults::struck;
using weft::faults::unnoticed;
using weft::test::eventually;
using weft::test::has_child;
using weft::test::TemporaryDirectory;

namespace {

// The body as a fiber, which leaves no child. What cannot be had within the time of a slow machine
// is a hang.
auto in_run(std::function<void()> body) {
  return [body = std::move(body)] {
    weft::run([&] {
      try {
        weft::with_timeout(20s, body);
      } catch (...) {
        BOOST_TEST(!has_child());
        throw;
      }
      BOOST_TEST(!has_child());
    });
  };
}

// Starts one with all that can be had, and talks to it.
void talk(const std::string& directory) {
  const weft::internal::Fd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  Process cat = Process::start({"/bin/cat"}, {.input = Stdio::pipe(),
                                              .output = Stdio::pipe(),
                                              .error = Stdio::append(directory + "/log"),
                                              .directory = directory,
                                              .own_group = true,
                                              .descriptors = {zero.get(), 1, 0}});
  cat.input().write_all({"hello, ", "world"});
  char hello[5];
  const weft::MutableBuffer parts[] = {weft::MutableBuffer(hello, 2),
                                       weft::MutableBuffer(hello + 2, 3)};
  std::size_t size = cat.output().read_some(parts);
  while (size < 5) size += cat.output().read_some(std::span(hello).subspan(size));
  BOOST_TEST(std::string_view(hello, 5) == "hello");
  cat.input().close();
  BOOST_TEST(weft::BufferedReader(cat.output()).read_all() == ", world");
  BOOST_TEST(cat.wait().ok());
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_start_names_the_step_that_failed_and_leaves_nothing) {
  const TemporaryDirectory folder;
  const auto body = in_run([&] { talk(folder.path()); });
  check_recovery("pipe2:EMFILE", must_throw("weft: start /bin/cat: "), body);
  check_recovery("clone:EAGAIN", must_throw("weft: start /bin/cat: make a process: Res"), body);
  check_recovery("clone:ENOMEM", must_throw("weft: start /bin/cat: make a process: Cannot"), body);
  check_recovery("fcntl:EINVAL", must_throw("weft: start /bin/cat: pipe: "), body);
  check_recovery("close:EINTR", unnoticed(), body);
  const std::string log = folder / "log";
  const auto logs = in_run(
      [&] { BOOST_TEST(Process::start({"/bin/true"}, {.output = Stdio::file(log)}).wait().ok()); });
  check_recovery("open:EACCES", must_throw("weft: start /bin/true: open " + log), logs);
}

// These follow no child that shares memory, and so do not see what it counts.
#if !defined(WEFT_TSAN) && !defined(WEFT_VALGRIND)

BOOST_AUTO_TEST_CASE(a_child_that_fails_names_the_step_and_is_reaped) {
  const TemporaryDirectory folder;
  const auto body = in_run([&] { talk(folder.path()); });
  const std::string start = "weft: start /bin/cat: ";
  check_recovery("child_setpgid:EPERM", must_throw(start + "make its process group: "), body);
  check_recovery("child_chdir:EACCES", must_throw(start + "enter " + folder.path()), body);
  check_recovery("child_fcntl:EMFILE", must_throw(start + "pass descriptors on: Too"), body);
  check_recovery("child_dup3:EBUSY", must_throw(start + "pass descriptors on: "), body);
  check_recovery("child_execve:ENOMEM", must_throw(start + "Cannot allocate memory"), body);
  check_recovery("child_execve:ETXTBSY", must_throw(start + "Text file busy"), body);
  // With one more try at each place of the PATH.
  const auto searched = in_run([] {
    const weft::ProcessOptions options{.environment = {"PATH=/nope:/bin:/usr/bin"}};
    BOOST_TEST(Process::start({"true"}, options).wait().ok());
  });
  check_recovery("child_execve:EACCES", unnoticed(), searched);
  check_recovery("child_execve+:EACCES", may_throw("weft: start true: Permission denied"),
                 searched);
}

#endif

namespace {

std::string listed() {
  const weft::internal::Fd leak(open("/dev/null", O_RDONLY)), high(fcntl(leak.get(), F_DUPFD, 700));
  return weft::run_process(weft::shell("cd /proc/self/fd && echo *")).output;
}

}  // namespace

BOOST_AUTO_TEST_CASE(without_close_range_no_descriptor_leaks_either) {
  for (const char* error : {"ENOSYS", "EINVAL", "EPERM"}) {
    in_run([&] {
      const Armed armed(std::string("close_range:1+:") + error);
      BOOST_TEST(listed() == "0 1 2 3\n");
    })();
  }
}

BOOST_AUTO_TEST_CASE(descriptors_that_cannot_be_kept_here_are_an_error) {
  for (const std::string call : {"child_openat:1:EMFILE", "child_getdents64:1:EIO"}) {
    in_run([&] {
      const Armed armed("close_range:1+:ENOSYS," + call);
      try {
        listed();
        BOOST_ERROR("it starts");
      } catch (const std::system_error& error) {
        BOOST_TEST(std::string_view(error.what())
                       .starts_with("weft: start /bin/sh: pass descriptors on: "));
      }
    })();
  }
}

// ---- Kernels without a pidfd --------------------------------------------------------------------

namespace {

// All that waits for the end of a process.
void use_waits() {
  Process cat = Process::start({"/bin/cat"}, {.input = Stdio::pipe()});
  BOOST_TEST(!cat.wait_for(2ms));
  BOOST_CHECK_THROW(weft::with_timeout(2ms, [&] { cat.wait(); }), weft::TimeoutError);
  auto waiting = weft::spawn([&] { return cat.wait(); });
  auto cancelled = weft::spawn([&] { cat.wait(); });
  weft::sleep_for(1ms);
  cancelled.cancel();
  BOOST_CHECK_THROW(cancelled.get(), weft::TaskCancelled);
  cat.input().close();
  BOOST_TEST(waiting.get().ok());
  BOOST_TEST(weft::run_process({"cat"}, {.input = "text"}).output == "text");
  { Process sleeper = Process::start({"sleep", "1000"}); }
  BOOST_TEST(!has_child());
  Process::start({"true"}).detach();
  BOOST_TEST(eventually([] {
    Process::start({"true"}).wait();  // reaps what was detached
    return !has_child();
  }));
}

}  // namespace

BOOST_AUTO_TEST_CASE(without_a_pidfd_it_looks_now_and_then) {
  in_run([] {
    const Armed armed("clone:1+:short");  // as before Linux 5.2
    use_waits();
    BOOST_TEST(struck() > 0);
  })();
}

BOOST_AUTO_TEST_CASE(an_emulator_may_refuse_a_pidfd) {
  check_recovery("clone:EINVAL", unnoticed(), in_run([] {
                   Process cat = Process::start({"/bin/cat"}, {.input = Stdio::pipe()});
                   BOOST_TEST(!cat.wait_for(1ms));
                   cat.input().close();
                   BOOST_TEST(cat.wait().ok());
                 }));
}

BOOST_AUTO_TEST_CASE(a_pidfd_may_be_one_that_cannot_be_waited_for) {
  in_run([] {
    Process cat = Process::start({"/bin/cat"}, {.input = Stdio::pipe()});
    const Armed armed("epoll_ctl:1+:EPERM");  // as in Linux 5.2
    bool others_run = false;
    auto other = weft::spawn([&] {
      weft::sleep_for(1ms);
      others_run = true;
      cat.input().close();
    });
    BOOST_TEST(cat.wait().ok());
    BOOST_TEST(others_run);
    Process::start({"true"}).detach();
    BOOST_TEST(eventually([] {
      Process::start({"true"}).wait();
      return !has_child();
    }));
  })();
}

BOOST_AUTO_TEST_CASE(without_a_pidfd_a_virtual_clock_is_not_run_ahead) {
  weft::run(
      [] {
        const Armed armed("clone:1+:short");
        const auto start = weft::now();
        BOOST_TEST(Process::start({"true"}).wait_for(1h)->ok());
        BOOST_TEST((weft::now() < start + 1h));
      },
      {.virtual_time = true});
}

// ---- Its streams and its end --------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(streams_cope_or_name_the_call) {
  const TemporaryDirectory folder;
  const auto body = in_run([&] { talk(folder.path()); });
  for (const char* call : {"read", "readv", "writev"}) {
    for (const char* fault : {":EINTR", ":EAGAIN", ":short", "+:short"})
      check_recovery(std::string(call) + fault, unnoticed(), body);
  }
  check_recovery("readv:EIO", must_throw("weft: read from output of /bin/cat"), body);
  check_recovery("writev:EIO", must_throw("weft: write to input of /bin/cat"), body);
  check_recovery("epoll_ctl:ENOSPC", must_throw(": No space left on device"), body);
  const auto fed = in_run(
      [] { BOOST_TEST(weft::run_process({"/bin/cat"}, {.input = "text"}).output == "text"); });
#if !defined(WEFT_TSAN) && !defined(WEFT_VALGRIND)  // there it is also how a start is reported
  check_recovery("read:EIO", must_throw("weft: read from "), fed);
#endif
  check_recovery("writev:EIO", must_throw("weft: write to input of /bin/cat"), fed);
  const auto piped = in_run([] { const weft::Pipe pipe; });
  check_recovery("pipe2:EMFILE", must_throw("weft: pipe: "), piped);
  const auto adopted = in_run([] {
    weft::internal::Fd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    weft::FdStream stream = weft::FdStream::adopt(zero.get());
    zero.release();
  });
  check_recovery("fcntl:EACCES", must_throw("weft: adopt descriptor "), adopted);
}

BOOST_AUTO_TEST_CASE(a_wait_that_is_interrupted_goes_on) {
  check_recovery("waitid:EINTR", unnoticed(), [] {
    { Process sleeper = Process::start({"sleep", "1000"}); }  // without fibers
    BOOST_TEST(!has_child());
    BOOST_CHECK_THROW(Process::start({"/nope"}), std::system_error);
    BOOST_TEST(!has_child());
  });
}

BOOST_AUTO_TEST_CASE(an_end_that_cannot_wait_blocks) {
  in_run([] {
    Process sleeper = Process::start({"sleep", "1000"});
    const Armed armed("epoll_ctl:1+:ENOSPC");
    BOOST_CHECK_THROW(sleeper.wait(), std::system_error);
    sleeper = Process();
    BOOST_TEST(!has_child());
  })();
}

BOOST_AUTO_TEST_CASE(a_signal_that_may_not_be_sent_is_an_error) {
  in_run([] {
    Process sleeper = Process::start({"sleep", "1000"});
    {
      const Armed armed("kill:1+:EPERM");
      BOOST_CHECK_THROW(sleeper.kill(SIGTERM), std::system_error);
      BOOST_CHECK_THROW(sleeper.terminate(1ms), std::system_error);
    }
    BOOST_TEST(sleeper.kill(SIGTERM));
    BOOST_TEST(sleeper.wait().signal() == SIGTERM);
  })();
}

BOOST_AUTO_TEST_CASE(what_may_not_be_killed_is_left_and_reaped) {
  in_run([] {
    {
      Process cat = Process::start({"/bin/cat"}, {.input = Stdio::pipe()});
      const Armed armed("kill:1+:EPERM");
      cat = Process();  // does not wait for ever
      BOOST_TEST(struck() > 0);
    }
    BOOST_TEST(eventually([] { return !has_child(); }));
  })();
}

BOOST_AUTO_TEST_SUITE_END()
