// What callables may be and return, and ranges yield, at all functions that take them.
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(results)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

using Indices = std::vector<std::size_t>;

const std::string const_text() { return "text"; }
const std::unique_ptr<int> const_pointer() { return std::make_unique<int>(7); }

// Can be neither moved nor copied.
struct Fixed {
  explicit Fixed(int its_value) : value(its_value) {}
  Fixed(const Fixed&) = delete;
  Fixed& operator=(const Fixed&) = delete;
  ~Fixed() { ++destroyed; }
  int value;
  static inline int destroyed = 0;
};

Fixed fixed() { return Fixed(7); }

// A view: what `f` makes of each element. Its iterators have no operator->, and it can be neither
// gone through where it is const nor asked for its size. (std::views::transform does not compile
// with clang 14.)
template <class Range, class F>
class Mapped {
 public:
  Mapped(Range& range, F f) : range_(&range), f_(std::move(f)) {}

  struct End {};
  class Iterator {
   public:
    Iterator(Mapped& view, decltype(std::declval<Range&>().begin()) at) : view_(&view), at_(at) {}
    decltype(auto) operator*() const { return view_->f_(*at_); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(End) const { return at_ == view_->range_->end(); }

   private:
    Mapped* view_;
    decltype(std::declval<Range&>().begin()) at_;
  };

  Iterator begin() { return Iterator(*this, range_->begin()); }
  End end() { return {}; }

 private:
  Range* range_;
  F f_;
};

struct Job {
  Task<int> task;
};

std::vector<Job> three_jobs() {
  std::vector<Job> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back({spawn([i] { return sleep_for((3 - i) * 1s), i; })});
  return jobs;
}

Task<int>& task_of(Job& job) { return job.task; }

void check(const WaitResult& result, const Indices& done, const Indices& pending) {
  BOOST_TEST(result.done == done);
  BOOST_TEST(result.pending == pending);
}

}  // namespace

// ---- Results ------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_const_result_is_taken_from_each_function) {
  Task<std::string> task = spawn(const_text);
  BOOST_TEST(task.get() == "text");
  BOOST_TEST(*spawn(const_pointer).get() == 7);
  TaskGroup group;
  group.spawn(const_text);
  group.spawn(const_pointer);
  group.join();
  const auto [text, pointer] = gather(const_text, const_pointer);
  BOOST_TEST(text == "text");
  BOOST_TEST(*pointer == 7);
  auto [text_outcome, pointer_outcome] = gather_all(const_text, const_pointer);
  static_assert(std::is_same_v<decltype(text_outcome), Outcome<std::string>>);
  BOOST_TEST(text_outcome.value() == "text");
  const std::unique_ptr<int> moved = *std::move(pointer_outcome);
  BOOST_TEST(*moved == 7);
  std::vector<const std::unique_ptr<int> (*)()> several(2, const_pointer);
  BOOST_TEST(*gather(several)[1] == 7);
  BOOST_TEST(**gather_all(several)[1] == 7);
  BOOST_TEST(*with_timeout(1s, const_pointer) == 7);
  BOOST_TEST(*with_deadline(kForever, const_pointer) == 7);
  BOOST_TEST(*shield(const_pointer) == 7);
  BOOST_TEST(*run_in_executor(const_pointer) == 7);
  BOOST_TEST(*spread(const_pointer)[0] == 7);
  BOOST_TEST(**spread_all(const_pointer)[0] == 7);
  const auto body = [](TaskGroup&) -> const std::unique_ptr<int> { return const_pointer(); };
  BOOST_TEST(*with_task_group(body) == 7);
}

BOOST_AUTO_TEST_CASE(a_const_result_is_taken_from_run) {
  BOOST_TEST(run(const_text) == "text");
  BOOST_TEST(*run(const_pointer) == 7);
}

WEFT_TEST_CASE(a_promise_may_have_a_const_value) {
  Promise<const std::string> promise;
  promise.set_value("text");
  BOOST_TEST(promise.future().get() == "text");
  Task<const std::string> none;
  BOOST_TEST(!none.valid());
}

WEFT_TEST_CASE(a_result_that_cannot_be_moved_stays_in_its_task) {
  Fixed::destroyed = 0;
  {
    auto task = spawn(fixed);
    task.wait();
    BOOST_TEST(task.done());
    BOOST_TEST(Fixed::destroyed == 0);
  }
  BOOST_TEST(Fixed::destroyed == 1);
  TaskGroup group;
  group.spawn(fixed);
  group.join();
  BOOST_TEST(Fixed::destroyed == 2);
  BOOST_TEST(with_timeout(1s, fixed).value == 7);
  BOOST_TEST(shield(fixed).value == 7);
}

