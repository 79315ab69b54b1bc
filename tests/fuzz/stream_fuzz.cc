// BufferedReader: however the bytes come, whatever is asked, and wherever the stream throws, it
// gives what is right for the text as a whole.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tests/fuzz/fuzz.h"
#include "weft/io/buffered_reader.h"

namespace {

using weft::BufferedReader;
using weft::fuzz::Choices;
using weft::fuzz::require;

// Around the sizes at which something changes.
constexpr std::array<std::size_t, 8> kLimits = {65536, 0, 1, 2, 50, 4095, 4096, 6000};
constexpr std::array<std::size_t, 8> kSizes = {1, 0, 2, 7, 100, 4095, 4096, 10'000};
constexpr std::array<std::size_t, 8> kChunks = {100'000, 1, 2, 3, 100, 4095, 4096, 4097};

struct Interrupted {};

// A stream whose chunks are of the sizes that are chosen, and which throws where that is chosen.
class Chunks {
 public:
  Chunks(std::string_view text, Choices& choices) : text_(text), choices_(choices) {}

  std::size_t read_some(weft::MutableBuffer buffer) {
    require(!buffer.empty(), "a reader asks for something");
    most_room = std::max(most_room, buffer.size());
    const std::size_t choice = choices_.next();
    if (choice >= 0xe0) throw Interrupted();
    const std::size_t size = std::min({kChunks[choice % 8], buffer.size(), text_.size()});
    if (size > 0) std::memcpy(buffer.data(), text_.data(), size);
    text_.remove_prefix(size);
    return size;
  }

  std::size_t most_room = 0;

 private:
  std::string_view text_;
  Choices& choices_;
};

// What a call comes to: a piece, the end, or an error.
struct Outcome {
  std::optional<std::string> piece{};
  std::errc error{};

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

const Outcome kTooLong{{}, std::errc::message_size};
const Outcome kEnded{{}, std::errc::no_message_available};

// What a call has to come to, and how much of the text that uses up.
struct Expected {
  Outcome outcome{};
  std::size_t used = 0;
};

Expected expected_line(std::string_view rest, std::size_t limit) {
  const std::size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  const std::size_t used = line.size() + (end != rest.npos);
  if (used == 0) return {};
  if (end != rest.npos && line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > limit) return {kTooLong};
  return {{std::string(line)}, used};
}

Expected expected_piece(std::string_view rest, std::string_view delimiter, std::size_t limit) {
  if (delimiter.empty()) return {{{}, std::errc::invalid_argument}};
  const std::size_t begin = rest.find(delimiter);
  if (begin <= limit) {
    const std::size_t size = begin + delimiter.size();
    return {{std::string(rest.substr(0, size))}, size};
  }
  // The limit is passed only where a delimiter could end that begins behind it.
  if (rest.size() >= delimiter.size() && rest.size() - delimiter.size() >= limit &&
      (begin != rest.npos || rest.size() > limit)) {
    return {kTooLong};
  }
  return rest.empty() ? Expected() : Expected{kEnded};
}

Expected expected_bytes(std::string_view rest, std::size_t size) {
  if (size > rest.size()) return {kEnded};
  return {{std::string(rest.substr(0, size))}, size};
}

// Repeats a call that the stream has interrupted: nothing may be lost.
template <class F>
Outcome outcome_of(F f) {
  for (;;) {
    try {
      return {f()};
    } catch (const Interrupted&) {
      continue;
    } catch (const std::system_error& error) {
      require(error.code().category() == std::generic_category(), "an error is one of errno's");
      return {{}, static_cast<std::errc>(error.code().value())};
    }
  }
}

// A reader, and the text that it still has to give.
class Session {
 public:
  Session(BufferedReader reader, std::string_view rest, std::size_t limit, Choices& choices)
      : reader_(std::move(reader)), rest_(rest), limit_(limit), choices_(choices) {}

  void run() {
    while (choices_.left()) {
      call();
      require(rest_.starts_with(reader_.buffered()), "what is read ahead is what comes next");
    }
    expect({{std::string(rest_)}, rest_.size()}, [&] { return reader_.read_all(); });
    expect({{"yes"}}, [&] { return ask_whether_at_end(); });
    expect({}, [&] { return reader_.read_line(); });
  }

 private:
  // Asks for one thing.
  void call() {
    switch (choices_.below(8)) {
      case 0:
        return expect(expected_line(rest_, limit_), [&] { return reader_.read_line(); });
      case 1:
        return expect(expected_line(rest_, limit_), [&]() -> std::optional<std::string> {
          if (!reader_.read_line(piece_)) return {};
          return piece_;
        });
      case 2:
        return read_until("\r\n\r\n");
      case 3: {  // one that occurs in the text
        const std::size_t begin = std::min(choices_.next(), rest_.size());
        return read_until(std::string(rest_.substr(begin, choices_.below(6))));
      }
      case 4:
        return read_exactly(choices_.among(kSizes) + choices_.below(4));
      case 5:
        return read_some(choices_.among(kSizes));
      case 6:
        return expect({{rest_.empty() ? "yes" : "no"}}, [&] { return ask_whether_at_end(); });
      default: {
        BufferedReader other = std::move(reader_);
        require(reader_.buffered().empty(), "a reader that was moved from has nothing");
        reader_ = std::move(other);
      }
    }
  }

  std::string ask_whether_at_end() { return reader_.at_end() ? "yes" : "no"; }

  void read_until(const std::string& delimiter) {
    expect(expected_piece(rest_, delimiter, limit_), [&]() -> std::optional<std::string> {
      if (!reader_.read_until(delimiter, piece_)) return {};
      return piece_;
    });
  }

  void read_exactly(std::size_t size) {
    expect(expected_bytes(rest_, size), [&] { return reader_.read_exactly(size); });
  }

  void read_some(std::size_t room) {
    std::string piece(room, '\0');
    const Outcome outcome = outcome_of([&] {
      piece.resize(room);
      piece.resize(reader_.read_some(piece));
      return piece;
    });
    require(outcome.piece.has_value(), "to read what there is does not fail");
    require(outcome.piece->empty() == (room == 0 || rest_.empty()), "it gives a byte, or the end");
    require(rest_.starts_with(*outcome.piece), "it gives what comes next");
    rest_.remove_prefix(outcome.piece->size());
  }

  template <class F>
  void expect(const Expected& expected, F f) {
    require(outcome_of(f) == expected.outcome, "a call comes to what the whole text says");
    rest_.remove_prefix(expected.used);
  }

  BufferedReader reader_;
  std::string_view rest_;
  std::size_t limit_;
  Choices& choices_;
  std::string piece_ = "what was there before";
};

// Small inputs make large texts, each part of which differs from the others.
std::string repeated(std::string_view text, std::size_t times) {
  constexpr std::size_t kMost = 40'000;
  std::string all(text);
  for (std::size_t i = 1; i < times && all.size() < kMost; ++i) {
    all += std::to_string(i);
    all += text;
  }
  return all;
}

// As far as lines go: other calls may need more.
void check_memory(std::string_view text, std::size_t limit, Choices& calls, Choices& chunks) {
  Chunks stream(text, chunks);
  BufferedReader reader(stream, limit);
  while (calls.left()) {
    const Outcome outcome = outcome_of([&] { return reader.read_line(); });
    if (!outcome.piece) break;
    calls.next();
  }
  require(stream.most_room <= std::max<std::size_t>(4096, 2 * (limit + 1)),
          "memory grows to twice the limit");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = weft::fuzz::text_of(data, size);
  Choices calls(input);
  Choices chunks(input);
  const std::size_t limit = calls.among(kLimits);
  const bool nested = calls.below(4) == 3;
  const std::string text = repeated(input, calls.next());
  Choices calls_again = calls, chunks_again = chunks;

  Chunks stream(text, chunks);
  BufferedReader inner(stream);
  Session(nested ? BufferedReader(inner, limit) : BufferedReader(stream, limit), text, limit, calls)
      .run();
  check_memory(text, limit, calls_again, chunks_again);
  return 0;
}
