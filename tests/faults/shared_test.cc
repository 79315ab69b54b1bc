// What processes share: ProcessLock, ProcessQueue, and descriptors that a child keeps.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "tests/faults/recovery.h"
#include "tests/support/child_process.h"
#include "weft/io/core/shared_fd.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(shared)

using namespace weft::faults;
using namespace std::chrono_literals;
using weft::internal::close_all_but_shared;
using weft::internal::Fd;
using weft::internal::SharedFd;
using weft::test::ChildProcess;

namespace {

// A child that holds the lock, until the end or for this long.
ChildProcess holder_of(weft::ProcessLock& lock, std::optional<weft::Duration> time = {}) {
  return ChildProcess([&lock, time] {
    lock.lock();
    std::fputs("held", stderr);
    if (!time) pause();
    weft::sleep_for(*time);
    lock.unlock();
    pause();
    return 0;
  });
}

}  // namespace

// ---- ProcessLock --------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_lock_that_cannot_be_made_or_taken_says_why) {
  const auto body = [] {
    weft::ProcessLock lock;
    lock.lock();
    BOOST_TEST(!lock.abandoned());
    lock.unlock();
  };
  check_recovery("memfd_create:EMFILE", must_throw("weft: memfd_create: Too many open files"),
                 body);
  check_recovery("eventfd:EMFILE", must_throw("weft: eventfd: Too many open files"), body);
  check_recovery("fcntl:ENOLCK", may_throw("weft: fcntl of a ProcessLock: No locks"), body);
}

BOOST_AUTO_TEST_CASE(a_wait_without_pidfds_looks_again_and_again) {
  weft::ProcessLock lock;
  {
    ChildProcess holder = holder_of(lock);
    BOOST_TEST(holder.await("held"));
    const auto body = [&] { BOOST_TEST(!lock.try_lock_for(1ms)); };
    for (const char* fault :
         {"pidfd_open:ENOSYS", "pidfd_open:EMFILE", "pidfd_open:ESRCH", "ppoll:EINTR"}) {
      check_recovery(fault, unnoticed(), body);
    }
    check_recovery("ppoll:ENOMEM", must_throw("weft: ProcessLock::lock: Cannot allocate"), body);
  }
  ChildProcess holder = holder_of(lock, 3ms);
  BOOST_TEST(holder.await("held"));
  const Armed armed("pidfd_open:1+:ENOSYS");
  lock.lock();
  BOOST_TEST(!lock.abandoned());
  lock.unlock();
}

// ---- ProcessQueue -------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_queue_that_cannot_be_made_says_why) {
  const auto body = [] { weft::ProcessQueue<int> queue(10'000); };
  check_recovery("socketpair:EMFILE", must_throw("weft: socketpair for a ProcessQueue: Too many"),
                 body);
  check_recovery("setsockopt:EINVAL", must_throw("weft: setsockopt for a ProcessQueue: Invalid"),
                 body);
}

BOOST_AUTO_TEST_CASE(an_item_that_cannot_be_passed_is_not_there) {
  for (const std::size_t size : {1'000, 1'000'000}) {
    const auto body = [size] {
      weft::ProcessQueue<std::string> queue;
      queue.push(std::string(size, 'x'));
      BOOST_TEST(queue.pop().size() == size);
      BOOST_TEST(!queue.try_pop().has_value());
    };
    check_recovery("sendmsg:EIO", must_throw("weft: sendmsg to a ProcessQueue: Input/output"),
                   body);
    check_recovery("sendmsg:EPIPE", must_throw("weft: the queue is closed"), body);
    check_recovery("recvmsg:EIO", must_throw("weft: recvmsg from a ProcessQueue: Input/output"),
                   body);
    check_recovery("sendmsg:EINTR", unnoticed(), body);
    check_recovery("recvmsg:EINTR", unnoticed(), body);
    if (size < 65'536) continue;
    check_recovery("memfd_create:EMFILE", must_throw("weft: memfd_create: Too many open files"),
                   body);
    check_recovery("pwrite:ENOSPC", must_throw("weft: pwrite of an item of a ProcessQueue"), body);
    check_recovery("pread:EIO", must_throw("weft: pread of an item of a ProcessQueue"), body);
    for (const char* call : {"pwrite", "pread"}) {
      check_recovery(std::string(call) + ":EINTR", unnoticed(), body);
      check_recovery(std::string(call) + "+:short", unnoticed(), body);
    }
  }
}

// ---- Descriptors --------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(without_close_range_a_child_closes_the_same) {
  const Fd before(eventfd(0, EFD_CLOEXEC));
  const SharedFd kept(Fd(eventfd(0, EFD_CLOEXEC)));
  const Fd after(eventfd(0, EFD_CLOEXEC));
  const auto end = weft::test::run_in_child([&] {
    const Armed armed("close_range:1+:ENOSYS");
    close_all_but_shared({});
    const auto is_open = [](const auto& fd) { return fcntl(fd.get(), F_GETFD) >= 0; };
    return struck() > 0 && is_open(kept) && !is_open(before) && !is_open(after) ? 0 : 1;
  });
  BOOST_TEST(end.exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
