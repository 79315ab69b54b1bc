#include "weft/io/process_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

namespace {

// Cannot be written, or not be read.
struct Thorny {
  bool when_read;
};

}  // namespace

template <>
struct weft::Wire<Thorny> {
  static void write(WireWriter& to, const Thorny& thorny) {
    if (!thorny.when_read) throw std::runtime_error("thorny");
    to.write(thorny.when_read);
  }
  static Thorny read(WireReader& from) {
    if (from.read<bool>()) throw std::runtime_error("thorny");
    return {false};
  }
};

BOOST_AUTO_TEST_SUITE(process_pool)

namespace {

int add(int a, int b) { return a + b; }

// Blocks until a signal kills the process.
void hang() {
  for (;;) pause();
}

std::string thread_name() {
  char name[17] = {};
  prctl(PR_GET_NAME, name);
  return name;
}

bool has_child() {
  siginfo_t info{};
  return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void spin() {
  for (volatile bool end = false; !end;) {
  }
}

std::size_t length(const std::string& text) { return text.size(); }

std::string large_text() { return std::string(10 << 20, 'x'); }

std::string some_work(int n, const std::string& text) {
  usleep(static_cast<useconds_t>(n) * 1000);
  return text + text;
}

// How many descriptors are open.
int open_numbers() {
  int count = 0;
  for (int fd = 0; fd < 1000; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

void abort_at_once() {
  signal(SIGABRT, SIG_DFL);  // not Boost.Test's
  std::abort();
}

void close_all() {
  for (int fd = 0; fd < 1000; ++fd) close(fd);
}

// Returns the number of a process that has all descriptors of this one.
pid_t fork_one_that_stays() {
  const pid_t child = fork();
  if (child == 0) hang();
  return child;
}

// In bytes.
[[maybe_unused]] std::size_t address_space() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

struct WithoutWords : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
struct Nameless {};

// Orphans become children of this process.
struct Subreaper {
  Subreaper() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~Subreaper() { prctl(PR_SET_CHILD_SUBREAPER, 0); }
};

// Reaps an orphan, once it has come here and has ended. False if that takes too long.
bool reaped(pid_t orphan) {
  for (int ms = 0; ms < 20'000; ++ms, usleep(1000)) {
    if (waitpid(orphan, nullptr, WNOHANG) == orphan) return true;
  }
  return false;
}

// What f() throws, as text.
template <class F>
std::string failure(F f) {
  try {
    f();
    return "none";
  } catch (const std::exception& error) {
    return error.what();
  }
}

// What the workers share with this process: for each job, how often it has begun; and which
// processes have worked.
struct Shared {
  static constexpr int kJobs = 10'000;
  std::atomic<int> begun[kJobs];
  std::atomic<pid_t> worker;  // the last
  std::atomic<pid_t> the_template;
};
Shared* shared = nullptr;

struct SharedMemory {
  SharedMemory() {
    shared = static_cast<Shared*>(
        mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  ~SharedMemory() { munmap(shared, sizeof(Shared)); }
};

int counted_job(int i) {
  shared->worker = getpid();
  shared->the_template = getppid();
  ++shared->begun[i];
  return i + 1;
}

void hang_noted() {
  shared->begun[2] = getpid();
  hang();
}

// Returns whether there was one to kill.
bool kill_a_worker() {
  const pid_t worker = shared->worker.exchange(0);
  return worker > 0 && kill(worker, SIGKILL) == 0;
}

struct Outcomes {
  int results = 0;
  int errors = 0;
};

// Does all jobs, 100 at a time. Calls meanwhile(i) before each.
template <class F>
Outcomes do_jobs(ProcessPool& pool, F meanwhile) {
  Outcomes outcomes;
  int next = 0;
  TaskGroup group;
  for (int fiber = 0; fiber < 100; ++fiber) {
    group.spawn([&] {
      while (next < Shared::kJobs) {
        const int i = next++;
        meanwhile(i);
        try {
          BOOST_REQUIRE(run_in_process(pool, &counted_job, i) == i + 1);
          BOOST_REQUIRE(shared->begun[i] == 1);
          ++outcomes.results;
        } catch (const WorkerDied&) {
          BOOST_REQUIRE(shared->begun[i] <= 1);
          ++outcomes.errors;
        }
      }
    });
  }
  group.join();
  return outcomes;
}

}  // namespace

WEFT_REAL_TIME_TEST_CASE(a_job_returns_its_result) {
  ProcessPool pool({.workers = 1});
  BOOST_TEST(run_in_process(pool, &add, 2, 3) == 5);
  BOOST_TEST(run_in_process(
                 pool, [](std::string text) { return text + "!"; }, std::string("hello")) ==
             "hello!");
  const auto lengths = run_in_process(
      pool,
      [](const std::vector<std::string>& words) {
        std::map<std::string, std::size_t> result;
        for (const std::string& word : words) result[word] = word.size();
        return result;
      },
      std::vector<std::string>{"a", "bcd"});
  BOOST_TEST(lengths.at("bcd") == 3u);
  run_in_process(pool, [] {});
}

WEFT_REAL_TIME_TEST_CASE(a_job_is_in_another_process_without_this_ones_runtime) {
  ProcessPool pool({.workers = 1});
  BOOST_TEST(run_in_process(pool, [] { return getpid(); }) != getpid());
  BOOST_TEST(run_in_process(pool, [] { return weft::run([] { return getppid(); }); }) != getpid());
  BOOST_TEST(run_in_process(pool, &thread_name) == "worker-1");
}

WEFT_REAL_TIME_TEST_CASE(large_values_go_both_ways) {
  ProcessPool pool({.workers = 1});
  const std::string large(10 << 20, 'x');
  BOOST_TEST((run_in_process(
                  pool, [](std::string text) { return text + text; }, large) == large + large));
}

WEFT_REAL_TIME_TEST_CASE(what_a_job_throws_arrives_by_type_and_text) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, [] { return getpid(); });
  try {
    run_in_process(pool, [] { throw std::out_of_range("no such key"); });
    BOOST_TEST(false);
  } catch (const RemoteError& error) {
    BOOST_TEST(error.type() == "std::out_of_range");
    BOOST_TEST(error.what() == "std::out_of_range: no such key");
  }
  BOOST_TEST(failure([&] { run_in_process(pool, [] { throw 1; }); }) ==
             "int: not a std::exception");
  BOOST_TEST(run_in_process(pool, [] { return getpid(); }) == worker);
}

WEFT_REAL_TIME_TEST_CASE(a_worker_that_dies_is_named_and_replaced) {
  ProcessPool pool({.workers = 1});
  try {
    run_in_process(pool, [] { raise(SIGKILL); });
    BOOST_TEST(false);
  } catch (const WorkerDied& died) {
    BOOST_TEST(died.status()->signal() == SIGKILL);
    BOOST_TEST(std::string(died.what()).starts_with("weft: worker-1 (process "));
    BOOST_TEST(std::string(died.what()).ends_with(") was killed by SIGKILL"));
  }
  BOOST_TEST(run_in_process(pool, &thread_name) == "worker-2");
  BOOST_TEST(failure([&] { run_in_process(pool, [] { _exit(3); }); }).ends_with("exited with 3"));
}

WEFT_REAL_TIME_TEST_CASE(an_idle_worker_that_dies_harms_no_job) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, [] { return getpid(); });
  kill(worker, SIGKILL);
  BOOST_TEST(eventually([&] { return kill(worker, 0) != 0; }));
  BOOST_TEST(run_in_process(pool, &add, 1, 1) == 2);
}

WEFT_REAL_TIME_TEST_CASE(cancelling_kills_the_worker) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, [] { return getpid(); });
  BOOST_CHECK_THROW(with_timeout(10ms, [&] { run_in_process(pool, &hang); }), TimeoutError);
  BOOST_TEST(kill(worker, 0) != 0);
  BOOST_TEST(run_in_process(pool, &add, 1, 1) == 2);
}

