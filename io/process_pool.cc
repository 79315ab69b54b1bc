#include "weft/io/process_pool.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>

#include "weft/fiber/cancel.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/home.h"
#include "weft/fiber/timeout.h"
#include "weft/io/core/attempt.h"
#include "weft/io/core/child.h"
#include "weft/io/core/error.h"
#include "weft/io/core/packet.h"
#include "weft/io/core/reactor.h"
#include "weft/io/core/worker.h"
#include "weft/sync/mutex.h"
#include "weft/sync/queue.h"

namespace weft {
namespace {

using internal::Direction;
using internal::Incoming;
using internal::Packet;
using internal::PacketHead;

constexpr const char* kCaller = "run_in_process";

// Two sockets for packets. Each end of a pool's is non-blocking, and that of another process not.
struct Channel {
  Channel() {
    int ends[2];
    internal::checked(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), {"socketpair"});
    theirs = internal::Fd(ends[1]);
    ours = internal::Fd(ends[0]);
    internal::checked(fcntl(ends[0], F_SETFL, O_NONBLOCK), {"socketpair"});
  }
  internal::Fd ours, theirs;
};

// The pool's side of a worker.
struct Worker {
  Worker(internal::Socket its_socket, std::int32_t its_number, pid_t its_pid, std::string its_name)
      : socket(std::move(its_socket)),
        number(its_number),
        pid(its_pid),
        name(std::move(its_name)),
        buffer(std::make_unique_for_overwrite<char[]>(internal::kPacketSize)) {}

  // False if the worker is gone; then the job has not begun.
  bool give(std::string_view job) {
    const int error = internal::send_packets({}, job, buffer.get(), [&](std::size_t size) {
      return socket.attempt(Direction::kWrite, kCaller,
                            [&] { return send(socket.fd(), buffer.get(), size, MSG_NOSIGNAL); });
    });
    if (error == 0) return true;
    if (error == -EPIPE || error == -ECONNRESET) return false;
    internal::fail(-error, {"send a job to ", name});
  }

  // False if it is gone, and nothing says how.
  bool await(Incoming& answer) {
    return internal::receive_packets(answer, buffer.get(), [&] {
             return socket.attempt(Direction::kRead, kCaller, [&] { return receive(); });
           }) > 0;
  }

  // If the other end was closed with a job unread, the kernel says so once, before it hands out
  // what came from there.
  ssize_t receive() const {
    const ssize_t size = recv(socket.fd(), buffer.get(), internal::kPacketSize, 0);
    if (size >= 0 || errno != ECONNRESET) return size;
    return recv(socket.fd(), buffer.get(), internal::kPacketSize, 0);
  }

  internal::Socket socket;
  const std::int32_t number;
  const pid_t pid;
  const std::string name;  // "worker-2 (process 4711)"
  const std::unique_ptr<char[]> buffer;
  std::size_t jobs = 0;
};

std::size_t count_threads() {
  namespace fs = std::filesystem;
  const auto all = fs::directory_iterator("/proc/self/task");
  auto count = static_cast<std::size_t>(std::distance(begin(all), end(all)));
#if defined(WEFT_TSAN)
  --count;  // its own
#endif
  return count;
}

void require_one_thread() {
  if (count_threads() == 1) return;
  internal::throw_logic_error(
      "weft::ProcessPool: the process has several threads; make the pool before they are started");
}

ProcessPoolOptions checked_options(ProcessPoolOptions options) {
  if (options.workers == 0) options.workers = std::max(std::thread::hardware_concurrency(), 1U);
  return options;
}

}  // namespace

struct ProcessPool::Impl {
  explicit Impl(ProcessPoolOptions its_options) : options(checked_options(std::move(its_options))) {
    require_one_thread();
    if (!internal::current_reactor) internal::fill_standard_descriptors();
    Channel channel;
    std::fflush(nullptr);  // or what is not written yet would be written twice
    const pid_t pid = internal::checked(fork(), {"fork"});
    if (pid == 0) internal::become_template(options, std::move(channel.theirs));
    orders = internal::Socket(std::move(channel.ours));
    the_template = internal::Child(pid);
    for (unsigned i = 0; i < options.workers; ++i) places.push(nullptr);
  }

  ~Impl() {
    orders.close();
    the_template.reap();
  }

  std::unique_ptr<Worker> take_place();
  bool send_order(PacketHead order, int fd = -1);
  std::unique_ptr<Worker> fork_worker();
  void kill(Worker& worker);
  std::optional<Incoming> give_job(std::unique_ptr<Worker>& worker, std::string_view job);

  const ProcessPoolOptions options;
  const internal::HomeProcess process;
  internal::Child the_template;
  internal::Socket orders;
  Mutex ordering;  // held for an order, and until its answer
  std::int32_t last_number = 0;

  // A place for each worker, empty while it has none. The worker that was busy last comes first.
  LifoQueue<std::unique_ptr<Worker>> places;
};

