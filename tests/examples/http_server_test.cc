// examples/http_server, run as a user would, and asked by curl, by wrk and by clients of bad
// manners.

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/program.h"
#include "weft/io/core/socket.h"

BOOST_AUTO_TEST_SUITE(http_server)

namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;

constexpr int kPatience = 10'000;  // ms, for what should come at once

const std::string kHello = "Hello, world!\n";
const std::string kEnd = "\r\n\r\n";
const std::string kGet = "GET /hello HTTP/1.1\r\nHost: a" + kEnd;

bool readable(const weft::internal::Fd& fd) {
  pollfd poll_fd{fd.get(), POLLIN, 0};
  return poll(&poll_fd, 1, kPatience) > 0;
}

// The example as a child process, which serves a folder or a file. `idle` is in seconds.
class Server {
 public:
  explicit Server(const fs::path& served = {}, const std::string& idle = "15",
                  const std::string& threads = "1")
      : program_("examples/http_server", arguments(served, idle, threads)) {
    const std::string line = program_.read_line();
    BOOST_TEST_REQUIRE(line.starts_with("serving on http://127.0.0.1:"), "it said: " << line);
    port_ = std::stoi(line.substr(line.rfind(':') + 1));
  }

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // Waits until it has more or fewer descriptors than that, or as many. False if it takes too long.
  template <class Compare>
  bool await_descriptors(Compare compare, std::ptrdiff_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!compare(descriptors(), count)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      usleep(1000);
    }
    return true;
  }
  std::ptrdiff_t descriptors() const {
    return std::distance(fs::directory_iterator("/proc/" + std::to_string(program_.pid()) + "/fd"),
                         {});
  }

  // Once: a second signal would end it at once.
  void tell_to_end() {
    if (!std::exchange(told_, true)) program_.signal(SIGTERM);
  }

  // Ends it; returns its last words, or how it failed.
  std::string end() {
    tell_to_end();
    const weft::test::Program::End end = program_.wait();
    return end.exit_code == 0 ? end.out : "it failed: " + end.err;
  }

 private:
  static std::vector<std::string> arguments(const fs::path& served, const std::string& idle,
                                            const std::string& threads) {
    std::vector<std::string> all{"--threads", threads, "--idle", idle, "127.0.0.1:0"};
    if (!served.empty()) all.push_back(served);
    return all;
  }

  weft::test::Program program_;
  int port_ = 0;
  bool told_ = false;
};

// A client that sends what it is told, byte by byte.
class Client {
 public:
  explicit Client(const Server& server) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    BOOST_REQUIRE(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }

  void send(const std::string& text) const {
    ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);  // blocks until it is sent
  }
  void send_no_more() const { shutdown(fd_.get(), SHUT_WR); }

  // The next answer: status and body, as in "200 Hello"; "end" or "reset" if there is none.
  std::string answer() {
    while (text_.find(kEnd) == text_.npos) {
      if (!fill()) return failure_;
    }
    head_ = text_.substr(0, text_.find(kEnd) + 2);
    text_.erase(0, head_.size() + 2);
    const std::string length = "Content-Length: ";
    BOOST_TEST_REQUIRE(head_.starts_with("HTTP/1.1 ") && head_.find(length) != head_.npos, head_);
    const auto size = std::stoul(head_.substr(head_.find(length) + length.size()));
    while (text_.size() < size) {
      if (!fill()) return failure_ + " after " + std::to_string(text_.size()) + " bytes";
    }
    const std::string answer = head_.substr(9, 3) + " " + text_.substr(0, size);
    text_.erase(0, size);
    return answer;
  }
  // In how many pieces the answers have come.
  unsigned pieces() const {
    tcp_info info{};
    socklen_t size = sizeof(info);
    BOOST_REQUIRE(getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
    return info.tcpi_data_segs_in;
  }
  // Of the last answer.
  bool has_field(const std::string& field) const {
    return head_.find("\r\n" + field + "\r\n") != head_.npos;
  }

 private:
  bool fill() {
    static char bytes[1 << 16];
    if (!readable(fd_)) return failure_ = "silence", false;
    const ssize_t size = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (size <= 0) return failure_ = size == 0 ? "end" : "reset", false;
    text_.append(bytes, static_cast<std::size_t>(size));
    return true;
  }

  weft::internal::Fd fd_;
  std::string text_;
  std::string head_;
  std::string failure_;
};

