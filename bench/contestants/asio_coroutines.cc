// Boost.Asio with C++20 coroutines, on one thread.
//
// - io_context without locks, and its own executor type: asio_types.h.
// - `deferred`, which starts an operation without a coroutine frame of its own, unlike
// use_awaitable;
//   and as_tuple where an error is not to be an exception.
// - skynet counts the children that have completed by hand: a parallel_group or a channel take two
//   to five times as long.
// - The queue is an experimental::channel, and so is the mutex, which is claimed by sending a
//   message and released by receiving it: the example mutual_exclusion_1. Both try first to do
//   without waiting.
// - An event with many waiters is a timer that never expires and is cancelled, as in the example
//   chat_server.
// - A timeout is a timer that is cancelled in time. Its handler still runs: the loop runs now and
//   then.
// - executor: an operation that runs a function in a thread_pool and completes on its waiter's
//   thread. Its io_context has locks, for a single thread that runs it.

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <exception>
#include <tuple>

#include "bench/contestants/asio_types.h"
#include "bench/lib/skynet.h"

namespace weft::bench {
namespace {

template <class T>
using Awaitable = asio::awaitable<T, Executor>;

constexpr auto kNoThrow = asio::as_tuple(asio::deferred);

// Starts the coroutine, which runs when the context runs.
template <class F>
void start(asio::io_context& context, F f) {
  asio::co_spawn(context, std::move(f), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  });
}

// ---- Coroutines ---------------------------------------------------------------------------------

Awaitable<void> yield_times(long times) {
  for (long i = 0; i < times; ++i) co_await asio::post(asio::deferred);
}

double switches(long times) {
  Context context;
  return wall_ns_per(times, [&] {
    start(context, yield_times(times / 2));
    start(context, yield_times(times / 2));
    context.run();
  });
}

Awaitable<void> nothing() { co_return; }

double spawn_and_get(long times) {
  Context context;
  start(context, [&]() -> Awaitable<void> {
    for (long i = 0; i < times; ++i) co_await asio::co_spawn(context, nothing(), asio::deferred);
  });
  return wall_ns_per(times, [&] { context.run(); });
}

Awaitable<long> sum_of_part(Executor executor, long first, long leaves);

// Completes with the sum of the children, which run at once.
auto sum_of_children(Executor executor, long first, long part) {
  const auto begin = [=](auto handler) {
    struct State {
      decltype(handler) then;
      long sum = 0;
      long left = kChildren;
    };
    const auto state = std::make_shared<State>(State{std::move(handler)});
    for (long i = 0; i < kChildren; ++i) {
      asio::co_spawn(executor, sum_of_part(executor, first + i * part, part),
                     [state](const std::exception_ptr&, long value) {
                       state->sum += value;
                       if (--state->left == 0) std::move(state->then)(state->sum);
                     });
    }
  };
  return asio::async_initiate<const asio::deferred_t, void(long)>(begin, asio::deferred);
}

Awaitable<long> sum_of_part(Executor executor, long first, long leaves) {
  if (leaves == 1) co_return first;
  co_return co_await sum_of_children(executor, first, leaves / kChildren);
}

double skynet(long threads) {
  if (threads != 1) return kNothing;
  const auto tree = [] {
    Context context;
    long sum = 0;
    asio::co_spawn(context, sum_of_part(context.get_executor(), 0, kLeaves),
                   [&](const std::exception_ptr&, long value) { sum = value; });
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
  const auto wait = [&]() -> Awaitable<void> { co_await event.async_wait(kNoThrow); };
  for (long i = 0; i < times; ++i) {
    start(context, wait);
    if (i % 1000 == 999) context.poll();
  }
  context.poll();
  const double each = (memory_bytes() - before) / static_cast<double>(times);
  event.cancel();
  context.run();
  return each;
}

// ---- Synchronization ----------------------------------------------------------------------------

using Error = boost::system::error_code;
using Items = Channel<void(Error, long)>;

Awaitable<void> produce(Items& items, long times) {
  for (long i = 0; i < times; ++i) {
    if (!items.try_send(Error(), i)) co_await items.async_send(Error(), i, asio::deferred);
  }
  items.close();
}

Awaitable<void> consume(Items& items) {
  for (;;) {
    long item = 0;
    if (!items.try_receive([&](Error, long value) { item = value; })) {
      Error error;
      std::tie(error, item) = co_await items.async_receive(kNoThrow);
      if (error) co_return;  // closed
    }
    asm volatile("" ::"r"(item));
  }
}

template <std::size_t Capacity>
double queue(long times) {
  Context context;
  Items items(context, Capacity);
  return wall_ns_per(times, [&] {
    start(context, produce(items, times));
    start(context, consume(items));
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
  start(context, [&]() -> Awaitable<void> {
    for (long i = 0; i < times; ++i) {
      if (!lock.try_send()) co_await lock.async_send(asio::deferred);
      asm volatile("" ::: "memory");
      unlock(lock);
    }
  });
  return wall_ns_per(times, [&] { context.run(); });
}

Awaitable<void> pass(Lock& lock, long times) {
  for (long i = 0; i < times; ++i) {
    if (!lock.try_send()) co_await lock.async_send(asio::deferred);
    co_await asio::post(asio::deferred);
    unlock(lock);
  }
}

template <int Coroutines>
double mutex_passed(long times) {
  Context context;
  Lock lock(context, 1);
  return wall_ns_per(times, [&] {
    for (int i = 0; i < Coroutines; ++i) start(context, pass(lock, times / Coroutines));
    context.run();
  });
}

auto run_in(asio::thread_pool& pool, void (*f)()) {
  const auto begin = [&pool, f](auto handler) {
    auto work = asio::make_work_guard(handler);
    asio::post(pool, [f, work = std::move(work), handler = std::move(handler)]() mutable {
      f();
      asio::dispatch(std::move(handler));
    });
  };
  return asio::async_initiate<const asio::deferred_t, void()>(begin, asio::deferred);
}

double executor(long times) {
  Pool pool;
  const OnCore first(OnCore::kFirst);
  asio::io_context context(1);
  start(context, [&]() -> Awaitable<void> {
    for (long i = 0; i < times; ++i) co_await run_in(*pool, [] {});
  });
  return wall_ns_per(times, [&] { context.run(); });
}

// ---- Time ---------------------------------------------------------------------------------------

Awaitable<void> sleep_for(Executor executor, Clock::duration duration) {
  Timer timer(executor, duration);
  co_await timer.async_wait(asio::deferred);
}

double timers(long times) {
  const double begin = wall_ns();
  Context context;
  auto work = asio::make_work_guard(context);
  for (long i = 0; i < times; ++i) {
    const auto us = scattered(static_cast<std::uint64_t>(i), 1'000'000);
    start(context, sleep_for(context.get_executor(), std::chrono::microseconds(us)));
    if (i % 1000 == 999) context.poll();
  }
  work.reset();
  context.run();
  return (wall_ns() - begin) * 1e-6 - 1000;
}

double queries(long times) {
  const double begin = wall_ns();
  Context context;
  for (long i = 0; i < times; ++i) {
    start(context, sleep_for(context.get_executor(), std::chrono::seconds(1)));
  }
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
  start(context, [&]() -> Awaitable<void> {
    const double begin = wall_ns();
    Timer timer(context);
    for (long i = 0; i < times; ++i) {
      timer.expires_after(std::chrono::seconds(5));
      timer.async_wait([](Error) {});
      asm volatile("");
      timer.cancel();
      if (i % 16 == 15) co_await asio::post(asio::deferred);
    }
    each = (wall_ns() - begin) / static_cast<double>(times);
    context.stop();
  });
  context.run();
  return each;
}

// ---- TCP ----------------------------------------------------------------------------------------

Awaitable<void> serve(Socket socket) {
  std::array<char, kEchoBuffer> data;
  try {
    for (;;) {
      const std::size_t size = co_await socket.async_read_some(asio::buffer(data), asio::deferred);
      co_await asio::async_write(socket, asio::buffer(data, size), asio::deferred);
    }
  } catch (const boost::system::system_error&) {
    // The peer has closed the connection.
  }
}

Awaitable<void> accept_all(Acceptor& acceptor) {
  for (;;) {
    Socket socket = co_await acceptor.async_accept(asio::deferred);
    socket.set_option(Tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

double echo(long) {
  Context context;
  Acceptor acceptor = listen(context);
  start(context, accept_all(acceptor));
  print_port(acceptor.local_endpoint().port());
  context.run();
  return 0;
}

constexpr Workload kWorkloads[] = {
    {"switch", switches},        {"spawn", spawn_and_get},
    {"skynet", skynet},          {"queue1", queue<1>},
    {"queue128", queue<128>},    {"mutex", mutex},
    {"mutex2", mutex_passed<2>}, {"mutex100", mutex_passed<100>},
    {"timers", timers},          {"timeout", timeout},
    {"parked", parked},          {"executor", executor},
    {"queries", queries},        {"echo", echo},
};

}  // namespace

std::string version() { return asio_version() + ", coroutines"; }

std::span<const Workload> workloads() { return kWorkloads; }

}  // namespace weft::bench
