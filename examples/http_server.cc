// An HTTP server: a fiber for each connection, which reads, answers and waits as plain code does.
// Run it: ./bazelw run -c opt //examples:http_server --
//             [--threads N] [--idle SECONDS] [ADDRESS [FOLDER-OR-FILE]]
// Then: curl -v http://127.0.0.1:8080/hello
//
// It keeps connections alive and accepts pipelined requests: those that came together are answered
// by one write. With several threads the kernel distributes the connections among them. /metrics
// has the numbers of the server, of weft's schedulers and of its pool, for Prometheus. SIGINT or
// SIGTERM ends it in order: it completes the answers that it has begun. A second signal ends it at
// once.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "examples/http.h"
#include "examples/metrics.h"
#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

using metrics::Counts;

constexpr std::size_t kMaxHead = 16 * 1024;   // of a request
constexpr std::size_t kMaxBody = 64 * 1024;   // of a request; it is read and dropped
constexpr std::uint64_t kPiece = 256 * 1024;  // of a file

struct Settings {
  unsigned threads = 1;
  std::string address = "127.0.0.1:8080";
  // How long a client may take to send a request, to read a piece of the answer, or to be silent.
  weft::Duration idle = 15s;
  std::filesystem::path folder;  // files in it are served; empty: no files
  std::string only;              // the only file that is served, unless empty
};

struct Page {
  std::string_view path;
  std::string_view body;
};

constexpr Page kPages[] = {
    {"/", "This is weft's http_server.\n"},
    {"/hello", "Hello, world!\n"},
    {"/healthz", "ok\n"},  // for a balancer, which asks whether to send requests
};

