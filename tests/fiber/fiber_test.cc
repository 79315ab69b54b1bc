#include "weft/fiber/core/fiber.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fixture.h"
#include "tests/support/scheduler_thread.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/loop.h"
#include "weft/fiber/core/running.h"

BOOST_AUTO_TEST_SUITE(fiber)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

// Counts those of its kind that are alive, and says where it is.
template <std::size_t kBytes>
struct Counted {
  Counted() { ++alive; }
  Counted(const Counted& other) : bytes(other.bytes) { ++alive; }
  ~Counted() { --alive; }

  std::array<char, kBytes> bytes{};
  static inline int alive = 0;
};

bool is_in_own_block(const void* address) {
  const auto* at = static_cast<const std::byte*>(address);
  const Fiber& self = *current_fiber();
  return at >= self.storage && at < self.storage + sizeof(self.storage);
}

std::size_t resident_bytes() {
  std::size_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

const void* own_block() { return current_fiber(); }

}  // namespace

// ---- The block ----------------------------------------------------------------------------------

WEFT_TEST_CASE(a_fiber_is_at_the_top_of_its_own_stack) {
  spawn([] {
    char here = 0;
    Fiber& self = *current_fiber();
    const auto* bottom = static_cast<const char*>(self.pool->bottom_of(&self + 1));
    const volatile char* at = &here;
    BOOST_TEST((at > bottom));
    BOOST_TEST((at < reinterpret_cast<const char*>(&self)));
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(&self) % 64 == 0u);
  }).get();
}

WEFT_TEST_CASE(a_name_is_cut_to_31_bytes) {
  const std::string long_name(100, 'n');
  for (const std::size_t size : {0u, 1u, 30u, 31u, 32u, 100u}) {
    auto task = spawn([] {}, {.name = std::string_view(long_name).substr(0, size)});
    BOOST_TEST(task.name() == long_name.substr(0, std::min<std::size_t>(size, 31)));
    BOOST_TEST(task.name().size() < Fiber::kNameSize);
    task.get();
  }
}

WEFT_TEST_CASE(a_name_is_copied) {
  std::string name = "before";
  auto task = spawn([] { return current_task().name; }, {.name = name});
  name = "after!";
  BOOST_TEST(task.get() == "before");
}

WEFT_TEST_CASE(info_tells_the_state) {
  auto task = spawn([] {
    BOOST_TEST((current_task().state == TaskInfo::State::kRunning));
    sleep_for(1h);
  });
  const auto info = [&] {
    for (const TaskInfo& each : all_tasks()) {
      if (each.id == task.id()) return each;
    }
    TaskInfo gone;
    gone.state = TaskInfo::State::kDone;
    return gone;
  };
  BOOST_TEST((info().state == TaskInfo::State::kReady));
  BOOST_TEST(info().waiting_for == std::string());
  run_until_blocked();
  BOOST_TEST((info().state == TaskInfo::State::kWaiting));
  BOOST_TEST(info().waiting_for == std::string("sleep_for"));
  task.get();
  BOOST_TEST((info().state == TaskInfo::State::kDone));
}

// ---- Payloads -----------------------------------------------------------------------------------

WEFT_TEST_CASE(a_small_callable_lives_in_the_block) {
  BOOST_TEST(spawn([small = Counted<8>()] { return is_in_own_block(&small); }).get());
  BOOST_TEST(Counted<8>::alive == 0);
}

WEFT_TEST_CASE(a_large_callable_lives_on_the_heap) {
  using Large = Counted<10'000>;
  auto task = spawn([large = Large()] { return is_in_own_block(&large); });
  BOOST_TEST(Large::alive == 1);
  BOOST_TEST(!task.get());
  BOOST_TEST(Large::alive == 0);
}

