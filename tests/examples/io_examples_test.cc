// The examples that talk to the outside, run beside the test as a reader would, on real time.

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(io_examples)

using namespace std::chrono_literals;
using weft::test::check_lines;
using weft::test::check_refused;
using weft::test::Program;
using weft::test::run_program;

namespace {

// An example that listens, on a port of the kernel's choice.
struct Server : Program {
  explicit Server(const std::string& name) : Program("examples/" + name, {"127.0.0.1:0"}) {
    constexpr std::string_view kFirst = "listening on ";
    const std::string line = read_line();
    BOOST_REQUIRE(line.starts_with(kFirst));
    address = line.substr(kFirst.size());
  }
  std::string address;
};

// Where nobody listens.
std::string free_address() { return weft::TcpListener("127.0.0.1:0").local_address().to_string(); }

// Runs the body as a fiber, for as long as a program may take.
void as_client(const std::function<void()>& body) {
  weft::run([&] { weft::with_timeout(Program::kPatience, body); });
}

}  // namespace

// ---- echo_server and echo_load ------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(echo_server_sends_back_what_it_gets_until_the_half_close) {
  Server server("echo_server");
  std::string text;
  for (int i = 0; text.size() < 50'000; ++i) text += "line " + std::to_string(i) + "\n";
  const auto socat = run_program("socat", {"-t10", "-", "tcp:" + server.address}, text);
  BOOST_TEST(socat.exit_code == 0, socat.err);
  BOOST_TEST((socat.out == text), "it sent back something else");
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(echo_server_told_to_end_finishes_what_is_begun) {
  Server server("echo_server");
  Program socat("socat", {"-t10", "-", "tcp:" + server.address});
  socat.write("before\n");
  BOOST_TEST(socat.read_line() == "before");
  server.signal(SIGTERM);
  server.await_text("draining\n");

  const auto late = run_program("socat", {"-", "tcp:" + server.address});
  BOOST_TEST(late.exit_code != 0, "it still accepts");

  socat.write("after\n");
  BOOST_TEST(socat.read_line() == "after");
  socat.close_input();
  BOOST_TEST(socat.wait().exit_code == 0);
  const auto end = server.wait();
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.out ==
             "draining\n"
             "served: connections 1, of these failed 0, reads 2, bytes 13\n");
  BOOST_TEST(end.err == "");
}

BOOST_AUTO_TEST_CASE(echo_server_survives_a_reset) {
  Server server("echo_server");
  as_client([&] {
    auto stream = weft::TcpStream::connect(server.address);
    stream.write_all("x");
    char byte;
    stream.read_exactly({&byte, 1});
    const linger at_once{1, 0};
    setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    stream.close();
  });
  BOOST_TEST(run_program("socat", {"-t10", "-", "tcp:" + server.address}, "there?").out ==
             "there?");
  check_lines(server.stop(SIGINT).out,
              {
                  "draining",
                  "served: connections 2, of these failed 1, reads 2, bytes 7",
              });
}

BOOST_AUTO_TEST_CASE(echo_server_asked_what_it_is_at_tells) {
  Server server("echo_server");
  const auto tells = [&](const std::string& pattern) {
    server.signal(SIGUSR1);
    check_lines(server.read_line(), {pattern});
  };
  // Its main fiber, one that waits to end, and one that tells.
  tells("now: connections 0, fibers 3, bytes in use *");
  Program socat("socat", {"-t10", "-", "tcp:" + server.address});
  socat.write("there?\n");
  BOOST_TEST(socat.read_line() == "there?");
  tells("now: connections 1, fibers 4, bytes in use *");
  socat.close_input();
  BOOST_TEST(socat.wait().exit_code == 0);
  tells("now: connections 0, fibers 3, bytes in use *");
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(echo_load_tells_how_fast_the_server_is) {
  Server server("echo_server");
  const auto load = run_program("examples/echo_load", {"--connections", "3", "--seconds", "0.3",
                                                       "--size", "1000", server.address});
  BOOST_TEST(load.exit_code == 0);
  BOOST_TEST(load.err == "");
  const std::size_t histogram = load.out.find("  <");
  BOOST_REQUIRE(histogram != std::string::npos);
  check_lines(load.out.substr(0, histogram),
              {
                  "3 connections to 127.0.0.1:* for 0.3 s, 1000 bytes a request",
                  "",
                  "  requests   *[1-9]*",
                  "  errors                0",
                  "  requests/s *[1-9]*",
                  "",
                  "  p50 * ?*.??? ms",
                  "  p90 * ?*.??? ms",
                  "  p99 * ?*.??? ms",
                  "  p99.9 * ?*.??? ms",
                  "  max * ?*.??? ms",
                  "",
              });
  BOOST_TEST(load.out.find("  " + std::string(50, '#') + "\n") != std::string::npos, load.out);
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(echo_load_says_that_nobody_listens) {
  check_refused(run_program("examples/echo_load", {free_address()}),
                "weft: connect to 127.0.0.1:*: Connection refused");
}

BOOST_AUTO_TEST_CASE(echo_load_counts_what_ends_early) {
  // A server that hangs up on everybody.
  as_client([] {
    weft::TcpListener listener("127.0.0.1:0");
    auto server = weft::spawn([&] {
      for (;;) listener.accept().close();
    });
    const auto load = weft::run_in_executor([&] {
      return run_program("examples/echo_load",
                         {"--connections", "4", listener.local_address().to_string()});
    });
    BOOST_TEST(load.exit_code == 0);
    BOOST_TEST(load.out.find("  errors                4\n") != std::string::npos, load.out);
    BOOST_TEST(load.err.starts_with("the first error: weft: "), load.err);
  });
}

BOOST_AUTO_TEST_CASE(echo_load_explains_its_arguments) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, {"--size"}, {"--size", "0", "localhost:1"}, {"--what", "1"}}) {
    const auto load = run_program("examples/echo_load", arguments);
    BOOST_TEST(load.exit_code == 1);
    BOOST_TEST(load.err.starts_with("usage: echo_load ["), load.err);
  }
}

