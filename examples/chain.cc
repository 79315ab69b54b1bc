// A fiber waits for one that waits for another: results and exceptions travel back.
// Run it: ./bazelw run -c opt //examples:chain

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

// The end of the chain: it takes a while, and knows one name only.
int look_up(const std::string& name) {
  std::printf("    look_up(%s) waits\n", name.c_str());
  weft::sleep_for(100ms);
  if (name != "Ada") throw std::out_of_range("nobody is called " + name);
  return 1815;
}

std::string describe(const std::string& name) {
  std::printf("  describe(%s) waits for look_up\n", name.c_str());
  auto number = weft::spawn([&] { return look_up(name); });
  return name + " was born in " + std::to_string(number.get());
}

std::string greet(const std::string& name) {
  std::printf("greet(%s) waits for describe\n", name.c_str());
  auto description = weft::spawn([&] { return describe(name); });
  return "Hello! " + description.get() + ".";
}

void try_to_greet(const std::string& name) {
  auto greeting = weft::spawn([&] { return greet(name); });
  try {
    std::printf("=> %s\n\n", greeting.get().c_str());
  } catch (const std::out_of_range& e) {
    std::printf("=> caught what look_up threw: %s\n", e.what());
  }
}

}  // namespace

int main() {
  weft::run([] {
    try_to_greet("Ada");
    try_to_greet("Bob");
  });
}
