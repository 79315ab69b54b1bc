// All of weft's public interface.
#ifndef WEFT_WEFT_H_
#define WEFT_WEFT_H_

#include "weft/fiber/cancel.h"
#include "weft/fiber/fiber_local.h"
#include "weft/fiber/future.h"
#include "weft/fiber/gather.h"
#include "weft/fiber/scheduler.h"
#include "weft/fiber/task.h"
#include "weft/fiber/task_group.h"
#include "weft/fiber/this_fiber.h"
#include "weft/fiber/time.h"
#include "weft/fiber/timeout.h"
#include "weft/fiber/wait.h"
#include "weft/io/runtime.h"
#include "weft/sync/barrier.h"
#include "weft/sync/condition_variable.h"
#include "weft/sync/event.h"
#include "weft/sync/mutex.h"
#include "weft/sync/queue.h"
#include "weft/sync/semaphore.h"
#include "weft/sync/shared_mutex.h"
#include "weft/sync/thread_pool.h"

#endif  // WEFT_WEFT_H_