WEFT_REAL_TIME_TEST_CASE(jobs_wait_for_a_worker_in_turn) {
  ProcessPool pool({.workers = 2});
  std::vector<Task<pid_t>> jobs;
  for (int i = 0; i < 20; ++i) {
    jobs.push_back(spawn([&] { return run_in_process(pool, [] { return getpid(); }); }));
  }
  std::map<pid_t, int> count;
  for (Task<pid_t>& job : jobs) ++count[job.get()];
  BOOST_TEST(count.size() <= 2u);
}

WEFT_REAL_TIME_TEST_CASE(a_worker_is_replaced_after_so_many_jobs) {
  ProcessPool pool({.workers = 1, .name = "w", .jobs_per_worker = 2});
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(run_in_process(pool, &thread_name));
  BOOST_TEST((names == std::vector<std::string>{"w-1", "w-1", "w-2", "w-2", "w-3"}));
}

WEFT_REAL_TIME_TEST_CASE(a_start_that_throws_fails_the_job) {
  ProcessPool pool({.workers = 1, .start = [] { throw std::runtime_error("no database"); }});
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(failure([&] { run_in_process(pool, &add, 1, 1); }) ==
               "std::runtime_error: no database");
  }
}

WEFT_REAL_TIME_TEST_CASE(a_closed_pool_refuses_jobs) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  kill(worker, SIGSTOP);
  auto running = spawn([&] { return run_in_process(pool, &add, 3, 4); }, {.eager = true});
  auto waiting = spawn([&] { return run_in_process(pool, &add, 1, 1); }, {.eager = true});
  pool.close();
  kill(worker, SIGCONT);
  BOOST_TEST(running.get() == 7);
  BOOST_TEST(failure([&] { waiting.get(); }) == "weft::run_in_process: the pool is closed");
  BOOST_TEST(failure([&] { run_in_process(pool, &add, 1, 1); }) ==
             "weft::run_in_process: the pool is closed");
}

