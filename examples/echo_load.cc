// A load generator for echo_server: each connection sends a message, waits until all of it is back,
// and sends the next. Prints the requests per second, and how long they took.
// Run it: ./bazelw run -c opt //examples:echo_load -- --connections 50 --seconds 5 127.0.0.1:7777

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

struct Results {
  std::vector<weft::Duration> latencies;
  long errors = 0;
  std::size_t ended = 0;  // connections
};

// One connection.
void ask(const char* server, std::size_t size, weft::TimePoint end, Results& results) {
  const std::string message(size, 'x');
  std::string answer(size, '\0');
  try {
    weft::TcpStream stream = weft::TcpStream::connect(server);
    for (weft::TimePoint start; (start = weft::now()) < end;) {
      stream.write_all(message);
      stream.read_exactly(answer);
      results.latencies.push_back(weft::now() - start);
      if (answer != message) ++results.errors;
    }
  } catch (const std::system_error& error) {
    if (++results.errors == 1) std::fprintf(stderr, "the first error: %s\n", error.what());
  }
  ++results.ended;
}

// A row for each of 1, 2, 5, 10, 20... us, from the fastest to the slowest.
void draw(const std::vector<weft::Duration>& sorted) {
  std::vector<std::pair<long, double>> rows;  // a bound in us, and the requests below it
  double most = 0;
  auto begin = sorted.begin();
  for (long decade = 1; begin != sorted.end(); decade *= 10) {
    for (const long bound : {decade, 2 * decade, 5 * decade}) {
      const auto end = std::lower_bound(begin, sorted.end(), std::chrono::microseconds(bound));
      const auto count = static_cast<double>(end - begin);
      if (count > 0 || (begin != sorted.begin() && end != sorted.end())) {
        rows.emplace_back(bound, count);
      }
      most = std::max(most, count);
      begin = end;
    }
  }
  for (const auto& [bound, count] : rows) {
    std::string bar(static_cast<std::size_t>(std::ceil(50 * count / most)), '#');
    if (count > 0) bar.insert(0, "  ");
    const bool short_time = bound < 1000;
    std::printf("  < %3ld %s %10.0f%s\n", short_time ? bound : bound / 1000,
                short_time ? "us" : "ms", count, bar.c_str());
  }
}

void measure(const char* server, std::size_t connections, double seconds, std::size_t size) {
  weft::TcpStream::connect(server);  // throws if there is no server
  std::printf("%zu connections to %s for %g s, %zu bytes a request\n\n", connections, server,
              seconds, size);
  std::fflush(stdout);

  Results results;
  const weft::TimePoint start = weft::now();
  const weft::TimePoint end =
      start + std::chrono::duration_cast<weft::Duration>(std::chrono::duration<double>(seconds));
  try {
    // Ten seconds more, for requests that are under way at the end.
    weft::with_deadline(end + 10s, [&] {
      weft::TaskGroup group;
      for (std::size_t i = 0; i < connections; ++i) {
        group.spawn([&] { ask(server, size, end, results); });
      }
      group.join();
    });
  } catch (const weft::TimeoutError&) {  // the group has cancelled the rest, which has no answer
    results.errors += static_cast<long>(connections - results.ended);
  }
  const std::chrono::duration<double> took = weft::now() - start;

  auto& latencies = results.latencies;
  std::sort(latencies.begin(), latencies.end());
  std::printf("  requests   %12zu\n  errors     %12ld\n  requests/s %12.0f\n\n", latencies.size(),
              results.errors, static_cast<double>(latencies.size()) / took.count());
  if (latencies.empty()) return;
  const std::pair<const char*, double> ranks[] = {
      {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
  for (const auto& [name, share] : ranks) {
    const double rank = std::ceil(share * static_cast<double>(latencies.size()));
    const std::chrono::duration<double, std::milli> latency =
        latencies[static_cast<std::size_t>(rank) - 1];
    std::printf("  %-10s %12.3f ms\n", name, latency.count());
  }
  std::puts("");
  draw(latencies);
}

}  // namespace

int main(int argc, char** argv) {
  // A message has to fit into the buffers of the sockets: it is sent whole before any is read.
  constexpr double kMostBytes = 65536;
  std::map<std::string_view, double> options{
      {"--connections", 50}, {"--seconds", 5}, {"--size", 64}};
  const char* server = nullptr;
  bool valid = true;
  for (int i = 1; i < argc; ++i) {
    const auto option = options.find(argv[i]);
    if (option == options.end()) {
      valid = valid && !server && argv[i][0] != '-';
      server = argv[i];
    } else if (++i < argc) {
      char* end = nullptr;
      option->second = std::strtod(argv[i], &end);
      valid = valid && *end == '\0' && option->second > 0 && option->second <= kMostBytes;
    } else {
      valid = false;
    }
  }
  const auto connections = static_cast<std::size_t>(options["--connections"]);
  const auto size = static_cast<std::size_t>(options["--size"]);
  if (!valid || !server || connections == 0 || size == 0) {
    std::fputs(
        "usage: echo_load [--connections N] [--seconds S] [--size BYTES] HOST:PORT\n"
        "       numbers up to 65536; by default 50 connections, 5 seconds, 64 bytes\n",
        stderr);
    return 1;
  }
  try {
    weft::run([&] { measure(server, connections, options["--seconds"], size); });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
