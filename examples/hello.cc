// Two fibers that wait at the same time.
// Run it: ./bazelw run -c opt //examples:hello

#include <chrono>
#include <iostream>
#include <string>

#include "weft/weft.h"

using namespace std::chrono_literals;

std::string fetch(std::string word) {
  weft::sleep_for(1s);  // any wait: for a peer, a file, a lock, another fiber
  return word;
}

int main() {
  weft::run([] {
    const auto start = weft::now();
    auto hello = weft::spawn([] { return fetch("Hello"); });
    auto world = weft::spawn([] { return fetch("world"); });
    std::cout << hello.get() << ", " << world.get() << "! It took "
              << std::chrono::duration<double>(weft::now() - start).count() << " s, not 2.\n";
  });
}
