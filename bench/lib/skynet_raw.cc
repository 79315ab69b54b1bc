#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

namespace bc = boost::context;

// A context that computes one part of the tree after another.
struct Worker {
  Worker() {
    context = bc::fiber(std::allocator_arg, bc::protected_fixedsize_stack(256 * 1024),
                        [this](bc::fiber&& caller) {
                          for (;;) {
                            result = skynet_raw(first, leaves);
                            caller = std::move(caller).resume();
                          }
                          return std::move(caller);
                        });
  }

  bc::fiber context;
  long first = 0;
  long leaves = 0;
  long result = 0;
};

std::vector<std::unique_ptr<Worker>> all;
std::vector<Worker*> unused;

Worker& take() {
  if (unused.empty()) unused.push_back(all.emplace_back(std::make_unique<Worker>()).get());
  Worker& worker = *unused.back();
  unused.pop_back();
  return worker;
}

}  // namespace

long skynet_raw(long first, long leaves) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  long sum = 0;
  for (long i = 0; i < kChildren; ++i) {
    Worker& child = take();
    child.first = first + i * part;
    child.leaves = part;
    child.context = std::move(child.context).resume();
    sum += child.result;
    unused.push_back(&child);
  }
  return sum;
}

}  // namespace weft::bench