BOOST_AUTO_TEST_CASE(the_end_of_a_pool_leaves_no_process) {
  {
    ProcessPool pool({.workers = 3});
    weft::run([&] {
      auto stuck = spawn([&] { run_in_process(pool, &hang); }, {.eager = true});
      BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
    });
  }
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(with_several_threads_there_is_no_pool) {
  std::atomic<bool> end{false};
  std::thread other([&] { end.wait(false); });
  BOOST_TEST(failure([] { ProcessPool pool; }) ==
             "weft::ProcessPool: the process has several threads; make the pool before they are "
             "started");
  end = true;
  end.notify_all();
  other.join();
}

BOOST_AUTO_TEST_CASE(what_is_printed_is_printed_once) {
  std::fflush(nullptr);
  const ChildEnd end = run_in_child([] {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    std::printf("before, ");
    ProcessPool pool({.workers = 1, .start = [] { std::printf("start, "); }});
    weft::run([&] {
      for (int i = 0; i < 2; ++i) run_in_process(pool, [] { std::printf("job, "); });
    });
    return 0;
  });
  BOOST_TEST(end.said == "before, start, job, job, ");
}

WEFT_REAL_TIME_TEST_CASE(each_job_has_a_result_or_an_error_while_workers_are_killed) {
  const SharedMemory memory;
  ProcessPool pool({.workers = 4});
  int kills = 0;
  const Outcomes outcomes = do_jobs(pool, [&](int i) {
    if (i % 100 == 99 && kill_a_worker()) ++kills;
  });
  BOOST_TEST(kills > 50);
  BOOST_TEST(outcomes.results + outcomes.errors == Shared::kJobs);
  BOOST_TEST(outcomes.errors <= kills);
}

WEFT_REAL_TIME_TEST_CASE(each_job_has_a_result_or_an_error_when_the_template_is_killed) {
  const SharedMemory memory;
  ProcessPool pool({.workers = 4});
  const Outcomes outcomes = do_jobs(pool, [&](int i) {
    if (i == Shared::kJobs / 2) kill(shared->the_template, SIGKILL);
  });
  BOOST_TEST(outcomes.results >= Shared::kJobs / 2 - 100);
  BOOST_TEST(outcomes.errors > 0);
}

// ---- What a job may do --------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_worker_has_the_standard_descriptors_and_its_socket) {
  ProcessPool pool({.workers = 3});
  auto stuck = spawn([&] { run_in_process(pool, &hang); }, {.eager = true});
  run_in_process(pool, &add, 1, 2);
  BOOST_TEST(run_in_process(pool, &open_numbers) == 4);
}

