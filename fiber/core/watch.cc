#include "weft/fiber/core/watch.h"

#include <pthread.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "weft/fiber/core/deadlock.h"
#include "weft/fiber/core/error.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/stack_text.h"
#include "weft/fiber/core/survey.h"
#include "weft/fiber/core/task_report.h"
#include "weft/fiber/core/text.h"
#include "weft/fiber/core/thread.h"

namespace weft::internal {
namespace {

// Looks in the time after which a stall is reported: so it is reported after 1.25 times that.
constexpr int kLooks = 4;

// The one that the signal asks for a report, and how many threads are in its handler.
constinit std::atomic<Watch*> signalled{nullptr};
constinit std::atomic<int> handling{0};

// A child process has no watch of its parent's, so that one of its own gets the signal.
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] {
  signalled.store(nullptr);
  handling.store(0);
});

// ---- WEFT_WATCH ---------------------------------------------------------------------------------

std::optional<Duration> parse_duration(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number > 0) || number > 1e6) return {};
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const auto& [name, length] :
       {std::pair("us", 1e3), std::pair("ms", 1e6), std::pair("s", 1e9)}) {
    if (unit == name) return Duration(static_cast<Duration::rep>(number * length));
  }
  return {};
}

// The number of a signal that is given by its number or its name.
int parse_signal(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size()) {
    return number > 0 && number < NSIG ? number : 0;
  }
  if (text.starts_with("SIG")) text.remove_prefix(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* const name = sigabbrev_np(signal);
    if (name && text == name) return signal;
  }
  return 0;
}

bool parse_part(std::string_view part, WatchOptions& options) {
  const std::size_t middle = part.find('=');
  if (middle == part.npos) return false;
  const std::string_view name = part.substr(0, middle), value = part.substr(middle + 1);
  if (name == "stall") {
    const std::optional<Duration> time = parse_duration(value);
    if (time) options.stall_after = *time;
    return time.has_value();
  }
  const int signal = name == "report" ? parse_signal(value) : 0;
  if (signal != 0) options.report_signal = signal;
  return signal != 0;
}

// ---- What the kernel knows of a thread ----------------------------------------------------------

// Those that a service is likely to be stuck in.
constexpr std::pair<long, const char*> kSystemCalls[] = {
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_pread64, "pread64"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_openat, "openat"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_flock, "flock"},
    {SYS_fcntl, "fcntl"},
    {SYS_connect, "connect"},
    {SYS_accept, "accept"},
    {SYS_accept4, "accept4"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
#if defined(__x86_64__)
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_open, "open"},
#endif
    {SYS_futex, "futex"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
};

// The system call that a thread is in; nothing if it is in none, or that is not known.
std::optional<long> system_call_of(pid_t thread) noexcept {
  char path[64], line[32] = {};
  std::snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", thread);
  std::FILE* const file = std::fopen(path, "re");
  if (!file) return {};
  const bool read = std::fgets(line, sizeof(line), file) != nullptr;
  std::fclose(file);
  long number = -1;
  if (!read || std::sscanf(line, "%ld", &number) != 1 || number < 0) return {};
  return number;
}

void write_system_call(Text& text, long number) noexcept {
  text << ", in system call " << static_cast<std::uint64_t>(number);
  const auto* const known =
      std::ranges::find(kSystemCalls, number, &std::pair<long, const char*>::first);
  if (known != std::end(kSystemCalls)) text << " (" << known->second << ")";
}

std::uint64_t milliseconds(Duration time) noexcept {
  return static_cast<std::uint64_t>(time / std::chrono::milliseconds(1));
}

}  // namespace

void parse_watch(std::string_view words, WatchOptions& options) {
  while (!words.empty()) {
    const std::string_view part = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), part.size() + 1));
    if (!parse_part(part, options)) {
      print_line(
          "WEFT_WATCH: \"%.*s\" is not understood, and left out; e.g. stall=100ms,report=QUIT",
          static_cast<int>(part.size()), part.data());
    }
  }
}

