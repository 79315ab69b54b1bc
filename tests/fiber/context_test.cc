// The switch, as fibers see it.
#include "weft/fiber/core/context.h"

#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <cfenv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fixture.h"

BOOST_AUTO_TEST_SUITE(context)

using namespace weft;
using namespace weft::internal;
using namespace weft::test;
using namespace std::chrono_literals;

namespace {

std::string what_of(const std::exception_ptr& exception) {
  if (!exception) return "none";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "unknown";
  }
}

std::string current_what() { return what_of(std::current_exception()); }

// Waits, and then throws through frames that have something to destroy.
[[gnu::noinline]] void throw_from_depth(int depth, int& destroyed, const std::string& what) {
  struct Counts {
    int& destroyed;
    ~Counts() { ++destroyed; }
  } const counts{destroyed};
  if (depth == 0) {
    sleep_for(1ms);
    throw std::runtime_error(what);
  }
  throw_from_depth(depth - 1, destroyed, what);
}

}  // namespace

// ---- Exceptions ---------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(a_catch_block_may_wait_and_throw_again) {
  std::vector<Task<std::string>> tasks;
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(spawn([i] {
      const std::string mine = std::to_string(i);
      try {
        try {
          throw std::runtime_error(mine);
        } catch (const std::runtime_error&) {
          for (int wait = 0; wait <= i % 3; ++wait) {
            wait % 2 ? sleep_for(1ms) : yield();
            if (current_what() != mine) return "after a wait: " + current_what();
          }
          throw;
        }
      } catch (const std::runtime_error& error) {
        return std::string(error.what());
      }
    }));
  }
  for (int i = 0; i < 20; ++i) BOOST_TEST(tasks[i].get() == std::to_string(i));
}

WEFT_SHUFFLED_TEST_CASE(handlers_nest_in_each_fiber_by_itself) {
  const auto nest = [](const std::string& name) {
    std::string said;
    try {
      throw std::runtime_error(name + "-outer");
    } catch (...) {
      yield();
      try {
        throw std::runtime_error(name + "-inner");
      } catch (...) {
        sleep_for(1ms);
        said += current_what() + ' ';
        yield();
      }
      said += current_what() + ' ';
      yield();
      said += current_what();
    }
    yield();
    return said + ' ' + current_what();
  };
  auto a = spawn([&] { return nest("a"); });
  auto b = spawn([&] { return nest("b"); });
  BOOST_TEST(nest("c") == "c-inner c-outer c-outer none");
  BOOST_TEST(a.get() == "a-inner a-outer a-outer none");
  BOOST_TEST(b.get() == "b-inner b-outer b-outer none");
}