WEFT_REAL_TIME_TEST_CASE(a_process_that_a_job_forks_neither_answers_nor_takes_jobs) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  for (int i = 0; i < 50; ++i) {
    BOOST_TEST(run_in_process(pool, [] { return fork(), getpid(); }) == worker);
    BOOST_TEST(run_in_process(pool, &add, i, 1) == i + 1);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_process_that_a_job_has_forked_hides_no_death_of_its_worker) {
  ProcessPool pool({.workers = 1});
  const pid_t left = run_in_process(pool, &fork_one_that_stays);
  BOOST_TEST(failure([&] { run_in_process(pool, [] { raise(SIGKILL); }); }).ends_with("SIGKILL"));
  const pid_t other = run_in_process(pool, &fork_one_that_stays);
  BOOST_CHECK_THROW(with_timeout(10ms, [&] { run_in_process(pool, &hang); }), TimeoutError);
  kill(left, SIGKILL);
  kill(other, SIGKILL);
}

WEFT_REAL_TIME_TEST_CASE(a_job_that_ends_its_process_is_a_worker_that_died) {
  ProcessPool pool({.workers = 1});
  BOOST_TEST(failure([&] { run_in_process(pool, [] { std::_Exit(3); }); }).ends_with("with 3"));
  BOOST_TEST(failure([&] { run_in_process(pool, &close_all); }).ends_with("exited with 0"));
  BOOST_TEST(failure([&] { run_in_process(pool, &abort_at_once); }).find("SIGABRT") !=
             std::string::npos);
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
}

// The pool is made outside of fibers: TSan takes those for threads, and the child of several
// threads may start none.
BOOST_AUTO_TEST_CASE(a_job_may_start_threads_and_schedulers) {
  ProcessPool pool({.workers = 1});
  const auto job = [](int n) {
    std::thread([&] { ++n; }).join();
    return weft::run([&] { return sleep_for(1ms), n; }, {.threads = 2});
  };
  weft::run([&] {
    for (int i = 0; i < 3; ++i) BOOST_TEST(run_in_process(pool, job, i) == i + 1);
  });
}

WEFT_REAL_TIME_TEST_CASE(exceptions_without_words_and_of_any_type_arrive) {
  ProcessPool pool({.workers = 1});
  BOOST_TEST(failure([&] {
               run_in_process(pool, [] { throw WithoutWords(); });
             }).ends_with("WithoutWords: "));
  BOOST_TEST(failure([&] {
               run_in_process(pool, [] { throw Nameless(); });
             }).ends_with("Nameless: not a std::exception"));
  BOOST_TEST(failure([&] {
               run_in_process(pool, [] { throw std::string(100'000, 'x'); });
             }).ends_with("not a std::exception"));
}

WEFT_REAL_TIME_TEST_CASE(a_wire_that_throws_fails_its_job_alone) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  for (const bool reading : {false, true}) {
    BOOST_TEST(failure([&] {
                 run_in_process(
                     pool, [](Thorny) {}, Thorny{reading});
               }) == (reading ? "std::runtime_error: thorny" : "thorny"));
    BOOST_TEST(failure([&] {
                 run_in_process(
                     pool, [](bool when) { return Thorny{when}; }, reading);
               }) == (reading ? "thorny" : "std::runtime_error: thorny"));
    BOOST_TEST(run_in_process(pool, &getpid) == worker);
  }
}

WEFT_REAL_TIME_TEST_CASE(signals_that_end_a_service_leave_its_workers_alone) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  for (const int number : {SIGINT, SIGTERM}) kill(worker, number);
  BOOST_TEST(run_in_process(pool, &getpid) == worker);
}

WEFT_REAL_TIME_TEST_CASE(a_handler_of_a_jobs_does_not_end_its_worker) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, [] {
    struct sigaction action {};  // without SA_RESTART
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    return getpid();
  });
  for (int i = 0; i < 100; ++i) {
    kill(worker, SIGUSR1);
    BOOST_REQUIRE(run_in_process(pool, &getpid) == worker);
  }
}

