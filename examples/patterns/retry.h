// Tries again what has failed, after pauses that grow and are random.
#ifndef WEFT_EXAMPLES_PATTERNS_RETRY_H_
#define WEFT_EXAMPLES_PATTERNS_RETRY_H_

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <random>
#include <stdexcept>
#include <type_traits>

#include "weft/weft.h"

namespace patterns {

struct RetryOptions {
  int attempts = 5;                              // at most, the first included
  weft::AnyTimePoint deadline = weft::kForever;  // no further attempt begins after it
  // A pause is random, between zero and a limit: so clients that failed together do not come back
  // together. The limit is first_pause, then twice that, and so on, but at most longest_pause.
  weft::AnyDuration first_pause = std::chrono::milliseconds(100);
  weft::AnyDuration longest_pause = std::chrono::seconds(10);
  // Whether an error is worth another attempt. Null: each std::runtime_error is, such as
  // std::system_error and weft::TimeoutError.
  std::function<bool(const std::exception&)> again = nullptr;
};

// Between zero and `most`.
inline weft::Duration random_part(weft::Duration most) {
  thread_local std::minstd_rand random(std::random_device{}());
  return weft::AnyDuration(most * std::uniform_real_distribution<double>()(random));
}

// Calls f() until it returns, and returns its result.
//
//   Page page = patterns::retry([&] { return weft::with_timeout(1s, [&] { return load(url); }); },
//                               {.attempts = 3, .deadline = weft::now() + 10s});
//
// Throws what the last attempt has thrown: if there are no more attempts, if the next one would
// begin after the deadline, or if the error is not worth one. What is no std::exception goes
// through at once, and so do weft::Cancelled and a timeout around. The deadline ends no attempt
// that has begun: f limits itself.
//
// A pause is a cancellation point. Throws std::invalid_argument if f is null or there are no
// attempts; a negative pause counts as zero. Threads: any, and also plain ones, which block.
template <class F>
auto retry(F&& f, const RetryOptions& options = {}) -> std::invoke_result_t<F&> {
  if (options.attempts < 1) throw std::invalid_argument("patterns::retry: no attempts");
  if constexpr (std::is_constructible_v<bool, F&> &&
                !std::is_function_v<std::remove_reference_t<F>>) {
    if (!static_cast<bool>(f)) throw std::invalid_argument("patterns::retry: no function");
  }
  const auto is_worth_it = [&](const std::exception& error) {
    if (options.again) return options.again(error);
    return dynamic_cast<const std::runtime_error*>(&error) != nullptr;
  };
  const auto most = std::max<weft::Duration>(options.longest_pause, weft::Duration::zero());
  weft::Duration limit = std::clamp<weft::Duration>(options.first_pause, {}, most);
  for (int attempt = 1;; ++attempt) {
    try {
      return std::invoke(f);
    } catch (const std::exception& error) {
      const weft::Duration pause = random_part(limit);
      const weft::TimePoint now = weft::now();
      const bool is_late = now > options.deadline || pause > options.deadline - now;
      if (attempt == options.attempts || is_late || !is_worth_it(error)) throw;
      weft::sleep_for(pause);
      limit += std::min(limit, most - limit);
    }
  }
}

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_RETRY_H_
