#ifndef WEFT_IO_CORE_AWAIT_READY_H_
#define WEFT_IO_CORE_AWAIT_READY_H_

#include "weft/fiber/time.h"
#include "weft/io/poll.h"

namespace weft::internal {

// Waits until a descriptor is ready for one of `events`, or until `other`, if that is not negative,
// is readable. Returns false if it is `deadline` before.
//
// A fiber waits as for descriptors of other owners: its thread is free. A plain thread blocks in
// ppoll(). `what` names the call. A cancellation point. Throws std::system_error, and
// std::logic_error in a fiber outside weft::run(). Threads: any. Any number of fibers, threads and
// processes may wait for one descriptor; all are woken.
bool await_ready(int fd, Events events, int other, TimePoint deadline, const char* what);

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_AWAIT_READY_H_
