#ifndef WEFT_TESTS_FAULTS_RECOVERY_H_
#define WEFT_TESTS_FAULTS_RECOVERY_H_

#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "tests/faults/notice.h"
#include "tests/faults/seam.h"
#include "tests/support/check.h"

namespace weft::faults {

// What the body does where a call of it fails.
struct Outcome {
  Notice notice;
  std::string words;  // what it throws has them
};

inline Outcome must_throw(std::string words) { return {Notice::kMust, std::move(words)}; }
inline Outcome unnoticed() { return {Notice::kNever, ""}; }

// Sometimes it throws, sometimes not; in no run never.
inline Outcome may_throw(std::string words) { return {Notice::kMay, std::move(words)}; }

// Runs the body again and again, within this process: its first call of a function fails, then its
// second, and so on, until there is none. It throws or not, as it should; it leaves nothing behind;
// and the next time, without a fault, it succeeds.
//
// `fault`: "mmap:ENOMEM"; or "mmap+:ENOMEM", where the calls that follow fail, too.
inline void check_recovery(std::string_view fault, const Outcome& outcome,
                           const std::function<void()>& body) {
  constexpr long kEnough = 1000;
  const std::size_t colon = fault.find(':');
  const bool from_then_on = fault[colon - 1] == '+';
  const std::string call(fault.substr(0, colon - from_then_on));
  body();  // what is made once in a process is made now
  const auto before = descriptors();
  const long mapped = mapped_bytes();
  bool ever_thrown = false;
  for (long turn = 1; turn <= kEnough; ++turn) {
    const std::string one = call + ":" + std::to_string(turn) + (from_then_on ? "+" : "") +
                            std::string(fault.substr(colon));
    BOOST_TEST_CONTEXT(one) {
      long strikes = 0;
      bool thrown = false;
      {
        const Armed armed(one);
        try {
          body();
        } catch (const std::exception& error) {
          thrown = true;
          BOOST_TEST((outcome.notice != Notice::kNever), "it says: " << error.what());
          BOOST_TEST(std::string_view(error.what()).find(outcome.words) != std::string_view::npos,
                     "it says: " << error.what());
        }
        strikes = struck();
      }
      ever_thrown = ever_thrown || thrown;
      if (outcome.notice == Notice::kMust) {
        BOOST_TEST(thrown == (strikes > 0), "the failure is not noticed");
      }
      BOOST_TEST(mapped_bytes() == mapped);
      BOOST_TEST((descriptors() == before), "a descriptor is left");
      body();
      if (strikes > 0) continue;
      BOOST_TEST(turn > 1, "no call was made");
      BOOST_TEST((ever_thrown || outcome.notice != Notice::kMay), "no failure is noticed");
      return;
    }
  }
  BOOST_ERROR("there is no end of calls");
}

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_RECOVERY_H_
