// All of weft's public interface. Above each include stand the names that it gives.
//
//   int main() {
//     weft::run([] {
//       weft::sleep_for(std::chrono::milliseconds(10));
//       weft::gather([] { greet(); }, [] { serve(); });
//     });
//   }
#ifndef WEFT_WEFT_H_
#define WEFT_WEFT_H_

// ---- fiber/: what a fiber can do ----------------------------------------------------------------

// Cancelled, TaskCancelled, TimeoutError
#include "weft/fiber/cancel.h"
// CancelScope
#include "weft/fiber/cancel_scope.h"
// FiberLocal
#include "weft/fiber/fiber_local.h"
// Future, Promise
#include "weft/fiber/future.h"
// RaceFailed, RaceOptions, gather, gather_all, race
#include "weft/fiber/gather.h"
// TaskInfo, TaskListOptions, all_tasks, current_task, print_tasks
#include "weft/fiber/inspect.h"
// Outcome
#include "weft/fiber/outcome.h"
// OnDeadlock, ReportHandler, set_report_handler
#include "weft/fiber/report.h"
// ExceptionHandler, Handle, Scheduler, SpawnOptions
#include "weft/fiber/scheduler.h"
// StackTrace
#include "weft/fiber/stack_trace.h"
// SchedulerStats
#include "weft/fiber/stats.h"
// Task, spawn
#include "weft/fiber/task.h"
// TaskGroup, with_task_group
#include "weft/fiber/task_group.h"
// set_task_name, sleep_for, sleep_until, yield
#include "weft/fiber/this_fiber.h"
// AnyDuration, AnyTimePoint, Clock, Duration, TimePoint, kForever, kPast, now
#include "weft/fiber/time.h"
// shield, shield_for, try_within, with_deadline, with_timeout
#include "weft/fiber/timeout.h"
// Trace, TraceSpan
#include "weft/fiber/trace.h"
// WaitResult, When, as_completed, wait
#include "weft/fiber/wait.h"

// ---- sync/: what fibers and plain threads share -------------------------------------------------

// Barrier
#include "weft/sync/barrier.h"
// ConditionVariable
#include "weft/sync/condition_variable.h"
// Event
#include "weft/sync/event.h"
// ExecutorOptions, executor_stats, run_in_executor
#include "weft/sync/executor.h"
// Latch
#include "weft/sync/latch.h"
// Mutex
#include "weft/sync/mutex.h"
// Once, call_once
#include "weft/sync/once.h"
// Discard, LifoQueue, PopStatus, PriorityQueue, Queue, QueueClosed, kDiscard
#include "weft/sync/queue.h"
// after, on, on_pop, on_push, otherwise, select
#include "weft/sync/select.h"
// Semaphore
#include "weft/sync/semaphore.h"
// SharedMutex
#include "weft/sync/shared_mutex.h"
// ThreadPool, ThreadPoolOptions, ThreadPoolStats
#include "weft/sync/thread_pool.h"

// ---- io/: the world outside ---------------------------------------------------------------------

// Address
#include "weft/io/address.h"
// ConstBuffer, MutableBuffer, kReadLimit
#include "weft/io/buffer.h"
// BufferedReader
#include "weft/io/buffered_reader.h"
// DatagramSocket
#include "weft/io/datagram_socket.h"
// resolve, resolve_category
#include "weft/io/dns.h"
// ExitStatus
#include "weft/io/exit_status.h"
// FdStream, Pipe
#include "weft/io/fd_stream.h"
// File
#include "weft/io/file.h"
// listen_fds
#include "weft/io/listen_fds.h"
// Events, on_ready, wait_readable, wait_ready, wait_writable
#include "weft/io/poll.h"
// Process, ProcessError, ProcessOptions, ProcessResult, RunProcessOptions, Stdio, run_process,
// shell
#include "weft/io/process.h"
// ProcessLock
#include "weft/io/process_lock.h"
// ProcessPool, ProcessPoolOptions, RemoteError, WorkerDied, run_in_process
#include "weft/io/process_pool.h"
// ProcessQueue
#include "weft/io/process_queue.h"
// RunOptions, Runtime, run
#include "weft/io/runtime.h"
// SignalSet
#include "weft/io/signal.h"
// SocketOptions, set_options
#include "weft/io/socket_options.h"
// round_robin, spread, spread_all
#include "weft/io/spread.h"
// Source, Stream
#include "weft/io/stream.h"
// StreamSocket
#include "weft/io/stream_socket.h"
// ConnectOptions, TcpListener, TcpListenerOptions, TcpStream
#include "weft/io/tcp.h"
// UdpSocket, UdpSocketOptions
#include "weft/io/udp.h"
// UnixDatagram, UnixListener, UnixListenerOptions, UnixStream
#include "weft/io/unix_socket.h"
// Wirable, Wire, WireReader, WireWriter
#include "weft/io/wire.h"

// ---- This version -------------------------------------------------------------------------------

// WEFT_VERSION (macro), WEFT_VERSION_MAJOR (macro), WEFT_VERSION_MINOR (macro),
// WEFT_VERSION_PATCH (macro)
#include "weft/version.h"

#endif  // WEFT_WEFT_H_
