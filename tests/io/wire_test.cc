#include "weft/io/wire.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"

namespace wire_suite {
namespace {

struct Point {
  int x;
  int y;
  bool operator==(const Point&) const = default;
};

struct Job {
  std::string name;
  int size;
  bool operator==(const Job&) const = default;
};

struct NotCarried {
  std::string name;
};

// Trivially copyable, but with a Wire of its own, which carries it as its negation.
struct Negated {
  int number;
  bool operator==(const Negated&) const = default;
};

struct NoDefault {
  explicit NoDefault(int its_number) : number(its_number) {}
  int number;
  bool operator==(const NoDefault&) const = default;
};

}  // namespace
}  // namespace wire_suite

template <>
struct weft::Wire<wire_suite::Job> {
  static void write(WireWriter& to, const wire_suite::Job& job) {
    to.write(job.name), to.write(job.size);
  }
  static wire_suite::Job read(WireReader& from) {
    return {from.read<std::string>(), from.read<int>()};
  }
};

template <>
struct weft::Wire<wire_suite::Negated> {
  static void write(WireWriter& to, const wire_suite::Negated& value) { to.write(-value.number); }
  static wire_suite::Negated read(WireReader& from) { return {from.read<int>()}; }
};

BOOST_AUTO_TEST_SUITE(wire)

using namespace weft;

namespace {

template <class T>
T carried(const T& value) {
  WireWriter writer;
  writer.write(value);
  WireReader reader(writer.bytes());
  T result = reader.read<T>();
  BOOST_TEST(reader.left() == 0u);
  return result;
}

template <class T>
bool comes_equal(const T& value) {
  return carried(value) == value;
}

// Every message that is shorter than the value's own is refused.
template <class T>
bool is_refused_if_short(const T& value) {
  WireWriter writer;
  writer.write(value);
  for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
    const std::string part(writer.bytes().substr(0, size));  // ASan sees a read beyond it
    WireReader reader(part);
    try {
      reader.read<T>();
      return false;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::bad_message) return false;
    }
  }
  return true;
}

template <class T>
bool names_too_many(std::size_t items) {
  WireWriter writer;
  writer.write(items);
  writer.write_bytes("0123456789abcdef", 16);
  WireReader reader(writer.bytes());
  try {
    reader.read<T>();
    return false;
  } catch (const std::system_error& error) {
    return error.code() == std::errc::bad_message;
  }
}

}  // namespace

// ---- What is carried ----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(trivially_copyable_values_come_equal) {
  BOOST_TEST(comes_equal(-7));
  BOOST_TEST(comes_equal('x'));
  BOOST_TEST(comes_equal(true));
  BOOST_TEST(comes_equal(0.1));
  BOOST_TEST(comes_equal(std::numeric_limits<std::uint64_t>::max()));
  BOOST_TEST((comes_equal(Point{1, -2})));
  BOOST_TEST((comes_equal(NoDefault(7))));
  BOOST_TEST((carried(std::errc::timed_out) == std::errc::timed_out));
}

BOOST_AUTO_TEST_CASE(times_come_equal) {
  BOOST_TEST((comes_equal(std::chrono::milliseconds(1500))));
  BOOST_TEST((comes_equal(std::chrono::steady_clock::now())));
  BOOST_TEST((comes_equal(std::chrono::year(2026) / 11 / 30)));
}

BOOST_AUTO_TEST_CASE(texts_come_equal) {
  BOOST_TEST(comes_equal(std::string()));
  BOOST_TEST(comes_equal(std::string("a\0b", 3)));
  BOOST_TEST(comes_equal(std::string(1 << 20, 'x')));
  BOOST_TEST((comes_equal(std::u16string(u"text"))));
}

BOOST_AUTO_TEST_CASE(vectors_come_equal) {
  BOOST_TEST((comes_equal(std::vector<int>{})));
  BOOST_TEST((comes_equal(std::vector<int>{1, 2, 3})));
  BOOST_TEST((comes_equal(std::vector<Point>{{1, 2}, {3, 4}})));
  BOOST_TEST((comes_equal(std::vector<std::string>{"", "b", "cc"})));
  BOOST_TEST((comes_equal(std::vector<bool>{true, false, true})));
  BOOST_TEST((comes_equal(std::vector<std::vector<int>>{{}, {1}, {2, 3}})));
  BOOST_TEST((comes_equal(std::vector<NoDefault>{NoDefault(1), NoDefault(2)})));
}

BOOST_AUTO_TEST_CASE(optionals_pairs_tuples_and_arrays_come_equal) {
  BOOST_TEST((comes_equal(std::optional<int>())));
  BOOST_TEST((comes_equal(std::optional<std::string>("text"))));
  BOOST_TEST((comes_equal(std::pair(1, std::string("text")))));
  BOOST_TEST((comes_equal(std::tuple(1, std::string("text"), 0.5))));
  BOOST_TEST((comes_equal(std::tuple())));
  BOOST_TEST((comes_equal(std::array<int, 3>{1, 2, 3})));
  BOOST_TEST((comes_equal(std::array<std::string, 2>{"a", "b"})));
  BOOST_TEST((comes_equal(std::array<std::string, 0>{})));
  BOOST_TEST((comes_equal(std::vector<std::array<int, 2>>{{1, 2}, {3, 4}})));
}

