// Names that end in .invalid are answered by the test itself, others by the system.

#include "weft/io/dns.h"

#include <dlfcn.h>
#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"

BOOST_AUTO_TEST_SUITE(dns)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

using GetAddrInfo = int(const char*, const char*, const addrinfo*, addrinfo**);

GetAddrInfo* real_getaddrinfo() {
  static auto* const function = reinterpret_cast<GetAddrInfo*>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return function;
}

// N.host.invalid is 127.0.0.N.
int answer_host(std::string_view name, const char* service, const addrinfo* hints,
                addrinfo** list) {
  const std::string address = "127.0.0." + std::string(name.substr(0, name.find('.')));
  return real_getaddrinfo()(address.c_str(), service, hints, list);
}

// What slow names have in common. Never destroyed: look-ups may outlast main().
struct SlowNames {
  static SlowNames& all() {
    static auto* const instance = new SlowNames;
    return *instance;
  }

  std::mutex mutex;
  std::condition_variable changed;
  int made = 0;
  std::map<std::string, bool, std::less<>> released;
  std::map<std::string, int, std::less<>> begun, ended;
};

// A name that is not answered until it is released.
class SlowName {
 public:
  // N.slow...: 127.0.0.N. unknown.slow...: there is no such name.
  explicit SlowName(std::string_view prefix = "7") {
    const std::lock_guard lock(all_.mutex);
    name_ = std::string(prefix) + ".slow" + std::to_string(++all_.made) + ".invalid";
  }
  ~SlowName() { release(); }
  SlowName(const SlowName&) = delete;
  SlowName& operator=(const SlowName&) = delete;

  void release() {
    const std::lock_guard lock(all_.mutex);
    all_.released[name_] = true;
    all_.changed.notify_all();
  }

  std::vector<Address> resolve() const { return weft::resolve(name_, "80"); }
  std::vector<Address> resolve(std::error_code& error) const {
    return weft::resolve(name_, "80", error);
  }

  // Look-ups.
  int begun() const {
    const std::lock_guard lock(all_.mutex);
    return all_.begun[name_];
  }
  int ended() const {
    const std::lock_guard lock(all_.mutex);
    return all_.ended[name_];
  }

  // On the thread that looks it up.
  static void wait_for(const std::string& name) {
    SlowNames& all = SlowNames::all();
    std::unique_lock lock(all.mutex);
    ++all.begun[name];
    all.changed.wait(lock, [&] { return all.released[name]; });
    ++all.ended[name];
  }

 private:
  SlowNames& all_ = SlowNames::all();
  std::string name_;
};

// The test's getaddrinfo().
int answer(std::string_view name, const char* service, const addrinfo* hints, addrinfo** list) {
  if (name.find(".slow") != std::string_view::npos) SlowName::wait_for(std::string(name));
  if (name == "later.invalid") return EAI_AGAIN;
  if (name == "system.invalid") {
    errno = ENFILE;
    return EAI_SYSTEM;
  }
  if (name.starts_with("unknown.")) return EAI_NONAME;
  return answer_host(name, service, hints, list);
}

std::ptrdiff_t threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

std::vector<Address> addresses(std::initializer_list<const char*> texts) {
  std::vector<Address> result;
  for (const char* text : texts) result.push_back(Address::parse(text));
  return result;
}

// An error that names host and service.
auto is(int code, std::string host, std::string service) {
  return [=](const std::system_error& error) {
    const std::string what = error.what();
    return error.code() == std::error_code(code, resolve_category()) &&
           what.find("\"" + host + "\"") != std::string::npos &&
           what.find("\"" + service + "\"") != std::string::npos;
  };
}

}  // namespace

BOOST_AUTO_TEST_SUITE_END()

// Comes before libc's.
extern "C" int getaddrinfo(const char* __restrict name, const char* __restrict service,
                           const addrinfo* __restrict hints, addrinfo** __restrict list) {
  if (name && std::string_view(name).ends_with(".invalid"))
    return dns_suite::answer(name, service, hints, list);
  return dns_suite::real_getaddrinfo()(name, service, hints, list);
}

