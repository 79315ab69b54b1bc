// Boost.Fiber and Boost.Asio, as their documentation teaches.

#include "bench/sync_peers.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/fiber/all.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "bench/harness.h"

namespace weft::bench {
namespace {

// ---- Boost.Fiber: the default scheduler (round robin, one thread), pooled stacks ----------------

namespace fibers = boost::fibers;

fibers::fiber start(std::function<void()> f) {
  thread_local fibers::pooled_fixedsize_stack stacks(64 * 1024);
  return fibers::fiber(std::allocator_arg, stacks, std::move(f));
}

double fiber_lock(long times) {
  fibers::mutex mutex;
  return ns_per(static_cast<double>(times), [&] {
    for (long i = 0; i < times; ++i) {
      mutex.lock();
      asm volatile("" ::: "memory");
      mutex.unlock();
    }
  });
}

double fiber_pass(int count, long times) {
  fibers::mutex mutex;
  return ns_per(static_cast<double>(times), [&] {
    std::vector<fibers::fiber> all;
    for (int i = 0; i < count; ++i) {
      all.push_back(start([&] {
        for (long j = 0; j < times / count; ++j) {
          const std::lock_guard lock(mutex);
          boost::this_fiber::yield();
        }
      }));
    }
    for (auto& fiber : all) fiber.join();
  });
}

// A channel's capacity is a power of two, one of which stays empty.
double fiber_queue(std::size_t capacity, long times) {
  fibers::buffered_channel<long> channel(capacity == 1 ? 2 : capacity);
  return ns_per(static_cast<double>(times), [&] {
    fibers::fiber producer = start([&] {
      for (long i = 0; i < times; ++i) channel.push(i);
      channel.close();
    });
    fibers::fiber consumer = start([&] {
      long item;
      while (channel.pop(item) == fibers::channel_op_status::success) asm volatile("" ::"r"(item));
    });
    producer.join();
    consumer.join();
  });
}

// ---- Boost.Asio: a thread pool, and an io_context on the calling thread
// --------------------------

namespace asio = boost::asio;

// So many chains of jobs, each posted when the one before has come back.
struct AsioBridge {
  AsioBridge(unsigned threads, long times) : left(times) {
    // Alone it is on another core than the caller.
    std::optional<OnCore> last;
    if (threads == 1) last.emplace(OnCore::kLast);
    pool.emplace(threads);
  }

  void post_one() {
    asio::post(*pool, [this] {
      asio::post(context, [this] {
        if (timed) note_time();
        if (--left > 0) {
          post_one();
        } else {
          context.stop();
        }
      });
    });
  }

  void run(int flying) {
    const auto guard = asio::make_work_guard(context);
    timed = flying == 1;
    last = wall_ns();
    for (int i = 0; i < flying; ++i) post_one();
    context.run();
    pool->join();
  }

  void note_time() {
    const double now = wall_ns();
    round_trips.add(now - std::exchange(last, now));
  }

  asio::io_context context{1};
  std::optional<asio::thread_pool> pool;
  long left;
  bool timed = false;
  double last = 0;
  Samples round_trips;
};

double asio_round_trip(long times) {
  AsioBridge bridge(1, times);
  bridge.run(1);
  return bridge.round_trips.median();
}

double asio_jobs(unsigned threads, int flying, long times) {
  AsioBridge bridge(threads, times);
  const double begin = wall_ns();
  bridge.run(flying);
  return (wall_ns() - begin) / static_cast<double>(times);
}

constexpr SyncPeer kPeers[] = {
    {"Boost.Fiber", fiber_lock, fiber_pass, fiber_queue, nullptr, nullptr},
    {"Asio", nullptr, nullptr, nullptr, asio_round_trip, asio_jobs},
};

}  // namespace

std::span<const SyncPeer> sync_peers() { return kPeers; }

}  // namespace weft::bench
