// Runs shell commands, twenty at a time: their output as it comes, a progress line, and a time
// limit that kills those that take too long.
// Run it: ./bazelw run -c opt //examples:commands                    # commands of its own
//         printf 'gzip -k %q\n' *.log | commands --seconds 600 -     # a command a line
//
// Options, before the "-": --at-once N, by default 20, and --seconds N, by default 2.
//
// Exits with 1 if a command has failed. Ctrl-C kills what runs, with all that it has started.

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

struct Options {
  std::size_t at_once = 20;
  std::chrono::seconds limit{2};
  bool from_input = false;
};

// Twenty-two that take their time, one that fails, and one that hangs.
std::vector<std::string> own_commands() {
  std::vector<std::string> commands;
  for (int i = 1; i <= 22; ++i) {
    const std::string number = std::to_string(i);
    commands.push_back("echo " + number + " begins; sleep 0." + std::to_string(i % 7) + "; echo " +
                       number + " ends");
  }
  commands.push_back("ls /nowhere");
  commands.push_back("echo this one hangs; sleep 1000");
  return commands;
}

class Commands {
 public:
  Commands(std::vector<std::string> lines, Options options)
      : lines_(std::move(lines)), options_(options), free_(options.at_once) {}

  // Returns how many failed.
  std::size_t run() {
    weft::with_task_group([&](weft::TaskGroup& group) {
      for (std::size_t i = 0; i < lines_.size(); ++i) {
        free_.acquire();
        group.spawn([this, i] {
          run_one(i);
          free_.release();
        });
      }
      group.join();
    });
    std::printf("%s%s\n", kIsTerminal ? "\r\33[K" : "", progress().c_str());
    return failed_;
  }

 private:
  void run_one(std::size_t i) {
    ++running_;
    const std::string name = "[" + std::to_string(i + 1) + "] ";
    std::string end;
    try {
      // If the time is over the Process goes, and with it the command and what it has started.
      end = weft::with_timeout(options_.limit, [&] { return follow(lines_[i], name); });
    } catch (const weft::TimeoutError&) {
      end = "was killed: it took longer than " + std::to_string(options_.limit.count()) + " s";
    } catch (const std::system_error& error) {
      end = error.what();
    }
    --running_;
    ++done_;
    if (end.empty()) return show_progress();
    ++failed_;
    print(name + end);
  }

  // Prints what the command writes, line by line. Returns how it failed, if it did.
  std::string follow(const std::string& command, const std::string& name) {
    weft::Process shell =
        weft::Process::start(weft::shell(command), {.input = weft::Stdio::null(),
                                                    .output = weft::Stdio::pipe(),
                                                    .error = weft::Stdio::output(),
                                                    .own_group = true});
    weft::BufferedReader reader(shell.output());
    while (const auto line = reader.read_line()) print(name + *line);
    const weft::ExitStatus status = shell.wait();
    return status.ok() ? "" : status.to_string();
  }

  void print(const std::string& line) {
    std::printf("%s%s\n", kIsTerminal ? "\r\33[K" : "", line.c_str());
    show_progress();
  }

  std::string progress() const {
    return std::to_string(done_) + " of " + std::to_string(lines_.size()) + " done, " +
           std::to_string(running_) + " running, " + std::to_string(failed_) + " failed";
  }

  // On a terminal it stays the last line. Elsewhere it is printed once, at the end.
  void show_progress() const {
    if (!kIsTerminal) return;
    std::printf("\r\33[K%s", progress().c_str());
    std::fflush(stdout);
  }

  inline static const bool kIsTerminal = isatty(STDOUT_FILENO) == 1;

  const std::vector<std::string> lines_;
  const Options options_;
  weft::Semaphore free_;
  std::size_t running_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

std::optional<long> number_in(std::string_view text) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) return std::nullopt;
  return number;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "-" && i + 1 == argc) {
      options.from_input = true;
      continue;
    }
    const auto number = i + 1 < argc ? number_in(argv[++i]) : std::nullopt;
    if (word == "--at-once" && number) {
      options.at_once = static_cast<std::size_t>(*number);
    } else if (word == "--seconds" && number) {
      options.limit = std::chrono::seconds(*number);
    } else {
      throw std::invalid_argument("usage: commands [--at-once N] [--seconds N] [-]");
    }
  }
  return options;
}

std::vector<std::string> read_commands() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // as it comes, also into a pipe
  try {
    const Options options = parse(argc, argv);
    Commands commands(options.from_input ? read_commands() : own_commands(), options);
    return weft::run([&] { return commands.run(); }) == 0 ? 0 : 1;
  } catch (const weft::TaskCancelled&) {  // Ctrl-C
    return 130;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "commands: %s\n", error.what());
    return 1;
  }
}
