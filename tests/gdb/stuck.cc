// A program that is stuck, for a debugger to look at: two tasks wait for each other, and the main
// task keeps the thread. It prints a line once it is so. It ends when its standard input does; with
// the argument "abort" it aborts.

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "weft/weft.h"

namespace bank {

weft::Mutex a, b;
weft::Queue<int> orders;

// The names are what the test looks for, so each is a function of its own.
[[gnu::noinline]] void transfer(weft::Mutex& from, weft::Mutex& to, int amount) {
  volatile int kept = amount * 2;
  const std::lock_guard first(from);
  weft::yield();
  const std::lock_guard second(to);
  kept = kept + amount;
}

[[gnu::noinline]] int next_order() { return orders.pop() + 1; }

[[gnu::noinline]] void rest() {
  weft::sleep_for(std::chrono::hours(1));
  std::puts("rested");
}

// For a breakpoint in a function that is not one of its own.
[[gnu::always_inline]] inline void tick() { asm volatile("nop"); }

[[gnu::noinline]] void hold_up(bool abort) {
  std::puts("stuck");
  std::fflush(stdout);
  if (abort) std::abort();
  pollfd input{STDIN_FILENO, POLLIN, 0};
  while (poll(&input, 1, 10) <= 0) tick();
  std::_Exit(0);
}

}  // namespace bank

int main(int argc, char** argv) {
  const bool abort = argc > 1 && std::string_view(argv[1]) == "abort";
  weft::run(
      [abort] {
        using bank::a, bank::b;
        weft::round_robin();  // this thread's own scheduler
        weft::Scheduler* const other = weft::round_robin();
        auto one = weft::spawn([] { bank::transfer(a, b, 21); }, {.name = "transfer a to b"});
        auto two = weft::spawn([] { bank::transfer(b, a, 22); }, {.name = "transfer b to a"});
        auto small = weft::spawn(bank::next_order, {.name = "orders", .stack_size = 64 * 1024});
        auto ended = weft::spawn([] { return 1; }, {.name = "ended"});
        auto visitor = weft::spawn(bank::rest, {.name = "visitor", .on = other});
        weft::sleep_for(std::chrono::milliseconds(50));
        auto ready = weft::spawn(bank::rest);
        weft::Scheduler::current().call_soon([] {});
        bank::hold_up(abort);
      },
      {.threads = 2});
}
