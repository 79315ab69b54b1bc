#ifndef WEFT_IO_CORE_WORKER_H_
#define WEFT_IO_CORE_WORKER_H_

#include <chrono>
#include <cstddef>
#include <string>

#include "weft/io/core/socket.h"
#include "weft/io/wire.h"

namespace weft::internal {

// The processes of a pool: the template, from which workers are forked, and the workers.
//
// The template has one thread, and the memory of the process as it was when the pool was made: so a
// fork of it is safe whatever the process does later. It waits for orders by one socket. It also
// has each worker's end of the worker's socket. When a worker ends it says there how, and shuts it
// down: the pool reads that in the place of an answer. If the process ends, or shuts down the first
// socket, the template kills all workers and ends. If the template ends, the kernel kills them.

// See ProcessPoolOptions.
struct WorkerOptions {
  std::string name;
  std::chrono::seconds cpu_limit;
  std::size_t memory_limit;
  void (*start)();
};

// A job begins with the address of this: it reads the arguments, and writes the result.
using RemoteCall = void (*)(WireReader& from, WireWriter& to);

// What a newly forked process does to become the template. It leaves the runtime, if there is one,
// and runs on the thread's own stack.
[[noreturn]] void become_template(const WorkerOptions& options, Fd orders);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_WORKER_H_
