// Callbacks: calls that start soon, later or at a time, and a future that another thread sets. Each
// callback is a fiber: it may wait.
// Run it: ./bazelw run -c opt //examples:callbacks

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

weft::TimePoint start;

// Prints a line with the time since the start.
void say(const std::string& what) {
  const std::chrono::duration<double, std::milli> time = weft::now() - start;
  std::printf("%4.0f ms  %s\n", time.count(), what.c_str());
}

void calls() {
  start = weft::now();
  auto& scheduler = weft::Scheduler::current();

  scheduler.call_at(start + 300ms, [] { say("call_at: at 300 ms"); });
  scheduler.call_later(100ms, [] {
    say("call_later: after 100 ms");
    weft::sleep_for(100ms);
    say("call_later: and 100 ms more, for a callback may wait");
  });
  scheduler.call_soon([] { say("call_soon: as soon as main waits"); });
  auto never = scheduler.call_later(50ms, [] { say("this is not printed"); });
  never.cancel();

  say("main waits");
  weft::sleep_for(400ms);
}

void future() {
  weft::Promise<int> promise;
  weft::Future<int> answer = promise.future();
  answer.add_done_callback([](weft::Future<int> done) {
    say("done callback: the answer is " + std::to_string(done.get()));
  });
  const auto unwanted = answer.add_done_callback([] { say("this is not printed"); });
  answer.remove_done_callback(unwanted);

  std::jthread thread([&] {
    std::this_thread::sleep_for(100ms);  // some library with a thread of its own
    promise.set_value(42);
  });
  say("main does something else, until another thread sets the future");
  weft::sleep_for(200ms);
  say("main asks, too: " + std::to_string(answer.get()));
}

}  // namespace

int main() {
  weft::run([] {
    calls();
    future();
  });
}
