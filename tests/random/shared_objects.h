#ifndef WEFT_TESTS_RANDOM_SHARED_OBJECTS_H_
#define WEFT_TESTS_RANDOM_SHARED_OBJECTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <variant>

#include "tests/random/program.h"
#include "tests/random/record.h"
#include "weft/weft.h"

namespace weft::test {

struct Failure : std::runtime_error {
  explicit Failure(std::int64_t its_number) : std::runtime_error("failure"), number(its_number) {}
  std::int64_t number;
};

// What queues hold. Each move is reported: an item is moved before the fiber that gives or gets it
// is woken.
struct Item {
  explicit Item(std::int64_t its_number) : number(its_number) {}
  Item(Item&& other) noexcept : number(other.number) { tell(); }
  Item& operator=(Item&& other) noexcept {
    number = other.number;
    tell();
    return *this;
  }

  std::int64_t number;
  static inline std::function<void()> moves{};

 private:
  static void tell() noexcept {
    if (moves) moves();
  }
};

// What the exception that is being handled is to the model; and another one.
Outcome caught_outcome();
Outcome outcome_of(const std::exception_ptr& exception);

inline Outcome yes_or_no(bool yes) { return {yes ? Outcome::kOk : Outcome::kNo}; }

// What the fibers of a program share.
class SharedObjects {
 public:
  explicit SharedObjects(const Program& program);

  // Do the steps of a family.
  Outcome use_none(const Step& step);
  Outcome use_queue(const Step& step);
  Outcome use_condition(const Step& step, std::unique_lock<Mutex>* lock);  // null: not to wait
  Outcome use_signal(const Step& step);
  Outcome use_select(const Step& step, const Future<std::int64_t>& future);
  Outcome use_future(const Step& step, const Future<std::int64_t>& future);

  // When all is over: takes what is left, and tells of it.
  void empty(const std::function<void(Step, std::int64_t)>& tell);

  std::array<Mutex, Program::kSharedMutex> mutexes{};
  SharedMutex shared_mutex{};
  std::array<std::optional<Promise<std::int64_t>>, Program::kPromises> promises{};
  std::array<Future<std::int64_t>, Program::kPromises> futures{};
  std::exception_ptr saved{};

 private:
  class Choice;
  struct ByUrgency {
    bool operator()(const Item& a, const Item& b) const;
  };
  using AnyQueue = std::variant<Queue<Item>, PriorityQueue<Item, ByUrgency>, LifoQueue<Item>>;

  std::deque<AnyQueue> queues_;
  std::deque<Semaphore> semaphores_;
  std::array<Event, Program::kEvents> events_;
  Barrier barrier_;
  ConditionVariable condition_{};  // of the first mutex
};

}  // namespace weft::test

#endif  // WEFT_TESTS_RANDOM_SHARED_OBJECTS_H_
