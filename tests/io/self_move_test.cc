// Everything that can be moved may be moved onto itself, as algorithms do now and then, and is
// afterwards what it was before; its name in messages, too.

#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/error_names.h"
#include "tests/support/failure.h"
#include "tests/support/fixture.h"
#include "tests/support/tcp_pair.h"
#include "tests/support/temporary_directory.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(self_move)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Behind the back of the compiler, which warns of this.
template <class T>
void move_onto_itself(T& object) {
  T& same = object;
  object = std::move(same);
  std::swap(object, same);
}

// Neither can one that has been moved from lose more.
template <class T>
void move_onto_itself_when_empty(T& object) {
  T other = std::move(object);
  move_onto_itself(object);
  object = std::move(other);
}

template <class T>
constexpr bool kStays = !std::is_move_constructible_v<T> && !std::is_move_assignable_v<T>;

// The others are pinned to their places.
static_assert(kStays<TaskGroup> && kStays<FiberLocal<int>> && kStays<Runtime>);
static_assert(kStays<Mutex> && kStays<SharedMutex> && kStays<ConditionVariable> &&
              kStays<Semaphore> && kStays<Event> && kStays<Barrier> && kStays<ThreadPool>);
static_assert(kStays<Queue<int>> && kStays<PriorityQueue<int>> && kStays<LifoQueue<int>>);
static_assert(kStays<SignalSet>);

}  // namespace

// ---- fiber/ -------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_task_goes_on) {
  auto task = spawn([] {
    sleep_for(1s);
    return std::string("the result");
  });
  move_onto_itself(task);
  BOOST_TEST(task.valid());
  BOOST_TEST(!task.done());
  move_onto_itself_when_empty(task);
  BOOST_TEST(task.get() == "the result");
  move_onto_itself(task);
  Task<int> none;
  move_onto_itself(none);
  BOOST_TEST(!none.valid());
}

WEFT_TEST_CASE(a_promise_is_not_broken) {
  Promise<std::string> promise;
  Future<std::string> future = promise.future();
  move_onto_itself(promise);
  move_onto_itself_when_empty(promise);
  move_onto_itself(future);
  move_onto_itself_when_empty(future);
  BOOST_TEST(!future.done());
  promise.set_value("a value");
  move_onto_itself(promise);
  move_onto_itself(future);
  BOOST_TEST(future.get() == "a value");
}

WEFT_TEST_CASE(the_handle_of_a_call_still_cancels_it) {
  bool called = false;
  Handle handle = Scheduler::current().call_later(1s, [&] { called = true; });
  move_onto_itself(handle);
  move_onto_itself_when_empty(handle);
  handle.cancel();
  sleep_for(2s);
  BOOST_TEST(!called);
}

WEFT_TEST_CASE(an_outcome_has_what_it_had) {
  auto [number, pointer, failure, nothing] =
      gather_all([] { return 7; }, [] { return std::make_unique<int>(8); },
                 []() -> int { throw Failure("it failed"); }, [] {});
  move_onto_itself(number);
  move_onto_itself(pointer);
  move_onto_itself(failure);
  move_onto_itself(nothing);
  BOOST_TEST(number.value() == 7);
  BOOST_TEST(**pointer == 8);
  BOOST_CHECK_EXCEPTION(failure.value(), Failure, says("it failed"));
  BOOST_TEST(nothing.has_value());
}

WEFT_TEST_CASE(a_vector_of_tasks_may_be_rotated_and_rotated_by_nothing) {
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 5; ++i) {
    tasks.push_back(spawn([i] {
      sleep_for(i * 1s);
      return i;
    }));
  }
  for (Task<int>& task : tasks) std::swap(task, tasks[2]);
  int sum = 0;
  for (Task<int>& task : tasks) sum += task.get();
  BOOST_TEST(sum == 10);
}

// ---- sync/ --------------------------------------------------------------------------------------

namespace {

// The only item, and one of several; waited for, and not.
template <class Q>
void pass_on_an_item() {
  Q queue;
  auto item = std::make_shared<int>(7);
  for (int others = 0; others < 3; ++others) {
    for (int i = 0; i < others; ++i) queue.push(std::make_shared<int>(7));
    queue.push(std::move(item));
    item = queue.pop();
    while (auto next = queue.try_pop()) item = std::move(*next);
    BOOST_TEST((item && *item == 7));
  }
  auto popper = spawn([&] { item = queue.pop(); });
  run_until_blocked();
  queue.push(std::move(item));
  popper.get();
  BOOST_TEST((item && *item == 7));
}

struct ByAddress {
  bool operator()(const std::shared_ptr<int>& a, const std::shared_ptr<int>& b) const {
    return *a < *b;
  }
};

}  // namespace

