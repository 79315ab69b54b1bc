// Wrong on purpose. Each argument is a fault that a sanitizer reports, in a fiber as elsewhere:
//   bazel run --config=asan //:faults -- use-after-free
// use-after-return wants ASAN_OPTIONS=detect_stack_use_after_return=1.

#include <atomic>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "weft/weft.h"

namespace {

[[gnu::noinline]] int read_at(const volatile int* place) { return *place; }

// ASan, each of these.

void use_after_free() {
  weft::spawn([] {
    auto* numbers = new int[10]();
    weft::yield();
    delete[] numbers;
    std::printf("%d\n", read_at(numbers + 3));
  }).get();
}

void use_after_return() {
  const volatile int* place = nullptr;
  weft::spawn([&place] {
    volatile int local = 7;
    place = &local;
    weft::yield();
  }).get();
  std::printf("%d\n", read_at(place));
}

void buffer_overflow() {
  weft::spawn([] {
    volatile int numbers[4] = {};
    weft::yield();
    std::printf("%d\n", read_at(numbers + 4));
  }).get();
}

[[gnu::noinline]] int deeper(int depth) {
  volatile char frame[1024];
  std::memset(const_cast<char*>(frame), depth, sizeof(frame));
  return depth > 1'000'000 ? 0 : deeper(depth + 1) + frame[depth % 1024];
}

void stack_overflow() {
  weft::spawn([] { std::printf("%d\n", deeper(0)); }).get();
}

// LeakSanitizer, which comes with ASan.
void leak() {
  weft::spawn([] {
    volatile char* lost = new char[12345];
    lost[0] = 1;
    weft::yield();
    lost = nullptr;
  }).get();
}

// TSan. Each fiber spins until the other is there, which orders nothing: so no lock or wake-up of
// weft's comes between the two. Many times: TSan may miss two accesses at one instant.
void race() {
  std::atomic<int> here{0};
  volatile int count = 0;
  weft::spread([&] {
    here.fetch_add(1, std::memory_order_relaxed);
    while (here.load(std::memory_order_relaxed) < 2) {
    }
    for (int i = 0; i < 10'000; ++i) count = count + 1;
  });
  std::printf("%d\n", count);
}

// UBSan.
void signed_overflow() {
  weft::spawn([] {
    volatile int number = INT_MAX;
    weft::yield();
    number = number + 1;
  }).get();
}

// No fault: another fiber holds what is still allocated when the program ends.
void exit_in_a_fiber() {
  weft::spawn([] {
    const std::vector<int> kept(1000);
    weft::Event().wait();
  }).detach();
  weft::yield();
  const std::string also_kept(1000, 'x');
  std::exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::function<void()>> faults{
      {"use-after-free", use_after_free},
      {"use-after-return", use_after_return},
      {"buffer-overflow", buffer_overflow},
      {"stack-overflow", stack_overflow},
      {"leak", leak},
      {"race", race},
      {"signed-overflow", signed_overflow},
      {"exit-in-a-fiber", exit_in_a_fiber},
  };
  const auto fault = faults.find(argc == 2 ? argv[1] : "");
  if (fault == faults.end()) {
    std::puts("usage: faults FAULT, one of:");
    for (const auto& [name, function] : faults) std::printf("  %s\n", name.c_str());
    return 1;
  }
  weft::run(fault->second, {.threads = 2});
}
