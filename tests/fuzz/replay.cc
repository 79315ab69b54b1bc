// The main function of a fuzz target that is built without libFuzzer: runs what the files of a
// folder hold, or a file, and then mutations of them, always the same.
//
//   stream_fuzz FOLDER-OR-FILE

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/fuzz.h"

// There is one where a sanitizer is.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

constexpr std::uint32_t kSeed = 1;
constexpr int kRounds = 10'000;

// The input under way, for whoever has to repeat what ended the process.
std::string current_name;
std::string current;

bool under_way = false;

// Once: a sanitizer may abort after its own end.
void tell() {
  if (!std::exchange(under_way, false)) return;
  std::fprintf(stderr, "%s (seed %u), in C's escapes:\n", current_name.c_str(), kSeed);
  for (const unsigned char c : current) std::fprintf(stderr, "\\%03o", c);
  std::fputs("\n", stderr);
}

void tell_of_signal(int number) {
  tell();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

// A sanitizer that finds something ends the process without a signal; and of the signals that it
// handles itself it reports better than we do.
void tell_before_the_end() {
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(&tell);
  for (const int number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL}) {
    struct sigaction now {};
    sigaction(number, nullptr, &now);
    if (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL) {
      std::signal(number, &tell_of_signal);
    }
  }
}

void run(std::string input, const std::string& name) {
  current = std::move(input);
  current_name = name;
  // In memory of its own, so that sanitizers see a read behind its end.
  const std::vector<std::uint8_t> bytes(current.begin(), current.end());
  under_way = true;
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  under_way = false;
}

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  const std::filesystem::directory_iterator files(path);
  std::vector<std::filesystem::path> sorted(begin(files), end(files));
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& inputs) : inputs_(inputs) {}

  std::string mutated() {
    std::string input = any();
    for (std::size_t changes = 1 + below(4); changes > 0; --changes) change(input);
    return input;
  }

 private:
  std::size_t below(std::size_t end) { return random_() % end; }
  const std::string& any() { return inputs_[below(inputs_.size())]; }
  char byte() { return static_cast<char>(below(256)); }

  void change(std::string& input) {
    const std::size_t place = below(input.size() + 1);
    const std::string& other = any();
    const std::size_t from = below(other.size() + 1);
    switch (below(5)) {
      case 0:
        input.insert(place, 1, byte());
        break;
      case 1:
        input.erase(place, 1 + below(4));
        break;
      case 2:
        if (place < input.size()) input[place] = byte();
        break;
      case 3:
        if (place < input.size()) input[place] = static_cast<char>(input[place] ^ (1 << below(8)));
        break;
      default:  // a piece of another one
        input.insert(place, other, from, 1 + below(16));
    }
  }

  const std::vector<std::string>& inputs_;
  std::mt19937 random_{kSeed};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: FOLDER-OR-FILE\n", stderr);
    return 1;
  }
  tell_before_the_end();
  std::vector<std::string> inputs;
  for (const auto& file : files_of(argv[1])) {
    inputs.push_back(contents_of(file));
    run(inputs.back(), file.string());
  }
  if (inputs.empty()) {
    std::fprintf(stderr, "there is no input in %s\n", argv[1]);
    return 1;
  }
  Mutator mutator(inputs);
  for (int round = 0; round < kRounds; ++round) {
    run(mutator.mutated(), "mutation " + std::to_string(round));
  }
  std::printf("%zu inputs and %d mutations, seed %u\n", inputs.size(), kRounds, kSeed);
}
