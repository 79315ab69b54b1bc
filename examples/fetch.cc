// A hundred HTTP requests at once, each with a time limit, and how long they would have taken one
// after another. Without a URL it asks a small server of its own. That one is slow; some of its
// answers are broken, and some never come.
// Run it: ./bazelw run -c opt //examples:fetch
//     or: ./bazelw run -c opt //examples:fetch -- --count 20 --timeout 2 http://127.0.0.1:8080/

#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

// ---- A minimal HTTP client ----------------------------------------------------------------------

// "http://host:port/path" in its parts.
struct Url {
  explicit Url(std::string_view text) {
    constexpr std::string_view kScheme = "http://";
    if (!text.starts_with(kScheme)) {
      throw std::invalid_argument("not an http:// URL: " + std::string(text));
    }
    text.remove_prefix(kScheme.size());
    const std::size_t slash = std::min(text.find('/'), text.size());
    host = text.substr(0, slash);
    if (slash < text.size()) path = text.substr(slash);
    if (host.empty() || host.front() == ':') throw std::invalid_argument("the URL has no host");
    if (host.find(':', host.rfind(']') + 1) == std::string::npos) host += ":80";
  }
  std::string host;
  std::string path = "/";
};

constexpr std::uint64_t kToTheEnd = UINT64_MAX;

// Reads `size` bytes, or to the end, and drops them. Returns how many there were.
std::uint64_t skip(weft::BufferedReader& reader, std::uint64_t size) {
  std::array<char, 16 * 1024> piece;
  std::uint64_t done = 0;
  while (done < size) {
    const std::uint64_t room = std::min<std::uint64_t>(piece.size(), size - done);
    const std::size_t count = reader.read_some({piece.data(), static_cast<std::size_t>(room)});
    if (count == 0 && size != kToTheEnd) throw std::runtime_error("the answer ends early");
    if (count == 0) break;
    done += count;
  }
  return done;
}

// A size in HTTP: digits, then at most blanks and a part that `end` begins.
std::uint64_t size_from(std::string_view text, int base, char end) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t size = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), size, base);
  const std::string_view behind(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const std::size_t next = behind.find_first_not_of(" \t");
  if (error != std::errc() || (next != behind.npos && behind[next] != end)) {
    throw std::runtime_error("the answer has a size that is no number");
  }
  return size;
}

// Gets the URL and returns the size of the body. Throws on failure.
std::uint64_t get(const Url& url) {
  weft::TcpStream stream = weft::TcpStream::connect(url.host);
  stream.write_all("GET " + url.path + " HTTP/1.1\r\nHost: " + url.host +
                   "\r\nConnection: close\r\n\r\n");
  weft::BufferedReader reader(stream);
  const std::string status = reader.read_line().value_or("");
  if (!status.starts_with("HTTP/1.") || status.size() < 12) {
    throw std::runtime_error("no answer in HTTP");
  }
  if (status[9] != '2') throw std::runtime_error("status " + status.substr(9));

  std::uint64_t size = kToTheEnd;
  bool chunked = false;
  for (std::string line; reader.read_line(line) && !line.empty();) {
    if (strncasecmp(line.c_str(), "Content-Length:", 15) == 0) {
      size = size_from(std::string_view(line).substr(15), 10, '\n');
    }
    if (strcasecmp(line.c_str(), "Transfer-Encoding: chunked") == 0) chunked = true;
  }
  if (!chunked) return skip(reader, size);
  for (std::uint64_t all = 0;;) {
    const std::uint64_t chunk = size_from(reader.read_line().value_or(""), 16, ';');
    all += skip(reader, chunk);
    reader.read_line();
    if (chunk == 0) return all;
  }
}

// ---- All of them at once ------------------------------------------------------------------------

struct Summary {
  std::size_t ok = 0, failed = 0, timed_out = 0;
  std::uint64_t bytes = 0;
  weft::Duration one_after_another{};
  std::map<std::string, int> failures;

  std::size_t done() const { return ok + failed + timed_out; }
};

// On a terminal one line that changes, otherwise a line after each quarter.
void show_progress(const Summary& summary, std::size_t count) {
  static const bool terminal = isatty(STDOUT_FILENO) == 1;
  const bool last = summary.done() == count;
  if (!terminal && !last && summary.done() % ((count + 3) / 4) != 0) return;
  std::printf("%s  %zu of %zu done%s", terminal ? "\r" : "", summary.done(), count,
              terminal && !last ? "" : "\n");
  std::fflush(stdout);
}