WEFT_SHUFFLED_TEST_CASE(a_destructor_that_waits_sees_its_own_exceptions_in_flight) {
  struct Waits {
    int& before;
    int& after;
    ~Waits() {
      before = std::uncaught_exceptions();
      sleep_for(1ms);
      yield();
      after = std::uncaught_exceptions();
    }
  };
  int before = -1, after = -1, calm_before = -1, calm_after = -1, nested = -1;
  auto thrower = spawn([&] {
    try {
      const Waits waits{before, after};
      throw std::runtime_error("thrower");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  });
  auto calm = spawn([&] { const Waits waits{calm_before, calm_after}; });
  auto twice = spawn([&] {
    struct ThrowsInside {
      int& nested;
      ~ThrowsInside() {
        int ignored = 0;
        try {
          const Waits waits{ignored, nested};
          throw std::runtime_error("inner");
        } catch (const std::runtime_error&) {
          yield();
        }
      }
    };
    try {
      const ThrowsInside throws_inside{nested};
      throw std::runtime_error("outer");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  });
  for (int i = 0; i < 10; ++i) {
    BOOST_TEST(std::uncaught_exceptions() == 0);
    yield();
  }
  BOOST_TEST(thrower.get() == "thrower");
  calm.get();
  BOOST_TEST(twice.get() == "outer");
  BOOST_TEST(before == 1);
  BOOST_TEST(after == 1);
  BOOST_TEST(calm_before == 0);
  BOOST_TEST(calm_after == 0);
  BOOST_TEST(nested == 2);
}

WEFT_SHUFFLED_TEST_CASE(exceptions_pass_through_the_frames_above_a_wait) {
  std::vector<Task<void>> tasks;
  std::vector<int> destroyed(20, 0);
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(spawn([&, i] {
      try {
        throw_from_depth(10, destroyed[i], std::to_string(i));
      } catch (...) {
        yield();
        throw;
      }
    }));
  }
  for (int i = 0; i < 20; ++i) {
    const auto is_mine = [&](const std::exception& error) {
      return error.what() == std::to_string(i);
    };
    BOOST_CHECK_EXCEPTION(tasks[i].get(), std::runtime_error, is_mine);
    BOOST_TEST(destroyed[i] == 11);
  }
}

WEFT_SHUFFLED_TEST_CASE(a_fiber_that_a_catch_block_starts_begins_without_exceptions) {
  const auto state = [] { return current_what() + std::to_string(std::uncaught_exceptions()); };
  for (const bool eager : {false, true}) {
    for (int reused = 0; reused < 3; ++reused) {
      try {
        throw std::runtime_error("the parent's");
      } catch (const std::runtime_error&) {
        auto child = spawn(state, {.eager = eager});
        BOOST_TEST(child.get() == "none0");
        BOOST_TEST(current_what() == "the parent's");
      }
    }
  }
  BOOST_TEST(current_what() == "none");
}

WEFT_SHUFFLED_TEST_CASE(a_fiber_that_unwinding_starts_begins_without_exceptions) {
  struct Starts {
    std::string& said;
    bool eager;
    ~Starts() {
      auto child = spawn(
          [] {
            try {
              throw std::runtime_error("the child's");
            } catch (...) {
              yield();
              return current_what() + std::to_string(std::uncaught_exceptions());
            }
          },
          {.eager = eager});
      said = child.get() + ' ' + std::to_string(std::uncaught_exceptions());
    }
  };
  for (const bool eager : {false, true}) {
    std::string said;
    try {
      const Starts starts{said, eager};
      throw std::runtime_error("the parent's");
    } catch (const std::runtime_error& error) {
      BOOST_TEST(std::string(error.what()) == "the parent's");
    }
    BOOST_TEST(said == "the child's0 1");
  }
}

WEFT_TEST_CASE(an_exception_outlives_the_stack_that_it_came_from) {
  std::exception_ptr kept;
  {
    auto thrower = spawn([] { throw std::runtime_error("kept"); });
    try {
      thrower.get();
    } catch (...) {
      kept = std::current_exception();
    }
  }
  for (int i = 0; i < 10; ++i) (void)spawn([] { yield(); });
  BOOST_TEST(what_of(kept) == "kept");
}

WEFT_SHUFFLED_TEST_CASE(many_fibers_throw_and_catch_across_waits) {
#if defined(WEFT_TSAN)
  constexpr int kFibers = 20;
#else
  constexpr int kFibers = 100;
#endif
  int wrong = 0;
  TaskGroup group;
  for (int i = 0; i < kFibers; ++i) {
    group.spawn([i, &wrong] {
      for (int round = 0; round < 5; ++round) {
        const std::string mine = std::to_string(i * 100 + round);
        try {
          yield();
          throw std::runtime_error(mine);
        } catch (const std::runtime_error& error) {
          sleep_for(Duration(i * 7 % 5));
          if (error.what() != mine || current_what() != mine) ++wrong;
          if (std::uncaught_exceptions() != 0) ++wrong;
        }
        if (std::current_exception()) ++wrong;
      }
    });
  }
  group.join();
  BOOST_TEST(wrong == 0);
}

// ---- errno --------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(errno_belongs_to_the_fiber) {
  const auto keeps = [](int mine) {
    errno = mine;
    for (int i = 0; i < 5; ++i) {
      i % 2 ? sleep_for(1ms) : yield();
      if (errno != mine) return errno;
    }
    return 0;
  };
  std::vector<Task<int>> tasks;
  for (int i = 1; i <= 20; ++i) tasks.push_back(spawn([&, i] { return keeps(i); }));
  BOOST_TEST(keeps(4711) == 0);
  for (auto& task : tasks) BOOST_TEST(task.get() == 0);
}

