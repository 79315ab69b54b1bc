#include "weft/io/stream.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "weft/io/buffered_reader.h"

BOOST_AUTO_TEST_SUITE(stream)

using namespace weft;
using namespace weft::test;

namespace {

// A stream of this text, which gives so many bytes at a time.
class Chunks {
 public:
  explicit Chunks(std::string text, std::size_t chunk = 1)
      : text_(std::move(text)), chunk_(chunk) {}

  std::size_t read_some(MutableBuffer buffer) {
    ++calls;
    most_room = std::max(most_room, buffer.size());
    const std::size_t size = std::min({chunk_, buffer.size(), text_.size() - position_});
    if (size > 0) std::memcpy(buffer.data(), text_.data() + position_, size);
    position_ += size;
    return size;
  }

  int calls = 0;
  std::size_t most_room = 0;

 private:
  const std::string text_;
  const std::size_t chunk_;
  std::size_t position_ = 0;
};

// Layers above a stream are streams, too.
struct Layer : Chunks {
  std::size_t write_all(ConstBuffer buffer) { return buffer.size(); }
  void shutdown_write() {}
  void close() {}
};
static_assert(Stream<TcpStream> && Stream<UnixStream> && Stream<StreamSocket> && Stream<Layer>);
static_assert(Source<File> && Source<BufferedReader> && Source<Chunks>);
static_assert(!Stream<File> && !Stream<BufferedReader> && !Stream<Chunks> && !Source<UdpSocket>);

// What is to hold however the bytes come.
void for_all_chunks(const std::string& text, const std::function<void(BufferedReader&)>& check,
                    std::size_t limit = 64 * 1024) {
  for (const std::size_t chunk : {1, 2, 3, 4, 5, 7, 16, 4095, 4096, 4097, 100'000}) {
    BOOST_TEST_CONTEXT("chunks of " << chunk) {
      Chunks stream(text, chunk);
      BufferedReader reader(stream, limit);
      check(reader);
    }
  }
}

std::string read_some(BufferedReader& reader, std::size_t room) {
  std::string piece(room, '?');
  piece.resize(reader.read_some(piece));
  return piece;
}

}  // namespace

// ---- Lines --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(lines_come_without_their_ends) {
  for_all_chunks("one\n\n three \r\n\r\nfive\r\r\n\n\rseven", [](BufferedReader& reader) {
    for (const char* line : {"one", "", " three ", "", "five\r", "", "\rseven"}) {
      BOOST_TEST((reader.read_line() == line));
    }
    for (int i = 0; i < 3; ++i) BOOST_TEST(!reader.read_line());
  });
}

BOOST_AUTO_TEST_CASE(the_end_makes_no_line_of_its_own) {
  for_all_chunks("", [](BufferedReader& reader) { BOOST_TEST(!reader.read_line()); });
  for_all_chunks("one\n", [](BufferedReader& reader) {
    BOOST_TEST((reader.read_line() == "one"));
    BOOST_TEST(!reader.read_line());
  });
  for_all_chunks("\n", [](BufferedReader& reader) {
    BOOST_TEST((reader.read_line() == ""));
    BOOST_TEST(!reader.read_line());
  });
  // It might have gone on.
  for_all_chunks("one\r", [](BufferedReader& reader) {
    BOOST_TEST((reader.read_line() == "one\r"));
    BOOST_TEST(!reader.read_line());
  });
}

BOOST_AUTO_TEST_CASE(a_line_may_be_read_into_a_string) {
  for_all_chunks("one\ntwo", [](BufferedReader& reader) {
    std::string line = "what was there before";
    const char* const memory = line.data();
    BOOST_TEST(reader.read_line(line));
    BOOST_TEST(line == "one");
    BOOST_TEST(reader.read_line(line));
    BOOST_TEST(line == "two");
    BOOST_TEST(!reader.read_line(line));
    BOOST_TEST(static_cast<const void*>(line.data()) == memory);
  });
}