// A command's output, stderr included.
std::string output_of(const std::string& command) {
  FILE* pipe = popen(("timeout 20 " + command + " 2>&1").c_str(), "r");
  BOOST_REQUIRE(pipe);
  std::string output;
  char buffer[4096];
  for (std::size_t size; (size = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
    output.append(buffer, size);
  }
  const int status = pclose(pipe);
  const std::string program = command.substr(0, command.find(' '));
  BOOST_TEST_REQUIRE(WEXITSTATUS(status) != 127,
                     program << " is missing: install what .apt-packages lists");
  BOOST_TEST(status == 0, command << " ended with status " << status << ": " << output);
  return output;
}

std::string curl(const std::string& arguments) { return output_of("curl -sS -m 15 " + arguments); }

// Status and new connections of each transfer.
const std::string kReport = " -o /dev/null -w '%{http_code} %{num_connects}, ' ";

// A folder with files to be served.
struct Folder {
  Folder() {
    const char* base = std::getenv("TEST_TMPDIR");
    std::string name = (base ? base : "/tmp") + "/http_server_test.XXXXXX"s;
    BOOST_REQUIRE(mkdtemp(name.data()));
    path = name;
    fs::create_directories(path / "site/sub");
    std::ofstream(path / "secret") << "secret";
    std::ofstream(path / "site/.hidden");
    std::ofstream(path / "site/page.html") << "<p>";
    std::ofstream(path / "site/sub/empty");
    std::ofstream blob(path / "site/blob");
    for (unsigned i = 0; i < 1'000'000; ++i) blob << static_cast<char>(i * i / 7) << i % 1000;
    std::ofstream(path / "site/huge");
    fs::resize_file(path / "site/huge", kHuge);  // takes no room
    BOOST_REQUIRE(mkfifo((path / "site/fifo").c_str(), 0600) == 0);
  }
  ~Folder() { fs::remove_all(path); }

  // More than the kernel takes for a client that does not read.
  static constexpr std::uintmax_t kHuge = 64'000'000;

  fs::path path;
  fs::path site() const { return path / "site"; }
};

std::string content_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A page in Prometheus' text format 0.0.4: the type of each metric, and its samples by metric and
// labels. Each metric is one block, which begins with its HELP and TYPE.
struct Metrics {
  explicit Metrics(const std::string& page) {
    static const std::string kName = "([a-zA-Z_:][a-zA-Z0-9_:]*)";
    static const std::string kLabel = R"re([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\[\\"n])*")re";
    static const std::regex kHelp("# HELP " + kName + " (.+)");
    static const std::regex kType("# TYPE " + kName + " (counter|gauge)");
    static const std::regex kSample(kName + "(\\{" + kLabel + "\\})? ([0-9]+(\\.[0-9]+)?)");
    BOOST_TEST(page.ends_with('\n'));
    std::istringstream lines(page);
    std::smatch match;
    std::string helped, now;
    for (std::string line; std::getline(lines, line);) {
      if (std::regex_match(line, match, kHelp)) {
        helped = match[1];
        BOOST_TEST(types.count(helped) == 0u, line);
      } else if (std::regex_match(line, match, kType)) {
        now = match[1];
        BOOST_TEST(helped == now, line);
        types[now] = match[2];
      } else if (std::regex_match(line, match, kSample)) {
        BOOST_TEST(match[1].str() == now, line);
        const bool is_new =
            samples.emplace(match[1].str() + match[2].str(), std::stod(match[match.size() - 2]))
                .second;
        BOOST_TEST(is_new, line);
      } else {
        BOOST_ERROR("it is no line of the format: " << line);
      }
    }
  }

  double at(const std::string& sample) const {
    const auto found = samples.find(sample);
    BOOST_TEST_REQUIRE((found != samples.end()), sample);
    return found->second;
  }

  std::map<std::string, std::string> types;
  std::map<std::string, double> samples;
};

