// Programs in trouble, for docs/debugging.md, which shows what weft says of each.
// Run one: ./bazelw run -c opt //examples:trouble -- deadlock
//
// Each is a section here, where "The mistake" stands beside what is wrong. `slow` writes
// trouble.fxt.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

// Reports show the functions below with their scope. So they are static rather than in an unnamed
// namespace, which would be part of each name. They are not inlined: a function that is part of its
// caller has no line of its own.

static long long in_ms(weft::Duration time) { return static_cast<long long>(time / 1ms); }

// ---- A stuck request ----------------------------------------------------------------------------

// The connection to a service of prices, which takes questions and never answers.
struct Prices {
  weft::TcpListener service{"127.0.0.1:0"};
  weft::Mutex mutex;
  weft::TcpStream connection = weft::TcpStream::connect(service.local_address());
};

// The mistake: there is no limit to the time.
[[gnu::noinline]] static std::size_t ask_price_service(weft::TcpStream& service) {
  service.write_all(std::string_view("price of 7?\n"));
  std::array<char, 64> answer;
  return service.read_some(answer);
}

[[gnu::noinline]] static std::size_t handle_request(Prices& prices) {
  const std::scoped_lock lock(prices.mutex);
  return ask_price_service(prices.connection);
}

[[gnu::noinline]] static void serve_prices() {
  Prices prices;
  std::vector<weft::Task<std::size_t>> requests;
  for (int i = 0; i < 8; ++i) {
    // Eager: all of them wait when the line below is there.
    requests.push_back(
        weft::spawn([&] { return handle_request(prices); }, {.name = "request", .eager = true}));
  }
  std::printf("pid %d serves 8 requests\n", static_cast<int>(getpid()));
  weft::sleep_for(2s);
}

static void stuck() { weft::run(serve_prices); }

// ---- A deadlock ---------------------------------------------------------------------------------

struct Account {
  weft::Mutex mutex;
  long balance = 100;
};

// The mistake: two transfers in opposite directions lock in opposite orders. std::scoped_lock of
// both would be right.
[[gnu::noinline]] static void transfer(Account& from, Account& to) {
  const std::scoped_lock lock_from(from.mutex);
  weft::sleep_for(10ms);  // writes to a journal
  const std::scoped_lock lock_to(to.mutex);
  --from.balance;
  ++to.balance;
}

[[gnu::noinline]] static void run_transfers() {
  Account a, b;
  weft::TaskGroup transfers;
  transfers.spawn([&] { transfer(a, b); }, {.name = "transfer a to b"});
  transfers.spawn([&] { transfer(b, a); }, {.name = "transfer b to a"});
  transfers.join();
}

static void deadlock() { weft::run(run_transfers, {.on_deadlock = weft::OnDeadlock::kFail}); }

// ---- A blocked thread ---------------------------------------------------------------------------

// Stands for a library that knows nothing of fibers, such as a client of a database.
[[gnu::noinline]] static int legacy_query() {
  std::this_thread::sleep_for(500ms);
  return 7;
}

// The mistake: this is not run by run_in_executor().
[[gnu::noinline]] static int load_price_list() { return legacy_query() + 1; }

// Returns by how much a beat was late at most.
[[gnu::noinline]] static weft::Duration beat() {
  weft::Duration worst{};
  for (int i = 0; i < 50; ++i) {
    const weft::TimePoint due = weft::now() + 10ms;
    weft::sleep_until(due);
    worst = std::max(worst, weft::now() - due);
  }
  return worst;
}

static void blocked() {
  weft::run([] {
    auto heart = weft::spawn(beat, {.name = "heart"});
    auto loader = weft::spawn(load_price_list, {.name = "price list"});
    std::printf("a beat was late by %lld ms\n", in_ms(heart.get()));
  });
}

// ---- An overflow --------------------------------------------------------------------------------

// The mistake: a call for each bracket, however many a request has. Returns the depth.
[[gnu::noinline]] static int parse_list(std::string_view& text) {
  std::array<char, 1000> token;
  asm volatile("" : : "r"(token.data()) : "memory");  // stands for its use
  int depth = 0;
  while (text.starts_with('[')) {
    text.remove_prefix(1);
    depth = std::max(depth, 1 + parse_list(text));
  }
  if (!text.empty()) text.remove_prefix(1);
  return depth;
}

[[gnu::noinline]] static int parse_request() {
  const std::vector<char> brackets(1000, '[');
  std::string_view text(brackets.data(), brackets.size());
  return parse_list(text);
}

