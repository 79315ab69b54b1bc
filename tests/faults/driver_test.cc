// The driver finds what it is there to find.

#include "tests/faults/driver.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include "tests/faults/peer.h"
#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(driver)

using namespace weft::faults;

namespace {

std::string complaint_of(const std::string& way, const std::string& fault, const Kind& kind) {
  const Flow flow{.program = "careless", .arguments = {way}};
  const Run plain = run(flow, "");
  BOOST_TEST(complaint(flow, plain, {"", ""}, plain) == "");
  BOOST_TEST(plain.called.at("eventfd") == 2);
  return complaint(flow, plain, kind, run(flow, fault));
}

constexpr Kind kNoEvent{"eventfd", "EMFILE", "eventfd"};

class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    BOOST_REQUIRE(listen(fd_, 1) == 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const { return fd_; }

  std::string name;

 private:
  const int fd_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_careful_program_is_praised) {
  BOOST_TEST(complaint_of("careful", "eventfd:1:EMFILE", kNoEvent) == "");
}

BOOST_AUTO_TEST_CASE(each_kind_of_carelessness_is_found) {
  const std::pair<const char*, const char*> first[] = {
      {"crashes", "it was ended by signal 6"},
      {"exits", "it did not come to the end of main()"},
      {"hangs", "it hangs"},
      {"leaves a process", "it left a process"},
      {"is silent", "it fails without a word"},
      {"does not say what", "its words do not name eventfd"},
      {"says another word", "its words do not name eventfd"},
      {"does not say why", "its words do not name eventfd"},
      {"ignores it", "nobody notices"},
      {"is ended", "it was ended by signal 15"},
      {"returns anything", "it ended with 7"},
  };
  for (const auto& [way, words] : first) {
    BOOST_TEST(complaint_of(way, "eventfd:1:EMFILE", kNoEvent) == words);
  }
  constexpr Kind kMaybe{"eventfd", "EMFILE", "eventfd", Notice::kMay};
  BOOST_TEST(complaint_of("ignores it", "eventfd:1:EMFILE", kMaybe) == "");
  BOOST_TEST(complaint_of("leaks a descriptor", "eventfd:2:EMFILE", kNoEvent)
                 .starts_with("left descriptor "));
  BOOST_TEST(complaint_of("leaks memory", "eventfd:2:EMFILE", kNoEvent) ==
             "left 4096 bytes mapped");
}

BOOST_AUTO_TEST_CASE(what_nobody_should_notice_changes_nothing) {
  const Kind interrupted{"close", "EINTR"};
  BOOST_TEST(complaint_of("careful", "close:1:EINTR", interrupted) == "");
  BOOST_TEST(complaint_of("careful", "close:2:EINTR", interrupted)
                 .starts_with("it prints something else than"));
  BOOST_TEST(complaint_of("careful", "eventfd:1:EMFILE", {"eventfd", "EMFILE"}) ==
             "it should not have noticed");
}

BOOST_AUTO_TEST_CASE(own_words_are_for_own_calls) {
  const auto complaint_with = [](const std::vector<std::string>& own_calls) {
    const Flow flow{.program = "careless",
                    .arguments = {"does not say what"},
                    .own_calls = own_calls,
                    .own_words = "something is wrong"};
    return complaint(flow, run(flow, ""), kNoEvent, run(flow, "eventfd:1:EMFILE"));
  };
  BOOST_TEST(complaint_with({"eventfd"}) == "");
  BOOST_TEST(complaint_with({"mmap"}) == "its words do not name eventfd");
}

BOOST_AUTO_TEST_CASE(a_death_by_the_talkers_signal_is_none_of_a_fault) {
  const Flow flow{.program = "careless", .arguments = {"is ended"}, .talk = [](auto&) {
                    return std::string();
                  }};
  const Run plain = run(flow, "");
  BOOST_TEST(complaint(flow, plain, kNoEvent, run(flow, "eventfd:1:EMFILE")) ==
             "it was ended by signal 15");
}

BOOST_AUTO_TEST_CASE(who_leaves_a_client_without_an_answer_hangs) {
  Peer::patience = {1, 0};
  const Listener listener;
  const Flow flow{.program = "careless", .arguments = {"careful"}, .talk = [&](auto&) {
                    return Peer(listener.name).hear_all();
                  }};
  BOOST_TEST(complaint(flow, {}, {"", ""}, run(flow, "")) == "it hangs");
}

// posix_spawn() blocks all signals in its thread. If the program ends before they are unblocked,
// the kernel offers SIGCHLD to another thread. A call that waits there with a time limit then ends
// with EINTR, although no signal is handled.
BOOST_AUTO_TEST_CASE(a_peer_hears_on_after_a_signal) {
  const Listener listener;
  std::signal(SIGUSR1, [](int) {});
  std::jthread server([&, hears = pthread_self()] {
    const int client = accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // in one of them it waits
      pthread_kill(hears, SIGUSR1);
    }
    send(client, "all\n", 4, 0);
    close(client);
  });
  BOOST_TEST(Peer(listener.name).hear_all() == "all\n");
  server.join();
  std::signal(SIGUSR1, SIG_DFL);
}

BOOST_AUTO_TEST_CASE(what_is_given_is_no_strike) {
  const Flow flow{.program = "careless", .arguments = {"careful"}, .given = "close:1+:EIO"};
  BOOST_TEST(run(flow, "").struck > 0);
  BOOST_TEST(run(flow, "eventfd:7:EMFILE").struck == 0);
}

BOOST_AUTO_TEST_CASE(complaints_say_how_to_repeat_the_run) {
  const auto all = complaints({.program = "careless", .arguments = {"leaks memory"}});
  bool found = false;
  for (const std::string& each : all) {
    found = found || each.find("WEFT_FAULT=eventfd:2:EMFILE tests/faults/careless") != each.npos;
  }
  BOOST_TEST(found);
}

BOOST_AUTO_TEST_SUITE_END()
