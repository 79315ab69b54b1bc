// Runs what several threads do in every order of their steps.
#ifndef WEFT_TESTS_ORDERS_EXPLORER_H_
#define WEFT_TESTS_ORDERS_EXPLORER_H_

#include <functional>
#include <string>
#include <vector>

namespace weft::test {

// What is explored: threads, and what must hold when all have ended. Made anew for each run.
struct Scenario {
  std::vector<std::function<void()>> threads;
  std::function<bool()> holds = [] { return true; };
};

struct Exploration {
  long runs = 0;
  std::string failure;  // empty, or what went wrong in the last run
};

// Runs the scenario again and again. One thread runs at a time; a step is what it does from one
// access to an Atomic (see fiber/atomic.h) to the next, or to its futex. Tried is every order of
// the steps in which a thread that could go on is interrupted at most `preemptions` times; a
// change of thread where one waits or ends is free, and so is the choice whether the time of a
// wait with a deadline is over. Most bugs show with two (Musuvathi and Qadeer: Iterative context
// bounding, PLDI 2007).
//
// A run fails if nobody can go on, if it does not end, if an Atomic is accessed after its
// destruction, if a thread throws, or if holds() is false. After a failure its threads are left
// where they are.
//
// A thread that weft starts meanwhile, such as that of a ThreadPool, takes part like the others.
//
// What it does not see: accesses that no Atomic lies between, and orders that only a weaker memory
// than sequential consistency allows. For those there is TSan.
Exploration explore(const std::function<Scenario()>& make, int preemptions);

}  // namespace weft::test

#endif  // WEFT_TESTS_ORDERS_EXPLORER_H_
