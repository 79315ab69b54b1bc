// Boost.Asio with stackful coroutines, spawn() and yield_context, on one thread.
//
// - io_context without locks, and its own executor type: asio_types.h.
// - pooled_fixedsize_stack, of the default size. Only `parked`, which measures memory, takes the
//   default allocator.
// - spawn: a completion handler posts the one that waits. With a yield_context as the handler, 1.81
//   throws a null exception instead of no exception, and crashes; and without a post each new
//   coroutine would run on top of the one before.
// - yield[error] where an error is not to be an exception.
// - skynet counts the children that have completed by hand.
// - The queue is an experimental::channel, and so is the mutex, which is claimed by sending a
//   message and released by receiving it: the example mutual_exclusion_1. Both try first to do
//   without waiting.
// - An event with many waiters is a timer that never expires and is cancelled, as in the example
//   chat_server.
// - A timeout is a timer that is cancelled in time. Its handler still runs: the loop runs now and
//   then.
// - post: asio::post() to an io_context whose concurrency hint is 1, which other threads may use.
// - executor: an operation that runs a function in a thread_pool and completes on its waiter's
//   thread. Its io_context has locks, for a single thread that runs it.

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <cstddef>
#include <exception>
#include <thread>

#include "bench/contestants/asio_types.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

using Yield = asio::basic_yield_context<Executor>;
using Error = boost::system::error_code;

void rethrow(const std::exception_ptr& error) {
  if (error) std::rethrow_exception(error);
}

auto stacks() {
  static const boost::context::pooled_fixedsize_stack pool;
  return pool;
}

// Starts the coroutine, which runs when the context runs, or at once if it already does.
template <class F>
void start(const Executor& executor, F f) {
  asio::spawn(executor, std::allocator_arg, stacks(), std::move(f), rethrow);
}

template <class F>
void start(asio::io_context& context, F f) {
  start(context.get_executor(), std::move(f));
}

// ---- Coroutines ---------------------------------------------------------------------------------

double switches(long times) {
  Context context;
  const auto yield_times = [=](Yield yield) {
    for (long i = 0; i < times / 2; ++i) asio::post(yield);
  };
  return wall_ns_per(times, [&] {
    start(context, yield_times);
    start(context, yield_times);
    context.run();
  });
}

void spawn_and_wait(const Yield& yield) {
  const auto begin = [&](auto handler) {
    asio::spawn(
        yield.get_executor(), std::allocator_arg, stacks(), [](Yield) {},
        [handler = std::move(handler)](const std::exception_ptr&) mutable {
          asio::post(std::move(handler));
        });
  };
  asio::async_initiate<const Yield, void()>(begin, yield);
}

double spawn_and_get(long times) {
  Context context;
  start(context, [&](Yield yield) {
    for (long i = 0; i < times; ++i) spawn_and_wait(yield);
  });
  return wall_ns_per(times, [&] { context.run(); });
}

// The sum of the children, which run at once.
long sum_of_part(long first, long leaves, Yield yield) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  const auto begin = [&](auto handler) {
    struct State {
      decltype(handler) then;
      long sum = 0;
      long left = kChildren;
    };
    const auto state = std::make_shared<State>(State{std::move(handler)});
    for (long i = 0; i < kChildren; ++i) {
      asio::spawn(
          yield.get_executor(), std::allocator_arg, stacks(),
          [=](Yield child) { return sum_of_part(first + i * part, part, child); },
          [state](const std::exception_ptr&, long value) {
            state->sum += value;
            if (--state->left == 0) std::move(state->then)(state->sum);
          });
    }
  };
  return asio::async_initiate<const Yield, void(long)>(begin, yield);
}

double skynet(long threads) {
  if (threads != 1) return kNothing;
  const auto tree = [] {
    Context context;
    long sum = 0;
    start(context, [&](Yield yield) { sum = sum_of_part(0, kLeaves, yield); });
    context.run();
    return sum;
  };
  skynet_ms(tree);
  return skynet_ms(tree);
}

double parked(long times) {
  const double before = memory_bytes();
  Context context;
  Timer event(context, Clock::time_point::max());
  const auto wait = [&](Yield yield) {
    Error cancelled;
    event.async_wait(yield[cancelled]);
  };
  for (long i = 0; i < times; ++i) {
    asio::spawn(context.get_executor(), wait, rethrow);
    if (i % 1000 == 999) context.poll();
  }
  context.poll();
  const double each = (memory_bytes() - before) / static_cast<double>(times);
  event.cancel();
  context.run();
  return each;
}

// ---- Synchronization ----------------------------------------------------------------------------

using Items = Channel<void(Error, long)>;

void produce(Items& items, long times, Yield yield) {
  for (long i = 0; i < times; ++i) {
    if (!items.try_send(Error(), i)) items.async_send(Error(), i, yield);
  }
  items.close();
}

void consume(Items& items, Yield yield) {
  for (;;) {
    long item = 0;
    if (!items.try_receive([&](Error, long value) { item = value; })) {
      Error closed;
      item = items.async_receive(yield[closed]);
      if (closed) return;
    }
    asm volatile("" ::"r"(item));
  }
}

template <std::size_t Capacity>
double queue(long times) {
  Context context;
  Items items(context, Capacity);
  return wall_ns_per(times, [&] {
    start(context, [&](Yield yield) { produce(items, times, yield); });
    start(context, [&](Yield yield) { consume(items, yield); });
    context.run();
  });
}

using Lock = Channel<void()>;

void unlock(Lock& lock) {
  lock.try_receive([](auto...) {});
}