WEFT_TEST_CASE(callables_and_results_of_all_sizes_are_kept_whole) {
  const auto check = []<std::size_t kBytes>(std::integral_constant<std::size_t, kBytes>) {
    using Part = Counted<kBytes>;
    {
      Part part;
      part.bytes.fill('x');
      auto task = spawn([part, size = kBytes] {
        yield();
        BOOST_TEST(part.bytes.size() == size);
        return part;
      });
      BOOST_TEST(Part::alive == 2);
      BOOST_TEST((task.get().bytes == part.bytes));
      BOOST_TEST(Part::alive == 1);
    }
    BOOST_TEST(Part::alive == 0);
  };
  check(std::integral_constant<std::size_t, 1>());
  check(std::integral_constant<std::size_t, Fiber::kPayloadSize / 2 - 16>());
  check(std::integral_constant<std::size_t, Fiber::kPayloadSize / 2>());
  check(std::integral_constant<std::size_t, Fiber::kPayloadSize - 1>());
  check(std::integral_constant<std::size_t, Fiber::kPayloadSize>());
  check(std::integral_constant<std::size_t, Fiber::kPayloadSize + 1>());
  check(std::integral_constant<std::size_t, 5000>());
}

WEFT_TEST_CASE(an_over_aligned_callable_is_aligned) {
  struct alignas(128) Wide {
    char bytes[8] = {};
  };
  const auto aligned = [wide = Wide()] {
    return reinterpret_cast<std::uintptr_t>(&wide) % alignof(Wide) == 0;
  };
  for (int i = 0; i < 5; ++i) BOOST_TEST(spawn(aligned).get());
  auto result = spawn([] { return Wide(); });
  result.get();
}

WEFT_TEST_CASE(a_callable_that_can_only_be_moved_is_moved) {
  auto value = std::make_unique<int>(7);
  BOOST_TEST(spawn([value = std::move(value)] { return *value; }).get() == 7);
  auto large = [value = std::make_unique<int>(8), bytes = std::array<char, 1000>()] {
    return *value + bytes[0];
  };
  BOOST_TEST(spawn(std::move(large)).get() == 8);
  BOOST_TEST(*spawn([] { return std::make_unique<int>(9); }).get() == 9);
}

WEFT_TEST_CASE(a_callable_that_cannot_be_copied_leaves_nothing) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw std::runtime_error("no copy"); }
    void operator()() const {}
    std::array<char, 1000> bytes{};
  };
  const Throws throws;
  const void* block = spawn(own_block).get();
  for (int i = 0; i < 100; ++i) {
    BOOST_CHECK_THROW((void)spawn(throws), std::runtime_error);
    BOOST_REQUIRE(all_tasks().size() == 1u);
  }
  BOOST_TEST(spawn(own_block).get() == block);
}

WEFT_TEST_CASE(a_callable_is_destroyed_at_the_end_and_a_result_with_its_handle) {
  struct Function {};
  struct Result {};
  auto function = std::make_shared<Function>();
  auto result = std::make_shared<Result>();
  {
    auto task = spawn([function, result] { return result; });
    yield();
    BOOST_TEST(task.done());
    BOOST_TEST(function.use_count() == 1);
    BOOST_TEST(result.use_count() == 2);
  }
  BOOST_TEST(result.use_count() == 1);
}

WEFT_TEST_CASE(a_callable_may_wait_when_it_is_destroyed) {
  struct Waits {
    explicit Waits(bool& its_flag) : flag(&its_flag) {}
    Waits(Waits&& other) noexcept : flag(std::exchange(other.flag, nullptr)) {}
    ~Waits() {
      if (!flag) return;
      sleep_for(1ms);
      *flag = true;
    }
    bool* flag;
  };
  bool destroyed = false;
  auto task = spawn([waits = Waits(destroyed)] {});
  task.get();
  BOOST_TEST(destroyed);
}

// ---- Reuse --------------------------------------------------------------------------------------