Watch::Watch(WatchOptions options, std::span<Loop* const> schedulers) : options_(options) {
  for (Loop* const loop : schedulers) watched_.push_back({.home = loop});
  install_interrupt();
  thread_ = start_thread("weft-watch", [this] { run(); });
  resting_threads.fetch_add(1, std::memory_order_relaxed);  // it wakes no fiber
  Watch* nobody = nullptr;
  if (options_.report_signal == 0 || !signalled.compare_exchange_strong(nobody, this)) return;
  struct sigaction action {};
  action.sa_handler = &Watch::on_signal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  add_harmless_handler(&Watch::on_signal);
  if (sigaction(options_.report_signal, &action, nullptr) != 0) {
    print_line("signal %d cannot ask for a report", options_.report_signal);
  }
}

Watch::~Watch() {
  // All of these, here and in the handler, are sequentially consistent: either the handler finds
  // that this is gone, or this finds the handler, and waits.
  Watch* self = this;
  if (signalled.compare_exchange_strong(self, nullptr))
    std::signal(options_.report_signal, SIG_IGN);
  while (handling.load() != 0) let_others_run();
  resting_threads.fetch_sub(1, std::memory_order_relaxed);
  stop_.store(true, std::memory_order_relaxed);  // relaxed: the token orders it
  wake_.post();
  thread_.join();
}

void Watch::on_signal(int) noexcept {
  const int error = errno;
  handling.fetch_add(1);
  if (Watch* const watch = signalled.load()) {
    watch->asked_.store(true, std::memory_order_relaxed);
    watch->wake_.post();
  }
  handling.fetch_sub(1);
  errno = error;
}

void Watch::run() noexcept {
  const bool stalls = options_.stall_after > Duration::zero();
  while (!stop_.load(std::memory_order_relaxed)) {
    wake_.wait(stalls ? Clock::now() + options_.stall_after / kLooks : kForever);
    if (asked_.exchange(false, std::memory_order_relaxed)) report_tasks();
    if (!stalls) continue;
    const TimePoint now = Clock::now();
    for (Watched& watched : watched_) look_at(watched, now);
  }
}

void Watch::look_at(Watched& watched, TimePoint now) noexcept {
  const Home::Heartbeat beat = watched.home->heartbeat();
  const Duration held = now - watched.since;
  if (beat != watched.beat || !beat.fiber) {
    if (watched.reported > Duration::zero()) {
      print_line("scheduler %u went on after %llu ms", watched.home->number(),
                 static_cast<unsigned long long>(milliseconds(held)));
    }
    watched = {.home = watched.home, .beat = beat, .since = now};
  } else if (held >= std::max(options_.stall_after, 2 * watched.reported)) {
    watched.reported = held;
    report_stall(watched, held);
  }
}

void Watch::report_stall(const Watched& watched, Duration held) noexcept try {
  const pid_t thread = watched.home->thread_id();
  const std::optional<long> call = system_call_of(thread);  // before the thread is interrupted
  const Survey survey(*watched.home);
  const Survey::Entry& entry = survey.entries().front();
  report_text([&](Text& text) {
    text << "weft: scheduler " << entry.number << " is held up for " << milliseconds(held) << " ms";
    const bool seen = entry.has_snapshot() && !entry.snapshot().tasks().empty();
    if (seen) write_task(text << " by ", entry.snapshot().tasks().front());
    if (call) write_system_call(text, *call);
    text << "\n";
    if (seen) {
      write_stack(text, entry.snapshot().stack_of(entry.snapshot().tasks().front()));
    } else {
      text << "    (its thread could not be interrupted: no stack)\n";
    }
  });
} catch (const std::bad_alloc&) {
  print_line("scheduler %u is held up for %llu ms", watched.home->number(),
             static_cast<unsigned long long>(milliseconds(held)));
}

void Watch::report_tasks() noexcept {
  report_text([](Text& text) { write_tasks(text); });
}

}  // namespace weft::internal
