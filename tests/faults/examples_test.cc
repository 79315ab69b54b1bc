// Each example, again and again, with one system call after another that fails: it copes, or it
// ends and says why; it never hangs, crashes, or leaves anything behind.

#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/faults/driver.h"
#include "tests/faults/peer.h"
#include "tests/support/check.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(examples)

using weft::faults::complaints;
using weft::faults::Flow;
using weft::faults::Peer;
using weft::test::Program;
using weft::test::TemporaryDirectory;

namespace {

void check(const Flow& flow) {
  const std::vector<std::string> all = complaints(flow);
  BOOST_TEST(all.empty());
  for (const std::string& complaint : all) BOOST_ERROR(complaint);
}

// Behind "... on " or "...//" up to the end or a comma.
std::string address_in(const std::string& line, std::string_view before) {
  const std::size_t begin = line.find(before) + before.size();
  return line.substr(begin, line.find(',', begin) - begin);
}

std::string talk_to_echo_server(Program& server) {
  const std::string address = address_in(server.read_line(), "listening on ");
  std::string heard;
  for (const char* text : {"one\n", "two\n"}) {
    Peer peer(address);
    peer.send(text);
    heard += peer.hear("\n");
    peer.send("again\n");
    peer.send_no_more();
    heard += peer.hear_all() + ".";
  }
  server.signal(SIGTERM);
  return heard;
}

// Leaves out the number of the process that answers.
std::string without_process(const std::string& heard) {
  std::string rest;
  for (const char c : heard) {
    if (c < '0' || c > '9') rest += c;
  }
  return rest;
}

// Where one is gone, nobody waits for what it would have said.
std::string talk_to_chat(Program& server) {
  const std::string address = address_in(server.read_line(), "listening on ");
  Peer ada(address);
  std::string heard;
  const auto hears = [&](Peer& peer, const char* last) {
    const std::string line = peer.hear(last);
    heard += line;
    return line.ends_with(last);
  };
  const auto talk = [&] {
    if (!hears(ada, "?\n") || !ada.send("Ada\n") || !hears(ada, "joins\n")) return;
    Peer bob(address);
    if (!hears(bob, "?\n") || !bob.send("Bob\n") || !hears(bob, "joins\n")) return;
    if (!hears(ada, "joins\n") || !ada.send("hello\n")) return;
    ada.send_no_more();      // has it leave
    hears(bob, "leaves\n");  // and before that what was said, if it was
  };
  talk();
  server.signal(SIGTERM);
  return heard + ada.hear_all();
}

// What is in the answer behind "Date:", which is another one each time, is left out.
std::string body_of(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return answer.substr(0, answer.find("\r\n")) + (end == answer.npos ? "" : answer.substr(end));
}

std::string talk_to_http_server(Program& server, std::string_view path) {
  const std::string address = address_in(server.read_line(), "http://");
  const std::string begin = "GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n";
  std::string heard;
  bool answers = true;
  for (int i = 0; i < 2; ++i) {
    Peer peer(address);
    peer.send(begin + "Connection: close\r\n\r\n");
    const std::string body = body_of(peer.hear_all());
    answers = answers && !body.empty();
    heard += body + ".";
  }
  // It may be on its way out, where a signal would end it before it says why.
  if (!answers) std::this_thread::sleep_for(std::chrono::seconds(1));
  server.signal(SIGTERM);
  return heard;
}

}  // namespace

// ---- Those that run by themselves ---------------------------------------------------------------

BOOST_AUTO_TEST_CASE(hello) { check({.program = "hello"}); }

BOOST_AUTO_TEST_CASE(hello_on_an_older_kernel) {
  // Guards by mprotect, milliseconds for epoll.
  check({.program = "hello", .given = "madvise:1+:EINVAL,epoll_pwait2:1+:ENOSYS"});
}

BOOST_AUTO_TEST_CASE(gather) { check({.program = "gather", .arguments = {"--quick"}}); }

BOOST_AUTO_TEST_CASE(chain) { check({.program = "chain"}); }

BOOST_AUTO_TEST_CASE(callbacks) {
  check({.program = "callbacks",
         .steady = false,  // 82 ms lie between two of its times: too little on a busy machine
         .own_calls = {"pthread_create"},
         .own_words = "Resource temporarily unavailable"});
}

BOOST_AUTO_TEST_CASE(timeouts) { check({.program = "timeouts"}); }

BOOST_AUTO_TEST_CASE(count_down) { check({.program = "count_down", .arguments = {"--quick"}}); }

BOOST_AUTO_TEST_CASE(dining) { check({.program = "dining", .arguments = {"--quick"}}); }

BOOST_AUTO_TEST_CASE(producer_consumer) {
  check({.program = "producer_consumer", .arguments = {"--quick"}});
}

// It computes.
BOOST_AUTO_TEST_CASE(executor) {
  check({.program = "executor", .arguments = {"--quick"}, .most_turns = 2});
}

