#ifndef WEFT_FIBER_CORE_GROUP_H_
#define WEFT_FIBER_CORE_GROUP_H_

#include <vector>

namespace weft::internal {

class Home;

// Schedulers that run and end together. The folders above derive from it what such schedulers
// share: what a group is beyond this is known where it was made.
class Group {
 public:
  explicit Group(Home& first) noexcept : first_(first) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  Home& first() const noexcept { return first_; }

  // Those that have joined, in that order. None joins once one of them runs.
  const std::vector<Home*>& members() const noexcept { return members_; }
  void join(Home& member) { members_.push_back(&member); }

 private:
  Home& first_;
  std::vector<Home*> members_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_GROUP_H_
