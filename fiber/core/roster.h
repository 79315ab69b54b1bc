#ifndef WEFT_FIBER_CORE_ROSTER_H_
#define WEFT_FIBER_CORE_ROSTER_H_

#include <cstddef>

namespace weft::internal {

class Home;

// All schedulers of the process, for reports and for debuggers. While one lives, no scheduler of
// the list is destroyed, and none is made: hold it for moments only.
//
//   const Roster roster;
//   for (Home* home = roster.first(); home; home = roster.next(*home)) look_at(*home);
//
// Threads: any; not in a handler for signals. A child process has the list of its parent: see
// Home::is_of_this_process().
class Roster {
 public:
  Roster() noexcept;
  ~Roster();
  Roster(const Roster&) = delete;
  Roster& operator=(const Roster&) = delete;

  // In the order in which they were made.
  Home* first() const noexcept;
  Home* next(const Home& home) const noexcept;
  bool has(const Home& home) const noexcept;

  static void add(Home& home) noexcept;
  static void remove(Home& home) noexcept;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_ROSTER_H_
