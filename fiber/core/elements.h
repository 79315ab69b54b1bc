#ifndef WEFT_FIBER_CORE_ELEMENTS_H_
#define WEFT_FIBER_CORE_ELEMENTS_H_

#include <cstddef>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace weft::internal {

// The elements of a range, which is run through once. They are referred to where they are, and must
// stay there; what the range makes on the way, such as the values of a std::views::transform, is
// kept here.
template <class Range>
class Elements {
  using Reference = decltype(*std::begin(std::declval<Range&>()));

 public:
  static constexpr bool kAreMade = !std::is_reference_v<Reference>;

  explicit Elements(Range& range) {
    if constexpr (requires { std::size(range); }) kept_.reserve(std::size(range));
    for (auto&& element : range) {
      if constexpr (kAreMade) {
        kept_.push_back(std::forward<decltype(element)>(element));
      } else {
        kept_.push_back(std::addressof(element));
      }
    }
  }

  std::size_t size() const noexcept { return kept_.size(); }

  auto& operator[](std::size_t i) noexcept {
    if constexpr (kAreMade) {
      return kept_[i];
    } else {
      return *kept_[i];
    }
  }

 private:
  std::vector<std::conditional_t<kAreMade, std::remove_cv_t<Reference>,
                                 std::remove_reference_t<Reference>*>>
      kept_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_ELEMENTS_H_