// ---- Limits -------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_worker_ends_at_its_limit_of_processor_time) {
  ProcessPool pool({.workers = 1, .cpu_limit = 1s});
  BOOST_TEST(failure([&] { run_in_process(pool, &spin); }).find("by SIGXCPU") != std::string::npos);
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
  BOOST_CHECK_THROW(ProcessPool({.cpu_limit = -1s}), std::invalid_argument);
}

#if !defined(WEFT_ASAN) && !defined(WEFT_TSAN)  // theirs is nearly all address space there is
WEFT_REAL_TIME_TEST_CASE(at_its_limit_of_memory_a_worker_fails_the_job) {
  ProcessPool pool({.workers = 1, .memory_limit = address_space() + (32 << 20)});
  // The C library may keep up to 64 MiB of what was freed before.
  const auto what = [&](auto f) { return failure(f).substr(0, 14); };
  BOOST_TEST(what([&] {
               run_in_process(pool, [] { return std::string(256 << 20, 'x').size(); });
             }) == "std::bad_alloc");
  const pid_t worker = run_in_process(pool, &getpid);
  const std::string large(128 << 20, 'x');  // is not even received
  BOOST_TEST(what([&] { run_in_process(pool, &length, large); }) == "std::bad_alloc");
  BOOST_TEST(run_in_process(pool, &getpid) != worker);
}
#endif

WEFT_REAL_TIME_TEST_CASE(each_worker_starts_once) {
  static int starts = 0;
  ProcessPool pool({.workers = 1, .jobs_per_worker = 2, .start = [] { ++starts; }});
  for (int i = 0; i < 5; ++i) BOOST_TEST(run_in_process(pool, [] { return starts; }) == 1);
  BOOST_TEST(starts == 0);
}

WEFT_REAL_TIME_TEST_CASE(a_start_that_crashes_is_a_worker_that_died) {
  ProcessPool pool({.workers = 1, .start = [] { raise(SIGKILL); }});
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(failure([&] { run_in_process(pool, &add, 1, 1); }).ends_with("by SIGKILL"));
    BOOST_TEST(failure([&] {
                 run_in_process(pool, &length, std::string(1 << 20, 'x'));
               }).ends_with("by SIGKILL"));
  }
}

// ---- Cancelling ---------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_job_can_be_cancelled_while_its_worker_is_forked) {
  ProcessPool pool({.workers = 1});
  for (int i = 0; i < 20; ++i) {
    auto job = spawn([&] { run_in_process(pool, &hang); }, {.eager = true});
    job.cancel();
    BOOST_CHECK_THROW(job.get(), TaskCancelled);
  }
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
}

WEFT_REAL_TIME_TEST_CASE(a_job_that_waits_for_a_worker_can_be_cancelled) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  kill(worker, SIGSTOP);
  auto busy = spawn([&] { return run_in_process(pool, &add, 3, 4); }, {.eager = true});
  BOOST_CHECK_THROW(with_timeout(1ms, [&] { run_in_process(pool, &add, 1, 1); }), TimeoutError);
  kill(worker, SIGCONT);
  BOOST_TEST(busy.get() == 7);
  BOOST_TEST(run_in_process(pool, &getpid) == worker);
}

