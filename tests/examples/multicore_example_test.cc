// The example multicore, run as a reader would, on real time.

#include <csignal>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "weft/weft.h"

BOOST_AUTO_TEST_SUITE(multicore_example)

using weft::test::check_lines;
using weft::test::check_refused;
using weft::test::Program;
using weft::test::run_program;

namespace {

// Serves on two threads, on a port of the kernel's choice.
struct Server : Program {
  Server() : Program("examples/multicore", {"--threads", "2", "serve", "127.0.0.1:0"}) {
    constexpr std::string_view kFirst = "serving on http://";
    const std::string line = read_line();
    BOOST_TEST_REQUIRE(line.starts_with(kFirst) && line.ends_with(", on 2 threads"), line);
    address = line.substr(kFirst.size(), line.find(',') - kFirst.size());
  }
  std::string address;
};

struct Client {
  explicit Client(const Server& server) : stream(weft::TcpStream::connect(server.address)) {}

  // Status and body of the answer; nothing where there is none.
  std::optional<std::string> ask(std::string_view method = "GET") {
    stream.write_all({method, " / HTTP/1.1\r\nHost: a\r\n\r\n"});
    const auto head = reader.read_until("\r\n\r\n");
    if (!head) return {};
    const std::string length = "Content-Length: ";
    const std::size_t size = std::stoul(head->substr(head->find(length) + length.size()));
    return head->substr(9, 4) + reader.read_exactly(size);
  }

  weft::TcpStream stream;
  weft::BufferedReader reader{stream};
};

// Runs the body as a fiber, for as long as a program may take.
void as_client(const std::function<void()>& body) {
  weft::run([&] { weft::with_timeout(Program::kPatience, body); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_sums_agree_and_every_scheduler_serves) {
  const auto end = run_program("examples/multicore", {"--threads", "2", "--quick"});
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.err == "");
  check_lines(end.out,
              {
                  "The steps of all Collatz sequences that begin below 100000, on 2 threads:",
                  "",
                  "  one fiber *?.? ms   x 1.00",
                  "  spread(): a fiber for each thread *?.? ms   x ?.??",
                  "  round_robin(): 100 fibers, in turn *?.? ms   x ?.??",
                  "  The sum is 10753712 each time.",
                  "",
                  "An HTTP server on 2 threads, and 32 clients of it on each:",
                  "",
                  "  scheduler     connections     requests",
                  "  0 * [1-9]* [1-9]*",
                  "  1 * [1-9]* [1-9]*",
                  "  all                    64 * [1-9]*",
                  "  [1-9]* requests a second",
              });
}

BOOST_AUTO_TEST_CASE(one_thread_will_do) {
  const auto end = run_program("examples/multicore", {"--threads", "1", "--quick"});
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.err == "");
  BOOST_TEST(end.out.find("An HTTP server on one thread, ") != std::string::npos, end.out);
}

BOOST_AUTO_TEST_CASE(a_signal_ends_it_on_every_scheduler) {
  constexpr int kClients = 64;
  Server server;
  as_client([&] {
    std::vector<Client> clients;
    clients.reserve(kClients);  // a reader refers to its stream
    std::set<std::string> answers;
    for (int i = 0; i < kClients; ++i) {
      answers.insert(clients.emplace_back(server).ask().value_or("the end"));
    }
    BOOST_TEST((answers == std::set<std::string>{"200 scheduler 0\n", "200 scheduler 1\n"}));
    server.signal(SIGINT);
    for (Client& client : clients) BOOST_TEST(client.reader.at_end());
  });
  const auto end = server.wait();
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.err == "");
  check_lines(end.out, {
                           "  scheduler     connections     requests",
                           "  0 * [1-9]* [1-9]*",
                           "  1 * [1-9]* [1-9]*",
                           "  all                    64           64",
                       });
}

BOOST_AUTO_TEST_CASE(a_signal_cuts_no_answer) {
  Server server;
  as_client([&] {
    weft::TaskGroup clients;
    int asked = 0;
    for (int i = 0; i < 20; ++i) {
      clients.spawn([&] {
        Client client(server);
        try {
          for (; client.ask(); ++asked) continue;
        } catch (const std::system_error& e) {  // it may be gone before it has read the request
          BOOST_TEST(
              (e.code() == std::errc::connection_reset || e.code() == std::errc::broken_pipe),
              e.what());
        }
      });
    }
    while (asked < 100) weft::sleep_for(std::chrono::milliseconds(1));
    server.signal(SIGTERM);
    clients.join();
  });
  const auto end = server.wait();
  BOOST_TEST(end.exit_code == 0);
  BOOST_TEST(end.err == "");
}

BOOST_AUTO_TEST_CASE(what_is_no_get_is_refused) {
  Server server;
  as_client([&] {
    Client client(server);
    BOOST_TEST(client.ask("POST").value_or("the end") == "405 ");
    BOOST_TEST(client.reader.at_end());
  });
  BOOST_TEST(server.stop().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(it_explains_its_arguments) {
  const std::string usage = "multicore: usage: multicore *";
  check_refused(run_program("examples/multicore", {"what"}), usage);
  check_refused(run_program("examples/multicore", {"serve", "127.0.0.1:0", "what"}), usage);
  check_refused(run_program("examples/multicore", {"--threads", "0"}),
                "multicore: --threads takes a number");
  check_refused(run_program("examples/multicore", {"serve", "what"}), "multicore: *what*");
}

BOOST_AUTO_TEST_SUITE_END()