double mutex(long times) {
  Context context;
  Lock lock(context, 1);
  start(context, [&](Yield yield) {
    for (long i = 0; i < times; ++i) {
      if (!lock.try_send()) lock.async_send(yield);
      asm volatile("" ::: "memory");
      unlock(lock);
    }
  });
  return wall_ns_per(times, [&] { context.run(); });
}

void pass(Lock& lock, long times, Yield yield) {
  for (long i = 0; i < times; ++i) {
    if (!lock.try_send()) lock.async_send(yield);
    asio::post(yield);
    unlock(lock);
  }
}

template <int Coroutines>
double mutex_passed(long times) {
  Context context;
  Lock lock(context, 1);
  return wall_ns_per(times, [&] {
    for (int i = 0; i < Coroutines; ++i) {
      start(context, [&](Yield yield) { pass(lock, times / Coroutines, yield); });
    }
    context.run();
  });
}

void run_in(asio::thread_pool& pool, void (*f)(), Yield yield) {
  const auto begin = [&pool, f](auto handler) {
    auto work = asio::make_work_guard(handler);
    asio::post(pool, [f, work = std::move(work), handler = std::move(handler)]() mutable {
      f();
      asio::dispatch(std::move(handler));
    });
  };
  asio::async_initiate<const Yield, void()>(begin, yield);
}

double executor(long times) {
  Pool pool;
  const OnCore first(OnCore::kFirst);
  asio::io_context context(1);
  start(context, [&](Yield yield) {
    for (long i = 0; i < times; ++i)
      run_in(
          *pool, [] {}, yield);
  });
  return wall_ns_per(times, [&] { context.run(); });
}

double posts(long times, bool held_up) {
  const OnCore first(OnCore::kFirst);
  asio::io_context context(1);
  auto work = asio::make_work_guard(context);
  const double memory = memory_bytes();
  const double begin = wall_ns();
  long ran = 0;
  std::thread poster([&] {
    const OnCore last(OnCore::kLast);
    for (long i = 0; i < times; ++i) {
      asio::post(context, [&] {
        if (++ran == times) work.reset();
      });
    }
  });
  if (held_up) poster.join();
  const double each = (memory_bytes() - memory) / static_cast<double>(times);
  context.run();
  const double milliseconds = (wall_ns() - begin) * 1e-6;
  if (poster.joinable()) poster.join();
  return held_up ? each : milliseconds;
}

double post(long times) { return posts(times, false); }
double posted(long times) { return posts(times, true); }

// ---- Time ---------------------------------------------------------------------------------------

void start_sleep(asio::io_context& context, Clock::duration duration) {
  start(context, [=](Yield yield) { Timer(yield.get_executor(), duration).async_wait(yield); });
}

double timers(long times) {
  const double begin = wall_ns();
  Context context;
  auto work = asio::make_work_guard(context);
  for (long i = 0; i < times; ++i) {
    const auto us = scattered(static_cast<std::uint64_t>(i), 1'000'000);
    start_sleep(context, std::chrono::microseconds(us));
    if (i % 1000 == 999) context.poll();
  }
  work.reset();
  context.run();
  return (wall_ns() - begin) * 1e-6 - 1000;
}

double queries(long times) {
  const double begin = wall_ns();
  Context context;
  for (long i = 0; i < times; ++i) start_sleep(context, std::chrono::seconds(1));
  context.run();
  return (wall_ns() - begin) * 1e-6;
}

double timeout(long times) {
  Context context;
  std::vector<Timer> others;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const std::chrono::seconds limit(600 + scattered(i, 3600));
    others.emplace_back(context, limit).async_wait([](Error) {});
  }
  double each = 0;
  start(context, [&](Yield yield) {
    const double begin = wall_ns();
    Timer timer(context);
    for (long i = 0; i < times; ++i) {
      timer.expires_after(std::chrono::seconds(5));
      timer.async_wait([](Error) {});
      asm volatile("");
      timer.cancel();
      if (i % 16 == 15) asio::post(yield);
    }
    each = (wall_ns() - begin) / static_cast<double>(times);
    context.stop();
  });
  context.run();
  return each;
}

// ---- TCP ----------------------------------------------------------------------------------------

void serve(Socket& socket, Yield yield) {
  std::array<char, kEchoBuffer> data;
  for (;;) {
    Error error;
    const std::size_t size = socket.async_read_some(asio::buffer(data), yield[error]);
    if (error) return;
    asio::async_write(socket, asio::buffer(data, size), yield[error]);
    if (error) return;
  }
}

void accept_all(Acceptor& acceptor, Yield yield) {
  for (;;) {
    Socket socket = acceptor.async_accept(yield);
    socket.set_option(Tcp::no_delay(true));
    start(acceptor.get_executor(),
          [socket = std::move(socket)](Yield own) mutable { serve(socket, own); });
  }
}

double echo(long) {
  Context context;
  Acceptor acceptor = listen(context);
  start(context, [&](Yield yield) { accept_all(acceptor, yield); });
  print_port(acceptor.local_endpoint().port());
  context.run();
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},
    {"spawn", spawn_and_get},
    {"skynet", skynet},
    {"queue1", queue<1>},
    {"queue128", queue<128>},
    {"mutex", mutex},
    {"mutex2", mutex_passed<2>},
    {"mutex100", mutex_passed<100>},
    {"timers", timers},
    {"timeout", timeout},
    {"parked", parked},
    {"executor", executor},
    {"post", post},
    {"posted", posted},
    {"queries", queries},
    {"echo", echo},
};

}  // namespace

std::string version() { return asio_version() + ", stackful"; }

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
