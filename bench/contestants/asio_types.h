// What both contestants of Boost.Asio use: its types with the executor of an io_context, instead of
// any_io_executor, which would call it by virtual functions.
#ifndef WEFT_BENCH_CONTESTANTS_ASIO_TYPES_H_
#define WEFT_BENCH_CONTESTANTS_ASIO_TYPES_H_

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/version.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/contestants/contestant.h"
#include "bench/lib/echo.h"
#include "bench/lib/harness.h"

namespace weft::bench {

namespace asio = boost::asio;

// One thread uses it, so there are no locks: "Concurrency Hints" in the documentation.
struct Context : asio::io_context {
  Context() : io_context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE) {}
};

using Executor = asio::io_context::executor_type;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<Tcp, Executor>;

// Not the concurrent_channel, which locks.
template <class... Signatures>
using Channel = asio::experimental::basic_channel<Executor, asio::experimental::channel_traits<>,
                                                  Signatures...>;

inline Acceptor listen(asio::io_context& context) {
  Acceptor acceptor(context, Tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  acceptor.listen(kEchoBacklog);
  return acceptor;
}

// One thread, on the last core.
class Pool {
 public:
  asio::thread_pool& operator*() { return pool_; }

 private:
  const OnCore last_{OnCore::kLast};
  asio::thread_pool pool_{1};
};

inline std::string asio_version() {
  return "Boost.Asio " + std::to_string(BOOST_VERSION / 100000) + "." +
         std::to_string(BOOST_VERSION / 100 % 1000);
}

}  // namespace weft::bench

#endif  // WEFT_BENCH_CONTESTANTS_ASIO_TYPES_H_
