// The last lines of files, and with -f what is appended to them: files, polling and signals.
// Run it: ./bazelw run -c opt //examples:tail -- -n 5 -f /var/log/dpkg.log
// Without a file, and for `-`, it reads standard input.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr auto kPoll = 100ms;
constexpr int kFlags = O_RDONLY | O_NONBLOCK;  // a fifo is refused, not waited for
constexpr std::size_t kBlock = 64 * 1024;

struct Options {
  std::size_t lines = 10;
  bool follow = false;
  std::vector<std::string> files;
};

// Prints a piece of a file. With several files, a header names the file whenever it changes.
void print(const Options& options, const std::string& file, std::string_view text) {
  static std::string last;
  if (options.files.size() > 1 && file != last) {
    std::printf("%s==> %s <==\n", last.empty() ? "" : "\n", file.c_str());
    last = file;
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Where the last `lines` lines of the text begin.
std::size_t start_of_last(std::size_t lines, std::string_view text) {
  std::size_t start = text.size();
  for (; lines > 0 && start > 0; --lines) {
    // The line that ends before `start` begins after the newline before its own.
    start = start < 2 ? 0 : text.rfind('\n', start - 2) + 1;  // npos + 1 is 0
  }
  return start;
}

class Tail {
 public:
  Tail(const Options& options, const std::string& path)
      : options_(options), path_(path), file_(weft::File::open(path, kFlags)) {}

  void print_last_lines() {
    const std::uint64_t size = file_.size();
    for (std::size_t enough = kBlock;; enough *= 2) {
      std::string text(std::min<std::uint64_t>(enough, size), '\0');
      offset_ = size - text.size();
      text.resize(read_fully(text));
      const std::size_t start = start_of_last(options_.lines, text);
      if (start == 0 && offset_ > 0) continue;
      print(options_, path_, std::string_view(text).substr(start));
      offset_ += text.size();
      return print_rest();
    }
  }

  // Prints what is appended, until it is cancelled.
  void follow() {
    for (;; weft::sleep_for(kPoll)) {
      print_rest();
      weft::File file;
      try {
        file = weft::File::open(path_, kFlags);
      } catch (const std::system_error&) {  // removed; maybe a new one comes
        continue;
      }
      if (id_of(file) != id_of(file_)) {
        print_rest();
        std::fprintf(stderr, "tail: %s is a new file\n", path_.c_str());
        file_ = std::move(file);
        offset_ = 0;
      } else if (file.size() < offset_) {
        std::fprintf(stderr, "tail: %s was truncated\n", path_.c_str());
        offset_ = 0;
      }
    }
  }

 private:
  // Returns the number of bytes, fewer than asked for only at the end of the file.
  std::size_t read_fully(std::string& text) {
    std::size_t done = 0;
    while (const std::size_t size = file_.pread(std::span(text).subspan(done), offset_ + done)) {
      done += size;
    }
    return done;
  }

  void print_rest() {
    std::string text(kBlock, '\0');
    while (const std::size_t size = file_.pread(text, offset_)) {
      print(options_, path_, std::string_view(text).substr(0, size));
      offset_ += size;
    }
  }

  static std::pair<dev_t, ino_t> id_of(const weft::File& file) {
    struct stat info {};
    fstat(file.native_handle(), &info);
    return {info.st_dev, info.st_ino};
  }

  const Options& options_;
  const std::string path_;
  weft::File file_;
  std::uint64_t offset_ = 0;  // everything before it is printed
};

void tail_standard_input(const Options& options) {
  std::string text;
  std::size_t enough = kBlock;
  for (;;) {
    char buffer[kBlock / 4];
    weft::wait_readable(STDIN_FILENO);
    const ssize_t size = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) throw std::system_error(errno, std::generic_category(), "standard input");
    if (size == 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
    if (text.size() < enough) continue;
    text.erase(0, start_of_last(options.lines, text));
    enough = 2 * text.size() + kBlock;
  }
  print(options, "standard input",
        std::string_view(text).substr(start_of_last(options.lines, text)));
}

void tail(const Options& options) {
  std::vector<Tail> tails;
  for (const std::string& file : options.files) {
    if (file == "-") {
      tail_standard_input(options);
    } else {
      tails.emplace_back(options, file).print_last_lines();
    }
  }
  if (!options.follow) return;
  weft::TaskGroup group;
  for (Tail& each : tails) group.spawn([&] { each.follow(); });
  group.join();
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "-f") {
      options.follow = true;
    } else if (argument == "-n" && ++i < argc) {
      char* end = nullptr;
      const long lines = std::strtol(argv[i], &end, 10);
      if (end == argv[i] || *end != '\0' || lines < 0) return false;
      options.lines = static_cast<std::size_t>(lines);
    } else if (argument == "-" || !argument.starts_with("-")) {
      options.files.emplace_back(argument);
    } else {
      return false;
    }
  }
  if (options.files.empty()) options.files.emplace_back("-");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fputs("usage: tail [-n LINES] [-f] [FILE...]\n", stderr);
    return 1;
  }
  try {
    weft::run([&] {
      weft::SignalSet signals({SIGINT, SIGTERM});
      auto work = weft::spawn([&] { tail(options); });
      auto stop = weft::spawn([&] {
        signals.wait();
        work.cancel();
      });
      work.wait();
      if (work.failed()) work.get();
    });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
