#ifndef WEFT_IO_WIRE_H_
#define WEFT_IO_WIRE_H_

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weft {

// How a value travels to another process of the same program: Wire<T> writes it to a message and
// makes an equal one from the bytes there. ProcessQueue and run_in_process() carry by it.
//
// Carried are trivially copyable types, byte by byte (numbers, enums, std::chrono, and structs of
// those); std::string, std::vector, std::map, std::set and what has their form; std::optional,
// std::pair, std::tuple and std::array; and each type for which the program specializes Wire:
//
//   template <>
//   struct weft::Wire<Job> {
//     static void write(WireWriter& to, const Job& job) { to.write(job.name), to.write(job.size); }
//     static Job read(WireReader& from) { return {from.read<std::string>(), from.read<int>()}; }
//   };
//
// Read in the order of the writes: braces keep the order of what stands in them, as above;
// parentheses do not.
//
// Pointers, references, iterators, std::string_view and std::span do not compile: their address
// means nothing in another process. A pointer within a trivially copyable struct is not detected.
// std::hash may give other results there, so the order of an unordered map need not stay.
//
// Does not wait. Threads: a writer or a reader belongs to one thread at a time. Cost: a copy.
template <class T>
struct Wire;

class WireReader;

// A message that is being written.
class WireWriter {
 public:
  void write_bytes(const void* bytes, std::size_t size) {
    bytes_.append(static_cast<const char*>(bytes), size);
  }
  // As Wire<T> has it.
  template <class T>
  void write(const T& value);

  // What was written so far. Valid until the next call.
  std::string_view bytes() const noexcept { return bytes_; }

  // Begins another message in the same memory.
  void clear() noexcept { bytes_.clear(); }

 private:
  std::string bytes_;
};

// A message that is being read. A message that is too short throws std::system_error
// (bad_message). Memory is taken only for bytes that are there, whatever size the message names.
class WireReader {
 public:
  // The bytes must outlive this.
  explicit WireReader(std::string_view bytes) noexcept : bytes_(bytes) {}

  void read_bytes(void* to, std::size_t size) { take(size).copy(static_cast<char*>(to), size); }
  // As Wire<T> has it.
  template <class T>
  std::remove_cv_t<T> read();

  // Returns the next `size` bytes in their place.
  std::string_view take(std::size_t size) {
    if (size > bytes_.size()) [[unlikely]]
      fail_short();
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  // The number of bytes that were not read.
  std::size_t left() const noexcept { return bytes_.size(); }

 private:
  [[noreturn]] static void fail_short();

  std::string_view bytes_;
};

// True if T can be carried.
template <class T>
concept Wirable = requires(WireWriter& to, WireReader& from, const T& value) {
  Wire<std::remove_cv_t<T>>::write(to, value);
  { Wire<std::remove_cv_t<T>>::read(from) } -> std::same_as<std::remove_cv_t<T>>;
};

// ---- Implementation -----------------------------------------------------------------------------

namespace internal {

// What refers to something else: pointers and iterators, smart or not; views; wrapped references.
template <class T>
concept Refers = std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T> ||
    std::ranges::enable_borrowed_range<T> || requires(const T& value) {
  *value;
} || requires(const T& value) {
  { value.get() } -> std::same_as<typename T::type&>;
} || requires {
  requires std::same_as<T, std::initializer_list<typename T::value_type>>;
};

// std::array, std::pair, std::tuple: what they contain decides.
template <class T>
concept TupleLike = requires {
  std::tuple_size<T>::value;
};

template <class C>
concept Container = std::default_initializable<C> && !std::same_as<C, typename C::value_type> &&
                    requires(C & to, const C& from, typename C::value_type item) {
  from.begin();
  { from.size() } -> std::same_as<std::size_t>;
  to.insert(from.end(), std::move(item));
};

template <class T>
concept Bytes = std::is_trivially_copyable_v<T> && !std::is_array_v<T> && !Refers<T> &&
                !TupleLike<T> && !Container<T>;

// Whether values that lie side by side may be copied as one.
template <class T>
concept CarriedAsBytes = requires {
  requires Wire<T>::kAsBytes;
};

// A std::string, a std::vector.
template <class C>
concept ContainerOfBytes = Container<C> && CarriedAsBytes<typename C::value_type> &&
    std::default_initializable<typename C::value_type> && requires(C& container) {
  container.resize(container.size());
  { container.data() } -> std::same_as<typename C::value_type*>;
};

}  // namespace internal

template <internal::Bytes T>
struct Wire<T> {
  static constexpr bool kAsBytes = true;
  static void write(WireWriter& to, const T& value) { to.write_bytes(&value, sizeof(T)); }
  static T read(WireReader& from) {
    std::array<std::byte, sizeof(T)> bytes;
    from.read_bytes(bytes.data(), sizeof(T));
    return std::bit_cast<T>(bytes);
  }
};

template <internal::Container C>
requires Wirable<typename C::value_type>
struct Wire<C> {
  using Item = typename C::value_type;

  static void write(WireWriter& to, const C& container) {
    to.write(container.size());
    if constexpr (internal::ContainerOfBytes<C>) {
      to.write_bytes(container.data(), container.size() * sizeof(Item));
    } else {
      for (auto&& item : container) to.write<Item>(item);  // of std::vector<bool> it is a proxy
    }
  }

  static C read(WireReader& from) {
    C container;
    const auto size = from.read<std::size_t>();
    if constexpr (internal::ContainerOfBytes<C>) {
      // A size beyond what is left fails in take(); its product might overflow.
      const std::size_t bytes = size <= from.left() ? size * sizeof(Item) : size;
      const std::string_view items = from.take(bytes);
      container.resize(size);
      items.copy(reinterpret_cast<char*>(container.data()), bytes);
    } else {
      for (std::size_t i = 0; i < size; ++i) container.insert(container.end(), from.read<Item>());
    }
    return container;
  }
};

template <Wirable T>
struct Wire<std::optional<T>> {
  static void write(WireWriter& to, const std::optional<T>& value) {
    to.write(value.has_value());
    if (value) to.write(*value);
  }
  static std::optional<T> read(WireReader& from) {
    return from.read<bool>() ? std::optional<T>(from.read<T>()) : std::nullopt;
  }
};

template <Wirable T, std::size_t size>
struct Wire<std::array<T, size>> {
  static constexpr bool kAsBytes = internal::CarriedAsBytes<T>;
  static void write(WireWriter& to, const std::array<T, size>& items) {
    for (const T& item : items) to.write(item);
  }
  static std::array<T, size> read(WireReader& from) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return std::array<T, size>{(static_cast<void>(i), from.read<T>())...};
    }
    (std::make_index_sequence<size>());
  }
};

