// Asio, Boost.Fiber, Go and tokio, as their documentation teaches.

#include "bench/skynet_peers.h"

#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/fiber/all.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bench/harness.h"
#include "bench/skynet.h"

namespace weft::bench {
namespace {

// ---- Asio with callbacks: an inner node is on the heap, a child is a posted function ------------

namespace asio = boost::asio;

struct Node {
  Node* parent;
  long sum = 0;
  long left = kChildren;
};

void add(Node* node, long value) {
  for (;;) {
    node->sum += value;
    if (--node->left > 0 || !node->parent) return;
    const std::unique_ptr<Node> done(node);
    value = done->sum;
    node = done->parent;
  }
}

void post_part(asio::io_context& context, Node* parent, long first, long leaves) {
  asio::post(context, [=, &context] {
    if (leaves == 1) return add(parent, first);
    const long part = leaves / kChildren;
    Node* const node = new Node{parent};
    for (long i = 0; i < kChildren; ++i) post_part(context, node, first + i * part, part);
  });
}

long asio_callbacks() {
  asio::io_context context(1);
  Node root{nullptr};
  root.left = 1;
  post_part(context, &root, 0, kLeaves);
  context.run();
  return root.sum;
}

// ---- Asio with C++20 coroutines -----------------------------------------------------------------

asio::awaitable<long> coroutine(long first, long leaves);

// Completes with the sum of the children, which run at once. By hand: a parallel_group or a channel
// take two to five times as long.
template <class Executor>
auto sum_of_children(Executor executor, long first, long part) {
  const auto begin = [=](auto handler) {
    struct State {
      decltype(handler) then;
      long sum = 0;
      long left = kChildren;
    };
    const auto state = std::make_shared<State>(State{std::move(handler)});
    for (long i = 0; i < kChildren; ++i) {
      asio::co_spawn(executor, coroutine(first + i * part, part),
                     [state](std::exception_ptr, long value) {
                       state->sum += value;
                       if (--state->left == 0) std::move(state->then)(state->sum);
                     });
    }
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(long)>(begin,
                                                                         asio::use_awaitable);
}

asio::awaitable<long> coroutine(long first, long leaves) {
  if (leaves == 1) co_return first;
  const auto executor = co_await asio::this_coro::executor;
  co_return co_await sum_of_children(executor, first, leaves / kChildren);
}

long asio_coroutines() {
  asio::io_context context(1);
  long sum = 0;
  asio::co_spawn(context, coroutine(0, kLeaves),
                 [&](std::exception_ptr, long value) { sum = value; });
  context.run();
  return sum;
}

// ---- Boost.Fiber: the default scheduler (round robin, one thread), pooled stacks ----------------

namespace fibers = boost::fibers;

long fiber_part(fibers::pooled_fixedsize_stack& stacks, long first, long leaves) {
  if (leaves == 1) return first;
  const long part = leaves / kChildren;
  long results[kChildren];
  fibers::fiber children[kChildren];
  for (long i = 0; i < kChildren; ++i) {
    children[i] = fibers::fiber(fibers::launch::dispatch, std::allocator_arg, stacks, [&, i] {
      results[i] = fiber_part(stacks, first + i * part, part);
    });
  }
  long sum = 0;
  for (long i = 0; i < kChildren; ++i) {
    children[i].join();
    sum += results[i];
  }
  return sum;
}

long boost_fiber() {
  static fibers::pooled_fixedsize_stack stacks(64 * 1024);
  return fiber_part(stacks, 0, kLeaves);
}

std::vector<double> run_here(long (*skynet)(), int times) {
  return in_child([=] {
    std::vector<double> all;
    for (int i = -1; i < times; ++i) {
      const double ms = skynet_ms(skynet);
      if (i >= 0) all.push_back(ms);
    }
    return all;
  });
}

// ---- Programs in other languages, which Bazel puts beside this one ------------------------------

std::vector<double> run_program(const char* name, unsigned threads, int times) {
  const auto path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
  if (!std::filesystem::exists(path)) return {};
  const std::string command =
      path.string() + " " + std::to_string(threads) + " " + std::to_string(times);
  FILE* const output = popen(command.c_str(), "re");
  if (!output) throw std::runtime_error("popen failed");
  std::vector<double> all;
  for (double ms; std::fscanf(output, "%lf", &ms) == 1;) all.push_back(ms);
  if (pclose(output) != 0) throw std::runtime_error(command + " failed");
  return all;
}

}  // namespace

std::span<const SkynetPeer> skynet_peers() {
  static const SkynetPeer kPeers[] = {
      {"Asio, callbacks", 1, [](int times) { return run_here(asio_callbacks, times); }},
      {"Asio, coroutines", 1, [](int times) { return run_here(asio_coroutines, times); }},
      {"Boost.Fiber", 1, [](int times) { return run_here(boost_fiber, times); }},
      {"Go", 1, [](int times) { return run_program("skynet_go", 1, times); }},
      {"tokio", 1, [](int times) { return run_program("skynet_tokio", 1, times); }},
      {"Go", 2, [](int times) { return run_program("skynet_go", 2, times); }},
      {"tokio", 2, [](int times) { return run_program("skynet_tokio", 2, times); }},
  };
  return kPeers;
}

}  // namespace weft::bench
