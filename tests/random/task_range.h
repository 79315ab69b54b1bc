#ifndef WEFT_TESTS_RANDOM_TASK_RANGE_H_
#define WEFT_TESTS_RANDOM_TASK_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weft/fiber/task.h"

namespace weft::test {

// Some of a vector of tasks, as a range. (clang 14 cannot read libstdc++'s views.)
class TaskRange {
 public:
  TaskRange(std::vector<Task<std::int64_t>>& all, const std::vector<int>& chosen)
      : all_(all), chosen_(chosen) {}

  class iterator {
   public:
    using value_type = Task<std::int64_t>;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    iterator(std::vector<Task<std::int64_t>>* all, const int* at) : all_(all), at_(at) {}
    value_type& operator*() const { return (*all_)[static_cast<std::size_t>(*at_)]; }
    value_type* operator->() const { return &**this; }
    iterator& operator++() { return ++at_, *this; }
    iterator operator++(int) { return {all_, at_++}; }
    bool operator==(const iterator& other) const { return at_ == other.at_; }

   private:
    std::vector<Task<std::int64_t>>* all_ = nullptr;
    const int* at_ = nullptr;
  };

  iterator begin() const { return {&all_, chosen_.data()}; }
  iterator end() const { return {&all_, chosen_.data() + chosen_.size()}; }

 private:
  std::vector<Task<std::int64_t>>& all_;
  const std::vector<int>& chosen_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_TASK_RANGE_H_
