// A process that was forked while no run is under way, as a server of several processes does it.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(fork_between_runs)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// f() has to return true in a forked child, within some seconds.
template <class F>
void check_in_child(F f) {
  const ChildEnd end = run_in_child([&] {
    try {
      return f() ? 7 : 8;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 9;
    }
  });
  BOOST_TEST(end.signal == 0);
  BOOST_TEST(end.exit_code == 7, end.said);
}

// Whether f() is refused by an error that names the fork.
template <class F>
bool is_refused(F f) {
  try {
    f();
  } catch (const std::logic_error& error) {
    return std::string(error.what()).find("before fork()") != std::string::npos;
  }
  return false;
}

// A connection to a listener of this process, accepted by a fiber that has had to wait for it.
bool serves(TcpListener& listener) {
  auto accepted = spawn(
      [&] {
        TcpStream stream = listener.accept();
        stream.write_all("text");
      },
      {.eager = true});
  TcpStream client = TcpStream::connect(listener.local_address());
  std::string text(4, '?');
  client.read_exactly(text);
  accepted.get();
  return text == "text";
}

}  // namespace

#if !defined(WEFT_TSAN)  // which lets a child of a process with threads start none

BOOST_AUTO_TEST_CASE(a_child_can_look_up_names_and_connect_by_them) {
  run([] { resolve("localhost", "80"); });
  check_in_child([] {
    return run([] {
      if (with_timeout(10s, [] { return resolve("localhost", "80").empty(); })) return false;
      TcpListener listener("127.0.0.1:0");
      const std::string port = std::to_string(listener.local_address().port());
      TcpStream client = TcpStream::connect("localhost:" + port);
      return listener.accept().is_open();
    });
  });
  run([] { resolve("localhost", "80"); });
}

BOOST_AUTO_TEST_CASE(a_grandchild_can_look_up_names) {
  run([] { resolve("localhost", "80"); });
  check_in_child([] {
    run([] { resolve("localhost", "80"); });
    const ChildEnd end =
        run_in_child([] { return run([] { return resolve("localhost", "80").empty() ? 8 : 7; }); });
    return end.exit_code == 7;
  });
}

#endif

BOOST_AUTO_TEST_CASE(a_child_can_use_the_executor_files_and_several_schedulers) {
  const auto everything = [] {
    return run(
        [] {
          const TemporaryDirectory directory;
          File file = File::open(directory / "file", O_RDWR | O_CREAT);
          file.write("text");
          std::vector<std::thread::id> ids = spread([] { return std::this_thread::get_id(); });
          std::sort(ids.begin(), ids.end());
          return file.size() == 4 && run_in_executor([] { return true; }) &&
                 std::unique(ids.begin(), ids.end()) == ids.end();
        },
        {.threads = 3});
  };
  BOOST_TEST(everything());
  check_in_child(everything);
  BOOST_TEST(everything());
}

BOOST_AUTO_TEST_CASE(a_listener_that_was_used_before_serves_parent_and_child) {
  Runtime runtime;  // whose epoll instance the child has, too
  auto listener = std::make_unique<TcpListener>("127.0.0.1:0");
  BOOST_TEST(runtime.run([&] { return serves(*listener); }));
  for (int i = 0; i < 2; ++i) {
    check_in_child([&] {
      const bool served = run([&] { return serves(*listener); });
      listener.reset();
      return served;
    });
    BOOST_TEST(runtime.run([&] { return serves(*listener); }));
  }
}

BOOST_AUTO_TEST_CASE(a_socket_that_the_child_closes_is_still_the_parents) {
  std::optional<Runtime> runtime(std::in_place);
  auto ends = UnixStream::pair();
  const auto exchange = [&] {
    auto reader = spawn(
        [&] {
          std::string text(4, '?');
          ends.first.read_exactly(text);
          return text == "text";
        },
        {.eager = true});
    ends.second.write_all("text");
    return reader.get();
  };
  BOOST_TEST(runtime->run(exchange));
  for (int i = 0; i < 2; ++i) {
    check_in_child([&] {
      const auto before = open_descriptors();
      runtime.reset();
      ends.first.close();
      ends.second.close();
      // The pair, and the runtime's epoll instance and eventfd.
      return open_descriptors() == before - 4;
    });
    BOOST_TEST(runtime->run(exchange));
  }
  runtime.reset();  // from here on the epoll instance is the sockets'
  check_in_child([&] {
    const auto before = open_descriptors();
    ends.first.close();
    ends.second.close();
    return open_descriptors() == before - 3;
  });
  BOOST_TEST(run(exchange));
}

