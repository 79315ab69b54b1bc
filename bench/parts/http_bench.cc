// What a second thread gives examples/http_server. README.md explains each figure.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "bench/lib/harness.h"

namespace weft::bench {
namespace {

// The text behind this word and blanks, up to the next blank or the end of the line; empty if the
// word is missing.
std::string after(const std::string& line, const std::string& word) {
  const std::size_t place = line.find(word);
  if (place == std::string::npos) return "";
  const std::size_t begin = line.find_first_not_of(' ', place + word.size());
  return begin == std::string::npos ? ""
                                    : line.substr(begin, line.find_first_of(" \n", begin) - begin);
}

// An http_server in a process of its own.
class HttpServer {
 public:
  explicit HttpServer(unsigned threads) {
    // This program is bench/parts/http_bench below the folder that has examples/, too.
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() /
                         "../../examples/http_server";
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("pipe failed");
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ends[1], STDOUT_FILENO);
      execl(program.c_str(), program.c_str(), "--threads", std::to_string(threads).c_str(),
            "127.0.0.1:0", nullptr);
      _exit(127);
    }
    close(ends[1]);
    output_ = fdopen(ends[0], "r");
    char line[256] = "";
    if (!std::fgets(line, sizeof(line), output_)) {
      throw std::runtime_error(program.string() + " does not start");
    }
    url_ = after(line, "serving on") + "/hello";
  }
  ~HttpServer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    std::fclose(output_);
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  const std::string& url() const noexcept { return url_; }

  // Processor time that it has used so far.
  double cpu_us() const {
    clockid_t clock;
    timespec time{};
    if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
      throw std::runtime_error("http_server has ended");
    }
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
  }

 private:
  pid_t pid_ = -1;
  FILE* output_ = nullptr;
  std::string url_;
};

// Processor time of the children that have ended.
double ended_children_us() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// A time in wrk's output: "12.34us", "5.6ms", "1.0s".
double milliseconds(const std::string& text) {
  char* unit = nullptr;
  const double value = std::strtod(text.c_str(), &unit);
  return value * (std::strncmp(unit, "us", 2) == 0 ? 1e-3 : *unit == 'm' ? 1 : 1e3);
}

struct Load {
  double per_second = 0;
  double latency_ms = 0;  // the 99th percentile
  double requests = 0;
};

// One thread of wrk, for a second.
Load load(const std::string& url, int connections) {
  const std::string command = "wrk --latency -t1 -d1s -c" + std::to_string(connections) + " " + url;
  FILE* const output = popen(command.c_str(), "re");
  if (!output) throw std::runtime_error("popen failed");
  Load result;
  char buffer[256];
  while (std::fgets(buffer, sizeof(buffer), output)) {
    const std::string line = buffer;
    if (const std::string rate = after(line, "Requests/sec:"); !rate.empty()) {
      result.per_second = std::atof(rate.c_str());
    } else if (const std::string time = after(line, " 99%"); !time.empty()) {
      result.latency_ms = milliseconds(time);
    } else if (line.find(" requests in ") != std::string::npos) {
      result.requests = std::atof(line.c_str());
    }
  }
  if (pclose(output) != 0 || result.requests == 0) throw std::runtime_error(command + " failed");
  return result;
}

void measure(Bench& bench, int connections) {
  const std::string what = std::to_string(connections) + " connections, ";
  Row requests{.what = what + "requests", .unit = "k/s"};
  Row latency{.what = what + "99th percentile latency", .unit = "ms"};
  Row cpu{.what = what + "the server's CPU per request", .unit = "us"};
  Row cores{.what = what + "cores that the server has", .unit = ""};
  Row wrk{.what = what + "cores that wrk has", .unit = ""};
  const HttpServer two(2);
  const HttpServer one(1);
  const auto add = [&](const HttpServer& server, Samples Row::*column) {
    const double before = server.cpu_us();
    const double children = ended_children_us();
    const double begin = wall_ns();
    const Load got = load(server.url(), connections);
    (requests.*column).add(got.per_second * 1e-3);
    (latency.*column).add(got.latency_ms);
    const double used = server.cpu_us() - before;
    (cpu.*column).add(used / got.requests);
    const double us = (wall_ns() - begin) * 1e-3;
    (cores.*column).add(used / us);
    (wrk.*column).add((ended_children_us() - children) / us);
  };
  for (int i = 0; i < bench.rounds() / 2; ++i) {
    add(one, &Row::raw);
    add(two, &Row::weft);
  }
  bench.print(requests);
  bench.print(latency);
  bench.print(cpu);
  for (const Row* row : {&cores, &wrk}) bench.print(*row);
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  using namespace weft::bench;
  Bench bench(argc, argv);
  Bench::print_machine();
  bench.note("weft: http_server with two threads; raw: the same with one.");
  for (const int connections : {10, 100, 1'000}) {
    if (bench.wants(std::to_string(connections) + " connections")) measure(bench, connections);
  }
}
