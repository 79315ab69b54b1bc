// A pool of processes. A fault is armed in its template and its workers, too, each of which counts
// its own calls on.

#include <string>

#include "tests/faults/recovery.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(pool)

using namespace weft::faults;
using namespace std::chrono_literals;

namespace {

std::size_t length(const std::string& text) { return text.size(); }

// A new worker, a used one, and a large job.
void use_a_pool() {
  weft::ProcessPool pool({.workers = 1, .cpu_limit = 1000s});
  weft::run([&] {
    for (const std::size_t size : {1, 2, 300'000}) {
      BOOST_TEST(weft::run_in_process(pool, &length, std::string(size, 'x')) == size);
    }
  });
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_pool_without_sockets_says_so) {
  check_recovery("socketpair:EMFILE", must_throw("weft: socketpair: Too many"), &use_a_pool);
  check_recovery("fcntl:EINVAL", may_throw("weft: socketpair: Invalid"), &use_a_pool);
}

BOOST_AUTO_TEST_CASE(a_pool_that_cannot_be_forked_says_so) {
  check_recovery("fork:EAGAIN", may_throw("weft: fork"), &use_a_pool);
}

BOOST_AUTO_TEST_CASE(a_job_that_cannot_be_sent_or_awaited_says_so) {
  check_recovery("send:ENOBUFS", may_throw("weft: "), &use_a_pool);
  check_recovery("recv:ENOMEM", may_throw("weft: "), &use_a_pool);
  check_recovery("sendmsg:ENOBUFS", may_throw("weft: "), &use_a_pool);
  check_recovery("epoll_ctl:ENOMEM", may_throw("weft: "), &use_a_pool);
}

BOOST_AUTO_TEST_CASE(a_failure_in_the_template_or_a_worker_hangs_nothing_and_leaves_nothing) {
  use_a_pool();
  const auto before = descriptors();
  for (const std::string call :
       {"ppoll", "pidfd_open", "recvmsg", "fork", "send", "recv", "sendmsg"}) {
    for (int turn = 1; turn <= 4; ++turn) {
      const std::string fault = call + ":" + std::to_string(turn) + ":ENOMEM";
      BOOST_TEST_CONTEXT(fault) {
        const Armed armed(fault);
        try {
          use_a_pool();
        } catch (const std::exception& error) {
          BOOST_TEST(std::string(error.what()).find("weft: ") != std::string::npos, error.what());
        }
        BOOST_TEST((descriptors() == before));
      }
    }
  }
  use_a_pool();
}

BOOST_AUTO_TEST_SUITE_END()