BOOST_AUTO_TEST_CASE(lines_of_all_lengths_come_whole) {
  std::string text;
  for (std::size_t size = 0; size < 200; ++size) text += std::string(size, 'x') + "\n";
  for (const std::size_t size : {4094, 4095, 4096, 4097, 8192, 65536}) {
    text += std::string(size, 'y') + (size % 2 ? "\n" : "\r\n");
  }
  for_all_chunks(
      text,
      [](BufferedReader& reader) {
        for (std::size_t size = 0; size < 200; ++size) {
          BOOST_TEST((reader.read_line() == std::string(size, 'x')));
        }
        for (const std::size_t size : {4094, 4095, 4096, 4097, 8192, 65536}) {
          BOOST_TEST((reader.read_line() == std::string(size, 'y')));
        }
        BOOST_TEST(!reader.read_line());
      },
      100'000);
}

// ---- Delimiters ---------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_piece_comes_with_its_delimiter) {
  for_all_chunks("a: b\r\n\r\n\r\r\n\r\nrest", [](BufferedReader& reader) {
    BOOST_TEST((reader.read_until("\r\n\r\n") == "a: b\r\n\r\n"));
    BOOST_TEST((reader.read_until("\r\n\r\n") == "\r\r\n\r\n"));
    BOOST_TEST((reader.read_until("s") == "res"));
    BOOST_TEST((reader.read_until("t") == "t"));
    BOOST_TEST(!reader.read_until("t"));
  });
}

BOOST_AUTO_TEST_CASE(a_delimiter_is_found_where_it_begins_first) {
  for_all_chunks("aaab--aab", [](BufferedReader& reader) {
    BOOST_TEST((reader.read_until("aab") == "aaab"));
    BOOST_TEST((reader.read_until("aab") == "--aab"));
  });
  for_all_chunks(std::string("a\0b\0\0c", 6), [](BufferedReader& reader) {
    BOOST_TEST((reader.read_until(std::string_view("\0\0", 2)) == std::string("a\0b\0\0", 5)));
    BOOST_TEST(reader.read_all() == "c");
  });
}

BOOST_AUTO_TEST_CASE(an_end_without_a_delimiter_is_an_error_that_loses_nothing) {
  for_all_chunks("rest\r\n\r", [](BufferedReader& reader) {
    for (int i = 0; i < 2; ++i) {
      BOOST_CHECK_EXCEPTION(reader.read_until("\r\n\r\n"), std::system_error,
                            is(std::errc::no_message_available, "read_until"));
    }
    BOOST_TEST(reader.read_all() == "rest\r\n\r");
    BOOST_TEST(!reader.read_until("\r\n\r\n"));
  });
}

BOOST_AUTO_TEST_CASE(an_empty_delimiter_is_refused) {
  Chunks stream("text");
  BufferedReader reader(stream);
  BOOST_CHECK_EXCEPTION(reader.read_until(""), std::system_error,
                        is(std::errc::invalid_argument, "read_until"));
  BOOST_TEST(stream.calls == 0);
}

// ---- The limit ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_line_of_just_the_limit_is_taken) {
  for (const char* text : {"12345\n", "12345", "12345\n12345\n"}) {
    for_all_chunks(
        text, [](BufferedReader& reader) { BOOST_TEST((reader.read_line() == "12345")); }, 5);
  }
}

BOOST_AUTO_TEST_CASE(a_line_of_just_the_limit_is_taken_with_either_end) {
  for_all_chunks(
      "12345\r\n\r\n",
      [](BufferedReader& reader) {
        BOOST_TEST((reader.read_line() == "12345"));
        BOOST_TEST((reader.read_line() == ""));
      },
      5);
}