BOOST_AUTO_TEST_SUITE(dns)

// ---- Numbers ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(numbers_need_neither_fiber_nor_thread) {
  const auto before = threads();
  BOOST_TEST((resolve("127.0.0.1", "80") == addresses({"127.0.0.1:80"})));
  BOOST_TEST((resolve("::1", "0") == addresses({"[::1]:0"})));
  BOOST_TEST((resolve("fe80::1%lo", "65535") == addresses({"[fe80::1%lo]:65535"})));
  run([] { BOOST_TEST((resolve("127.0.0.1", "80") == addresses({"127.0.0.1:80"}))); });
  BOOST_TEST(threads() == before);
}

BOOST_AUTO_TEST_CASE(an_empty_host_is_every_address_of_both_families) {
  BOOST_TEST((resolve("", "80") == addresses({"[::]:80", "0.0.0.0:80"})));
}

BOOST_AUTO_TEST_CASE(a_program_may_end_while_look_ups_are_under_way) {
  const ChildEnd end = run_in_child([] {
    // After the destructors of all that is made from here on, and before those of Boost.Test.
    std::atexit([] { _exit(7); });
    const SlowName slow;
    run([&] {
      spawn([&] { slow.resolve(); }, {.eager = true}).detach();
      eventually([&] { return slow.begun() == 1; });
    });
    std::exit(1);
    return 2;
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

// ---- Names --------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(localhost_is_this_machine) {
  const auto all = resolve("localhost", "80");
  BOOST_TEST(!all.empty());
  for (const Address& address : all) {
    BOOST_TEST((address == Address::parse("127.0.0.1:80") || address == Address::parse("[::1]:80")),
               address.to_string());
  }
}

WEFT_REAL_TIME_TEST_CASE(a_service_may_have_a_name) {
  BOOST_TEST((resolve("127.0.0.1", "http") == addresses({"127.0.0.1:80"})));
  BOOST_TEST((resolve("::1", "http") == addresses({"[::1]:80"})));
  for (const Address& address : resolve("localhost", "http")) BOOST_TEST(address.port() == 80);
}

WEFT_REAL_TIME_TEST_CASE(an_empty_host_is_the_same_for_a_service_with_a_name) {
  BOOST_TEST((resolve("", "http") == resolve("", "80")));
}

WEFT_REAL_TIME_TEST_CASE(each_address_comes_once) {
  BOOST_TEST((resolve("7.host.invalid", "80") == addresses({"127.0.0.7:80"})));
  BOOST_TEST((resolve("7.host.invalid", "http") == addresses({"127.0.0.7:80"})));
}

BOOST_AUTO_TEST_CASE(a_name_needs_a_fiber) {
  for (const char* host : {"localhost", "7.host.invalid"}) {
    BOOST_CHECK_THROW(resolve(host, "80"), std::logic_error);
  }
  BOOST_CHECK_THROW(resolve("127.0.0.1", "http"), std::logic_error);
}

BOOST_AUTO_TEST_CASE(fibers_of_any_scheduler_will_do) {
  SchedulerThread other;
  auto task = spawn([] { return resolve("7.host.invalid", "80"); }, {.on = other.get()});
  BOOST_TEST((task.get() == addresses({"127.0.0.7:80"})));
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(an_unknown_name_is_an_error_that_names_it) {
  BOOST_CHECK_EXCEPTION(resolve("unknown.invalid", "80"), std::system_error,
                        is(EAI_NONAME, "unknown.invalid", "80"));
  BOOST_CHECK_EXCEPTION(resolve("later.invalid", "http"), std::system_error,
                        is(EAI_AGAIN, "later.invalid", "http"));
}

WEFT_REAL_TIME_TEST_CASE(an_unknown_service_is_an_error_that_names_it) {
  BOOST_CHECK_EXCEPTION(resolve("127.0.0.1", "nosuchservice"), std::system_error,
                        is(EAI_SERVICE, "127.0.0.1", "nosuchservice"));
  BOOST_CHECK_EXCEPTION(resolve("", "nosuchservice"), std::system_error,
                        is(EAI_SERVICE, "", "nosuchservice"));
}

WEFT_REAL_TIME_TEST_CASE(what_fails_in_the_system_is_the_systems_error) {
  BOOST_CHECK_EXCEPTION(
      resolve("system.invalid", "80"), std::system_error, [](const std::system_error& error) {
        return error.code() == std::errc::too_many_files_open_in_system &&
               std::string(error.what()).find("\"system.invalid\"") != std::string::npos;
      });
}

// getaddrinfo() would skip white space and a sign, and take the lower 16 bits.
BOOST_AUTO_TEST_CASE(what_is_no_port_is_refused) {
  for (const char* service : {"65536",    "99999",  "4294967376", "18446744073709551696",
                              "-1",       "+80",    " 80",        "80 ",
                              "\n80",     "\v80",   "\f80",       "\r65616",
                              "\t-80",    "\n",     "80\n",       "8 0",
                              "http\n",   "\nhttp", "ht tp",      "http\x7f",
                              "\x01http", "",       "*",          "80,81",
                              "8.0"}) {
    BOOST_TEST_CONTEXT("\"" << service << "\"") {
      for (const char* host : {"127.0.0.1", "::1", "localhost", ""}) {
        BOOST_CHECK_EXCEPTION(resolve(host, service), std::system_error,
                              is(EAI_SERVICE, host, service));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_host_with_white_space_is_refused) {
  for (const char* host : {" ", "127.0.0.1\n", " localhost", "local\thost", "7.host.invalid\x7f"}) {
    BOOST_CHECK_EXCEPTION(resolve(host, "80"), std::system_error, is(EAI_NONAME, host, "80"));
  }
}

// The system takes a text up to its first zero.
WEFT_REAL_TIME_TEST_CASE(a_zero_inside_is_refused) {
  for (const std::string& host : {"127.0.0.1\0"s, "localhost\0"s, "localhost\0.invalid"s, "\0"s}) {
    BOOST_CHECK_THROW(resolve(host, "80"), std::system_error);
    BOOST_CHECK_THROW(resolve(host, "http"), std::system_error);
  }
  BOOST_CHECK_THROW(resolve("127.0.0.1", "http\0"s), std::system_error);
  BOOST_CHECK_THROW(resolve("127.0.0.1", "80\0"s), std::system_error);
}

BOOST_AUTO_TEST_CASE(the_category_explains_its_codes) {
  BOOST_TEST(resolve_category().name() == "weft.resolve"s);
  BOOST_TEST(resolve_category().message(EAI_NONAME) == gai_strerror(EAI_NONAME));
  BOOST_TEST((&resolve_category() == &resolve_category()));
}

// ---- Slow ones ----------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(other_fibers_run_meanwhile) {
  SlowName slow;
  auto waiter = spawn([&] { return slow.resolve(); }, {.eager = true});
  BOOST_TEST(eventually([&] { return slow.begun() == 1; }));
  BOOST_TEST(!waiter.done());
  slow.release();
  BOOST_TEST((waiter.get() == addresses({"127.0.0.7:80"})));
}

WEFT_REAL_TIME_TEST_CASE(cancelled_it_is_not_waited_for) {
  SlowName slow;
  auto waiter = spawn([&] { slow.resolve(); }, {.eager = true});
  BOOST_TEST(eventually([&] { return slow.begun() == 1; }));
  waiter.cancel();
  BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
  BOOST_TEST(slow.ended() == 0);
  slow.release();
  BOOST_TEST(eventually([&] { return slow.ended() == 1; }));
}

WEFT_REAL_TIME_TEST_CASE(with_an_error_code_cancelled_is_thrown_and_the_rest_reported) {
  SlowName slow("unknown");
  std::error_code error;
  auto waiter = spawn([&] { slow.resolve(error); }, {.eager = true});
  BOOST_TEST(eventually([&] { return slow.begun() == 1; }));
  waiter.cancel();
  BOOST_CHECK_THROW(waiter.get(), TaskCancelled);
  BOOST_TEST(!error);
  slow.release();
  BOOST_TEST(slow.resolve(error).empty());
  BOOST_TEST((error == std::error_code(EAI_NONAME, resolve_category())));
}

WEFT_REAL_TIME_TEST_CASE(a_timeout_does_not_wait_for_it) {
  SlowName slow;
  for (const Duration time : {Duration(0), Duration(1ms), Duration(20ms)}) {
    BOOST_CHECK_THROW(with_timeout(time, [&] { slow.resolve(); }), TimeoutError);
  }
  BOOST_TEST(slow.ended() == 0);
}

WEFT_REAL_TIME_TEST_CASE(an_error_of_one_that_was_given_up_concerns_nobody) {
  SlowName slow("unknown");
  auto asker = spawn([&] { slow.resolve(); });
  BOOST_REQUIRE(eventually([&] { return slow.begun() == 1; }));
  asker.cancel();
  BOOST_CHECK_THROW(asker.get(), TaskCancelled);
  slow.release();
  BOOST_TEST(eventually([&] { return slow.ended() == 1; }));
}

WEFT_REAL_TIME_TEST_CASE(they_hold_up_neither_the_executor_nor_files_nor_numbers) {
  SlowName slow;
  std::vector<Task<void>> waiters;
  for (int i = 0; i < 100; ++i) {
    waiters.push_back(spawn([&] { slow.resolve(); }, {.eager = true}));
  }
  BOOST_TEST(eventually([&] { return slow.begun() >= 4; }));
  BOOST_TEST(run_in_executor([] { return 7; }) == 7);
  BOOST_TEST(!File::open("/proc/self/stat").read_all().empty());
  BOOST_TEST((resolve("127.0.0.1", "80") == addresses({"127.0.0.1:80"})));
  BOOST_TEST(slow.ended() == 0);
}

WEFT_REAL_TIME_TEST_CASE(a_few_do_not_hold_up_others) {
  SlowName slow;
  std::vector<Task<void>> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.push_back(spawn([&] { slow.resolve(); }, {.eager = true}));
  }
  BOOST_TEST((resolve("7.host.invalid", "80") == addresses({"127.0.0.7:80"})));
  BOOST_TEST(slow.ended() == 0);
}

WEFT_REAL_TIME_TEST_CASE(many_may_be_under_way_at_once) {
  int right = 0;
  TaskGroup group;
  for (int i = 0; i < 250; ++i) {
    group.spawn([&, i] {
      const std::string number = std::to_string(i);
      const auto found = resolve(number + ".host.invalid", number);
      right += found == std::vector{Address::parse("127.0.0." + number + ":" + number)};
    });
  }
  group.join();
  BOOST_TEST(right == 250);
}

// ---- The end ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_end_of_run_does_not_wait_for_them) {
  SlowName slow;
  for (int i = 1; i <= 3; ++i) {
    run([&] {
      spawn([&] { slow.resolve(); }, {.eager = true}).detach();
      BOOST_TEST(eventually([&] { return slow.begun() == i; }));
    });
  }
  BOOST_TEST(slow.ended() == 0);
  slow.release();
  run([&] {
    BOOST_TEST(eventually([&] { return slow.ended() == 3; }));
    BOOST_TEST((resolve("7.host.invalid", "80") == addresses({"127.0.0.7:80"})));
  });
}

WEFT_REAL_TIME_TEST_CASE(a_look_up_that_is_given_up_before_it_begins_is_not_made) {
  // Every thread of the lane has something to do.
  std::vector<std::unique_ptr<SlowName>> slow;
  std::vector<Task<std::vector<Address>>> busy;
  for (int i = 0; i < 16; ++i) {
    slow.push_back(std::make_unique<SlowName>());
    busy.push_back(spawn([&name = *slow.back()] { return name.resolve(); }));
  }
  BOOST_REQUIRE(eventually([&] {
    return std::all_of(slow.begin(), slow.end(), [](auto& name) { return name->begun() == 1; });
  }));
  const SlowName late;
  BOOST_CHECK_THROW(with_timeout(1ms, [&] { late.resolve(); }), TimeoutError);
  for (auto& name : slow) name->release();
  for (auto& task : busy) task.get();
  resolve("8.host.invalid", "80");  // comes behind it
  BOOST_TEST(late.begun() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