WEFT_REAL_TIME_TEST_CASE(a_job_can_be_cancelled_while_it_is_sent) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  kill(worker, SIGSTOP);
  const std::string large(10 << 20, 'x');
  BOOST_CHECK_THROW(with_timeout(10ms, [&] { run_in_process(pool, &length, large); }),
                    TimeoutError);
  BOOST_TEST(kill(worker, 0) != 0);
  BOOST_TEST(run_in_process(pool, &length, large) == large.size());
}

WEFT_REAL_TIME_TEST_CASE(a_job_can_be_cancelled_while_its_result_comes) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = run_in_process(pool, &getpid);
  auto job = spawn([&] { return run_in_process(pool, &large_text).size(); }, {.eager = true});
  // Nothing is received meanwhile: the answer fills the socket, and the worker waits.
  std::this_thread::sleep_for(30ms);
  job.cancel();
  BOOST_CHECK_THROW(job.get(), TaskCancelled);
  BOOST_TEST(kill(worker, 0) != 0);
  BOOST_TEST(run_in_process(pool, &large_text).size() == 10u << 20);
}

BOOST_AUTO_TEST_CASE(a_thousand_jobs_that_are_timed_out_at_any_moment_leave_nothing) {
  const std::ptrdiff_t before = open_descriptors();
  int done = 0;
  int late = 0;
  {
    ProcessPool pool({.workers = 4});
    weft::run([&] {
      std::mt19937 dice(17);
      TaskGroup group;
      for (int fiber = 0; fiber < 50; ++fiber) {
        group.spawn([&] {
          for (int i = 0; i < 20; ++i) {
            try {
              with_timeout(std::chrono::microseconds(dice() % 60'000), [&] {
                const int n = static_cast<int>(dice() % 3);
                BOOST_REQUIRE(
                    run_in_process(pool, &some_work, n, std::string(n << 18, 'x')).size() ==
                    std::size_t(n) << 19);
              });
              ++done;
            } catch (const TimeoutError&) {
              ++late;
            }
          }
        });
      }
      group.join();
      BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
    });
  }
  BOOST_TEST(done + late == 1000);
  BOOST_TEST(late > 0);
  BOOST_TEST(!has_child());
  BOOST_TEST(open_descriptors() == before);
}

// ---- The pool's life ----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(ten_pools_leave_neither_process_nor_descriptor) {
  const std::ptrdiff_t before = open_descriptors();
  for (int i = 0; i < 10; ++i) {
    ProcessPool pool({.workers = 2});
    weft::run([&] {
      auto one = spawn([&] { return run_in_process(pool, &add, i, 1); }, {.eager = true});
      BOOST_TEST(run_in_process(pool, &add, i, 2) == i + 2);
      BOOST_TEST(one.get() == i + 1);
    });
  }
  BOOST_TEST(!has_child());
  BOOST_TEST(open_descriptors() == before);
}

BOOST_AUTO_TEST_CASE(a_pool_serves_one_run_after_another) {
  ProcessPool pool({.workers = 1});
  std::vector<pid_t> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(weft::run([&] { return run_in_process(pool, &getpid); }));
  }
  BOOST_TEST(workers[0] == workers[1]);
  BOOST_TEST(workers[0] == workers[2]);
}

WEFT_REAL_TIME_TEST_CASE(a_pool_may_be_made_in_a_timeout_and_by_a_task) {
  const int result = with_timeout(1h, [] {
    return spawn([] {
             ProcessPool pool({.workers = 1});
             return run_in_process(pool, [] {
               return weft::run([] { return with_timeout(1h, [] { return sleep_for(1ms), 7; }); });
             });
           })
        .get();
  });
  BOOST_TEST(result == 7);
  BOOST_TEST(!has_child());
}

WEFT_TEST_CASE(on_a_virtual_clock_a_job_returns_its_result) {
  ProcessPool pool({.workers = 1});
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
}

