// How long a test searches that could search for ever.
#ifndef WEFT_TESTS_SUPPORT_BOUND_H_
#define WEFT_TESTS_SUPPORT_BOUND_H_

#include <cstdlib>
#include <string_view>

namespace weft::test {

// `full` with --test_env=WEFT_BOUND=full, as .ci/run searches; else what takes a few seconds.
template <class T>
T bound(T full, T otherwise) {
  const char* const given = std::getenv("WEFT_BOUND");
  return given && std::string_view(given) == "full" ? full : otherwise;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_BOUND_H_
