// A test of a client that tries again, against a server that breaks. A thousand seeds, each with
// faults, orders and seconds of pauses of its own, take less than a second together. Run it:
// ./bazelw test //examples:service_test, and WEFT_SEED=17 for one seed alone.

#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "weft/testing.h"
#include "weft/weft.h"

using namespace std::chrono_literals;

// ---- The client: what is tested -----------------------------------------------------------------

using Connection = weft::testing::MemoryStream;

// Sends a line, and returns the answer. If the connection breaks, or there is no answer within a
// second, tries again on a new one after a pause that doubles.
class Client {
 public:
  explicit Client(std::function<Connection()> connect) : connect_(std::move(connect)) {}

  std::string ask(const std::string& question) {
    for (weft::Duration pause = 10ms;; pause *= 2) {
      try {
        return weft::with_timeout(1s, [&] { return try_to_ask(question); });
      } catch (const std::runtime_error&) {  // std::system_error, weft::TimeoutError
        if (pause > 1s) throw;
      }
      weft::sleep_for(pause);
    }
  }

 private:
  std::string try_to_ask(const std::string& question) {
    Connection stream = connect_();
    stream.write_all(question + "\n");
    std::optional<std::string> answer = weft::BufferedReader(stream).read_line();
    if (!answer) throw std::runtime_error("the server has ended the connection");
    return *answer;
  }

  std::function<Connection()> connect_;
};

// ---- The server: breaks, hangs and answers, as the seed has it ----------------------------------

class FlakyServer {
 public:
  explicit FlakyServer(std::uint64_t seed) : random_(seed) {}

  Connection accept() {
    if (chance(4)) throw std::system_error(std::make_error_code(std::errc::connection_refused));
    const std::size_t limit = chance(3) ? random_() % 12 : 1000;
    auto [client, server] = weft::testing::stream_pair({.seed = random_(), .fail_after = limit});
    sessions_.spawn([this, stream = std::move(server)]() mutable { serve(stream); });
    return std::move(client);
  }

  int served() const { return served_; }

 private:
  bool chance(unsigned of) { return troubles_ > 0 && random_() % of == 0 && troubles_-- > 0; }

  void serve(Connection& stream) try {
    const std::optional<std::string> question = weft::BufferedReader(stream).read_line();
    if (chance(5)) weft::sleep_for(1h);  // the client will not wait so long
    if (!question) return;
    ++served_;
    stream.write_all(*question + "!\n");
  } catch (const std::system_error&) {  // the end of this connection only
  }

  std::mt19937_64 random_;
  int troubles_ = 6;  // that are to come: a client tries more often than that
  int served_ = 0;
  weft::TaskGroup sessions_;  // destroyed first: cancels those that are left
};

// ---- The test -----------------------------------------------------------------------------------

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

void a_client_gets_its_answers(std::uint64_t seed) {
  FlakyServer server(seed);
  Client client([&] { return server.accept(); });
  const auto start = weft::now();
  auto first = weft::spawn([&] { return client.ask("one"); });
  auto second = weft::spawn([&] { return client.ask("two"); });
  expect(first.get() == "one!" && second.get() == "two!", "each caller gets its own answer");
  expect(server.served() >= 2, "the server was asked");
  expect(weft::now() - start < 20s, "the pauses have a limit");
}

int main() try {
  const auto start = std::chrono::steady_clock::now();
  weft::testing::run_shuffled(a_client_gets_its_answers, 1000);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << "passed in " << took.count() << " s\n";
} catch (const std::exception& failure) {
  std::cerr << failure.what() << '\n';
  return 1;
}