BOOST_AUTO_TEST_CASE(the_child_leaves_the_file_of_a_unix_listener_alone) {
  const TemporaryDirectory directory;
  auto listener = std::make_unique<UnixListener>(directory / "socket");
  check_in_child([&] {
    UnixListener other;
    other = std::move(*listener);
    other.close();
    return !other.is_open();
  });
  BOOST_TEST(std::filesystem::exists(directory / "socket"));
  listener.reset();
  BOOST_TEST(!std::filesystem::exists(directory / "socket"));
}

BOOST_AUTO_TEST_CASE(a_pool_is_that_of_the_process_that_made_it) {
  auto pool = std::make_unique<ThreadPool>(2);
  run([&] { run_in_executor(*pool, [] {}); });
  check_in_child([&] {
    const bool refused = is_refused([&] { pool->post([] {}); }) &&
                         is_refused([&] { run_in_executor(*pool, [] {}); }) && pool->size() == 0 &&
                         run([&] { return is_refused([&] { run_in_executor(*pool, [] {}); }); });
    pool->close();
    pool.reset();
    return refused;
  });
  BOOST_TEST(run_in_executor(*pool, [] { return true; }));
}

// One thread of which the fork takes no copy holds the pool's lock, most of the time.
BOOST_AUTO_TEST_CASE(a_pool_that_is_busy_at_the_fork_is_left_alone) {
  ThreadPool pool(2);
  std::atomic<bool> stop{false};
  std::thread poster([&] {
    while (!stop) run_in_executor(pool, [] {});
  });
  for (int i = 0; i < 20; ++i) {
    check_in_child([&] {
      const bool refused = is_refused([&] { pool.post([] {}); });
      pool.close();
      return refused;
    });
  }
  stop = true;
  poster.join();
}

BOOST_AUTO_TEST_CASE(a_runtime_is_that_of_the_process_that_made_it) {
  for (const bool virtual_time : {false, true}) {
    std::optional<Runtime> runtime(std::in_place,
                                   RunOptions{.threads = 3, .virtual_time = virtual_time});
    const auto schedulers = runtime->schedulers();
    std::vector<Task<void>> sleepers;
    std::optional<TaskGroup> group(std::in_place);
    runtime->run([&] {
      for (Scheduler* scheduler : schedulers) {
        sleepers.push_back(spawn([] { sleep_for(1h); }, {.on = scheduler}));
        group->spawn([] { sleep_for(1h); }, {.on = scheduler});
      }
    });
    check_in_child([&] {
      bool refused = is_refused([&] { runtime->run([] {}); }) &&
                     is_refused([&] { runtime->run_forever(); }) &&
                     is_refused([&] { group->join(); });
      for (Scheduler* scheduler : schedulers) {
        refused &= is_refused([&] { spawn([] {}, {.on = scheduler}).detach(); });
        refused &= is_refused([&] { scheduler->post([] {}); });
      }
      for (Task<void>& task : sleepers) {
        task.cancel();
        refused &= is_refused([&] { task.get(); });
        refused &= run([&] { return is_refused([&] { task.get(); }); });
      }
      sleepers.clear();
      group.reset();
      runtime.reset();
      return refused;
    });
    runtime->run([&] {
      spread([] { run_in_executor([] {}); });  // each of the three is woken by another thread
      sleepers.clear();
      group.reset();
    });
  }
}

BOOST_AUTO_TEST_CASE(a_signal_set_that_was_used_before_serves_parent_and_child) {
  SignalSet signals({SIGUSR1});
  const auto gets_it = [&] {
    auto waiter = spawn([&] { return signals.wait(); }, {.eager = true});
    kill(getpid(), SIGUSR1);
    return waiter.get() == SIGUSR1;
  };
  Runtime runtime;
  BOOST_TEST(runtime.run(gets_it));
  check_in_child([&] { return run(gets_it); });
  BOOST_TEST(runtime.run(gets_it));
}

BOOST_AUTO_TEST_SUITE_END()
