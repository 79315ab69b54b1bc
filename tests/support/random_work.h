#ifndef WEFT_TESTS_SUPPORT_RANDOM_WORK_H_
#define WEFT_TESTS_SUPPORT_RANDOM_WORK_H_

#include <atomic>
#include <random>

#include "tests/support/failure.h"

// What stress tests that do things at random have in common.
namespace weft::test {

using Random = std::minstd_rand;

// Counted while it lives.
class Present {
 public:
  explicit Present(std::atomic<int>& count) : count_(&count) { ++count; }
  Present(const Present& other) : Present(*other.count_) {}
  ~Present() { --*count_; }
  Present& operator=(const Present&) = delete;

 private:
  std::atomic<int>* count_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_RANDOM_WORK_H_
