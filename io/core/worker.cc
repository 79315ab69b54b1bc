#include "weft/io/core/worker.h"

#include <cxxabi.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <typeinfo>
#include <vector>

#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/mangled.h"
#include "weft/io/core/error.h"
#include "weft/io/core/packet.h"
#include "weft/io/core/shared_fd.h"

namespace weft::internal {
namespace {

// How soon the template tries again to say that a worker died, if the worker's socket was full.
constexpr int kAgainMs = 10;

// What ps and top call the process.
void rename(const std::string& name) noexcept { prctl(PR_SET_NAME, name.c_str()); }

// Handlers are the program's, but for those of faults, which may print where it happened.
void reset_signals() noexcept {
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action {};
    const bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE ||
                       number == SIGILL || number == SIGABRT;
    if (fault || sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_flags & SA_SIGINFO || action.sa_handler != SIG_IGN) signal(number, SIG_DFL);
  }
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);  // if it were ignored the template would not know how a worker ended
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

// ---- A worker -----------------------------------------------------------------------------------

class Worker {
 public:
  Worker(const ProcessPoolOptions& options, Fd socket) noexcept
      : options_(options), socket_(std::move(socket)) {}

  [[noreturn]] void run() {
    // A worker that cannot start fails the job that it was made for, and is gone.
    if (!attempt([&] { set_up(); })) {
      answer_.number = 1;
      send();
      _exit(1);
    }
    Incoming job;
    while (receive(job) > 0) {
      attempt([&] { call(WireReader(job.bytes)); });
      std::fflush(nullptr);
      if (!send()) break;
    }
    _exit(0);
  }

 private:
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
      note_failure(*abi::__cxa_current_exception_type(), "not a std::exception");
    }
    return answer_.kind == PacketHead::kResult;
  }

  void call(WireReader from) {
    RemoteCall function = nullptr;
    from.read_bytes(&function, sizeof(function));
    function(from, result_);
  }

  void note_failure(const std::type_info& type, std::string text) {
    answer_.kind = PacketHead::kFailure;
    result_.clear();
    result_.write(demangled(type.name()));
    result_.write(text);
  }

  int receive(Incoming& job) {
    return receive_packets(job, buffer_,
                           [&] { return recv(socket_.get(), buffer_, sizeof(buffer_), 0); });
  }

  bool send() {
    const int error = send_packets(answer_, result_.bytes(), buffer_, [&](std::size_t size) {
      return ::send(socket_.get(), buffer_, size, MSG_NOSIGNAL);
    });
    return error == 0;
  }

  const ProcessPoolOptions& options_;
  const Fd socket_;
  PacketHead answer_;
  WireWriter result_;
  char buffer_[kPacketSize];
};

// ---- The template -------------------------------------------------------------------------------

class Template {
 public:
  Template(const ProcessPoolOptions& options, Fd orders)
      : options_(options), orders_(std::move(orders)) {
    setpgid(0, 0);  // Ctrl-C is for the program alone
    reset_signals();
    rename(options_.name);
    const int own[] = {orders_.get()};
    close_all_but_shared(own);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    ends_ = Fd(checked(signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK), {"signalfd"}));
  }

  [[noreturn]] void run() {
    for (;;) {
      pollfd events[] = {{orders_.get(), POLLIN, 0}, {ends_.get(), POLLIN, 0}};
      const bool unsaid = std::any_of(workers_.begin(), workers_.end(), has_ended);
      poll(events, 2, unsaid ? kAgainMs : -1);
      if (events[0].revents != 0) take_order();
      if (events[1].revents != 0) reap();
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
    Packet packet(head, nullptr, 0);
    return sendmsg(socket, &packet.message(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
  }

  void take_order() {
    PacketHead order;
    Packet packet(order, nullptr, 0);
    packet.expect();
    const ssize_t size = recvmsg(orders_.get(), &packet.message(), MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == EINTR) return;
    if (size <= 0) end();
    if (order.kind == PacketHead::kFork) fork_worker(order.number, packet.take_fd());
    if (order.kind == PacketHead::kKill) kill_worker(order.number);
  }

  void fork_worker(std::int32_t number, Fd socket) {
    const pid_t pid = fork();
    if (pid == 0) become_worker(number, std::move(socket));
    PacketHead answer{.kind = PacketHead::kForked, .number = pid < 0 ? -errno : pid};
    if (pid > 0) workers_.push_back({number, pid, std::move(socket), {}});
    Packet packet(answer, nullptr, 0);
    sendmsg(orders_.get(), &packet.message(), MSG_NOSIGNAL);
  }

  [[noreturn]] void become_worker(std::int32_t number, Fd socket) {
    const int own[] = {socket.get()};
    close_all_but_shared(own);
    rename(options_.name + "-" + decimal(number));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    Worker(options_, std::move(socket)).run();
  }

  // A worker that was reaped is not killed: its number may be that of another process.
  void kill_worker(std::int32_t number) noexcept {
    for (const Child& worker : workers_) {
      if (worker.number == number && !worker.status) kill(worker.pid, SIGKILL);
    }
  }

  void reap() noexcept {
    signalfd_siginfo ignored;
    while (read(ends_.get(), &ignored, sizeof(ignored)) > 0) {
    }
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

  const ProcessPoolOptions& options_;
  const Fd orders_;
  Fd ends_;  // a signalfd: SIGCHLD
  std::vector<Child> workers_;
};

struct Start {
  const ProcessPoolOptions& options;
  Fd orders;
};

// Whatever it throws ends the process.
void run_template(void* argument) noexcept {
  Start& start = *static_cast<Start*>(argument);
  Template(start.options, std::move(start.orders)).run();
}

}  // namespace

void become_template(const ProcessPoolOptions& options, Fd orders) {
  Start start{options, std::move(orders)};
  Loop::leave(&run_template, &start);
}

}  // namespace weft::internal
