#include "weft/io/poll.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/pipe.h"
#include "tests/support/scheduler_thread.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(poll)

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

constexpr Events kEither = Events::kRead | Events::kWrite;

// Writes until there is no room.
void fill(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  const std::string text(4096, 'x');
  while (write(fd, text.data(), text.size()) > 0) {
  }
}

// Reads what there is.
void drain(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string text(65536, '?');
  while (read(fd, text.data(), text.size()) > 0) {
  }
}

}  // namespace

// ---- What it waits for --------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(it_waits_until_there_is_something_to_read) {
  const BarePipe pipe;
  for (int i = 0; i < 3; ++i) {
    auto reader = reader_of(pipe.in());
    for (int turn = 0; turn < 10; ++turn) yield();
    BOOST_TEST(!reader.done());
    i % 2 ? pipe.put("text") : run_in_executor([&] { pipe.put("text"); });
    reader.get();
    wait_readable(pipe.in());  // as long as it is not read
    BOOST_TEST(pipe.take() == "text");
  }
  BOOST_TEST((fcntl(pipe.in(), F_GETFL) & O_NONBLOCK) == 0);
}

WEFT_REAL_TIME_TEST_CASE(it_waits_until_there_is_room_to_write) {
  const BarePipe pipe(O_NONBLOCK);
  wait_writable(pipe.out());
  for (int i = 0; i < 3; ++i) {
    pipe.fill();
    auto writer = writer_of(pipe.out());
    for (int turn = 0; turn < 10; ++turn) yield();
    BOOST_TEST(!writer.done());
    while (!pipe.take(100'000).empty()) {
    }
    writer.get();
  }
}

WEFT_REAL_TIME_TEST_CASE(an_end_ends_a_wait) {
  BarePipe pipe(O_NONBLOCK), full(O_NONBLOCK);
  full.fill();
  auto reader = reader_of(pipe.in());
  auto writer = writer_of(full.out());
  pipe.write_end = Fd();
  full.read_end = Fd();
  reader.get();
  writer.get();
  wait_readable(pipe.in());
  wait_writable(full.out());
}

WEFT_REAL_TIME_TEST_CASE(a_peer_that_has_shut_down_ends_a_wait) {
  const Ends ends;
  auto reader = reader_of(ends.first.get());
  shutdown(ends.second.get(), SHUT_WR);
  reader.get();
  wait_writable(ends.first.get());
}

WEFT_REAL_TIME_TEST_CASE(standard_input_may_be_waited_for) {
  const BarePipe pipe;
  const Fd before(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  dup2(pipe.in(), STDIN_FILENO);
  auto reader = reader_of(STDIN_FILENO);
  pipe.put("text");
  reader.get();
  char byte = '?';
  BOOST_TEST(read(STDIN_FILENO, &byte, 1) == 1);
  BOOST_TEST(byte == 't');
  before.get() >= 0 ? dup2(before.get(), STDIN_FILENO) : close(STDIN_FILENO);
}

// On virtual time, where a turn is counted: on the machine's, another fiber may run at its end.
WEFT_TEST_CASE(what_is_always_ready_is_not_waited_for) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "content";
  auto other = spawn([] { BOOST_ERROR("it ran"); });
  for (const std::string& path : {directory / "file", directory.path(), std::string("/dev/null")}) {
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    wait_readable(fd.get());
    wait_writable(fd.get());
    BOOST_TEST(registrations(fd.get()) == 0);
  }
  other.cancel();
}

WEFT_REAL_TIME_TEST_CASE(other_kinds_of_descriptors_will_do) {
  const Fd counter(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  wait_writable(counter.get());
  auto reader = reader_of(counter.get());
  BOOST_TEST(eventfd_write(counter.get(), 1) == 0);
  reader.get();
}

WEFT_TEST_CASE(a_timeout_on_virtual_time_is_one) {
  const BarePipe pipe;
  const TimePoint start = now();
  BOOST_CHECK_THROW(with_timeout(1h, [&] { wait_readable(pipe.in()); }), TimeoutError);
  BOOST_TEST((now() == start + 1h));
  pipe.put("text");
  with_timeout(1h, [&] { wait_readable(pipe.in()); });
  BOOST_TEST((now() == start + 1h));
}

// ---- Whichever comes first ----

WEFT_REAL_TIME_TEST_CASE(it_waits_for_whichever_of_two_events_comes_first) {
  const Ends ends;
  const int fd = ends.first.get();
  BOOST_TEST((wait_ready(fd, kEither) == Events::kWrite));
  fill(fd);
  auto waiter = spawn([&] { return wait_ready(fd, kEither); }, {.eager = true});
  for (int turn = 0; turn < 10; ++turn) yield();
  BOOST_TEST(!waiter.done());
  BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
  BOOST_TEST((waiter.get() == Events::kRead));
  BOOST_TEST((wait_ready(fd, kEither) == Events::kRead));
  char byte = '?';
  BOOST_TEST(read(fd, &byte, 1) == 1);
  waiter = spawn([&] { return wait_ready(fd, kEither); }, {.eager = true});
  drain(ends.second.get());
  BOOST_TEST((waiter.get() == Events::kWrite));
  BOOST_TEST(registrations(fd) == 0);
}

WEFT_REAL_TIME_TEST_CASE(it_tells_of_both_events_and_of_no_others_than_were_asked_for) {
  const Ends ends;
  const int fd = ends.first.get();
  BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
  BOOST_TEST((wait_ready(fd, kEither) == kEither));
  BOOST_TEST((wait_ready(fd, Events::kRead) == Events::kRead));
  BOOST_TEST((wait_ready(fd, Events::kWrite) == Events::kWrite));
}

WEFT_REAL_TIME_TEST_CASE(an_end_or_an_error_is_whatever_was_asked_for) {
  BarePipe pipe(O_NONBLOCK);
  pipe.fill();
  auto writer = spawn([&] { return wait_ready(pipe.out(), kEither); }, {.eager = true});
  pipe.read_end = Fd();
  BOOST_TEST((writer.get() == kEither));
  BOOST_TEST((wait_ready(pipe.out(), Events::kRead) == Events::kRead));
  BOOST_TEST((wait_ready(pipe.out(), Events::kWrite) == Events::kWrite));
}

WEFT_REAL_TIME_TEST_CASE(a_file_is_ready_for_whatever_was_asked_for) {
  const Fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  for (const Events events : {Events::kRead, Events::kWrite, kEither}) {
    BOOST_TEST((wait_ready(file.get(), events) == events));
  }
}

WEFT_REAL_TIME_TEST_CASE(an_event_wakes_those_who_asked_for_it_and_no_others) {
  const Ends ends;
  const int fd = ends.first.get();
  fill(fd);
  auto wait_for = [&](Events events) {
    return spawn([fd, events] { return wait_ready(fd, events); }, {.eager = true});
  };
  auto first = wait_for(kEither);
  auto writer = wait_for(Events::kWrite);
  auto reader = wait_for(Events::kRead);
  auto last = wait_for(kEither);
  BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
  for (auto* task : {&first, &reader, &last}) BOOST_TEST((task->get() == Events::kRead));
  for (int turn = 0; turn < 10; ++turn) yield();
  BOOST_TEST(!writer.done());
  drain(ends.second.get());
  BOOST_TEST((writer.get() == Events::kWrite));
  BOOST_TEST(registrations(fd) == 0);
}

WEFT_REAL_TIME_TEST_CASE(a_wait_for_either_event_can_be_cancelled_beside_others) {
  const Ends ends;
  const int fd = ends.first.get();
  fill(fd);
  auto either = spawn([&] { wait_ready(fd, kEither); }, {.eager = true});
  auto reader = reader_of(fd);
  either.cancel();
  BOOST_CHECK_THROW(either.get(), TaskCancelled);
  BOOST_CHECK_THROW(with_timeout(1ms, [&] { wait_ready(fd, kEither); }), TimeoutError);
  BOOST_TEST(write(ends.second.get(), "x", 1) == 1);
  reader.get();
  BOOST_TEST(registrations(fd) == 0);
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(what_is_no_descriptor_is_an_error_that_names_it) {
  int closed = -1;
  {
    const BarePipe pipe;
    closed = pipe.in();
  }
  for (const int fd : {-1, -2, closed, 1'000'000, INT32_MAX}) {
    const std::string number = " " + std::to_string(fd);
    const auto bad = is(std::errc::bad_file_descriptor, number);
    BOOST_CHECK_EXCEPTION(wait_readable(fd), std::system_error, bad);
    BOOST_CHECK_EXCEPTION(wait_writable(fd), std::system_error, bad);
    BOOST_CHECK_EXCEPTION(wait_ready(fd, kEither), std::system_error, bad);
  }
}

BOOST_AUTO_TEST_CASE(it_needs_a_fiber_of_a_runtime) {
  const BarePipe pipe;
  BOOST_CHECK_THROW(wait_readable(pipe.in()), std::logic_error);
  BOOST_CHECK_THROW(wait_writable(pipe.out()), std::logic_error);
  BOOST_CHECK_THROW(wait_ready(pipe.in(), kEither), std::logic_error);
  SchedulerThread other;
  auto task = spawn([&] { wait_readable(pipe.in()); }, {.on = other.get()});
  BOOST_CHECK_THROW(task.get(), std::logic_error);
}

WEFT_REAL_TIME_TEST_CASE(a_wait_for_nothing_is_refused) {
  const BarePipe pipe;
  for (const Events none : {Events::kNone, static_cast<Events>(4)}) {
    BOOST_CHECK_THROW(wait_ready(pipe.in(), none), std::invalid_argument);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_socket_of_wefts_is_refused) {
  auto ends = UnixStream::pair();
  auto reader =
      spawn([&] { BOOST_TEST(BufferedReader(ends.first).read_all() == "text"); }, {.eager = true});
  const auto busy =
      is(std::errc::device_or_resource_busy, " " + std::to_string(ends.first.native_handle()));
  BOOST_CHECK_EXCEPTION(wait_readable(ends.first.native_handle()), std::system_error, busy);
  BOOST_CHECK_EXCEPTION(wait_writable(ends.first.native_handle()), std::system_error, busy);
  ends.second.write_all("text");
  ends.second.close();
  reader.get();
}

// Whether it has ever waited, and on whatever scheduler.
WEFT_REAL_TIME_TEST_CASE(a_socket_of_wefts_that_has_not_waited_is_refused) {
  auto ends = UnixStream::pair();
  BOOST_CHECK_EXCEPTION(wait_readable(ends.first.native_handle()), std::system_error,
                        is(std::errc::device_or_resource_busy));
  const Fd given_back(ends.first.release());
  wait_writable(given_back.get());
}

// Whatever becomes of the fiber that has waited for it since before.
WEFT_REAL_TIME_TEST_CASE(a_socket_that_is_adopted_while_it_is_waited_for_works) {
  auto ends = UnixStream::pair();
  const int fd = ends.first.release();
  auto stranger = spawn([&] { wait_readable(fd); }, {.eager = true});
  UnixStream adopted = UnixStream::adopt(fd);
  auto reader = spawn([&] { return BufferedReader(adopted).read_all(); }, {.eager = true});
  ends.second.write_all("text");
  ends.second.close();
  BOOST_TEST(reader.get() == "text");
  stranger.cancel();
}

WEFT_REAL_TIME_TEST_CASE(an_event_of_what_was_closed_leaves_a_socket_of_its_number_alone) {
  int ends[2];
  BOOST_REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd writer(ends[1]);
  auto stranger = reader_of(ends[0]);
  const Fd duplicate(dup(ends[0]));  // as a child process may have
  close(ends[0]);
  auto pair = UnixStream::pair();
  BOOST_REQUIRE(pair.first.native_handle() == ends[0]);
  auto reader = spawn(
      [&] {
        std::string text(4, '\0');
        pair.first.read_exactly(text);
        return text;
      },
      {.eager = true});
  BOOST_TEST(write(writer.get(), "x", 1) == 1);
  for (int i = 0; i < 10; ++i) yield();
  pair.second.write_all("text");
  BOOST_TEST(reader.get() == "text");
}

WEFT_REAL_TIME_TEST_CASE(urgent_data_is_nothing_to_be_read) {
  TcpListener listener("127.0.0.1:0");
  TcpStream client = TcpStream::connect(listener.local_address());
  TcpStream server = listener.accept();
  const Fd mine(server.release());
  auto reader = reader_of(mine.get());
  send(client.native_handle(), "!", 1, MSG_OOB);
  BOOST_TEST(!reader.wait_for(20ms));
  client.write_all("x");
  reader.get();
}

// ---- As a case of select() ----------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(a_descriptor_is_a_case_of_a_select) {
  const BarePipe pipe;
  Queue<int> queue;
  std::optional<int> item;
  auto selecting =
      spawn([&] { return weft::select(on_pop(queue, item), on_ready(pipe.in(), Events::kRead)); });
  yield();
  BOOST_TEST(!selecting.done());
  pipe.put("text");
  BOOST_TEST(selecting.get() == 1u);
  BOOST_TEST(registrations(pipe.in()) == 0);
  BOOST_TEST(weft::select(on_pop(queue, item), on_ready(pipe.in(), Events::kRead)) == 1u);
}

WEFT_REAL_TIME_TEST_CASE(a_descriptor_that_was_not_chosen_is_registered_no_more) {
  const BarePipe pipe;
  Queue<int> queue;
  std::optional<int> item;
  auto selecting =
      spawn([&] { return weft::select(on_ready(pipe.in(), Events::kRead), on_pop(queue, item)); });
  yield();
  BOOST_TEST(registrations(pipe.in()) == 1);
  queue.push(1);
  BOOST_TEST(selecting.get() == 1u);
  BOOST_TEST(registrations(pipe.in()) == 0);
  BOOST_TEST(weft::select(on_ready(pipe.in(), Events::kRead), after(1ms)) == 1u);
  BOOST_TEST(registrations(pipe.in()) == 0);
}

WEFT_REAL_TIME_TEST_CASE(a_descriptor_may_be_selected_and_waited_for) {
  const BarePipe pipe;
  Event never;
  auto reader = reader_of(pipe.in());
  auto selecting =
      spawn([&] { return weft::select(on(never), on_ready(pipe.in(), Events::kRead)); });
  yield();
  pipe.put("text");
  BOOST_TEST(selecting.get() == 1u);
  reader.get();
}

WEFT_REAL_TIME_TEST_CASE(of_a_file_a_select_is_ready_at_once) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "content";
  const Fd file(open((directory / "file").c_str(), O_RDONLY | O_CLOEXEC));
  Event never;
  BOOST_TEST(weft::select(on(never), on_ready(file.get(), Events::kRead)) == 1u);
}

WEFT_REAL_TIME_TEST_CASE(a_select_of_no_descriptor_or_no_event_is_refused) {
  Event never;
  BOOST_CHECK_EXCEPTION(weft::select(on(never), on_ready(-1, Events::kRead)), std::system_error,
                        [](const std::system_error& error) {
                          return error.code() == std::errc::bad_file_descriptor;
                        });
  BOOST_CHECK_THROW(weft::select(on_ready(0, Events::kNone)), std::invalid_argument);
  BOOST_CHECK_THROW(weft::select(on_ready(-1, Events::kRead), otherwise()), std::system_error);
}

WEFT_REAL_TIME_TEST_CASE(a_select_of_a_weft_socket_is_refused_ready_or_not) {
  auto [near, far] = UnixStream::pair();
  const auto refused = [](const std::system_error& error) {
    return error.code() == std::errc::device_or_resource_busy &&
           std::string(error.what()).find("on_ready of descriptor") != std::string::npos;
  };
  Event never;
  for (const int fd : {near.native_handle(), far.native_handle()}) {
    BOOST_CHECK_EXCEPTION(weft::select(on(never), on_ready(fd, Events::kRead)), std::system_error,
                          refused);
    near.write_all("x");  // now the other one can be read
  }
}

BOOST_AUTO_TEST_SUITE_END()
