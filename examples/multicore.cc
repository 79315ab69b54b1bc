// All cores of the machine, in one process: sums that are computed in parallel, and an HTTP server
// that listens on every scheduler.
// Run it: ./bazelw run -c opt //examples:multicore             # sums, and the server under load
//         ./bazelw run -c opt //examples:multicore -- serve 127.0.0.1:8080
// Then: curl http://127.0.0.1:8080/       # prints the number of the scheduler that answers
//
// Options, before "serve": --threads N, by default one for each core, and --quick.
//
// SIGINT or SIGTERM ends it in order: each scheduler closes its listener and answers the requests
// that have come.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "examples/http.h"
#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

std::string as_text(std::size_t threads) {
  return threads == 1 ? "one thread" : std::to_string(threads) + " threads";
}

// ---- Sums ---------------------------------------------------------------------------------------

// How often a number must be halved, or tripled and increased by one, until it is 1.
long steps_of(unsigned long number) {
  long steps = 0;
  for (; number != 1; ++steps) number = number % 2 == 0 ? number / 2 : 3 * number + 1;
  return steps;
}

// Not inlined: all ways that are compared run the same machine code.
[[gnu::noinline]] long steps_between(long first, long end) {
  long sum = 0;
  for (; first < end; ++first) sum += steps_of(static_cast<unsigned long>(first));
  return sum;
}

// A fiber on each scheduler, each with a share of the numbers.
long sum_of_shares(long end) {
  const auto schedulers = static_cast<long>(weft::Runtime::current().schedulers().size());
  const std::vector<long> sums = weft::spread([&](std::size_t i) {
    const auto share = static_cast<long>(i);
    return steps_between(std::max(1L, end * share / schedulers), end * (share + 1) / schedulers);
  });
  return std::accumulate(sums.begin(), sums.end(), 0L);
}

// Many fibers, on the schedulers in turn. More than there are schedulers, because some pieces take
// longer than others.
long sum_of_pieces(long end) {
  constexpr long kPieces = 100;
  std::vector<weft::Task<long>> pieces;
  for (long i = 0; i < kPieces; ++i) {
    const long first = std::max(1L, end * i / kPieces);
    pieces.push_back(weft::spawn([=] { return steps_between(first, end * (i + 1) / kPieces); },
                                 {.on = weft::round_robin()}));
  }
  long sum = 0;
  for (auto& piece : pieces) sum += piece.get();
  return sum;
}

struct Timed {
  long sum;
  double seconds;
};

