#include "weft/io/buffer.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(buffer)

using namespace weft;

namespace {

template <class T>
constexpr bool kWritable = std::is_convertible_v<T, MutableBuffer>;
template <class T>
constexpr bool kReadable = std::is_convertible_v<T, ConstBuffer>;

enum class Octet : std::uint8_t {};
struct Pair {
  char first, second;
};

// ---- What can be read into ----------------------------------------------------------------------

static_assert(kWritable<std::string&>);
static_assert(kWritable<std::vector<char>&>);
static_assert(kWritable<std::vector<unsigned char>&>);
static_assert(kWritable<std::vector<std::byte>&>);
static_assert(kWritable<std::vector<Octet>&>);
static_assert(kWritable<std::array<char, 4>&>);
static_assert(kWritable<std::array<std::byte, 4>&>);
static_assert(kWritable<char (&)[4]>);
static_assert(kWritable<signed char (&)[4]>);
static_assert(kWritable<std::uint8_t (&)[4]>);
static_assert(kWritable<std::byte (&)[4]>);
static_assert(kWritable<std::span<char>>);
static_assert(kWritable<std::span<char>&>);
static_assert(kWritable<const std::span<char>&>);
static_assert(kWritable<std::span<std::byte, 4>>);
static_assert(kWritable<MutableBuffer>);

static_assert(!kWritable<const std::string&>);
static_assert(!kWritable<const std::vector<char>&>);
static_assert(!kWritable<const std::array<char, 4>&>);
static_assert(!kWritable<const char (&)[4]>);
static_assert(!kWritable<const std::byte (&)[4]>);
static_assert(!kWritable<std::span<const char>>);
static_assert(!kWritable<std::string_view>);
static_assert(!kWritable<std::string_view&>);
static_assert(!kWritable<const char*>);
static_assert(!kWritable<char*>);
static_assert(!kWritable<void*>);
static_assert(!kWritable<ConstBuffer>);

// ---- What can be written ------------------------------------------------------------------------

static_assert(kReadable<std::string>);
static_assert(kReadable<const std::string&>);
static_assert(kReadable<std::string_view>);
static_assert(kReadable<const char*>);
static_assert(kReadable<const char (&)[4]>);
static_assert(kReadable<const std::vector<char>&>);
static_assert(kReadable<std::vector<std::byte>>);
static_assert(kReadable<std::vector<Octet>&>);
static_assert(kReadable<const std::array<unsigned char, 4>&>);
static_assert(kReadable<const std::byte (&)[4]>);
static_assert(kReadable<std::byte (&)[4]>);
static_assert(kReadable<std::uint8_t (&)[4]>);
static_assert(kReadable<std::span<const char>>);
static_assert(kReadable<std::span<char>>);
static_assert(kReadable<std::span<const std::byte, 4>>);
static_assert(kReadable<MutableBuffer>);
static_assert(kReadable<const MutableBuffer&>);

// Is it text, or all of it?
static_assert(!kReadable<char (&)[4]>);
static_assert(!std::is_constructible_v<ConstBuffer, char (&)[4]>);
static_assert(kReadable<const char8_t (&)[4]>);
static_assert(!kReadable<char8_t (&)[4]>);
static_assert(!kReadable<std::nullptr_t>);
static_assert(!kReadable<const void*>);
static_assert(!kReadable<const unsigned char*>);

// ---- What is no bytes ---------------------------------------------------------------------------

template <class T>
constexpr bool kNeither = !kWritable<T&> && !kReadable<const T&>;

static_assert(kNeither<std::vector<int>>);
static_assert(kNeither<std::vector<bool>>);
static_assert(kNeither<std::array<bool, 4>>);
static_assert(kNeither<std::array<Pair, 4>>);
static_assert(kNeither<std::vector<std::string>>);
static_assert(kNeither<std::wstring>);
static_assert(kNeither<std::u16string>);
static_assert(kNeither<std::list<char>>);
static_assert(kNeither<std::deque<char>>);
static_assert(kNeither<int>);
static_assert(kNeither<int[4]>);
static_assert(kNeither<std::unique_ptr<char>>);
static_assert(!kReadable<int> && !kReadable<char>);

std::string text(ConstBuffer bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(by_default_it_is_empty) {
  BOOST_TEST(MutableBuffer().empty());
  BOOST_TEST(MutableBuffer().size() == 0u);
  BOOST_TEST(MutableBuffer().data() == nullptr);
  BOOST_TEST(ConstBuffer().empty());
  BOOST_TEST(ConstBuffer().size() == 0u);
  BOOST_TEST(ConstBuffer().data() == nullptr);
}

BOOST_AUTO_TEST_CASE(it_is_a_view_of_all_that_is_there) {
  std::string string = "string";
  std::vector<unsigned char> vector(7);
  std::array<std::byte, 3> array{};
  char plain[5];
  const auto views = [](MutableBuffer buffer, const void* data, std::size_t size) {
    const ConstBuffer both = buffer;
    return buffer.data() == data && buffer.size() == size && !buffer.empty() &&
           both.data() == data && both.size() == size && !both.empty();
  };
  BOOST_TEST(views(string, string.data(), 6));
  BOOST_TEST(views(vector, vector.data(), 7));
  BOOST_TEST(views(array, array.data(), 3));
  BOOST_TEST(views(plain, plain, 5));
  BOOST_TEST(views(std::span(plain), plain, 5));
  BOOST_TEST(views(std::span(plain).first(2), plain, 2));
  BOOST_TEST(views({plain + 1, 2}, plain + 1, 2));
}

BOOST_AUTO_TEST_CASE(a_literal_is_its_text) {
  BOOST_TEST(text("abc") == "abc");
  BOOST_TEST(text("") == "");
  BOOST_TEST(ConstBuffer("").empty());
  BOOST_TEST(text("ab\0c") == "ab");
  const char* const pointer = "pointer";
  BOOST_TEST(text(pointer) == "pointer");
  const char constant[8] = "abc";
  BOOST_TEST(text(constant) == "abc");
}

BOOST_AUTO_TEST_CASE(what_knows_its_size_is_taken_whole) {
  using namespace std::literals;
  BOOST_TEST(text("ab\0c"sv) == "ab\0c"s);
  BOOST_TEST(text("ab\0c"s) == "ab\0c"s);
  BOOST_TEST(text(u8"ab\0c"sv) == "ab\0c"s);
  const std::array<char, 4> array{'a', 0, 'b', 0};
  BOOST_TEST(text(array) == "a\0b\0"s);
  char plain[3] = {'a', 0, 'b'};
  BOOST_TEST(text(std::span(plain)) == "a\0b"s);
  const std::uint8_t numbers[] = {65, 0, 66};
  BOOST_TEST(text(numbers) == "A\0B"s);
  BOOST_TEST(text({plain, 2}) == "a\0"s);
}

BOOST_AUTO_TEST_CASE(an_empty_range_is_an_empty_buffer) {
  std::vector<char> none;
  BOOST_TEST(MutableBuffer(none).empty());
  BOOST_TEST(ConstBuffer(none).empty());
  BOOST_TEST(ConstBuffer(std::string_view()).empty());
  BOOST_TEST(MutableBuffer(std::span<char>()).empty());
}

BOOST_AUTO_TEST_CASE(the_front_can_be_dropped) {
  std::string string = "string";
  BOOST_TEST(text(MutableBuffer(string).drop_front(0)) == "string");
  BOOST_TEST(text(MutableBuffer(string).drop_front(2)) == "ring");
  BOOST_TEST(MutableBuffer(string).drop_front(6).empty());
  BOOST_TEST(text(ConstBuffer(string).drop_front(0)) == "string");
  BOOST_TEST(text(ConstBuffer(string).drop_front(5)) == "g");
  BOOST_TEST(ConstBuffer(string).drop_front(6).empty());
}

// As readv() and writev() take it.
BOOST_AUTO_TEST_CASE(an_array_of_buffers_is_one_of_iovec) {
  std::string first = "first", second = "second";
  MutableBuffer targets[] = {first, second};
  const auto* const parts = reinterpret_cast<const iovec*>(targets);
  BOOST_TEST(parts[1].iov_base == second.data());
  BOOST_TEST(parts[1].iov_len == second.size());
  const ConstBuffer sources[] = {first, "third"};
  BOOST_TEST(reinterpret_cast<const iovec*>(sources)[0].iov_base == first.data());
  BOOST_TEST(reinterpret_cast<const iovec*>(sources)[1].iov_len == 5u);
}

BOOST_AUTO_TEST_SUITE_END()
