#ifndef WEFT_FIBER_CORE_GROUP_H_
#define WEFT_FIBER_CORE_GROUP_H_

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

 private:
  Home& first_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_GROUP_H_