class Connection {
 public:
  // `all`: the counts of all threads; `counts`: those of this one.
  Connection(weft::TcpStream stream, const Settings& settings, const std::vector<Counts>& all,
             Counts& counts)
      : settings_(settings), all_(all), counts_(counts), stream_(std::move(stream)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Answers until the client ends the connection, or sends something malformed.
  void serve() {
    int refusal = 0;
    try {
      while (serve_one()) continue;
    } catch (const weft::TimeoutError&) {
      if (reader_.buffered().empty()) return;  // it asks for nothing
      refusal = 408;
    } catch (const std::system_error& e) {
      if (e.code() == std::errc::message_size) {
        refusal = 431;  // read_until() found no end
      } else if (e.code() == std::errc::no_message_available) {
        refusal = 400;  // the client ended before its request
      } else {
        return;  // the client is gone
      }
    } catch (const std::exception& e) {
      std::fprintf(stderr, "with %s: %s\n", stream_.peer_address().to_string().c_str(), e.what());
      refusal = 500;
    }
    finish(refusal);
  }

  // Called by the reader when it has no more requests. So the answers to requests that came
  // together go together.
  std::size_t read_some(weft::MutableBuffer buffer) {
    flush();
    return stream_.read_some(buffer);
  }

 private:
  // Returns true if another request may follow.
  bool serve_one() {
    const std::optional<std::string> head =
        weft::with_timeout(settings_.idle, [this] { return reader_.read_until("\r\n\r\n"); });
    if (!head) return false;
    ++counts_.requests;
    http::Request request = http::parse(*head);
    if (request.refusal == 0 && request.content_length > kMaxBody) request.refusal = 413;
    if (request.refusal != 0) {
      request.keep_alive = false;
      answer_status(request, request.refusal);
      return false;
    }
    if (request.content_length > 0) {
      weft::with_timeout(settings_.idle, [&] { reader_.read_exactly(request.content_length); });
    }
    answer(request);
    return request.keep_alive;
  }

  void answer(const http::Request& request) {
    if (request.method != "GET" && request.method != "HEAD") return answer_status(request, 405);
    for (const Page& page : kPages) {
      if (request.path == page.path) return answer_text(request, 200, page.body);
    }
    if (request.path == "/metrics") {
      return weft::shield([&] { answer_text(request, 200, metrics::page(all_), metrics::kType); });
    }
    const auto name = http::file_name(request.path);
    const bool served =
        !settings_.folder.empty() && name && (settings_.only.empty() || settings_.only == *name);
    if (!served) return answer_status(request, 404);
    weft::shield([&] { answer_file(request, *name); });  // completed even if the server ends
  }

  void answer_file(const http::Request& request, const std::string& name) {
    weft::File file;
    try {
      // O_NONBLOCK: opening a pipe does not wait for its other end.
      file = weft::File::open((settings_.folder / name).native(), O_RDONLY | O_NONBLOCK);
    } catch (const std::system_error& e) {
      const bool missing =
          e.code() == std::errc::no_such_file_or_directory ||
          e.code() == std::errc::not_a_directory || e.code() == std::errc::is_a_directory ||
          e.code() == std::errc::permission_denied || e.code() == std::errc::filename_too_long;
      return answer_status(request, missing ? 404 : 503);
    }
    struct stat info {};
    if (fstat(file.native_handle(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return answer_status(request, 404);
    }
    const auto size = static_cast<std::uint64_t>(info.st_size);
    http::add_head(answers_, request, 200, http::type_of(name), size);
    if (request.method == "HEAD") return;
    flush();
    for (std::uint64_t sent = 0; sent < size;) {
      const std::uint64_t rest = std::min(size - sent, kPiece);
      std::uint64_t piece = 0;
      write([&] { piece = stream_.sendfile(file, sent, rest); });
      // The file has become shorter. The answer cannot be completed: hang up.
      if (piece == 0) throw std::system_error(std::make_error_code(std::errc::io_error));
      sent += piece;
    }
  }

  void answer_status(const http::Request& request, int status) {
    std::string text(http::reason(status));
    answer_text(request, status, text += '\n');
  }

  void answer_text(const http::Request& request, int status, std::string_view text,
                   std::string_view type = "text/plain") {
    http::add_head(answers_, request, status, type, text.size());
    if (request.method != "HEAD") answers_ += text;
  }

  void flush() {
    if (answers_.empty()) return;
    weft::shield([this] { write([this] { stream_.write_all(answers_); }); });
    answers_.clear();
  }

  // Runs f, which writes. A client that reads too slowly is treated as gone.
  template <class F>
  void write(F f) {
    try {
      weft::with_timeout(settings_.idle, f);
    } catch (const weft::TimeoutError&) {
      throw std::system_error(std::make_error_code(std::errc::timed_out));
    }
  }

  // Closing at once, while the client still sends, would reset the connection and lose the answer.
  void finish(int refusal) try {
    if (refusal != 0) answer_status(http::Request(), refusal);
    flush();
    stream_.shutdown_write();
    weft::with_timeout(std::min<weft::Duration>(settings_.idle, 1s), [this] {
      std::array<char, 4096> rest;
      while (stream_.read_some(rest) > 0) continue;
    });
  } catch (const std::exception&) {
    // The client does not read.
  }

  const Settings& settings_;
  const std::vector<Counts>& all_;
  Counts& counts_;
  weft::TcpStream stream_;
  weft::BufferedReader reader_{*this, kMaxHead};
  std::string answers_;  // not written yet
};

// Serves on the calling fiber's scheduler, the i-th, until it is cancelled.
void serve(weft::TcpListener&& bound, const Settings& settings, std::vector<Counts>& all,
           std::size_t i) {
  Counts& counts = all[i];
  // At its end it cancels the connections and waits for their shielded parts.
  weft::with_task_group([&](weft::TaskGroup& connections) {
    // Closed before that, so no more connections come, and on the scheduler that used it.
    weft::TcpListener listener = std::move(bound);
    for (;;) {
      weft::TcpStream stream = listener.accept();
      ++counts.connections;
      try {
        connections.spawn([&, stream = std::move(stream)]() mutable {
          Connection(std::move(stream), settings, all, counts).serve();
        });
      } catch (const std::exception& e) {
        std::fprintf(stderr, "no fiber for a connection: %s\n", e.what());
      }
    }
  });
}

void serve_on_all(const Settings& settings, std::vector<Counts>& counts) {
  auto listeners = weft::TcpListener::one_per_scheduler(settings.address);
  std::printf("serving on http://%s\n", listeners.front().local_address().to_string().c_str());
  std::fflush(stdout);
  weft::spread([&](std::size_t i) { serve(std::move(listeners[i]), settings, counts, i); });
}

Settings settings_from(int argc, char** argv) {
  Settings settings;
  int next = 1;
  for (; next + 1 < argc && std::string_view(argv[next]).starts_with("--"); next += 2) {
    const std::string_view option = argv[next];
    const double value = std::atof(argv[next + 1]);
    if (option == "--threads") {
      if (!(value >= 1 && value <= 1024)) throw std::invalid_argument("--threads takes a number");
      settings.threads = static_cast<unsigned>(value);
    } else if (option == "--idle") {
      if (!(value > 0 && value <= 1e6)) throw std::invalid_argument("--idle takes seconds");
      settings.idle =
          std::chrono::duration_cast<weft::Duration>(std::chrono::duration<double>(value));
    } else {
      throw std::invalid_argument("there is no option " + std::string(option));
    }
  }
  if (next < argc) settings.address = argv[next++];
  if (next < argc) {
    settings.folder = std::filesystem::canonical(argv[next]);
    if (!std::filesystem::is_directory(settings.folder)) {
      settings.only = settings.folder.filename();
      settings.folder.remove_filename();
    }
  }
  return settings;
}

void print(const std::vector<Counts>& counts) {
  Counts all;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto& [connections, requests] = counts[i];
    if (counts.size() > 1) {
      std::printf("thread %zu: %ld connections, %ld requests\n", i, connections, requests);
    }
    all.connections += connections;
    all.requests += requests;
  }
  std::printf("%ld connections, %ld requests\n", all.connections, all.requests);
}

}  // namespace

int main(int argc, char** argv) try {
  const Settings settings = settings_from(argc, argv);
  std::vector<Counts> counts(settings.threads);
  try {
    weft::run([&] { serve_on_all(settings, counts); }, {.threads = settings.threads});
  } catch (const weft::TaskCancelled&) {
    // SIGINT or SIGTERM: it is over.
  }
  print(counts);
} catch (const std::exception& e) {
  std::fprintf(stderr, "http_server: %s\n", e.what());
  return 1;
}