void fetch(const Url& url, weft::Duration timeout, Summary& summary) {
  const weft::TimePoint start = weft::now();
  try {
    const std::uint64_t size = weft::with_timeout(timeout, [&] { return get(url); });
    summary.bytes += size;
    ++summary.ok;
  } catch (const weft::TimeoutError&) {
    ++summary.timed_out;
  } catch (const std::exception& error) {
    ++summary.failed;
    ++summary.failures[error.what()];
  }
  summary.one_after_another += weft::now() - start;
}

void fetch_all(const std::vector<Url>& urls, std::size_t count, weft::Duration timeout) {
  const auto seconds = [](weft::Duration time) {
    return std::chrono::duration<double>(time).count();
  };
  std::printf("%zu requests at once, each for %g s at most\n", count, seconds(timeout));
  Summary summary;
  const weft::TimePoint start = weft::now();
  weft::TaskGroup group;
  for (std::size_t i = 0; i < count; ++i) {
    group.spawn([&, i] {
      fetch(urls[i % urls.size()], timeout, summary);
      show_progress(summary, count);
    });
  }
  group.join();
  const weft::Duration took = weft::now() - start;

  std::printf("\n  %-10s %8zu\n  %-10s %8zu\n", "ok", summary.ok, "failed", summary.failed);
  for (const auto& [what, times] : summary.failures)
    std::printf("    %d x %s\n", times, what.c_str());
  std::printf("  %-10s %8zu\n  %-10s %8llu\n\n", "timed out", summary.timed_out, "bytes",
              static_cast<unsigned long long>(summary.bytes));
  std::printf("  %-18s %8.2f s\n  %-18s %8.2f s\n", "together", seconds(took), "one after another",
              seconds(summary.one_after_another));
}

// ---- A server to ask ----------------------------------------------------------------------------

void answer(weft::Stream auto& stream, int number) {
  weft::BufferedReader reader(stream);
  reader.read_until("\r\n\r\n");
  weft::sleep_for(20ms + 3ms * (number % 100));
  const std::string body(1000, '.');
  switch (number % 10) {
    case 3:
      stream.write_all("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
      break;
    case 6:  // says more than it has
      stream.write_all({"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", body});
      break;
    case 9:  // says nothing until the client has gone
      reader.at_end();
      break;
    default:
      stream.write_all({"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", body});
  }
}

void serve(weft::TcpListener& listener) {
  weft::with_task_group([&](weft::TaskGroup& connections) {
    for (int number = 0;; ++number) {
      connections.spawn([stream = listener.accept(), number]() mutable {
        try {
          answer(stream, number);
        } catch (const std::system_error&) {  // the client has gone
        }
      });
    }
  });
}

}  // namespace

int main(int argc, char** argv) try {
  std::map<std::string_view, double> options{{"--count", 100}, {"--timeout", 1}};
  std::vector<Url> urls;
  bool valid = true;
  for (int i = 1; i < argc; ++i) {
    const auto option = options.find(argv[i]);
    if (option != options.end() && ++i < argc) {
      char* end = nullptr;
      option->second = std::strtod(argv[i], &end);
      valid = valid && *end == '\0' && option->second > 0 && option->second <= 100'000;
    } else if (option == options.end() && argv[i][0] != '-') {
      urls.emplace_back(argv[i]);
    } else {
      valid = false;
    }
  }
  if (!valid || options["--count"] < 1) {
    std::fputs("usage: fetch [--count N] [--timeout SECONDS] [http://HOST:PORT/PATH...]\n", stderr);
    return 1;
  }
  weft::run([&] {
    weft::TcpListener listener("127.0.0.1:0");
    if (urls.empty()) urls.emplace_back("http://" + listener.local_address().to_string());
    weft::with_task_group([&](weft::TaskGroup& server) {  // if it fails, the requests end, too
      server.spawn([&] { serve(listener); });
      const std::chrono::duration<double> timeout(options["--timeout"]);
      fetch_all(urls, static_cast<std::size_t>(options["--count"]), weft::AnyDuration(timeout));
      server.cancel();
    });
  });
} catch (const std::exception& error) {
  std::fprintf(stderr, "fetch: %s\n", error.what());
  return 1;
}