// ---- fetch --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(fetch_gets_a_hundred_answers_at_once) {
  const auto fetch = run_program("examples/fetch", {"--timeout", "3"});  // ten never come
  BOOST_TEST(fetch.exit_code == 0);
  BOOST_TEST(fetch.err == "");
  check_lines(fetch.out, {
                             "100 requests at once, each for 3 s at most",
                             "  25 of 100 done",
                             "  50 of 100 done",
                             "  75 of 100 done",
                             "  100 of 100 done",
                             "",
                             "  ok *[1-9]*",
                             "  failed *[1-9]*",
                             "    * x status 503 Service Unavailable",
                             "    * x the answer ends early",
                             "  timed out *[1-9]*",
                             "  bytes *[1-9]*000",
                             "",
                             "  together *?.?? s",
                             "  one after another *??.?? s",
                         });
  const auto seconds = [&](const std::string& name) {
    const std::size_t line = fetch.out.find(name);
    return line == fetch.out.npos ? 0
                                  : std::strtod(fetch.out.c_str() + line + name.size(), nullptr);
  };
  BOOST_TEST(seconds("  together ") > 0);
  BOOST_TEST(seconds("  together ") * 5 < seconds("  one after another "), fetch.out);
}

BOOST_AUTO_TEST_CASE(fetch_reads_bodies_of_every_length) {
  // What the server says behind the status line, and the size of the body that the client sees.
  as_client([] {
    weft::TcpListener listener("127.0.0.1:0");
    auto server = weft::spawn([&] {
      for (const char* answer : {"content-length: 3\r\n\r\nabc and more", "\r\nto the end",
                                 "Transfer-Encoding: chunked\r\n\r\n"
                                 "4\r\nwith\r\nA;x=y\r\n out length\r\n0\r\n\r\n"}) {
        auto stream = listener.accept();
        weft::BufferedReader(stream).read_until("\r\n\r\n");
        stream.write_all({"HTTP/1.1 200 OK\r\n", answer});
      }
    });
    const std::string url = "http://" + listener.local_address().to_string();
    for (const char* bytes : {" 3\n", " 10\n", " 14\n"}) {
      const auto fetch = weft::run_in_executor([&] {
        return run_program("examples/fetch", {"--count", "1", "--timeout", "5", url});
      });
      const std::size_t line = fetch.out.find("  bytes ");
      BOOST_REQUIRE(line != std::string::npos);
      BOOST_TEST(fetch.out.substr(line, fetch.out.find('\n', line) + 1 - line).ends_with(bytes),
                 fetch.out);
    }
  });
}

BOOST_AUTO_TEST_CASE(fetch_refuses_what_is_no_url) {
  check_refused(run_program("examples/fetch", {"ftp://localhost/"}),
                "fetch: not an http:// URL: ftp://localhost/");
}

// ---- chat ---------------------------------------------------------------------------------------

namespace {

struct Guest {
  Guest(const Server& server, const std::string& its_name)
      : name(its_name), stream(weft::TcpStream::connect(server.address)), reader(stream) {
    BOOST_TEST(hear() == "* what is your name?");
    say(name);
    BOOST_TEST(hear() == "* " + name + " joins");
  }

  void say(const std::string& line) { stream.write_all(line + "\n"); }
  std::string hear() { return reader.read_line().value_or("(the end)"); }

  const std::string name;
  weft::TcpStream stream;
  weft::BufferedReader reader;
};

}  // namespace