static void overflow() {
  weft::run([] {
    auto request = weft::spawn(parse_request, {.name = "request", .stack_size = 64 * 1024});
    std::printf("the brackets nest %d deep\n", request.get());
  });
}

// ---- A leak of fibers ---------------------------------------------------------------------------

static weft::Event log_flushed;  // The mistake: it is never set.

static long audited = 0;

[[gnu::noinline]] static void write_audit_record() {
  log_flushed.wait();
  ++audited;
}

[[gnu::noinline]] static void handle_order() {
  weft::sleep_for(1ms);
  weft::spawn(write_audit_record, {.name = "audit"}).detach();
}

[[gnu::noinline]] static void take_orders() {
  for (int orders = 0; orders < 200; ++orders) {
    handle_order();
    if (orders % 100 != 99) continue;
    std::printf("%d orders, %zu tasks\n", orders + 1, weft::Scheduler::current().stats().tasks);
  }
  weft::sleep_for(10ms);  // a quiet moment
  weft::print_tasks(stdout);
  std::printf("%ld orders are in the audit\n", audited);
}

static void leak() { weft::run(take_orders); }

// ---- A slow service -----------------------------------------------------------------------------

// Returns how long it took.
[[gnu::noinline]] static weft::Duration handle_page() {
  const weft::TimePoint start = weft::now();
  weft::sleep_for(5ms);  // asks a database
  return weft::now() - start;
}

// The mistake: it computes for long without a wait.
[[gnu::noinline]] static std::uint64_t build_report() {
  const weft::TraceSpan span("build_report");
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < 100'000'000; ++i) {
    sum += i * i;
    asm volatile("" : "+r"(sum));  // the compiler knows a formula
  }
  return sum;
}

[[gnu::noinline]] static void serve_pages() {
  weft::Trace trace;
  std::vector<weft::Duration> pages;
  weft::Task<std::uint64_t> report;
  while (pages.size() < 50) {
    if (pages.size() == 20) report = weft::spawn(build_report, {.name = "report"});
    pages.push_back(handle_page());
  }
  std::sort(pages.begin(), pages.end());
  const weft::SchedulerStats stats = weft::Scheduler::current().stats();
  std::printf("50 pages: the median took %lld ms, the slowest %lld ms\n", in_ms(pages[25]),
              in_ms(pages.back()));
  std::printf("max_lag %lld ms, idle %lld ms, ready %zu\n", in_ms(stats.max_lag), in_ms(stats.idle),
              stats.ready);
  trace.write("trouble.fxt");
}

static void slow() { weft::run(serve_pages); }

// ---- A core from production ---------------------------------------------------------------------

struct Order {
  int number;
  long total;
  bool paid = false;
};

[[gnu::noinline]] static void await_payment(Order& order) {
  weft::sleep_for(10s);
  order.paid = true;
}

// The mistake: the total was taken from the request as it came.
[[gnu::noinline]] static void settle(Order& order) {
  if (order.total < 0) {
    std::fprintf(stderr, "the total of order %d is negative\n", order.number);
    std::abort();
  }
  await_payment(order);
  order.total = 0;
}

[[gnu::noinline]] static void settle_all() {
  std::array<Order, 3> orders{Order{1, 20}, Order{2, 35}, Order{3, -5}};
  weft::TaskGroup group;
  for (Order& order : orders) group.spawn([&] { settle(order); }, {.name = "order"});
  group.join();
}

static void core() { weft::run(settle_all); }

int main(int argc, char** argv) {
  struct Trouble {
    std::string_view name;
    void (*run)();
  };
  constexpr Trouble kTroubles[] = {
      {"stuck", stuck}, {"deadlock", deadlock}, {"blocked", blocked}, {"overflow", overflow},
      {"leak", leak},   {"slow", slow},         {"core", core},
  };
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // in order with stderr
  const auto* const trouble = std::find_if(
      std::begin(kTroubles), std::end(kTroubles),
      [&](const Trouble& each) { return argc == 2 && each.name == std::string_view(argv[1]); });
  if (trouble == std::end(kTroubles)) {
    std::fputs("usage: trouble stuck|deadlock|blocked|overflow|leak|slow|core\n", stderr);
    return 1;
  }
  try {
    trouble->run();
  } catch (const std::logic_error& error) {
    std::fprintf(stderr, "ended by: %s\n", error.what());
    return 1;
  }
}
