// wait_readable() and wait_writable() of several fibers, cancelled ones, and descriptors that
// change.

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/pipe.h"

BOOST_AUTO_TEST_SUITE(poll_many)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

Task<void> reader_of(int fd) {
  return spawn([fd] { wait_readable(fd); }, {.eager = true});
}

Task<void> writer_of(int fd) {
  return spawn([fd] { wait_writable(fd); }, {.eager = true});
}

void run_orders(const std::function<void()>& body) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    BOOST_TEST_CONTEXT("shuffle_seed " << seed) {
      run_real_time_case(body, {.shuffle_seed = seed});
    }
  }
}

}  // namespace

// ---- Several fibers -----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(one_event_wakes_all_who_wait_for_it) {
  run_orders([] {
    const BarePipe pipe;
    TaskGroup group;
    for (int i = 0; i < 10; ++i) group.spawn([&] { wait_readable(pipe.in()); }, {.eager = true});
    pipe.put("text");
    group.join();
    BOOST_TEST(registrations(pipe.in()) == 0);
  });
}

BOOST_AUTO_TEST_CASE(who_finds_nothing_left_may_wait_again) {
  run_orders([] {
    const BarePipe pipe(O_NONBLOCK);
    std::string got;
    TaskGroup group;
    for (int i = 0; i < 10; ++i) {
      group.spawn(
          [&] {
            std::string byte;
            while ((byte = pipe.take(1)).empty()) wait_readable(pipe.in());
            got += byte;
          },
          {.eager = true});
    }
    for (const char* text : {"ab", "c", "defg", "hij"}) {
      pipe.put(text);
      sleep_for(10us);
    }
    group.join();
    BOOST_TEST(got == "abcdefghij");
  });
}

BOOST_AUTO_TEST_CASE(the_directions_are_apart) {
  run_orders([] {
    const Ends ends;
    const int fd = ends.first.get();
    auto first = reader_of(fd);
    writer_of(fd).get();
    yield();
    BOOST_TEST(!first.done());
    auto second = reader_of(fd);
    writer_of(fd).get();
    BOOST_TEST(!second.done());
    BOOST_TEST(registrations(fd) == 1);
    BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
    first.get();
    second.get();
    BOOST_TEST(registrations(fd) == 0);
  });
}

