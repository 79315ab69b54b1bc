#include "weft/io/process_pool.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(process_pool)

using namespace std::chrono_literals;
using namespace weft;
using namespace weft::test;

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
  auto running =
      spawn([&] { return run_in_process(pool, [] { return usleep(20000), 7; }); }, {.eager = true});
  auto waiting = spawn([&] { return run_in_process(pool, &add, 1, 1); }, {.eager = true});
  pool.close();
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

WEFT_REAL_TIME_TEST_CASE(a_job_may_write_to_standard_output) {
  ProcessPool pool({.workers = 1});
  run_in_process(pool, [] { std::printf("from the worker\n"); });
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);
}

WEFT_REAL_TIME_TEST_CASE(without_its_template_a_pool_has_no_new_workers) {
  ProcessPool pool({.workers = 2});
  const pid_t the_template = run_in_process(pool, [] { return getppid(); });
  kill(the_template, SIGKILL);
  BOOST_TEST(run_in_process(pool, &add, 1, 2) == 3);  // the worker goes on
  BOOST_TEST(failure([&] { run_in_process(pool, [] { raise(SIGKILL); }); }).ends_with("too"));
  BOOST_TEST(failure([&] { run_in_process(pool, &add, 1, 2); }) ==
             "weft: the pool's template was killed: no worker can be forked");
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
    if (i > Shared::kJobs / 2 && i % 100 == 99) kill_a_worker();
  });
  BOOST_TEST(outcomes.results >= Shared::kJobs / 2);
  BOOST_TEST(outcomes.errors > 0);
}

BOOST_AUTO_TEST_SUITE_END()