// Asks on a connection of its own.
Metrics metrics_of(const Server& server) {
  Client client(server);
  client.send("GET /metrics HTTP/1.1\r\nHost: a" + kEnd);
  const std::string answer = client.answer();
  BOOST_TEST_REQUIRE(answer.starts_with("200 "), answer);
  BOOST_TEST(client.has_field("Content-Type: text/plain; version=0.0.4"));
  return Metrics(answer.substr(4));
}

}  // namespace

BOOST_AUTO_TEST_CASE(curl_asks_twice_over_one_connection) {
  Server server;
  BOOST_TEST(curl(server.url() + "/hello " + server.url() + "/hello") == kHello + kHello);
  BOOST_TEST(curl(kReport + server.url() + "/hello -o /dev/null " + server.url() + "/none") ==
             "200 1, 404 0, ");
  BOOST_TEST(server.end() == "2 connections, 4 requests\n");
}

BOOST_AUTO_TEST_CASE(a_balancer_is_told_that_it_serves) {
  Server server;
  BOOST_TEST(curl("--fail " + server.url() + "/healthz") == "ok\n");
}

BOOST_AUTO_TEST_CASE(a_head_has_no_body) {
  Server server;
  const std::string head = curl("-I " + server.url() + "/hello");
  BOOST_TEST(head.find("Content-Length: 14\r\n") != head.npos, head);
  BOOST_TEST(head.ends_with(kEnd), head);
  BOOST_TEST(curl("-I " + kReport + server.url() + "/none -o /dev/null " + server.url()) ==
             "404 1, 200 0, ");
}

BOOST_AUTO_TEST_CASE(a_file_comes_as_it_is) {
  const Folder folder;
  Server server(folder.site());
  const fs::path copy = folder.path / "copy";
  BOOST_TEST(curl("-w '%{content_type}' -o " + copy.native() + " " + server.url() + "/blob?x") ==
             "application/octet-stream");
  BOOST_TEST((content_of(copy) == content_of(folder.site() / "blob")));
  BOOST_TEST(curl("-w '%{content_type}' " + server.url() + "/%70age.html") == "<p>text/html");
  BOOST_TEST(curl(kReport + server.url() + "/sub/empty") == "200 1, ");
  const auto size = std::to_string(fs::file_size(folder.site() / "blob"));
  const std::string head = curl("-I " + server.url() + "/blob");
  BOOST_TEST(head.find("Content-Length: " + size + "\r\n") != head.npos, head);
}

BOOST_AUTO_TEST_CASE(nothing_but_the_files_of_the_folder_is_served) {
  const Folder folder;
  Server server(folder.site());
  for (const std::string path :
       {"/../secret", "/%2e%2e/secret", "/sub/../../secret", "/..%2fsecret", "/sub/../blob",
        "/.hidden", "/sub", "/sub/", "/fifo", "/none", "//etc/passwd", "/%2fetc/passwd", "/blob%00",
        "/blob/"}) {
    BOOST_TEST(curl("--path-as-is" + kReport + server.url() + path) == "404 1, ", path);
  }
  Server one(folder.site() / "blob");
  BOOST_TEST(curl(kReport + one.url() + "/blob") == "200 1, ");
  BOOST_TEST(curl(kReport + one.url() + "/page.html") == "404 1, ");
}

BOOST_AUTO_TEST_CASE(pipelined_requests_are_answered_in_order_with_few_writes) {
  Server server;
  Client client(server);
  std::string requests;
  for (int i = 0; i < 300; ++i) {
    requests += i % 3 == 0 ? kGet : "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a" + kEnd;
  }
  client.send(requests);
  for (int i = 0; i < 300; ++i) {
    BOOST_TEST(client.answer() == (i % 3 == 0 ? "200 " + kHello : "404 Not Found\n"));
  }
  BOOST_TEST(client.pieces() < 30u);
}

BOOST_AUTO_TEST_CASE(half_a_request_holds_up_no_answer) {
  Server server;
  Client client(server);
  client.send(kGet + kGet.substr(0, 9));
  BOOST_TEST(client.answer() == "200 " + kHello);
  client.send(kGet.substr(9));
  BOOST_TEST(client.answer() == "200 " + kHello);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3" + kEnd);
  client.send("abc");
  BOOST_TEST(client.answer() == "405 Method Not Allowed\n");
}