WEFT_TEST_CASE(errno_is_kept_by_a_spawn) {
  for (const bool eager : {false, true}) {
    errno = 4711;
    auto task = spawn([] { errno = 1; }, {.eager = eager});
    const int after_spawn = errno;
    task.get();
    const int after_get = errno;
    BOOST_TEST(after_spawn == 4711);
    BOOST_TEST(after_get == 4711);
  }
}

// Signals interrupt its sleep, which sets the thread's.
WEFT_REAL_TIME_TEST_CASE(errno_is_kept_while_the_thread_sleeps) {
  struct sigaction before {
  }, nothing{};
  nothing.sa_handler = [](int) {};
  sigaction(SIGUSR1, &nothing, &before);
  std::thread interrupts([thread = pthread_self()] {
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(1ms);
      pthread_kill(thread, SIGUSR1);
    }
  });
  errno = 4711;
  sleep_for(20ms);
  const int after = errno;
  interrupts.join();
  sigaction(SIGUSR1, &before, nullptr);
  BOOST_TEST(after == 4711);
}

// ---- Floating point -----------------------------------------------------------------------------

#if defined(__x86_64__) && !defined(BOOST_USE_TSX)

WEFT_SHUFFLED_TEST_CASE(the_rounding_mode_belongs_to_the_fiber) {
  const auto keeps = [](int mine) {
    std::fesetround(mine);
    bool kept = true;
    volatile double one = 1, three = 3;
    const double third = one / three;
    for (int i = 0; i < 5; ++i) {
      i % 2 ? sleep_for(1ms) : yield();
      kept = kept && std::fegetround() == mine && one / three == third;
    }
    std::fesetround(FE_TONEAREST);
    return kept;
  };
  std::vector<Task<bool>> tasks;
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO, FE_TONEAREST}) {
    tasks.push_back(spawn([&, mode] { return keeps(mode); }));
  }
  BOOST_TEST(keeps(FE_TONEAREST));
  for (auto& task : tasks) BOOST_TEST(task.get());
}

#endif

// ---- Stacks -------------------------------------------------------------------------------------

WEFT_SHUFFLED_TEST_CASE(what_a_stack_holds_survives_waits) {
  std::vector<Task<bool>> tasks;
  for (int i = 0; i < 20; ++i) {
    tasks.push_back(spawn([i] {
      int numbers[1000];
      for (int& number : numbers) number = i;
      for (int wait = 0; wait < 3; ++wait) {
        yield();
        sleep_for(1ms);
      }
      for (const int number : numbers) {
        if (number != i) return false;
      }
      return true;
    }));
  }
  for (auto& task : tasks) BOOST_TEST(task.get());
}

namespace {

template <std::size_t kBytes>
int use_frames() {
  volatile char frame[kBytes];
  for (volatile char& byte : frame) byte = 1;
  yield();
  return frame[0] + frame[kBytes - 1];
}

}  // namespace

// What one task leaves on a stack, and ASan notes of it, is nothing to the next one there.
BOOST_AUTO_TEST_CASE(a_stack_may_lie_where_another_one_was) {
  const auto use_other_frames = [] {
    BOOST_TEST(spawn(use_frames<1>).get() == 2);
    BOOST_TEST(spawn(use_frames<40>).get() == 2);
    BOOST_TEST(spawn(use_frames<1000>).get() == 2);
    BOOST_TEST(spawn(use_frames<20'000>).get() == 2);
  };
  for (std::size_t size = 64 * 1024; size <= 96 * 1024; size += 4096) {
    run([&] { BOOST_TEST(spawn(use_frames<5000>).get() == 2); }, {.stack_size = size});
    run(use_other_frames, {.stack_size = 64 * 1024});
  }
}

WEFT_TEST_CASE(stacks_are_aligned_as_the_abi_wants) {
  const auto aligned = [] {
    struct alignas(64) Wide {
      double numbers[8];
    } wide{};
    alignas(std::max_align_t) char plain[1];
    return reinterpret_cast<std::uintptr_t>(&wide) % 64 == 0 &&
           reinterpret_cast<std::uintptr_t>(&plain) % alignof(std::max_align_t) == 0;
  };
  BOOST_TEST(aligned());
  BOOST_TEST(spawn(aligned).get());
}

BOOST_AUTO_TEST_SUITE_END()
