#ifndef WEFT_TESTS_FUZZ_FUZZ_H_
#define WEFT_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>

// What a fuzz target defines. It returns 0, or ends the process by a signal.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace weft::fuzz {

// A fact about the input. Where it does not hold the process is aborted, which a fuzzer takes for a
// find.
inline void require(bool holds, const char* fact) {
  if (holds) return;
  std::fprintf(stderr, "this does not hold: %s\n", fact);
  std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The part of an input that is not read by what is tested, but says what is done with the rest.
class Choices {
 public:
  // Takes them off the front: a byte that says how many there are, and then so many.
  explicit Choices(std::string_view& input) {
    if (input.empty()) return;
    const std::size_t size = static_cast<unsigned char>(input.front());
    bytes_ = input.substr(1, size);
    input.remove_prefix(1 + bytes_.size());
  }

  bool left() const noexcept { return !bytes_.empty(); }

  // Below 256; 0 when none is left.
  std::size_t next() noexcept {
    if (bytes_.empty()) return 0;
    const auto byte = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte;
  }

  std::size_t below(std::size_t end) noexcept { return next() % end; }

  // One of these; the first when none is left.
  template <class Values>
  const auto& among(const Values& values) noexcept {
    return values[below(std::size(values))];
  }

 private:
  std::string_view bytes_;
};

}  // namespace weft::fuzz

#endif  // WEFT_TESTS_FUZZ_FUZZ_H_