template <Wirable A, Wirable B>
struct Wire<std::pair<A, B>> {
  static void write(WireWriter& to, const std::pair<A, B>& pair) {
    to.write(pair.first);
    to.write(pair.second);
  }
  static std::pair<A, B> read(WireReader& from) {
    return std::pair<A, B>{from.read<A>(), from.read<B>()};  // braces: from left to right
  }
};

template <Wirable... Ts>
struct Wire<std::tuple<Ts...>> {
  static void write(WireWriter& to, const std::tuple<Ts...>& tuple) {
    std::apply([&](const Ts&... items) { (..., to.write(items)); }, tuple);
  }
  static std::tuple<Ts...> read([[maybe_unused]] WireReader& from) {
    return std::tuple<Ts...>{from.read<Ts>()...};  // as of a pair
  }
};

template <class T>
void WireWriter::write(const T& value) {
  static_assert(Wirable<T>,
                "weft: this type cannot be carried to another process. A pointer, a reference or a "
                "view means nothing there: pass a std::string or a std::vector. For a class of "
                "your own specialize weft::Wire.");
  Wire<T>::write(*this, value);
}

template <class T>
std::remove_cv_t<T> WireReader::read() {
  static_assert(Wirable<T>, "weft: this type cannot be carried to another process: see weft::Wire");
  return Wire<std::remove_cv_t<T>>::read(*this);
}

}  // namespace weft

#endif  // WEFT_IO_WIRE_H_