BOOST_AUTO_TEST_CASE(bridge) {
  check({.program = "bridge",
         .steady = false,
         .own_calls = {"pthread_create"},
         .own_words = "Resource temporarily unavailable"});
}

BOOST_AUTO_TEST_CASE(trace) {
  const TemporaryDirectory folder;
  check({.program = "trace", .arguments = {folder / "trace.fxt"}, .steady = false});
}

BOOST_AUTO_TEST_CASE(skynet) {
  check({.program = "skynet", .arguments = {"2", "2"}, .steady = false, .own_calls = {"mmap"}});
}

// Its rows are processes, which it measures. Their calls fail too, but only what it makes of that
// is seen.
BOOST_AUTO_TEST_CASE(sleep_race) {
  check({.program = "sleep_race",
         .arguments = {"--quick"},
         .steady = false,
         .own_calls = {"mmap", "madvise", "pthread_create"},
         .own_words = "no memory to share|Resource temporarily unavailable"});
}

// So does this one. To its clients all that fails at the server is the same.
BOOST_AUTO_TEST_CASE(multicore) {
  check({.program = "multicore",
         .arguments = {"--threads", "2", "--quick"},
         .steady = false,
         .own_calls = {"epoll_ctl", "recv", "send", "sendmsg"},
         .own_words = "the server gives no answer|Connection reset by peer|Broken pipe",
         .most_turns = 2});
}

BOOST_AUTO_TEST_CASE(fetch) {
  check({.program = "fetch",
         .arguments = {"--count", "4", "--timeout", "5"},
         .steady = false,
         .own_calls = {"send", "sendmsg"},  // of the server that it tries itself
         .own_words = "no answer in HTTP"});
}

// ---- Files --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(tail_of_a_file) {
  const TemporaryDirectory folder;
  std::ofstream(folder / "file") << "one\ntwo\nthree\n";
  check({.program = "tail", .arguments = {"-n", "2", folder / "file"}});
}

BOOST_AUTO_TEST_CASE(tail_of_standard_input) {
  check({.program = "tail", .arguments = {"-n", "1"}, .talk = [](Program& tail) {
           tail.write("one\ntwo\n");
           return std::string();
         }});
}

BOOST_AUTO_TEST_CASE(tail_that_follows) {
  const TemporaryDirectory folder;
  std::ofstream(folder / "file") << "one\n";
  check({.program = "tail", .arguments = {"-f", folder / "file"}, .talk = [](Program& tail) {
           const std::string heard = tail.read_line();
           tail.signal(SIGTERM);
           return heard;
         }});
}

// ---- Servers ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(echo_server) {
  check({.program = "echo_server", .arguments = {"127.0.0.1:0"}, .talk = talk_to_echo_server});
}

// One that is not replaced: the next process would have the same faults, and report to the same
// file. tests/faults/io_test.cc has what else it calls.
BOOST_AUTO_TEST_CASE(restart) {
  check({.program = "restart", .arguments = {"127.0.0.1:0"}, .talk = [](Program& server) {
           return without_process(talk_to_echo_server(server));
         }});
}

BOOST_AUTO_TEST_CASE(echo_server_on_an_older_kernel) {
  check({.program = "echo_server",
         .arguments = {"127.0.0.1:0"},
         .talk = talk_to_echo_server,
         .given = "madvise:1+:EINVAL,epoll_pwait2:1+:ENOSYS"});
}

BOOST_AUTO_TEST_CASE(chat) {
  check({.program = "chat", .arguments = {"127.0.0.1:0"}, .talk = talk_to_chat});
}

BOOST_AUTO_TEST_CASE(http_server) {
  check({.program = "http_server", .arguments = {"127.0.0.1:0"}, .talk = [](Program& server) {
           return talk_to_http_server(server, "/hello");
         }});
}

BOOST_AUTO_TEST_CASE(http_server_that_sends_a_file) {
  const TemporaryDirectory folder;
  std::ofstream(folder / "file.txt") << std::string(3000, 'x');
  check({.program = "http_server",
         .arguments = {"127.0.0.1:0", folder.path()},
         .talk = [](Program& server) { return talk_to_http_server(server, "/file.txt"); }});
}

BOOST_AUTO_TEST_CASE(http_server_on_two_threads) {
  check({.program = "http_server",
         .arguments = {"--threads", "2", "127.0.0.1:0"},
         .talk = [](Program& server) { return talk_to_http_server(server, "/hello"); }});
}

BOOST_AUTO_TEST_CASE(multicore_that_serves) {
  check({.program = "multicore",
         .arguments = {"--threads", "2", "serve", "127.0.0.1:0"},
         .talk = [](Program& server) { return talk_to_http_server(server, "/"); },
         .steady = false});
}

BOOST_AUTO_TEST_CASE(echo_load) {
  Program server("tests/faults/echo_server", {"127.0.0.1:0"});  // whose calls succeed
  check({.program = "echo_load",
         .arguments = {"--connections", "2", "--seconds", "0.2",
                       address_in(server.read_line(), "listening on ")},
         .steady = false});
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