WEFT_TEST_CASE(the_stack_of_the_last_one_to_end_is_used_first) {
  std::vector<Task<const void*>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(spawn(own_block));
  std::vector<const void*> blocks;
  for (auto& task : tasks) blocks.push_back(task.get());
  BOOST_TEST(std::set<const void*>(blocks.begin(), blocks.end()).size() == 10u);
  for (auto& task : tasks) task = {};
  for (auto& task : tasks) task = spawn(own_block);
  for (auto& task : tasks) {
    BOOST_TEST(task.get() == blocks.back());
    blocks.pop_back();
  }
}

WEFT_TEST_CASE(spawning_in_a_loop_does_not_grow_memory) {
  const auto deep = [] {
    volatile char frame[10'000];
    for (volatile char& byte : frame) byte = 1;
  };
  const auto spawn_many = [&](int count) {
    for (int i = 0; i < count; ++i) {
      spawn(deep).get();
      spawn([large = std::array<char, 1'000>()] { return large; }).get();
      spawn(deep).detach();
      yield();
    }
  };
  spawn_many(1'000);
  const std::size_t before = resident_bytes();
  const std::size_t blocks = Loop::here()->fibers();
#if defined(WEFT_TSAN) || defined(WEFT_ASAN) || defined(WEFT_VALGRIND)
  spawn_many(2'000);
  BOOST_TEST(resident_bytes() < before + (64 << 20));
#else
  spawn_many(50'000);
  BOOST_TEST(resident_bytes() < before + (1 << 20));
#endif
  BOOST_TEST(Loop::here()->fibers() == blocks);
}

WEFT_TEST_CASE(nothing_of_one_task_is_left_to_the_next_on_its_stack) {
  const void* block = nullptr;
  {
    auto cancelled = spawn(
        [&] {
          block = own_block();
          sleep_for(1h);
        },
        {.name = "cancelled"});
    run_until_blocked();
    cancelled.cancel();
    cancelled.wait();
  }
  auto next = spawn([&] {
    BOOST_TEST(own_block() == block);
    yield();  // not cancelled
    return current_task().name;
  });
  BOOST_TEST(!next.failed());
  BOOST_TEST(next.get() == "");
  next = {};
  {
    auto fails = spawn([] { throw std::runtime_error("failed"); });
    BOOST_CHECK_THROW(fails.get(), std::runtime_error);
  }
  BOOST_TEST(spawn(own_block).get() == block);
}

WEFT_TEST_CASE(stacks_of_different_sizes_are_kept_apart) {
  const auto size = [] { return current_fiber()->pool->stack_size(); };
  BOOST_TEST(spawn(size).get() == RunOptions().stack_size);
  BOOST_TEST(spawn(size, {.stack_size = 1 << 20}).get() == std::size_t{1} << 20);
  BOOST_TEST(spawn(size, {.stack_size = 65'537}).get() == StackPool::round_up(65'537));
  const void* small = spawn(own_block, {.stack_size = 1 << 16}).get();
  BOOST_TEST(spawn(own_block).get() != small);
  BOOST_TEST(spawn(own_block, {.stack_size = 1 << 16}).get() == small);
}

WEFT_TEST_CASE(a_large_stack_can_be_used_to_its_end) {
  constexpr std::size_t kMegabytes = 8;
  BOOST_TEST(spawn(
                 [] {
                   volatile char frame[(kMegabytes - 1) << 20];
                   for (std::size_t i = 0; i < sizeof(frame); i += 4096) frame[i] = 1;
                   yield();
                   return frame[0] + frame[4096];
                 },
                 {.stack_size = kMegabytes << 20})
                 .get() == 2);
}

BOOST_AUTO_TEST_CASE(blocks_of_fibers_that_other_threads_spawn_are_used_again) {
  SchedulerThread other;
  std::set<const void*> blocks;
  for (int i = 0; i < 1'000; ++i) blocks.insert(spawn(own_block, {.on = other.get()}).get());
  BOOST_TEST(blocks.size() <= 16u);
}

BOOST_AUTO_TEST_SUITE_END()
