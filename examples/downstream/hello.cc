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
  weft::TaskGroup group;
  group.spawn([&] { words.push(fetch("Hello", 10ms)); });
  group.spawn([&] { words.push(fetch("world", 20ms)); }, {.on = weft::round_robin()});
  group.spawn([&] { words.push(fetch("", 30ms)); });
  try {
    group.join();
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