BOOST_AUTO_TEST_CASE(maps_and_sets_come_equal) {
  BOOST_TEST((comes_equal(std::map<std::string, int>{{"a", 1}, {"b", 2}})));
  BOOST_TEST((comes_equal(std::multimap<int, int>{{1, 1}, {1, 2}, {2, 1}})));
  BOOST_TEST((comes_equal(std::unordered_map<int, std::string>{{1, "a"}, {2, "b"}})));
  BOOST_TEST((comes_equal(std::unordered_multimap<int, int>{{1, 1}, {1, 2}})));
  BOOST_TEST((comes_equal(std::set<std::string>{"a", "b"})));
  BOOST_TEST((comes_equal(std::deque<int>{1, 2})));
}

BOOST_AUTO_TEST_CASE(what_the_program_specializes_for_comes_equal) {
  BOOST_TEST((comes_equal(Job{"name", 3})));
  BOOST_TEST((comes_equal(std::map<std::string, std::vector<Job>>{{"all", {{"a", 1}, {"b", 2}}}})));
}

BOOST_AUTO_TEST_CASE(a_wire_of_the_program_goes_before_a_copy_of_the_bytes) {
  BOOST_TEST((carried(Negated{3}) == Negated{-3}));
  BOOST_TEST((carried(std::vector<Negated>{{3}}) == std::vector<Negated>{{-3}}));
  BOOST_TEST((carried(std::array<Negated, 1>{{{3}}}) == std::array<Negated, 1>{{{-3}}}));
}

BOOST_AUTO_TEST_CASE(values_follow_one_another) {
  WireWriter writer;
  writer.write(std::string("dropped"));
  writer.clear();
  writer.write(1);
  writer.write(std::string("two"));
  writer.write_bytes("3", 1);
  WireReader reader(writer.bytes());
  BOOST_TEST(reader.read<int>() == 1);
  BOOST_TEST(reader.read<std::string>() == "two");
  BOOST_TEST(reader.left() == 1u);
  BOOST_TEST(reader.take(1) == "3");
}

// ---- What is not --------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(what_refers_to_memory_does_not_compile) {
  BOOST_TEST(!Wirable<int*>);
  BOOST_TEST(!Wirable<const void*>);
  BOOST_TEST(!Wirable<void (*)()>);
  BOOST_TEST(!Wirable<int Point::*>);
  BOOST_TEST(!Wirable<int&>);
  BOOST_TEST(!Wirable<std::nullptr_t>);
  BOOST_TEST(!Wirable<const char[4]>);
  BOOST_TEST(!Wirable<std::string_view>);
  BOOST_TEST(!Wirable<std::span<int>>);
  BOOST_TEST(!Wirable<std::initializer_list<int>>);
  BOOST_TEST(!Wirable<std::reference_wrapper<int>>);
  BOOST_TEST(!Wirable<std::unique_ptr<int>>);
  BOOST_TEST(!Wirable<std::vector<int>::iterator>);
  BOOST_TEST(!Wirable<NotCarried>);
}

BOOST_AUTO_TEST_CASE(what_contains_such_a_thing_does_not_compile) {
  BOOST_TEST(!Wirable<std::vector<int*>>);
  BOOST_TEST(!(Wirable<std::array<int*, 2>>));
  BOOST_TEST(!Wirable<std::optional<std::string_view>>);
  BOOST_TEST(!(Wirable<std::pair<int, int*>>));
  BOOST_TEST(!(Wirable<std::tuple<int, int&>>));
  BOOST_TEST(!(Wirable<std::map<int, int*>>));
  BOOST_TEST(!Wirable<std::vector<NotCarried>>);
}

BOOST_AUTO_TEST_CASE(a_message_that_is_too_short_is_refused) {
  BOOST_TEST(is_refused_if_short(7));
  BOOST_TEST(is_refused_if_short(std::string("text")));
  BOOST_TEST((is_refused_if_short(std::vector<int>{1, 2})));
  BOOST_TEST((is_refused_if_short(std::map<std::string, int>{{"a", 1}, {"b", 2}})));
  BOOST_TEST((is_refused_if_short(std::optional<int>(1))));
  BOOST_TEST((is_refused_if_short(std::tuple(1, std::string("text")))));
}

BOOST_AUTO_TEST_CASE(a_size_is_not_believed_before_its_bytes_are_there) {
  for (const std::size_t items : {std::size_t{17}, std::size_t{1} << 40, std::size_t{1} << 62,
                                  std::numeric_limits<std::size_t>::max()}) {
    BOOST_TEST(names_too_many<std::string>(items));
    BOOST_TEST(names_too_many<std::vector<std::uint64_t>>(items));
    BOOST_TEST(names_too_many<std::vector<std::string>>(items));
    BOOST_TEST((names_too_many<std::map<int, int>>(items)));
  }
}

BOOST_AUTO_TEST_SUITE_END()
