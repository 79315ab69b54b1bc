#ifndef WEFT_IO_BUFFER_H_
#define WEFT_IO_BUFFER_H_

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weft::internal {

// Types that hold a byte: char, unsigned char, std::byte and the like.
template <class T>
concept ByteLike = sizeof(T) == 1 && std::is_trivially_copyable_v<T> && !std::is_same_v<T, bool>;

// The span of a contiguous range: <span> knows these, too, and is a tenth of <ranges>.
template <class R>
using SpanOf = decltype(std::span(std::declval<R&>()));

// std::array, std::vector, std::string, std::span and arrays of bytes.
template <class R>
concept ByteRange = ByteLike<typename SpanOf<R>::value_type>;

template <class R>
concept MutableByteRange = ByteRange<R> && !std::is_const_v<typename SpanOf<R>::element_type>;

template <class T>
inline constexpr bool kIsCharacter = std::is_same_v<T, char> || std::is_same_v<T, char8_t>;

// Not an array of characters, which may be text, up to a zero.
template <class R>
concept NoTextRange =
    ByteRange<R> && !(std::is_array_v<R> && kIsCharacter<typename SpanOf<R>::value_type>);

}  // namespace weft::internal

namespace weft {

// The default limit of what read_all(), and read_exactly() of a size, gather in memory: 1 GiB.
inline constexpr std::size_t kReadLimit = std::size_t{1} << 30;

// Memory to read into: a view, whose memory must live as long as the call. Any contiguous range of
// bytes converts to it.
//
//   std::array<char, 1024> room;
//   const std::size_t size = stream.read_some(room);
//   stream.write_all({room.data(), size});
//
// An array of these is an array of iovec. A value: any thread, no waiting.
class MutableBuffer {
 public:
  MutableBuffer() = default;
  MutableBuffer(void* data, std::size_t size) noexcept : iovec_{data, size} {}
  template <internal::MutableByteRange R>
  MutableBuffer(R&& bytes) noexcept
      : MutableBuffer(std::span(bytes).data(), std::span(bytes).size()) {}

  std::byte* data() const noexcept { return static_cast<std::byte*>(iovec_.iov_base); }
  std::size_t size() const noexcept { return iovec_.iov_len; }
  bool empty() const noexcept { return size() == 0; }

  // REQUIRES: offset <= size().
  MutableBuffer drop_front(std::size_t offset) const noexcept {
    return {data() + offset, size() - offset};
  }

 private:
  iovec iovec_{};
};

// Memory to write. As MutableBuffer, and text converts to it, too: a const char* or a literal
// counts up to its first zero. For a char array that is not text, pass the size: std::span(array,
// size).
class ConstBuffer {
 public:
  ConstBuffer() = default;
  ConstBuffer(const void* data, std::size_t size) noexcept
      : iovec_{const_cast<void*>(data), size} {}
  ConstBuffer(MutableBuffer buffer) noexcept : ConstBuffer(buffer.data(), buffer.size()) {}
  ConstBuffer(const char* text) noexcept : ConstBuffer(text, std::string_view(text).size()) {}
  ConstBuffer(const char8_t* text) noexcept : ConstBuffer(reinterpret_cast<const char*>(text)) {}
  ConstBuffer(std::nullptr_t) = delete;
  template <std::size_t N>
  ConstBuffer(char (&)[N]) = delete;
  template <std::size_t N>
  ConstBuffer(char8_t (&)[N]) = delete;
  template <internal::NoTextRange R>
  ConstBuffer(const R& bytes) noexcept
      : ConstBuffer(std::span(bytes).data(), std::span(bytes).size()) {}

  const std::byte* data() const noexcept { return static_cast<const std::byte*>(iovec_.iov_base); }
  std::size_t size() const noexcept { return iovec_.iov_len; }
  bool empty() const noexcept { return size() == 0; }

  // REQUIRES: offset <= size().
  ConstBuffer drop_front(std::size_t offset) const noexcept {
    return {data() + offset, size() - offset};
  }

 private:
  iovec iovec_{};
};

static_assert(sizeof(MutableBuffer) == sizeof(iovec) && sizeof(ConstBuffer) == sizeof(iovec));

}  // namespace weft

#endif  // WEFT_IO_BUFFER_H_