BOOST_AUTO_TEST_CASE(who_waits_in_one_direction_does_not_keep_who_waits_in_the_other) {
  run_orders([] {
    for (const bool reader_first : {true, false}) {
      const Ends ends;
      const int fd = ends.first.get();
      const std::string bytes(4096, 'x');
      while (write(fd, bytes.data(), bytes.size()) > 0) {
      }
      Task<void> reader, writer;
      if (reader_first) reader = reader_of(fd);
      writer = writer_of(fd);
      if (!reader_first) reader = reader_of(fd);
      BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
      reader.get();
      BOOST_TEST(!writer.done());
      std::string room(100'000, '?');
      while (read(ends.second.get(), room.data(), room.size()) > 0) {
      }
      writer.get();
      BOOST_TEST(registrations(fd) == 0);
    }
  });
}

BOOST_AUTO_TEST_CASE(many_descriptors_may_be_waited_for) {
  run_orders([] {
    std::vector<BarePipe> pipes(100);
    int woken = 0;
    TaskGroup group;
    for (const BarePipe& pipe : pipes) {
      group.spawn(
          [&] {
            wait_readable(pipe.in());
            BOOST_TEST(pipe.take() == "text");
            ++woken;
          },
          {.eager = true});
    }
    for (std::size_t i = 0; i < pipes.size(); i += 2) pipes[i].put("text");
    BOOST_TEST(eventually([&] { return woken == 50; }));
    for (std::size_t i = 1; i < pipes.size(); i += 2) pipes[i].put("text");
    group.join();
  });
}

// ---- The end of a wait --------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_cancelled_wait_leaves_nothing_behind) {
  run_orders([] {
    const Ends ends;
    const int fd = ends.first.get();
    for (int i = 0; i < 3; ++i) {
      auto reader = reader_of(fd);
      BOOST_TEST(registrations(fd) == 1);
      reader.cancel();
      BOOST_CHECK_THROW(reader.get(), TaskCancelled);
      BOOST_TEST(registrations(fd) == 0);
      BOOST_CHECK_THROW(with_timeout(Duration(i * 50us), [&] { wait_readable(fd); }), TimeoutError);
      BOOST_TEST(registrations(fd) == 0);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_does_not_end_that_of_others) {
  run_orders([] {
    const Ends ends;
    const int fd = ends.first.get();
    std::vector<Task<void>> readers;
    for (int i = 0; i < 4; ++i) readers.push_back(reader_of(fd));
    readers[3].cancel();
    readers[0].cancel();
    BOOST_CHECK_THROW(readers[0].get(), TaskCancelled);
    BOOST_CHECK_THROW(readers[3].get(), TaskCancelled);
    BOOST_TEST(registrations(fd) == 1);
    BOOST_TEST(!readers[1].done());
    BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
    readers[2].cancel();  // maybe just when its event comes
    readers[1].get();
  });
}

// ---- Descriptors that change --------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(between_waits_it_may_be_closed_and_be_another) {
  run_orders([] {
    int number = -1;
    for (int i = 0; i < 10; ++i) {
      BarePipe pipe;
      if (number < 0) number = pipe.in();
      BOOST_TEST(pipe.in() == number);
      // What was registered would stay as long as it has a duplicate.
      const Fd duplicate(i % 2 ? fcntl(pipe.in(), F_DUPFD_CLOEXEC, 100) : -1);
      auto reader = reader_of(pipe.in());
      if (i % 3 == 0) {
        reader.cancel();
        BOOST_CHECK_THROW(reader.get(), TaskCancelled);
      } else {
        pipe.put("text");
        reader.get();
      }
      BOOST_TEST(registrations(number) == 0);
    }
  });
}

BOOST_AUTO_TEST_CASE(who_is_woken_may_close_it_before_others_are_back) {
  run_orders([] {
    BarePipe pipe;
    const int number = pipe.in();
    bool replaced = false;
    TaskGroup group;
    for (int i = 0; i < 5; ++i) {
      group.spawn(
          [&] {
            wait_readable(number);
            if (std::exchange(replaced, true)) return;
            pipe.read_end = Fd();
            pipe.write_end = Fd();
            pipe = BarePipe();
            BOOST_TEST(pipe.in() == number);
            wait_readable(number);
            BOOST_TEST(pipe.take() == "new");
          },
          {.eager = true});
    }
    pipe.put("old");
    BOOST_TEST(eventually([&] { return replaced && all_tasks().size() == 2; }));
    BOOST_TEST(registrations(number) == 1);
    pipe.put("new");
    group.join();
    BOOST_TEST(registrations(number) == 0);
  });
}

BOOST_AUTO_TEST_CASE(its_place_may_be_taken_by_a_socket_of_wefts) {
  run_orders([] {
    BarePipe pipe;
    const int number = pipe.in();
    UnixStream near, far;
    TaskGroup group;
    for (int i = 0; i < 3; ++i) {
      group.spawn(
          [&] {
            wait_readable(number);
            if (near.is_open()) return;
            pipe.read_end = Fd();
            auto ends = UnixStream::pair();
            near = std::move(ends.first);
            far = std::move(ends.second);
            BOOST_TEST(near.native_handle() == number);
            BOOST_TEST(BufferedReader(near).read_all() == "text");
          },
          {.eager = true});
    }
    pipe.put("old");
    BOOST_TEST(eventually([&] { return far.is_open() && all_tasks().size() == 2; }));
    far.write_all("text");
    far.close();
    group.join();
  });
}

BOOST_AUTO_TEST_SUITE_END()
