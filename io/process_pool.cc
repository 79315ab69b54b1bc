#include "weft/io/process_pool.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
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

// Ends a connection, also where a child that this process has forked holds it, too.
void hang_up(const internal::Socket& socket, const internal::HomeProcess& process) noexcept {
  if (process.is_this()) shutdown(socket.fd(), SHUT_RDWR);
}

// The pool's side of a worker, which may not be there yet: what is sent to it waits.
struct Worker {
  Worker(internal::Socket its_socket, std::int32_t its_number)
      : socket(std::move(its_socket)),
        number(its_number),
        buffer(std::make_unique_for_overwrite<char[]>(internal::kPacketSize)) {}
  ~Worker() { hang_up(socket, process); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False if the worker is gone; then the job has not begun.
  bool give(std::string_view job) {
    const int error = internal::send_packets({}, job, buffer.get(), [&](std::size_t size) {
      return socket.attempt(Direction::kWrite, kCaller,
                            [&] { return send(socket.fd(), buffer.get(), size, MSG_NOSIGNAL); });
    });
    if (error == 0) return true;
    if (error == -EPIPE || error == -ECONNRESET) return false;
    internal::fail(-error, {"send a job to a worker"});
  }

  // False if it is gone, and nothing says how.
  //
  // The first packet of a worker is its number, and its first answer may be right behind. Later a
  // packet that is not full ends a message. Only word of the worker's death may be behind it, and
  // then the end of the socket, which is noted whenever it comes. So no call is made to find
  // nothing.
  bool await(Incoming& answer) {
    const auto next = [&](std::size_t full) {
      return internal::receive_packets(answer, buffer.get(), [&] {
               return socket.attempt(
                   Direction::kRead, kCaller, [&] { return receive(); }, full);
             }) > 0;
    };
    if (pid != 0) return next(internal::kPacketSize);
    const bool is_there = next(0);
    if (!is_there || answer.head.kind != PacketHead::kForked) return is_there;
    pid = answer.head.number;
    return next(internal::kPacketSize);
  }

  // If the other end was closed with a job unread, the kernel says so once, before it hands out
  // what came from there.
  ssize_t receive() const {
    const ssize_t size = recv(socket.fd(), buffer.get(), internal::kPacketSize, 0);
    if (size >= 0 || errno != ECONNRESET) return size;
    return recv(socket.fd(), buffer.get(), internal::kPacketSize, 0);
  }

  const internal::HomeProcess process;
  internal::Socket socket;
  const std::int32_t number;
  pid_t pid = 0;  // 0: it has not said so yet
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

[[noreturn]] void fail_remotely(std::string_view failure) {
  WireReader from(failure);
  std::string type = from.read<std::string>();
  throw RemoteError(std::move(type), from.read<std::string>());
}

[[noreturn]] void fail_without_template(const std::string& worker, bool was_there) {
  if (was_there) throw WorkerDied("weft: " + worker + " died with the pool's template", {});
  throw WorkerDied("weft: no worker can be forked: the pool's template died", {});
}

ProcessPoolOptions checked_options(ProcessPoolOptions options) {
  if (options.workers == 0) options.workers = std::max(std::thread::hardware_concurrency(), 1U);
  if (options.cpu_limit.count() < 0)
    internal::throw_invalid_argument("weft::ProcessPool", ": the limit of CPU time is negative");
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
    if (pid == 0)
      internal::become_template(
          {options.name, options.cpu_limit, options.memory_limit, options.start},
          std::move(channel.theirs));
    orders = internal::Socket(std::move(channel.ours));
    the_template = internal::Child(pid);
    for (unsigned i = 0; i < options.workers; ++i) places.push(nullptr);
  }

  ~Impl() {
    hang_up(orders, process);
    orders.close();
    the_template.reap();
  }

  std::unique_ptr<Worker> take_place();
  bool send_order(PacketHead order, int fd = -1);
  std::unique_ptr<Worker> fork_worker();
  void kill(std::unique_ptr<Worker> worker);
  std::string name_of(const Worker& worker) const;
  std::optional<Incoming> give_job(std::unique_ptr<Worker>& worker, std::string_view job);

  const ProcessPoolOptions options;
  const internal::HomeProcess process;
  internal::Child the_template;
  internal::Socket orders;
  Mutex ordering;  // held for an order
  std::atomic<std::int32_t> last_number{0};

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
  const std::lock_guard turn(ordering);
  Packet packet(order, nullptr, 0);
  if (fd >= 0) packet.attach(fd);
  return orders.attempt(Direction::kWrite, kCaller,
                        [&] { return sendmsg(orders.fd(), &packet.message(), MSG_NOSIGNAL); }) >= 0;
}

// Does not wait for the worker.
std::unique_ptr<Worker> ProcessPool::Impl::fork_worker() {
  Channel channel;
  // Relaxed: the numbers only have to differ.
  const std::int32_t number = last_number.fetch_add(1, std::memory_order_relaxed) + 1;
  auto worker = std::make_unique<Worker>(internal::Socket(std::move(channel.ours)), number);
  send_order({.kind = PacketHead::kFork, .number = number}, channel.theirs.get());
  return worker;  // without a template nothing has its other end, which says so
}

// Kills a worker in the middle of its job, and waits for its end.
void ProcessPool::Impl::kill(std::unique_ptr<Worker> worker) {
  if (!worker) return;
  shield([&] {
    // Without the template the kernel has killed it.
    if (!send_order({.kind = PacketHead::kKill, .number = worker->number})) return;
    Incoming last;
    while (worker->await(last)) {  // its end says how it died, and closes
    }
  });
}

// "worker-2 (process 4711)"
std::string ProcessPool::Impl::name_of(const Worker& worker) const {
  const std::string name = options.name + "-" + internal::decimal(worker.number);
  return worker.pid == 0 ? name : name + " (process " + internal::decimal(worker.pid) + ")";
}

// Has a worker do the job, and returns what came of it; nullopt if the worker is gone and nothing
// says how. A worker that died before it took the job is replaced, unless it is new.
std::optional<Incoming> ProcessPool::Impl::give_job(std::unique_ptr<Worker>& worker,
                                                    std::string_view job) {
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
  const internal::ExpectedEvent end;
  std::optional<Incoming> answer;
  try {
    answer = impl_->give_job(place.worker, message);
  } catch (...) {  // such as Cancelled
    impl_->kill(std::move(place.worker));
    throw;
  }
  if (answer && answer->head.kind == PacketHead::kResult) return std::move(answer->bytes);
  if (answer && answer->head.kind == PacketHead::kFailure) {
    if (answer->head.number != 0) place.worker.reset();
    fail_remotely(answer->bytes);
  }
  const std::unique_ptr<Worker> lost = std::move(place.worker);
  if (!answer) fail_without_template(impl_->name_of(*lost), lost->pid != 0);
  if (answer->head.kind == PacketHead::kRefused)
    internal::fail(answer->head.number, {"fork a worker"});
  const ExitStatus status(answer->head.number);
  throw WorkerDied("weft: " + impl_->name_of(*lost) + " " + status.to_string(), status);
}

}  // namespace weft
