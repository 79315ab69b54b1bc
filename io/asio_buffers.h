#ifndef WEFT_IO_ASIO_BUFFERS_H_
#define WEFT_IO_ASIO_BUFFERS_H_

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <system_error>

#include "weft/io/buffer.h"

// What it takes for a stream to be driven by Boost.Asio's and Beast's synchronous functions:
// templates that know the shape of their buffers, without a dependency on either.

namespace boost::system {
class error_category;
}

namespace boost::asio::error {
// Of <boost/asio/error.hpp>, where it is defined: who instantiates what uses it has that header.
const boost::system::error_category& get_misc_category();
}  // namespace boost::asio::error

namespace weft {

// asio::mutable_buffer, asio::const_buffer.
template <class B, class Pointer>
concept AsioBuffer = requires(const B& buffer) {
  { buffer.data() } -> std::same_as<Pointer>;
  { buffer.size() } -> std::same_as<std::size_t>;
};

template <class R, class Pointer>
concept AsioBufferRange = requires(const R& range) {
  { *range.begin() } -> AsioBuffer<Pointer>;
  { *range.end() } -> AsioBuffer<Pointer>;
};

template <class B>
concept AsioMutableBuffers = AsioBuffer<B, void*> || AsioBufferRange<B, void*>;

template <class B>
concept AsioConstBuffers =
    AsioMutableBuffers<B> || AsioBuffer<B, const void*> || AsioBufferRange<B, const void*>;

// The first buffers of a sequence that are not empty, as weft's.
template <class Buffer>
class AsioViews {
 public:
  template <class Buffers>
  explicit AsioViews(const Buffers& buffers) {
    if constexpr (AsioBuffer<Buffers, void*> || AsioBuffer<Buffers, const void*>) {
      add(buffers);
    } else {
      for (auto it = buffers.begin(); it != buffers.end() && size_ < views_.size(); ++it) add(*it);
    }
  }

  std::span<const Buffer> span() const noexcept { return {views_.data(), size_}; }

 private:
  template <class B>
  void add(const B& buffer) {
    if (buffer.size() > 0) views_[size_++] = Buffer(buffer.data(), buffer.size());
  }

  std::array<Buffer, 16> views_;
  std::size_t size_ = 0;
};

// An error of the system's as asio has it: asio::error::connection_reset and so on are not equal to
// the same in std::generic_category(). ErrorCode is boost::system::error_code, whose own category
// without an error is system_category().
template <class ErrorCode>
ErrorCode asio_error(std::error_code error) {
  return ErrorCode(error.value(), ErrorCode().category());
}

// asio::error::eof.
template <class ErrorCode>
ErrorCode asio_eof() {
  return ErrorCode(2, boost::asio::error::get_misc_category());
}

}  // namespace weft

#endif  // WEFT_IO_ASIO_BUFFERS_H_