BOOST_AUTO_TEST_CASE(chat_passes_on_what_is_said_to_all_others) {
  Server server("chat");
  as_client([&] {
    Guest ada(server, "Ada");
    Guest bob(server, "Bob");
    BOOST_TEST(ada.hear() == "* Bob joins");
    {
      Guest eve(server, "Eve");
      for (Guest* guest : {&ada, &bob}) BOOST_TEST(guest->hear() == "* Eve joins");
      ada.say("hello");
      for (Guest* guest : {&bob, &eve}) BOOST_TEST(guest->hear() == "Ada: hello");
      bob.say("\033[2Jhi\r");
      for (Guest* guest : {&ada, &eve}) BOOST_TEST(guest->hear() == "Bob: [2Jhi");
    }
    for (Guest* guest : {&ada, &bob}) BOOST_TEST(guest->hear() == "* Eve leaves");
    ada.say(std::string(5000, 'a'));
    for (const std::size_t size : {4096u, 904u}) {
      BOOST_TEST(bob.hear() == "Ada: " + std::string(size, 'a'));
    }
    server.signal(SIGTERM);
    for (Guest* guest : {&ada, &bob}) {
      BOOST_TEST(guest->hear() == "* the chat ends");
      BOOST_TEST(guest->hear() == "(the end)");
    }
  });
  BOOST_TEST(server.wait().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(chat_is_not_held_up_by_one_who_does_not_read) {
  // More than the kernel and the client's queue hold.
  constexpr int kMessages = 2000;
  constexpr int kAtOnce = 50;
  const std::string rest(4000, '.');
  Server server("chat");
  as_client([&] {
    Guest slow(server, "Slow");
    Guest bob(server, "Bob");
    Guest eve(server, "Eve");
    BOOST_TEST(bob.hear() == "* Eve joins");
    Guest ada(server, "Ada");
    for (Guest* guest : {&bob, &eve}) BOOST_TEST(guest->hear() == "* Ada joins");
    const Guest stuck(server, "Stuck");  // does not read to the end
    for (Guest* guest : {&ada, &bob, &eve}) BOOST_TEST(guest->hear() == "* Stuck joins");
    int heard = 0;
    for (int i = 0; i < kMessages; i += kAtOnce) {
      for (int j = 0; j < kAtOnce; ++j) ada.say(std::to_string(i + j) + rest);
      for (int j = 0; j < kAtOnce; ++j) {
        const std::string line = "Ada: " + std::to_string(i + j) + rest;
        for (Guest* guest : {&bob, &eve}) heard += guest->hear() == line;
      }
    }
    BOOST_TEST(heard == 2 * kMessages);

    // The slow one gets what has room, and is told of the others.
    for (const char* name : {"Bob", "Eve", "Ada", "Stuck"}) {
      BOOST_TEST(slow.hear() == std::string("* ") + name + " joins");
    }
    int next = 0;
    int missed = 0;
    while (next < kMessages) {
      const std::string line = slow.hear();
      if (int count = 0; std::sscanf(line.c_str(), "* you have missed %d messages", &count) == 1) {
        missed += count;
        next += count;
      } else {
        BOOST_REQUIRE(line == "Ada: " + std::to_string(next) + rest);
        ++next;
      }
    }
    BOOST_TEST(missed > 0);
    BOOST_TEST(next == kMessages);
    BOOST_TEST(server.stop().exit_code == 0);
  });
}

// ---- restart ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(restart_refuses_and_loses_no_connection) {
  Server server("restart");
  constexpr std::size_t kProcesses = 4;
  std::set<std::string> processes;
  // A connection with a question and its answer; the number of the process that answered.
  const auto ask = [&] {
    auto stream = weft::TcpStream::connect(server.address);
    stream.write_all("there?\n");
    const std::string answer = weft::BufferedReader(stream).read_line().value_or("lost");
    const std::size_t blank = answer.find(' ');
    BOOST_TEST_REQUIRE(answer.substr(std::min(blank, answer.size())) == " there?");
    return answer.substr(0, blank);
  };
  as_client([&] {
    bool stop = false;
    long asked = 0;
    weft::TaskGroup clients;
    for (int i = 0; i < 4; ++i) {
      clients.spawn([&] {
        while (!stop) {
          ask();
          ++asked;
        }
      });
    }
    std::string newest;
    while (processes.size() < kProcesses) {
      newest = ask();
      const bool is_new = processes.insert(newest).second;
      if (is_new && processes.size() < kProcesses) kill(std::stoi(newest), SIGHUP);
    }
    server.await_text("listening on " + server.address + "\nlistening on ");
    stop = true;
    clients.join();
    BOOST_TEST(asked > 20);
    BOOST_TEST(processes.contains(std::to_string(server.pid())));
    for (int i = 0; i < 10; ++i) BOOST_TEST(ask() == newest);
    kill(std::stoi(newest), SIGTERM);
  });
  const auto end = server.wait();
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.err == "");
}

BOOST_AUTO_TEST_CASE(restart_that_was_not_handed_a_listener_listens_by_itself) {
  Server server("restart");
  const auto second = run_program("examples/restart", {server.address});
  BOOST_TEST(second.exit_code == 1);
  BOOST_TEST(second.err.find("Address already in use") != std::string::npos);
  as_client([&] {
    auto stream = weft::TcpStream::connect(server.address);
    stream.write_all("there?\n");
    BOOST_TEST(weft::BufferedReader(stream).read_line().value_or("") ==
               std::to_string(server.pid()) + " there?");
  });
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_SUITE_END()
