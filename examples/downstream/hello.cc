// A program of another workspace: fibers of two schedulers fetch words, each in its own time.
// Run it here: bazel run //:hello

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

std::string fetch(const std::string& word, weft::Duration latency) {
  weft::sleep_for(latency);
  if (word.empty()) throw std::runtime_error("there is no such word");
  return weft::run_in_executor([&] { return word; });  // what would block goes to a thread
}

void say(weft::Queue<std::string>& words) {
  auto world = weft::spawn([] { return fetch("world", 10ms); }, {.on = weft::round_robin()});
  auto hello = weft::spawn([] { return fetch("Hello", 20ms); });
  words.push(hello.get());
  words.push(world.get());
  try {
    fetch("", 1ms);
  } catch (const std::runtime_error& error) {
    words.push(error.what());
  }
  words.close();
}

}  // namespace

int main() {
  weft::run(
      [] {
        weft::Queue<std::string> words;
        auto teller = weft::spawn([&] { say(words); });
        for (const std::string& word : words) std::cout << word << '\n';
        teller.get();
      },
      {.threads = 2});
}