WEFT_TEST_CASE(an_item_comes_back_to_where_it_was) {
  pass_on_an_item<Queue<std::shared_ptr<int>>>();
  pass_on_an_item<LifoQueue<std::shared_ptr<int>>>();
  pass_on_an_item<PriorityQueue<std::shared_ptr<int>, ByAddress>>();
}

WEFT_TEST_CASE(an_iterator_keeps_its_item) {
  Queue<int> queue;
  queue.push(1);
  queue.push(2);
  queue.close();
  auto it = queue.begin();
  move_onto_itself(it);
  BOOST_TEST(*it == 1);
  ++it;
  move_onto_itself(it);
  BOOST_TEST(*it == 2);
  ++it;
  move_onto_itself(it);
  BOOST_TEST((it == queue.end()));
}

// ---- io/ ----------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_descriptor_stays_open) {
  Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = fd.get();
  move_onto_itself(fd);
  move_onto_itself_when_empty(fd);
  BOOST_TEST(fd.get() == number);
  BOOST_TEST(fcntl(number, F_GETFD) >= 0);
}

WEFT_REAL_TIME_TEST_CASE(a_reader_keeps_what_it_has_read_ahead) {
  TcpPair pair;
  pair.client.write_all("one\ntwo\nthree\n");
  BufferedReader reader(pair.server);
  BOOST_TEST((reader.read_line() == "one"));
  move_onto_itself(reader);
  BOOST_TEST(reader.buffered() == "two\nthree\n");
  BOOST_TEST((reader.read_line() == "two"));
  move_onto_itself_when_empty(reader);
  BOOST_TEST((reader.read_line() == "three"));
}

WEFT_REAL_TIME_TEST_CASE(tcp_stays_connected) {
  TcpListener listener("127.0.0.1:0");
  const std::string name = listener.local_address().to_string();
  move_onto_itself(listener);
  move_onto_itself_when_empty(listener);
  TcpStream client = TcpStream::connect(name);
  TcpStream server = listener.accept();
  move_onto_itself(client);
  move_onto_itself(server);
  move_onto_itself_when_empty(client);
  client.write_all("there");
  std::array<char, 5> room;
  BOOST_TEST(server.read_exactly(room) == 5u);
  auto reader = spawn([&] { return client.read_some(room); });
  wait_until_blocked(reader, "read_some");
  server.write_all("back");
  BOOST_TEST(reader.get() == 4u);
  move_onto_itself(client);  // once it is registered
  server.write_all("again");
  BOOST_TEST(client.read_exactly(room) == 5u);
  client.close();
  listener.close();
  BOOST_TEST((error_of([&] { client.read_some(room); }, "read from " + name) ==
              std::errc::bad_file_descriptor));
  BOOST_TEST((error_of([&] { listener.accept(); }, "accept on " + name) ==
              std::errc::bad_file_descriptor));
}

WEFT_REAL_TIME_TEST_CASE(a_unix_socket_keeps_its_name_and_file) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a socket file with a longer name";
  UnixListener listener(path);
  move_onto_itself(listener);
  move_onto_itself_when_empty(listener);
  BOOST_TEST(listener.path() == path);
  UnixStream client = UnixStream::connect(path);
  UnixStream server = listener.accept();
  move_onto_itself(client);
  move_onto_itself_when_empty(client);
  client.write_all("there");
  std::array<char, 5> room;
  BOOST_TEST(server.read_exactly(room) == 5u);
  client.close();
  BOOST_TEST((error_of([&] { client.read_some(room); }, "read from " + path) ==
              std::errc::bad_file_descriptor));
  listener.close();
  BOOST_TEST((error_of([&] { listener.accept(); }, "accept on " + path) ==
              std::errc::bad_file_descriptor));
  BOOST_TEST(
      (error_of([&] { UnixStream::connect(path); }) == std::errc::no_such_file_or_directory));
}

WEFT_REAL_TIME_TEST_CASE(a_udp_socket_keeps_its_port_and_name) {
  UdpSocket socket("127.0.0.1:0");
  const std::string name = socket.local_address().to_string();
  move_onto_itself(socket);
  move_onto_itself_when_empty(socket);
  socket.send_to("text", socket.local_address());
  std::array<char, 10> room;
  BOOST_TEST(socket.receive_from(room).size == 4u);
  socket.close();
  BOOST_TEST((error_of([&] { socket.receive_from(room); }, "receive_from on " + name) ==
              std::errc::bad_file_descriptor));
}

WEFT_REAL_TIME_TEST_CASE(a_file_keeps_its_path) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a file with a longer name";
  File file = File::open(path, O_RDWR | O_CREAT);
  move_onto_itself(file);
  move_onto_itself_when_empty(file);
  BOOST_TEST(file.path() == path);
  file.write("text");
  BOOST_TEST(file.size() == 4u);
  file.close();
  BOOST_TEST((error_of([&] { file.size(); }, path) == std::errc::bad_file_descriptor));
}

BOOST_AUTO_TEST_SUITE_END()
