#include "bench/lib/skynet.h"
#include "weft/weft.h"

namespace weft::bench {

long skynet_tasks(long first, long leaves, bool eager) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  Task<long> children[kChildren];
  for (long i = 0; i < kChildren; ++i) {
    children[i] =
        spawn([=] { return skynet_tasks(first + i * part, part, eager); }, {.eager = eager});
  }
  long sum = 0;
  for (Task<long>& child : children) sum += child.get();
  return sum;
}

long skynet_groups(long first, long leaves, bool eager) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  long sum = 0;
  TaskGroup children;
  for (long i = 0; i < kChildren; ++i) {
    children.spawn([=, &sum] { sum += skynet_groups(first + i * part, part, eager); },
                   {.eager = eager});
  }
  children.join();
  return sum;
}

long skynet_spread() {
  const long part = kLeaves / kChildren;
  Task<long> children[kChildren];
  for (long i = 0; i < kChildren; ++i) {
    children[i] = spawn([=] { return skynet_tasks(i * part, part, true); }, {.on = round_robin()});
  }
  long sum = 0;
  for (Task<long>& child : children) sum += child.get();
  return sum;
}

}  // namespace weft::bench
