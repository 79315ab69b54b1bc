#include "weft/fiber/core/text.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <string>

namespace weft::internal {
namespace {

// The digits of a number.
class Digits {
 public:
  Digits(std::uint64_t number, unsigned base) noexcept {
    do {
      *--begin_ = "0123456789abcdef"[number % base];
      number /= base;
    } while (number != 0);
  }
  std::string_view view() const noexcept {
    return {begin_, static_cast<std::size_t>(digits_ + sizeof(digits_) - begin_)};
  }

 private:
  char digits_[20];
  char* begin_ = digits_ + sizeof(digits_);
};

}  // namespace

Text& Text::operator<<(std::string_view words) noexcept {
  const std::size_t line = words.rfind('\n');
  column_ = line == words.npos ? column_ + words.size() : words.size() - line - 1;
  while (!words.empty()) {
    const std::size_t size = std::min(words.size(), sizeof(buffer_) - used_);
    std::memcpy(buffer_ + used_, words.data(), size);
    used_ += size;
    words.remove_prefix(size);
    if (used_ == sizeof(buffer_)) flush();
  }
  return *this;
}

Text& Text::tab(std::size_t column) noexcept {
  *this << "  ";
  while (column_ < column) *this << " ";
  return *this;
}

void Text::flush() noexcept {
  if (used_ > 0) write_(to_, {buffer_, used_});
  used_ = 0;
}

Text& Text::operator<<(std::uint64_t number) noexcept { return *this << Digits(number, 10).view(); }

Text& operator<<(Text& text, Count count) noexcept {
  const Digits all(count.number, 10);
  std::string_view digits = all.view();
  while (!digits.empty()) {
    const std::size_t size = (digits.size() - 1) % 3 + 1;
    text << digits.substr(0, size);
    digits.remove_prefix(size);
    if (!digits.empty()) text << ",";
  }
  return text;
}

Text& operator<<(Text& text, Hex hex) noexcept {
  return text << "0x" << Digits(hex.number, 16).view();
}

Text& operator<<(Text& text, Seconds seconds) noexcept {
  const auto hundredths = static_cast<std::uint64_t>(
      std::max<std::int64_t>(seconds.time / std::chrono::milliseconds(10), 0));
  return text << Count(hundredths / 100) << "." << hundredths / 10 % 10 << hundredths % 10;
}

void to_file(void* file, std::string_view piece) noexcept {
  std::fwrite(piece.data(), 1, piece.size(), static_cast<std::FILE*>(file));
}

void to_string(void* string, std::string_view piece) noexcept try {
  static_cast<std::string*>(string)->append(piece);
} catch (const std::bad_alloc&) {
}

void to_stderr(void*, std::string_view piece) noexcept {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, piece.data(), piece.size());
}

}  // namespace weft::internal
