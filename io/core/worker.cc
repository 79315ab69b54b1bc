#include "weft/io/core/worker.h"

#include <cxxabi.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <exception>
#include <initializer_list>
#include <string>
#include <typeinfo>
#include <vector>

#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/mangled.h"
#include "weft/fiber/core/running.h"
#include "weft/io/core/error.h"
#include "weft/io/core/packet.h"
#include "weft/io/core/shared_fd.h"

namespace weft::internal {
namespace {

// How soon the template tries again to say that a worker died, if the worker's socket was full.
constexpr timespec kAgain{.tv_sec = 0, .tv_nsec = 10'000'000};

// What ps and top call the process.
void rename(const std::string& name) noexcept { prctl(PR_SET_NAME, name.c_str()); }

void block_only(std::initializer_list<int> signals) noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  pthread_sigmask(SIG_SETMASK, &set, nullptr);
}

// Handlers are the program's, but for those of faults, which may print where it happened. SIGTTIN
// and SIGTTOU would stop for ever what uses the terminal from a process group of its own.
void reset_signals() noexcept {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    const bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE ||
                       number == SIGILL || number == SIGABRT;
    if (fault || sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_flags & SA_SIGINFO || action.sa_handler != SIG_IGN) signal(number, SIG_DFL);
  }
  for (const int number : {SIGINT, SIGTERM, SIGTTIN, SIGTTOU}) signal(number, SIG_IGN);
}

// ---- A worker -----------------------------------------------------------------------------------

