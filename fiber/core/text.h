#ifndef WEFT_FIBER_CORE_TEXT_H_
#define WEFT_FIBER_CORE_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "weft/fiber/time.h"

namespace weft::internal {

// Text that is put together without memory from the heap, and handed on in pieces.
//
//   Text text(to_file, stderr);
//   text << Count(1004) << " tasks\n";
class Text {
 public:
  // `write(to, piece)` gets the text, a piece at a time, the last one by the destructor.
  using Write = void (*)(void* to, std::string_view piece) noexcept;
  Text(Write write, void* to) noexcept : write_(write), to_(to) {}
  ~Text() { flush(); }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  Text& operator<<(std::string_view words) noexcept;
  Text& operator<<(std::uint64_t number) noexcept;  // as it is: 1004

  // Goes on at this column of the line, or after two blanks.
  Text& tab(std::size_t column) noexcept;

  void flush() noexcept;

 private:
  const Write write_;
  void* const to_;
  std::size_t used_ = 0;
  std::size_t column_ = 0;
  char buffer_[1024];
};

// How numbers are written: 1,004; 0x2a54; 12.38.
struct Count {
  explicit Count(std::uint64_t its_number) noexcept : number(its_number) {}
  std::uint64_t number;
};
struct Hex {
  explicit Hex(std::uintptr_t its_number) noexcept : number(its_number) {}
  std::uintptr_t number;
};
struct Seconds {
  explicit Seconds(Duration its_time) noexcept : time(its_time) {}
  Duration time;
};
Text& operator<<(Text& text, Count count) noexcept;
Text& operator<<(Text& text, Hex hex) noexcept;
Text& operator<<(Text& text, Seconds seconds) noexcept;

// Where text may go: to a FILE, to a string (less what there is no memory for), to stderr by a
// handler for signals.
void to_file(void* file, std::string_view piece) noexcept;
void to_string(void* string, std::string_view piece) noexcept;
void to_stderr(void*, std::string_view piece) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TEXT_H_