template <class F>
Timed timed(F f) {
  const auto start = std::chrono::steady_clock::now();
  const long sum = f();
  return {sum, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

void compare_sums(long end, std::size_t threads) {
  std::printf("The steps of all Collatz sequences that begin below %ld, on %s:\n\n", end,
              as_text(threads).c_str());
  const Timed alone = timed([&] { return steps_between(1, end); });
  const auto print = [&](const char* how, const Timed& result) {
    if (result.sum != alone.sum) throw std::logic_error("the sums differ");
    std::printf("  %-36s %8.1f ms   x %.2f\n", how, result.seconds * 1e3,
                alone.seconds / result.seconds);
    std::fflush(stdout);
  };
  print("one fiber", alone);
  print("spread(): a fiber for each thread", timed([&] { return sum_of_shares(end); }));
  print("round_robin(): 100 fibers, in turn", timed([&] { return sum_of_pieces(end); }));
  std::printf("  The sum is %ld each time.\n\n", alone.sum);
}

// ---- The server ---------------------------------------------------------------------------------

// What one scheduler has served. Only its own fibers change it, so it needs no lock, and no other
// thread's counts are in the same cache line.
struct alignas(64) Served {
  long connections = 0;
  long requests = 0;
};

// How long a client may be silent, or take to read an answer.
constexpr auto kPatience = 15s;

// Appends the answer to a request. Returns true if another request may follow.
bool add_answer(std::string& text, std::string_view head, std::string_view body) {
  http::Request request = http::parse(head);
  int status = request.refusal;
  if (status == 0 && request.method != "GET") status = 405;
  if (status == 0 && request.content_length > 0) status = 413;
  if (status != 0) {
    request.keep_alive = false;
    body = {};
  }
  http::add_head(text, request, status != 0 ? status : 200, "text/plain", body.size());
  text += body;
  return request.keep_alive;
}

// Serves one connection.
void answer(weft::TcpStream stream, std::size_t scheduler, Served& served) {
  const std::string body = "scheduler " + std::to_string(scheduler) + "\n";
  weft::BufferedReader reader(stream);
  try {
    for (bool more = true; more;) {
      const std::optional<std::string> head =
          weft::with_timeout(kPatience, [&] { return reader.read_until("\r\n\r\n"); });
      if (!head) return;
      ++served.requests;
      std::string text;
      more = add_answer(text, *head, body);
      // A request that has come is answered even if the server ends.
      weft::shield([&] { weft::with_timeout(kPatience, [&] { stream.write_all(text); }); });
    }
  } catch (const weft::TimeoutError&) {
  } catch (const std::system_error&) {  // the client is gone, or sends what is no request
  }
}

// Serves on the calling fiber's scheduler until it is cancelled.
void serve(weft::TcpListener&& bound, std::size_t scheduler, Served& served) {
  // At its end it cancels the connections and waits for their shielded parts.
  weft::with_task_group([&](weft::TaskGroup& connections) {
    // Closed before that, so no more connections come, and on the scheduler that used it.
    weft::TcpListener listener = std::move(bound);
    for (;;) {
      weft::TcpStream stream = listener.accept();
      ++served.connections;
      connections.spawn([&served, scheduler, stream = std::move(stream)]() mutable {
        answer(std::move(stream), scheduler, served);
      });
    }
  });
}

// The kernel distributes the connections among the listeners, and there each stays.
void serve_on_all(std::vector<weft::TcpListener>& listeners, std::vector<Served>& served) {
  weft::spread([&](std::size_t i) { serve(std::move(listeners[i]), i, served[i]); });
}

void serve_until_signal(std::string_view address, std::vector<Served>& served) {
  auto listeners = weft::TcpListener::one_per_scheduler(address);
  std::printf("serving on http://%s, on %s\n",
              listeners.front().local_address().to_string().c_str(),
              as_text(listeners.size()).c_str());
  std::fflush(stdout);
  serve_on_all(listeners, served);  // Ctrl-C cancels the main fiber, and so this
}

// ---- Its clients --------------------------------------------------------------------------------

constexpr std::size_t kClients = 32;  // on each scheduler

// A client that asks again and again once all clients are connected.
void ask(const weft::Address& server, weft::Barrier& connected, weft::Duration time) {
  auto stream = weft::TcpStream::connect(server);
  weft::BufferedReader reader(stream);
  connected.arrive_and_wait();
  const weft::TimePoint end = weft::now() + time;
  do {
    stream.write_all("GET / HTTP/1.1\r\nHost: multicore\r\n\r\n");
    const auto head = reader.read_until("\r\n\r\n");
    const auto body = reader.read_line();
    if (!head || !head->starts_with("HTTP/1.1 200 ") || !body) {
      throw std::runtime_error("the server gives no answer");
    }
  } while (weft::now() < end);
}

void print_served(const std::vector<Served>& served) {
  const auto print = [](const std::string& name, const Served& counts) {
    std::printf("  %-12s %12ld %12ld\n", name.c_str(), counts.connections, counts.requests);
  };
  std::printf("  %-12s %12s %12s\n", "scheduler", "connections", "requests");
  Served all;
  for (std::size_t i = 0; i < served.size(); ++i) {
    print(std::to_string(i), served[i]);
    all.connections += served[i].connections;
    all.requests += served[i].requests;
  }
  print("all", all);
}

void serve_under_load(weft::Duration time, std::vector<Served>& served) {
  auto listeners = weft::TcpListener::one_per_scheduler("127.0.0.1:0");
  const weft::Address address = listeners.front().local_address();
  std::printf("An HTTP server on %s, and %zu clients of it on each:\n\n",
              as_text(listeners.size()).c_str(), kClients);
  std::fflush(stdout);
  weft::Barrier connected(kClients * listeners.size());
  weft::TaskGroup both;  // if one of them fails, the other one ends, too
  std::exception_ptr of_server;
  both.spawn([&] {
    try {
      serve_on_all(listeners, served);
    } catch (const std::exception&) {
      of_server = std::current_exception();
      throw;
    }
  });
  both.spawn([&] {
    const auto client = [&] { ask(address, connected, time); };
    weft::spread([&] { weft::gather(std::vector(kClients, client)); });
    both.cancel();
  });
  try {
    both.join();
  } catch (const std::exception&) {
    // A server that fails closes its connections first. That may fail a client before the failure
    // of the server arrives.
    if (of_server) std::rethrow_exception(of_server);
    throw;
  }

  print_served(served);
  long requests = 0;
  for (const Served& counts : served) requests += counts.requests;
  std::printf("  %.0f requests a second\n",
              static_cast<double>(requests) / std::chrono::duration<double>(time).count());
}

// ---- The program --------------------------------------------------------------------------------

struct Settings {
  unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  bool quick = false;
  std::string address;  // where to serve; empty: the demonstration
};

Settings settings_from(int argc, char** argv) {
  Settings settings;
  int next = 1;
  const auto is_next = [&](std::string_view text) {
    const bool is = next < argc && argv[next] == text;
    if (is) ++next;
    return is;
  };
  if (is_next("--threads")) {
    const std::string_view text = next < argc ? argv[next++] : "";
    const char* const end = text.data() + text.size();
    if (std::from_chars(text.data(), end, settings.threads).ptr != end || settings.threads < 1) {
      throw std::invalid_argument("--threads takes a number");
    }
  }
  settings.quick = is_next("--quick");
  if (is_next("serve")) settings.address = next < argc ? argv[next++] : "127.0.0.1:8080";
  if (next < argc) {
    throw std::invalid_argument("usage: multicore [--threads N] [--quick] [serve [ADDRESS]]");
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) try {
  const Settings settings = settings_from(argc, argv);
  std::vector<Served> served(settings.threads);
  const auto demonstrate = [&] {
    compare_sums(settings.quick ? 100'000 : 3'000'000, settings.threads);
    serve_under_load(settings.quick ? 100ms : 1000ms, served);
  };
  try {
    weft::run(
        [&] {
          if (settings.address.empty()) return demonstrate();
          serve_until_signal(settings.address, served);
        },
        {.threads = settings.threads});
  } catch (const weft::TaskCancelled&) {
    // SIGINT or SIGTERM: it is over.
  }
  if (!settings.address.empty()) print_served(served);
} catch (const std::exception& e) {
  std::fprintf(stderr, "multicore: %s\n", e.what());
  return 1;
}