BOOST_AUTO_TEST_CASE(a_longer_line_is_an_error_that_loses_nothing) {
  for (const char* text : {"123456\n", "123456", "123456\r\n", "1234567\r\n", "123456789"}) {
    BOOST_TEST_CONTEXT(text) {
      for_all_chunks(
          text,
          [&](BufferedReader& reader) {
            std::string line;
            for (int i = 0; i < 2; ++i) {
              BOOST_CHECK_EXCEPTION(reader.read_line(), std::system_error,
                                    is(std::errc::message_size, "5 bytes"));
              BOOST_CHECK_EXCEPTION(reader.read_line(line), std::system_error,
                                    is(std::errc::message_size, "read_line"));
            }
            BOOST_TEST(reader.read_all() == text);
          },
          5);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_line_without_an_end_is_not_read_for_ever) {
  for (const std::size_t chunk : {1, 10, 100, 10'000}) {
    Chunks stream(std::string(1'000'000, 'x'), chunk);
    BufferedReader reader(stream, 5000);
    BOOST_CHECK_THROW(reader.read_line(), std::system_error);
    BOOST_TEST(reader.buffered().size() <= 2 * 5000 + 4096u);
  }
}

BOOST_AUTO_TEST_CASE(memory_does_not_grow_with_the_stream) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "a line that never ends where a chunk does\n";
  Chunks stream(text, 1'000'000);
  BufferedReader reader(stream);
  int lines = 0;
  while (reader.read_line()) ++lines;
  BOOST_TEST(lines == 20'000);
  BOOST_TEST(stream.most_room <= 8192u);
}

BOOST_AUTO_TEST_CASE(memory_grows_to_twice_the_limit) {
  constexpr std::size_t kLimit = 5000;
  std::size_t most_room = 0;
  for (std::size_t first = 0; first <= kLimit; first += 250) {
    for (std::size_t second = 0; second <= kLimit; second += 250) {
      std::string text;
      for (int i = 0; i < 6; ++i) {
        for (const std::size_t size : {first, second, kLimit})
          text += std::string(size, 'x') + '\n';
      }
      Chunks stream(text, 1'000'000);
      BufferedReader reader(stream, kLimit);
      while (reader.read_line()) continue;
      most_room = std::max(most_room, stream.most_room);
    }
  }
  BOOST_TEST(most_room > kLimit);
  BOOST_TEST(most_room <= 2 * (kLimit + 1));
}

BOOST_AUTO_TEST_CASE(the_limit_is_for_what_comes_before_the_delimiter) {
  for_all_chunks(
      "12345--12345--",
      [](BufferedReader& reader) {
        BOOST_TEST((reader.read_until("--") == "12345--"));
        BOOST_TEST((reader.read_until("--") == "12345--"));
      },
      5);
  for_all_chunks(
      "123456--",
      [](BufferedReader& reader) {
        BOOST_CHECK_EXCEPTION(reader.read_until("--"), std::system_error,
                              is(std::errc::message_size, "read_until"));
        BOOST_TEST(reader.read_all() == "123456--");
      },
      5);
}

BOOST_AUTO_TEST_CASE(the_limit_may_be_none) {
  for (const std::size_t limit :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() - 1}) {
    for_all_chunks(
        "one\nt--",
        [](BufferedReader& reader) {
          BOOST_TEST((reader.read_line() == "one"));
          BOOST_TEST((reader.read_until("--") == "t--"));
        },
        limit);
  }
}

BOOST_AUTO_TEST_CASE(the_limit_may_be_zero) {
  for_all_chunks(
      "\n-x\n",
      [](BufferedReader& reader) {
        BOOST_TEST((reader.read_line() == ""));
        BOOST_TEST((reader.read_until("-") == "-"));
        BOOST_CHECK_THROW(reader.read_line(), std::system_error);
      },
      0);
}

// ---- Sizes --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(so_many_bytes_come_as_were_asked_for) {
  const std::string text = std::string(10'000, 'a') + std::string(100'000, 'b') + "end";
  for_all_chunks(
      text,
      [](BufferedReader& reader) {
        BOOST_TEST(reader.read_exactly(0) == "");
        BOOST_TEST(reader.read_exactly(1) == "a");
        std::string piece(9'999, '?');
        reader.read_exactly(MutableBuffer(piece));
        BOOST_TEST((piece == std::string(9'999, 'a')));
        BOOST_TEST((reader.read_exactly(100'000) == std::string(100'000, 'b')));
        BOOST_TEST(reader.read_exactly(3) == "end");
        BOOST_TEST(reader.read_exactly(0) == "");
        BOOST_CHECK_THROW(reader.read_exactly(1), std::system_error);
      },
      5);
}

BOOST_AUTO_TEST_CASE(too_few_bytes_are_an_error_that_loses_nothing) {
  for (const std::size_t size : {0, 1, 3, 4096, 10'000}) {
    const std::string text(size, 'x');
    for_all_chunks(text, [&](BufferedReader& reader) {
      for (const std::size_t more : {1, 4095, 4096, 20'000}) {
        BOOST_CHECK_EXCEPTION(reader.read_exactly(size + more), std::system_error,
                              is(std::errc::no_message_available, "read_exactly"));
      }
      BOOST_TEST((reader.read_exactly(size) == text));
      BOOST_TEST(reader.at_end());
    });
  }
}

// A peer may announce any size. What is asked of the stream shows how much memory there is.
BOOST_AUTO_TEST_CASE(memory_grows_with_what_comes_and_not_with_what_was_announced) {
  for (const std::size_t size : {std::size_t{1} << 20, std::size_t{1} << 30}) {
    Chunks stream("ab");
    BufferedReader reader(stream);
    BOOST_CHECK_EXCEPTION(reader.read_exactly(size), std::system_error,
                          is(std::errc::no_message_available, "read_exactly", "2 bytes"));
    BOOST_TEST(stream.most_room <= 64 * 1024u);
    BOOST_TEST(reader.buffered() == "ab");
  }
  const std::string text(1'000'000, 'x');
  Chunks stream(text, 10'000);
  BufferedReader reader(stream);
  BOOST_CHECK_THROW(reader.read_exactly(std::size_t{1} << 30), std::system_error);
  BOOST_TEST(stream.most_room <= 2 * text.size());
  BOOST_TEST((reader.read_exactly(text.size()) == text));
}

BOOST_AUTO_TEST_CASE(more_bytes_than_the_limit_are_refused_before_any_is_read) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  Chunks stream("12345");
  BufferedReader reader(stream);
  BOOST_CHECK_EXCEPTION(reader.read_exactly(6, 5), std::system_error,
                        is(std::errc::message_size, "read_exactly", "6 bytes", "5 bytes"));
  BOOST_CHECK_EXCEPTION(reader.read_exactly((std::size_t{1} << 30) + 1), std::system_error,
                        is(std::errc::message_size, "1073741825 bytes", "1073741824 bytes"));
  BOOST_CHECK_EXCEPTION(reader.read_exactly(kMost), std::system_error,
                        is(std::errc::message_size, std::to_string(kMost)));
  BOOST_TEST(stream.calls == 0);
  BOOST_CHECK_EXCEPTION(reader.read_exactly(kMost, kMost), std::system_error,
                        is(std::errc::no_message_available, "5 bytes"));
  BOOST_TEST(reader.read_exactly(5, 5) == "12345");
  BOOST_TEST(reader.read_exactly(0, 0) == "");
}

BOOST_AUTO_TEST_CASE(all_that_is_more_than_the_limit_is_an_error_that_loses_nothing) {
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 20'000}) {
    const std::string text(size, 'x');
    for_all_chunks(text, [&](BufferedReader& reader) {
      for (int i = 0; i < 2 && size > 0; ++i) {
        BOOST_CHECK_EXCEPTION(
            reader.read_all(size - 1), std::system_error,
            is(std::errc::message_size, "read_all", std::to_string(size - 1) + " bytes"));
      }
      BOOST_TEST((reader.read_all(size) == text));
    });
  }
  Chunks endless(std::string(10'000'000, 'x'), 100'000);
  BufferedReader reader(endless);
  BOOST_CHECK_THROW(reader.read_all(100'000), std::system_error);
  BOOST_TEST(reader.buffered().size() <= 300'000u);
}

BOOST_AUTO_TEST_CASE(what_there_is_comes_at_once) {
  Chunks stream("1234567890", 4);
  BufferedReader reader(stream);
  BOOST_TEST(read_some(reader, 0) == "");
  BOOST_TEST(stream.calls == 0);
  BOOST_TEST(read_some(reader, 3) == "123");
  BOOST_TEST(read_some(reader, 3) == "4");
  BOOST_TEST(stream.calls == 1);
  BOOST_TEST(read_some(reader, 10'000) == "5678");
  BOOST_TEST(reader.buffered() == "");
  BOOST_TEST(read_some(reader, 100) == "90");
  BOOST_TEST(read_some(reader, 100) == "");
  BOOST_TEST(read_some(reader, 10'000) == "");
}

BOOST_AUTO_TEST_CASE(all_is_what_comes_up_to_the_end) {
  for (const std::size_t size : {0, 1, 4095, 4096, 4097, 20'000}) {
    std::string text(size, 'x');
    for_all_chunks(
        "line\n" + text,
        [&](BufferedReader& reader) {
          reader.read_line();
          BOOST_TEST((reader.read_all() == text));
          BOOST_TEST(reader.read_all() == "");
          BOOST_TEST(reader.at_end());
        },
        5);
  }
}

BOOST_AUTO_TEST_CASE(the_end_is_where_nothing_more_comes) {
  for_all_chunks("ab", [](BufferedReader& reader) {
    BOOST_TEST(!reader.at_end());
    BOOST_TEST(!reader.at_end());
    BOOST_TEST(reader.read_exactly(1) == "a");
    BOOST_TEST(!reader.at_end());
    BOOST_TEST(reader.read_exactly(1) == "b");
    BOOST_TEST(reader.at_end());
    BOOST_TEST(reader.at_end());
  });
}

BOOST_AUTO_TEST_CASE(what_has_been_read_ahead_can_be_seen) {
  Chunks stream("one\ntwo\nthree", 6);
  BufferedReader reader(stream);
  BOOST_TEST(reader.buffered() == "");
  reader.read_line();
  BOOST_TEST(reader.buffered() == "tw");
  reader.at_end();
  BOOST_TEST(reader.buffered() == "tw");
  reader.read_line();
  BOOST_TEST(reader.buffered() == "thre");
}

BOOST_AUTO_TEST_SUITE_END()