WEFT_TEST_CASE(a_result_that_is_a_reference_stays_one) {
  int number = 7;
  const auto f = [&]() -> int& { return number; };
  BOOST_TEST(&spawn(f).get() == &number);
  BOOST_TEST(&run_in_executor(f) == &number);
  BOOST_TEST(&with_timeout(1s, f) == &number);
  auto [outcome] = gather_all(f);
  BOOST_TEST(&outcome.value() == &number);
}

WEFT_TEST_CASE(a_callable_may_be_movable_only) {
  auto part = std::make_unique<int>(7);
  BOOST_TEST(spawn([part = std::move(part)] { return *part; }).get() == 7);
  TaskGroup group;
  int sum = 0;
  group.spawn([&sum, part = std::make_unique<int>(7)]() mutable { sum += *std::move(part); });
  group.join();
  BOOST_TEST(sum == 7);
  auto named = [part = std::make_unique<int>(8)] { return *part; };
  BOOST_TEST(spawn(std::move(named)).get() == 8);
}

// ---- Ranges -------------------------------------------------------------------------------------

WEFT_TEST_CASE(a_view_of_tasks_can_be_waited_for) {
  for (When when : {When::all_completed, When::first_completed, When::first_exception}) {
    auto jobs = three_jobs();
    Mapped tasks(jobs, task_of);
    const bool first = when == When::first_completed;
    check(wait(tasks, when), first ? Indices{2} : Indices{0, 1, 2},
          first ? Indices{0, 1} : Indices{});
    check(wait(Mapped(jobs, task_of), when, 1h), first ? Indices{2} : Indices{0, 1, 2},
          first ? Indices{0, 1} : Indices{});
  }
}

WEFT_TEST_CASE(a_view_of_tasks_gives_them_as_they_end) {
  auto jobs = three_jobs();
  Indices order;
  for (std::size_t i : as_completed(Mapped(jobs, task_of))) order.push_back(i);
  BOOST_TEST(order == (Indices{2, 1, 0}));
  Mapped again(jobs, task_of);
  order.clear();
  for (std::size_t i : as_completed(again)) order.push_back(i);
  BOOST_TEST(order.size() == 3u);
}

WEFT_TEST_CASE(what_a_view_makes_lives_as_long_as_the_wait) {
  std::vector<int> numbers{3, 1, 2};
  const auto start_one = [](int number) {
    return spawn([number] { return sleep_for(number * 1s), number; });
  };
  check(wait(Mapped(numbers, start_one)), {0, 1, 2}, {});
  check(wait(Mapped(numbers, start_one), When::first_completed), {1}, {0, 2});
  Indices order;
  for (std::size_t i : as_completed(Mapped(numbers, start_one))) order.push_back(i);
  BOOST_TEST(order == (Indices{1, 2, 0}));
  // Futures whose promise lets go of them when it is set.
  const auto future_one = [](int) {
    Promise<int> promise;
    promise.set_value(7);
    return promise.future();
  };
  check(wait(Mapped(numbers, future_one), When::first_exception), {0, 1, 2}, {});
}

WEFT_TEST_CASE(const_and_temporary_ranges_can_be_waited_for) {
  const std::array<Task<int>, 2> tasks{spawn([] { return sleep_for(2s), 1; }),
                                       spawn([] { return sleep_for(1s), 2; })};
  check(wait(tasks, When::first_completed), {1}, {0});
  Indices order;
  AsCompleted named = as_completed(tasks);
  for (std::size_t i : named) order.push_back(i);
  BOOST_TEST(order.size() == 2u);
  const auto start_two = [] {
    std::vector<Task<int>> two;
    two.push_back(spawn([] { return sleep_for(2s), 1; }));
    two.push_back(spawn([] { return sleep_for(1s), 2; }));
    return two;
  };
  order.clear();
  for (std::size_t i : as_completed(start_two())) order.push_back(i);
  BOOST_TEST(order == (Indices{1, 0}));
}

WEFT_TEST_CASE(a_view_of_callables_can_be_gathered) {
  std::vector<int> numbers{3, 1, 2};
  const auto callable = [](int number) {
    return [part = std::make_unique<int>(number)] { return sleep_for(1s), *part; };
  };
  BOOST_TEST(gather(Mapped(numbers, callable)) == numbers);
  BOOST_TEST(*gather_all(Mapped(numbers, callable))[1] == 1);
  int calls = 0;
  gather(Mapped(numbers, [&](int) { return [&calls] { ++calls; }; }));
  BOOST_TEST(calls == 3);
  const std::vector<std::function<int()>> functions(2, [] { return 7; });
  BOOST_TEST(gather(functions)[1] == 7);
  BOOST_TEST(*gather_all(functions)[1] == 7);
}

BOOST_AUTO_TEST_SUITE_END()