WEFT_REAL_TIME_TEST_CASE(outside_fibers_there_is_a_pool_but_no_job) {
  ProcessPool pool({.workers = 1});
  std::string what;
  std::thread([&] { what = failure([&] { run_in_process(pool, &add, 1, 1); }); }).join();
  BOOST_TEST(what.ends_with("call it inside weft::run"));
}

BOOST_AUTO_TEST_CASE(a_forked_child_can_neither_use_a_pool_nor_harm_it) {
  auto pool = std::make_unique<ProcessPool>(ProcessPoolOptions{.workers = 1});
  const pid_t worker = weft::run([&] { return run_in_process(*pool, &getpid); });
  const ChildEnd child = run_in_child([&] {
    const auto what =
        weft::run([&] { return failure([&] { run_in_process(*pool, &add, 1, 1); }); });
    pool->close();
    pool.reset();
    return what == "weft::run_in_process: the pool belongs to a parent process" ? 7 : 8;
  });
  BOOST_TEST(child.exit_code == 7);
  BOOST_TEST(weft::run([&] { return run_in_process(*pool, &getpid); }) == worker);
}

BOOST_AUTO_TEST_CASE(a_pool_ends_while_a_forked_child_has_its_descriptors) {
  auto pool = std::make_unique<ProcessPool>(ProcessPoolOptions{.workers = 1, .jobs_per_worker = 2});
  const pid_t worker = weft::run([&] { return run_in_process(*pool, &getpid); });
  ChildProcess child([] { return pause(); });
  weft::run([&] {
    run_in_process(*pool, &add, 1, 1);
    BOOST_TEST(eventually([&] { return kill(worker, 0) != 0; }));
    run_in_process(*pool, &add, 1, 1);
  });
  pool.reset();
  kill(child.pid(), SIGKILL);
  child.wait();
  BOOST_TEST(!has_child());
}

BOOST_AUTO_TEST_CASE(a_process_that_is_killed_takes_all_its_workers_with_it) {
  const SharedMemory memory;
  const Subreaper orphans_are_ours;
  ChildProcess program([] {
    ProcessPool pool({.workers = 2});
    weft::run([&] {
      run_in_process(pool, &counted_job, 0);
      shared->begun[1] = fork_one_that_stays();  // has the pool's descriptors
      auto stuck = spawn([&] { run_in_process(pool, &hang_noted); }, {.eager = true});
      sleep_for(1h);
    });
    return 0;
  });
  while (shared->begun[2] == 0) usleep(1000);
  kill(program.pid(), SIGKILL);
  BOOST_TEST(reaped(shared->the_template));
  BOOST_TEST(kill(shared->begun[2], 0) != 0);
  kill(shared->begun[1], SIGKILL);
  BOOST_TEST(program.wait().signal == SIGKILL);
  BOOST_TEST(reaped(shared->begun[1]));
}

BOOST_AUTO_TEST_CASE(a_template_that_is_killed_takes_all_workers_with_it) {
  const SharedMemory memory;
  const Subreaper orphans_are_ours;
  ProcessPool pool({.workers = 2});
  weft::run([&] {
    run_in_process(pool, &counted_job, 0);
    auto stuck = spawn([&] { run_in_process(pool, &hang_noted); }, {.eager = true});
    BOOST_TEST(eventually([] { return shared->begun[2] != 0; }));
    kill(shared->the_template, SIGKILL);
    const std::string what = failure([&] { stuck.get(); });
    BOOST_TEST(what.starts_with("weft: worker-"));
    BOOST_TEST(what.ends_with(") died with the pool's template"));
    BOOST_TEST(failure([&] { run_in_process(pool, &add, 1, 2); }) ==
               "weft: no worker can be forked: the pool's template died");
    // Cancelling has nothing left to kill.
    auto next = spawn([&] { run_in_process(pool, &add, 1, 2); }, {.eager = true});
    next.cancel();
    BOOST_TEST(failure([&] { next.get(); }) != "none");
  });
  BOOST_TEST(reaped(shared->begun[2]));
}

BOOST_AUTO_TEST_SUITE_END()