// Again if a handler that a job has left behind interrupts the call.
template <class Call>
ssize_t uninterrupted(Call call) noexcept {
  for (;;) {
    const ssize_t result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class Worker {
 public:
  Worker(const WorkerOptions& options, Fd socket) noexcept
      : options_(options), socket_(std::move(socket)) {}

  [[noreturn]] void run() {
    answer_ = {.kind = PacketHead::kForked, .number = getpid()};
    if (send() && attempt([&] { set_up(); })) work();
    // A worker that cannot start, or that a job does not fit in, fails this job and is gone.
    if (answer_.kind == PacketHead::kFailure) {
      answer_.number = 1;
      send();
    }
    _exit(0);
  }

 private:
  // Returns if there are no more jobs.
  void work() {
    Incoming job;
    int received = 0;
    while (attempt([&] { received = receive(job); }) && received > 0) {
      attempt([&] { call(WireReader(job.bytes)); });
      if (!send()) return;
    }
  }

  void set_up() const {
    const auto seconds = static_cast<rlim_t>(options_.cpu_limit.count());
    limit(RLIMIT_CPU, seconds, seconds + 1);  // SIGXCPU first, and then SIGKILL
    limit(RLIMIT_AS, options_.memory_limit, options_.memory_limit);
    if (options_.start) options_.start();
  }

  static void limit(__rlimit_resource resource, rlim_t soft, rlim_t hard) {
    if (soft == 0) return;
    rlimit limits{};
    checked(getrlimit(resource, &limits), {"limit a worker"});
    limits = {std::min(soft, limits.rlim_max), std::min(hard, limits.rlim_max)};
    checked(setrlimit(resource, &limits), {"limit a worker"});
  }

  // Calls f(), and notes in its answer what that throws. Returns whether it has thrown nothing.
  template <class F>
  bool attempt(F f) {
    answer_ = {.kind = PacketHead::kResult};
    result_.clear();
    try {
      f();
    } catch (const std::exception& error) {
      note_failure(typeid(error), error.what());
    } catch (...) {
      const std::type_info* const type = abi::__cxa_current_exception_type();
      note_failure(type ? *type : typeid(void), "not a std::exception");  // null: not one of C++
    }
    return answer_.kind == PacketHead::kResult;
  }

  void call(WireReader from) {
    RemoteCall function = nullptr;
    from.read_bytes(&function, sizeof(function));
    function(from, result_);
  }

  void note_failure(const std::type_info& type, const char* text) {
    answer_.kind = PacketHead::kFailure;
    result_.clear();
    result_.write(demangled(type.name()));
    result_.write(std::string(text ? text : ""));
  }

  int receive(Incoming& job) {
    return receive_packets(job, buffer_, [&] {
      return uninterrupted([&] { return recv(socket_.get(), buffer_, sizeof(buffer_), 0); });
    });
  }

  // What a job printed comes before its end is known.
  bool send() {
    if (!process_.is_this()) _exit(0);  // a child that a job has forked, and that returned from it
    std::fflush(nullptr);
    const int error = send_packets(answer_, result_.bytes(), buffer_, [&](std::size_t size) {
      return uninterrupted([&] { return ::send(socket_.get(), buffer_, size, MSG_NOSIGNAL); });
    });
    return error == 0;
  }

  const WorkerOptions& options_;
  const Fd socket_;
  const HomeProcess process_;
  PacketHead answer_;
  WireWriter result_;
  char buffer_[kPacketSize];
};

// ---- The template -------------------------------------------------------------------------------

class Template {
 public:
  Template(const WorkerOptions& options, Fd orders)
      : options_(options),
        orders_(std::move(orders)),
        parent_(static_cast<int>(syscall(SYS_pidfd_open, getppid(), 0))) {
    setpgid(0, 0);  // Ctrl-C is for the program alone
    rename(options_.name);
    const int own[] = {orders_.get(), parent_.get()};
    close_all_but_shared(own);
    block_only({SIGCHLD});
    reset_signals();
    signal(SIGCHLD, [](int) {});  // ends a ppoll(), which alone does not block it
  }

  [[noreturn]] void run() {
    sigset_t none;
    sigemptyset(&none);
    for (;;) {
      pollfd events[] = {{orders_.get(), POLLIN, 0}, {parent_.get(), POLLIN, 0}};
      const bool unsaid = std::any_of(workers_.begin(), workers_.end(), has_ended);
      ppoll(events, 2, unsaid ? &kAgain : nullptr, &none);
      if (events[1].revents != 0) end();
      if (events[0].revents != 0) take_order();
      reap();
      std::erase_if(workers_, say_end);
    }
  }

 private:
  struct Child {
    std::int32_t number;
    pid_t pid;
    Fd socket;                  // the worker's end
    std::optional<int> status;  // of waitpid()
  };

  static bool has_ended(const Child& worker) noexcept { return worker.status.has_value(); }

  // Says to the pool how a worker has ended, in the worker's place. Returns false if it has not
  // ended, or there is no room for the word yet.
  static bool say_end(Child& worker) noexcept {
    if (!worker.status) return false;
    const int socket = worker.socket.get();
    // From here on no job is sent to it. One that is there was never begun.
    shutdown(socket, SHUT_RD);
    char unread = 0;
    const bool gone = recv(socket, &unread, sizeof(unread), MSG_PEEK | MSG_DONTWAIT) > 0;
    PacketHead head{.kind = gone ? PacketHead::kGone : PacketHead::kDied, .number = *worker.status};
    if (!tell(socket, head) && errno == EAGAIN) return false;
    shutdown(socket, SHUT_RDWR);  // a process that a job has forked may have it, too
    return true;
  }

  static bool tell(int socket, PacketHead head) noexcept {
    Packet packet(head, nullptr, 0);
    return sendmsg(socket, &packet.message(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }

  void take_order() {
    PacketHead order;
    Packet packet(order, nullptr, 0);
    packet.expect();
    const ssize_t size = recvmsg(orders_.get(), &packet.message(), MSG_CMSG_CLOEXEC);
    if (size < 0) return;  // poll() says whether to try again
    if (size == 0) end();
    if (order.kind == PacketHead::kFork) fork_worker(order.number, packet.take_fd());
    if (order.kind == PacketHead::kKill) kill_worker(order.number);
  }

  void fork_worker(std::int32_t number, Fd socket) {
    if (socket.get() < 0) return;  // there was no number left for it, and the pool sees its end
    const pid_t the_template = getpid();
    const pid_t pid = fork();
    if (pid == 0) become_worker(the_template, number, std::move(socket));
    if (pid > 0) {
      workers_.push_back({number, pid, std::move(socket), {}});
    } else {
      tell(socket.get(), {.kind = PacketHead::kRefused, .number = errno});
    }
  }

  [[noreturn]] void become_worker(pid_t the_template, std::int32_t number, Fd socket) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != the_template) _exit(1);  // it ended before
    const int own[] = {socket.get()};
    close_all_but_shared(own);
    rename(options_.name + "-" + decimal(number));
    signal(SIGCHLD, SIG_DFL);
    block_only({});
    Worker(options_, std::move(socket)).run();
  }

  // A worker that was reaped is not killed: its number may be that of another process.
  void kill_worker(std::int32_t number) noexcept {
    for (const Child& worker : workers_) {
      if (worker.number == number && !worker.status) kill(worker.pid, SIGKILL);
    }
  }

  void reap() noexcept {
    int status = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      for (Child& worker : workers_) {
        if (worker.pid == pid) worker.status = status;
      }
    }
  }

  [[noreturn]] void end() noexcept {
    for (const Child& worker : workers_) {
      if (!worker.status) kill(worker.pid, SIGKILL), waitpid(worker.pid, nullptr, 0);
    }
    _exit(0);
  }

  const WorkerOptions& options_;
  const Fd orders_;
  const Fd parent_;  // a pidfd; empty before Linux 5.3, where the end of `orders_` has to do
  std::vector<Child> workers_;
};

struct Start {
  const WorkerOptions& options;
  Fd orders;
};

// Whatever it throws ends the process.
void run_template(void* argument) noexcept {
  Start& start = *static_cast<Start*>(argument);
  Template(start.options, std::move(start.orders)).run();
}

}  // namespace

void become_template(const WorkerOptions& options, Fd orders) {
  Start start{options, std::move(orders)};
  Loop::leave(&run_template, &start);
}

}  // namespace weft::internal
