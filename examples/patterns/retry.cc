// A server that is down for a while, or for good, or that the client has no patience for.
// Run it: ./bazelw run -c opt //examples/patterns:retry_program

#include "weft/examples/patterns/retry.h"

#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

// Fails so many times, and then answers.
class Server {
 public:
  explicit Server(int failures) : failures_(failures) {}

  std::string ask() {
    if (++calls_ > failures_) return "an answer, to call " + std::to_string(calls_);
    throw std::runtime_error("call " + std::to_string(calls_) + " was refused");
  }

 private:
  const int failures_;
  int calls_ = 0;
};

template <class F>
void show(const char* what, F f) {
  try {
    std::printf("%s: %s\n", what, f().c_str());
  } catch (const std::exception& error) {
    std::printf("%s: %s\n", what, error.what());
  }
}

void ask() {
  Server busy(3), down(1'000), broken(1'000);
  show("down for a while", [&] { return patterns::retry([&] { return busy.ask(); }); });
  show("down for good",
       [&] { return patterns::retry([&] { return down.ask(); }, {.attempts = 4}); });
  show("not worth it", [&] {
    return patterns::retry([&] { return broken.ask(); },
                           {.again = [](const std::exception&) { return false; }});
  });
  show("no patience", [&] {
    return weft::with_timeout(
        1min, [&] { return patterns::retry([&] { return down.ask(); }, {.attempts = 1'000}); });
  });
}

}  // namespace

// The clock is virtual: it jumps.
int main() { weft::run(ask, {.virtual_time = true}); }