BOOST_AUTO_TEST_CASE(a_body_is_never_a_request) {
  Server server;
  Client client(server);
  const std::string body = "GET /none HTTP/1.1\r\nHost: a" + kEnd;
  const std::string length = "\r\nContent-Length: " + std::to_string(body.size()) + kEnd;
  client.send("GET /hello HTTP/1.1\r\nHost: a" + length + body);
  client.send("POST /hello HTTP/1.1\r\nHost: a" + length + body + kGet);
  BOOST_TEST(client.answer() == "200 " + kHello);
  BOOST_TEST(client.answer() == "405 Method Not Allowed\n");
  BOOST_TEST(client.has_field("Allow: GET, HEAD"));
  BOOST_TEST(client.answer() == "200 " + kHello);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" + kEnd + "0" + kEnd +
              kGet);
  BOOST_TEST(client.answer() == "501 Not Implemented\n");
  BOOST_TEST(client.answer() == "end");
}

BOOST_AUTO_TEST_CASE(a_connection_ends_where_the_client_says) {
  Server server;
  Client closing(server);
  closing.send("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close" + kEnd + kGet);
  BOOST_TEST(closing.answer() == "200 " + kHello);
  BOOST_TEST(closing.has_field("Connection: close"));
  BOOST_TEST(closing.answer() == "end");

  Client old(server);
  old.send("GET /hello HTTP/1.0\r\nConnection: keep-alive" + kEnd + "GET /hello HTTP/1.0" + kEnd);
  BOOST_TEST(old.answer() == "200 " + kHello);
  BOOST_TEST(old.has_field("Connection: keep-alive"));
  BOOST_TEST(old.answer() == "200 " + kHello);
  BOOST_TEST(old.answer() == "end");
}

