// weft for tests: virtual time, random orders, and faults. Use it with Boost.Test, GoogleTest or
// neither: what fails throws. docs/testing.md is a tour. Above each include stand the names that it
// gives.
//
//   BOOST_AUTO_TEST_CASE(a_server_that_hangs_is_given_up) {
//     weft::testing::run_test([] {
//       auto [client, server] = weft::testing::stream_pair();
//       BOOST_CHECK_THROW(ask(client, "x"), weft::TimeoutError);  // takes no time
//     });
//   }
#ifndef WEFT_TESTING_H_
#define WEFT_TESTING_H_

// Fault, FaultOptions, fail_next
#include "weft/io/testing/fail_next.h"
// TestOptions, advance, no_waiting, run_shuffled, run_test, run_until_blocked
#include "weft/io/testing/run_test.h"
// Sequencer
#include "weft/io/testing/sequencer.h"
// MemoryStream, StreamPairOptions, stream_pair
#include "weft/io/testing/stream_pair.h"

#endif  // WEFT_TESTING_H_