// Takes a place, and gives it back at its end.
struct ProcessPool::Place {
  explicit Place(Impl& its_pool) : pool(its_pool), worker(pool.take_place()) {}
  ~Place() {
    if (worker && ++worker->jobs == pool.options.jobs_per_worker) worker.reset();
    try {
      pool.places.push(std::move(worker));
    } catch (const QueueClosed&) {  // the worker ends
    }
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  Impl& pool;
  std::unique_ptr<Worker> worker;  // null if there is none yet, or it is gone
};

std::unique_ptr<Worker> ProcessPool::Impl::take_place() {
  if (!process.is_this())
    internal::throw_logic_error("weft::run_in_process: the pool belongs to a parent process");
  internal::Reactor::require("weft::run_in_process");
  try {
    return places.pop();
  } catch (const QueueClosed&) {
    internal::throw_logic_error("weft::run_in_process: the pool is closed");
  }
}

// Sends an order to the template, perhaps with a descriptor. Returns false if it is gone.
bool ProcessPool::Impl::send_order(PacketHead order, int fd) {
  Packet packet(order, nullptr, 0);
  if (fd >= 0) packet.attach(fd);
  return orders.attempt(Direction::kWrite, kCaller,
                        [&] { return sendmsg(orders.fd(), &packet.message(), MSG_NOSIGNAL); }) >= 0;
}

std::unique_ptr<Worker> ProcessPool::Impl::fork_worker() {
  Channel channel;
  PacketHead answer;
  Packet packet(answer, nullptr, 0);
  const std::int32_t number = shield([&] {  // or the next order would get this one's answer
    const std::lock_guard turn(ordering);
    ++last_number;
    const bool answered =
        send_order({.kind = PacketHead::kFork, .number = last_number}, channel.theirs.get()) &&
        orders.attempt(Direction::kRead, kCaller,
                       [&] { return recvmsg(orders.fd(), &packet.message(), 0); }) > 0;
    return answered ? last_number : 0;
  });
  if (number == 0)
    throw WorkerDied("weft: the pool's template was killed: no worker can be forked", {});
  if (answer.number < 0) internal::fail(-answer.number, {"fork a worker"});
  const std::string name = options.name + "-" + internal::decimal(number) + " (process " +
                           internal::decimal(answer.number) + ")";
  return std::make_unique<Worker>(internal::Socket(std::move(channel.ours)), number, answer.number,
                                  name);
}

// Kills a worker in the middle of its job, and waits for its end.
void ProcessPool::Impl::kill(Worker& worker) {
  shield([&] {
    {
      const std::lock_guard turn(ordering);
      // Without the template nothing has reaped the worker, so the number is still its own.
      if (!send_order({.kind = PacketHead::kKill, .number = worker.number}))
        ::kill(worker.pid, SIGKILL);
    }
    Incoming last;
    while (worker.await(last)) {  // its end says how it died, and closes
    }
  });
}

// Has a worker do the job, and returns what came of it; nullopt if the worker is gone and nothing
// says how. A worker that died before it took the job is replaced, unless it is new.
std::optional<Incoming> ProcessPool::Impl::give_job(std::unique_ptr<Worker>& worker,
                                                    std::string_view job) {
  const internal::ExpectedEvent end;
  Incoming answer;
  for (;;) {
    const bool fresh = !worker;
    if (fresh) worker = fork_worker();
    const bool given = worker->give(job);
    const bool answered = worker->await(answer);
    const auto kind = answered ? answer.head.kind : PacketHead::kDied;
    const bool begun = kind != PacketHead::kGone && (given || kind != PacketHead::kDied);
    if (begun || fresh) return answered ? std::optional(std::move(answer)) : std::nullopt;
    worker.reset();
  }
}

// ---- ProcessPool --------------------------------------------------------------------------------

ProcessPool::ProcessPool(ProcessPoolOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

ProcessPool::~ProcessPool() = default;

void ProcessPool::close() noexcept { impl_->places.close(kDiscard); }

std::string ProcessPool::run_message(std::string_view message) {
  Place place(*impl_);
  std::optional<Incoming> answer;
  try {
    answer = impl_->give_job(place.worker, message);
  } catch (...) {  // such as Cancelled
    if (place.worker) impl_->kill(*place.worker);
    place.worker.reset();
    throw;
  }
  if (answer && answer->head.kind == PacketHead::kResult) return std::move(answer->bytes);
  const bool failed = answer && answer->head.kind == PacketHead::kFailure;
  const std::string name = place.worker->name;
  if (!failed || answer->head.number != 0) place.worker.reset();
  if (failed) {
    WireReader from(answer->bytes);
    std::string type = from.read<std::string>();
    throw RemoteError(std::move(type), from.read<std::string>());
  }
  if (!answer) throw WorkerDied("weft: " + name + " is gone, and the pool's template, too", {});
  const ExitStatus status(answer->head.number);
  throw WorkerDied("weft: " + name + " " + status.to_string(), status);
}

}  // namespace weft