BOOST_AUTO_TEST_CASE(bad_requests_are_refused_and_end_the_connection) {
  const std::string get = "GET /hello HTTP/1.1";
  const std::string host = get + "\r\nHost: a\r\n";
  const std::string length = host + "Content-Length: ";
  const std::pair<std::string, std::vector<std::string>> refusals[] = {
      {"400",
       {"nonsense", get, host + "Host: b", host + "X : y", host + "X: y\r\n z", host + "X: \x01",
        host + "X: \0"s, length + "1\r\nContent-Length: 2",
        length + "1\r\nTransfer-Encoding: chunked"}},
      {"413", {length + "1000000", length + "99999999999999999999"}},
      {"417", {length + "3\r\nExpect: 100-continue"}},
      {"431", {host + "X: " + std::string(17'000, 'x'), std::string(1'000'000, 'x')}},
      {"501", {host + "Transfer-Encoding: chunked"}},
      {"505", {"GET / HTTP/2.0"}},
  };
  Server server;
  for (const auto& [status, requests] : refusals) {
    for (const std::string& request : requests) {
      Client client(server);
      client.send(request + kEnd + kGet);  // the last of which is not answered
      BOOST_TEST(client.answer().substr(0, 3) == status, request.substr(0, 100));
      BOOST_TEST(client.has_field("Connection: close"));
      BOOST_TEST(client.answer() == "end", request.substr(0, 100));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_request_may_come_a_byte_at_a_time) {
  Server server;
  Client client(server);
  for (const char c : kGet + "\r\n" + kGet) client.send(std::string(1, c));
  BOOST_TEST(client.answer() == "200 " + kHello);
  BOOST_TEST(client.answer() == "200 " + kHello);
}

BOOST_AUTO_TEST_CASE(a_client_that_sends_no_more_gets_its_answers) {
  const Folder folder;
  Server server(folder.site());
  Client client(server);
  client.send("GET /blob HTTP/1.1\r\nHost: a" + kEnd + kGet);
  client.send_no_more();
  BOOST_TEST((client.answer() == "200 " + content_of(folder.site() / "blob")));
  BOOST_TEST(client.answer() == "200 " + kHello);
  BOOST_TEST(client.answer() == "end");
  Client hasty(server);
  hasty.send(kGet + kGet.substr(0, 9));
  hasty.send_no_more();
  BOOST_TEST(hasty.answer() == "200 " + kHello);
  BOOST_TEST(hasty.answer() == "400 Bad Request\n");
  BOOST_TEST(hasty.answer() == "end");
}

BOOST_AUTO_TEST_CASE(a_client_that_is_silent_is_left) {
  const auto start = std::chrono::steady_clock::now();
  Server server({}, "1");
  Client silent(server);
  Client slow(server);
  slow.send(kGet.substr(0, 9));
  BOOST_TEST(slow.answer() == "408 Request Timeout\n");
  BOOST_TEST(slow.answer() == "end");
  Client served(server);
  served.send(kGet);
  BOOST_TEST(served.answer() == "200 " + kHello);
  BOOST_TEST(served.answer() == "end");
  BOOST_TEST(silent.answer() == "end");
  const auto took = std::chrono::steady_clock::now() - start;
  BOOST_TEST((took >= std::chrono::seconds(1) && took < std::chrono::seconds(8)));
}

BOOST_AUTO_TEST_CASE(a_client_that_does_not_read_is_left) {
  const Folder folder;
  Server server(folder.site(), "0.2");
  const std::ptrdiff_t before = server.descriptors();
  Client client(server);
  client.send("GET /huge HTTP/1.1\r\nHost: a" + kEnd);
  BOOST_REQUIRE(server.await_descriptors(std::greater(), before));
  BOOST_REQUIRE(server.await_descriptors(std::equal_to(), before));
  BOOST_TEST(!client.answer().starts_with("200 "));
}

BOOST_AUTO_TEST_CASE(metrics_have_their_types_and_a_sample_for_each_scheduler) {
  const std::map<std::string, std::string> types{
      {"http_connections_total", "counter"},
      {"http_requests_total", "counter"},
      {"weft_awaited_descriptors", "gauge"},
      {"weft_free_stacks", "gauge"},
      {"weft_idle_seconds_total", "counter"},
      {"weft_max_lag_seconds", "gauge"},
      {"weft_pool_queued_jobs", "gauge"},
      {"weft_pool_running_jobs", "gauge"},
      {"weft_pool_threads", "gauge"},
      {"weft_ready_tasks", "gauge"},
      {"weft_sleeps_total", "counter"},
      {"weft_stacks", "gauge"},
      {"weft_switches_total", "counter"},
      {"weft_tasks", "gauge"},
      {"weft_timers", "gauge"},
      {"weft_turns_total", "counter"},
      {"weft_wake_ups_total", "counter"},
  };
  for (const std::size_t threads : {1, 2}) {
    Server server({}, "15", std::to_string(threads));
    const Metrics metrics = metrics_of(server);
    BOOST_TEST((metrics.types == types));
    std::size_t samples = 0;
    for (const auto& [name, type] : types) {
      if (name.starts_with("weft_pool_")) {
        metrics.at(name), ++samples;
        continue;
      }
      for (std::size_t i = 0; i < threads; ++i, ++samples) {
        metrics.at(name + "{scheduler=\"" + std::to_string(i) + "\"}");
      }
    }
    BOOST_TEST(metrics.samples.size() == samples);
  }
}

BOOST_AUTO_TEST_CASE(metrics_tell_what_the_server_does) {
  Server server;
  Client idle(server);
  idle.send(kGet + kGet);
  BOOST_TEST(idle.answer() == "200 " + kHello);
  BOOST_TEST(idle.answer() == "200 " + kHello);
  const Metrics first = metrics_of(server);
  const Metrics second = metrics_of(server);
  const std::string on0 = "{scheduler=\"0\"}";
  BOOST_TEST(first.at("http_connections_total" + on0) == 2);
  BOOST_TEST(second.at("http_connections_total" + on0) == 3);
  BOOST_TEST(first.at("http_requests_total" + on0) == 3);
  BOOST_TEST(second.at("http_requests_total" + on0) == 4);
  for (const char* name : {"weft_turns_total", "weft_switches_total"}) {
    BOOST_TEST(second.at(name + on0) > first.at(name + on0), name);
  }
  BOOST_TEST(first.at("weft_awaited_descriptors" + on0) >= 2);  // the listener, and `idle`
  BOOST_TEST(first.at("weft_timers" + on0) >= 1);               // of `idle`
}

BOOST_AUTO_TEST_CASE(metrics_tell_that_the_server_sleeps) {
  Server server;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const std::string on0 = "{scheduler=\"0\"}";
  const Metrics first = metrics_of(server);
  double sleeps = 0, idle = 0;
  do {
    usleep(10'000);  // unless the machine is busy, the server sleeps meanwhile
    const Metrics now = metrics_of(server);
    sleeps = now.at("weft_sleeps_total" + on0) - first.at("weft_sleeps_total" + on0);
    idle = now.at("weft_idle_seconds_total" + on0) - first.at("weft_idle_seconds_total" + on0);
  } while (sleeps == 0 && std::chrono::steady_clock::now() < deadline);
  BOOST_TEST(sleeps > 0);
  BOOST_TEST(idle > 0);
}

BOOST_AUTO_TEST_CASE(wrk_finds_no_errors) {
  Server server;
  const std::string report = output_of("wrk -t1 -c50 -d1s " + server.url() + "/hello");
  BOOST_TEST_MESSAGE(report);
  BOOST_TEST(report.find("Socket errors") == report.npos, report);
  BOOST_TEST(report.find("Non-2xx") == report.npos, report);
  BOOST_TEST(report.find("\n  0 requests in ") == report.npos, report);
  BOOST_TEST(report.find(" requests in ") != report.npos, report);
}

BOOST_AUTO_TEST_CASE(a_signal_ends_it_when_what_is_begun_is_answered) {
  const Folder folder;
  Server server(folder.site());
  Client idle(server);
  idle.send(kGet);
  BOOST_TEST(idle.answer() == "200 " + kHello);
  Client reading(server);
  reading.send(kGet + "GET /huge HTTP/1.1\r\nHost: a" + kEnd);
  BOOST_TEST(reading.answer() == "200 " + kHello);  // so the other one is begun
  server.tell_to_end();
  BOOST_TEST(idle.answer() == "end");
  BOOST_TEST(reading.answer().size() == 4 + Folder::kHuge);
  BOOST_TEST(reading.answer() == "end");
  BOOST_TEST(server.end() == "2 connections, 3 requests\n");
}

BOOST_AUTO_TEST_CASE(threads_share_the_connections_and_all_end_on_a_signal) {
  const Folder folder;
  Server server(folder.site(), "15", "2");
  std::vector<Client> idle;
  for (int i = 0; i < 40; ++i) {
    Client& client = idle.emplace_back(server);
    client.send(kGet);
    BOOST_TEST(client.answer() == "200 " + kHello);
  }
  std::vector<Client> reading;
  for (int i = 0; i < 2; ++i) {
    Client& client = reading.emplace_back(server);
    client.send(kGet + "GET /blob HTTP/1.1\r\nHost: a" + kEnd);
    BOOST_TEST(client.answer() == "200 " + kHello);  // so the other one is begun
  }
  server.tell_to_end();
  for (Client& client : idle) BOOST_TEST(client.answer() == "end");
  const std::string blob = content_of(folder.site() / "blob");
  for (Client& client : reading) {
    BOOST_TEST((client.answer() == "200 " + blob));
    BOOST_TEST(client.answer() == "end");
  }

  long connections[2] = {}, requests[2] = {};
  int read = 0;
  const std::string words = server.end();
  std::sscanf(words.c_str(),
              "thread 0: %ld connections, %ld requests\n"
              "thread 1: %ld connections, %ld requests\n"
              "42 connections, 44 requests\n%n",
              &connections[0], &requests[0], &connections[1], &requests[1], &read);
  BOOST_TEST(static_cast<std::size_t>(read) == words.size(), words);
  BOOST_TEST(connections[0] > 0);
  BOOST_TEST(connections[1] > 0);
  BOOST_TEST(connections[0] + connections[1] == 42);
  BOOST_TEST(requests[0] + requests[1] == 44);
}

BOOST_AUTO_TEST_SUITE_END()
