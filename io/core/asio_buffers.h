#ifndef WEFT_IO_CORE_ASIO_BUFFERS_H_
#define WEFT_IO_CORE_ASIO_BUFFERS_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <concepts>
#include <cstddef>
#include <utility>

#include "weft/io/buffer.h"

// What lets the synchronous functions of Boost.Asio and Beast drive a stream: templates that know
// the shape of their buffers, without a dependency on either.

namespace boost::system {
class error_category;
}

namespace boost::asio::error {
// Defined in <boost/asio/error.hpp>, which is there wherever a template below is instantiated.
const boost::system::error_category& get_misc_category();
}  // namespace boost::asio::error

namespace weft::internal {

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

// The first buffers of a sequence, asio's or weft's, that are not empty, in the form that system
// calls take. Without the first `skip` bytes of the sequence.
class Parts {
 public:
  template <class Buffers>
  explicit Parts(const Buffers& buffers, std::size_t skip = 0) {
    if constexpr (AsioBuffer<Buffers, void*> || AsioBuffer<Buffers, const void*>) {
      add({buffers.data(), buffers.size()}, skip);
    } else {
      for (auto it = buffers.begin(); it != buffers.end() && count_ < kMost; ++it) {
        const auto& buffer = *it;
        add({buffer.data(), buffer.size()}, skip);
      }
    }
  }

  // The size of all parts, in bytes.
  std::size_t size() const noexcept { return size_; }

  // The result refers to this.
  msghdr message() const noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts_);
    message.msg_iovlen = count_;
    return message;
  }

 private:
  void add(ConstBuffer buffer, std::size_t& skip) noexcept {
    if (buffer.size() <= skip) {
      skip -= buffer.size();
      return;
    }
    const ConstBuffer rest = buffer.drop_front(std::exchange(skip, 0));
    parts_[count_++] = {const_cast<std::byte*>(rest.data()), rest.size()};
    size_ += rest.size();
  }

  static constexpr std::size_t kMost = 16;

  iovec parts_[kMost];
  std::size_t count_ = 0;
  std::size_t size_ = 0;
};

// Converts zero, or an error such as -EPIPE, to asio's: asio::error::connection_reset and its kin
// do not equal the codes of std::generic_category(). ErrorCode is boost::system::error_code; the
// category of an empty one is system_category().
template <class ErrorCode>
ErrorCode asio_error(int error) {
  return ErrorCode(-error, ErrorCode().category());
}

// asio::error::eof.
template <class ErrorCode>
ErrorCode asio_eof() {
  return ErrorCode(2, boost::asio::error::get_misc_category());
}

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_ASIO_BUFFERS_H_
