#include "weft/io/exit_status.h"

#include <csignal>

#include "tests/support/check.h"

BOOST_AUTO_TEST_SUITE(exit_status)

using weft::ExitStatus;

namespace {

constexpr int kCore = 0x80;

}  // namespace

BOOST_AUTO_TEST_CASE(zero_is_a_success) {
  for (const ExitStatus status : {ExitStatus(), ExitStatus(0)}) {
    BOOST_TEST(status.ok());
    BOOST_TEST(status.code() == 0);
    BOOST_TEST(status.signal() == 0);
    BOOST_TEST(!status.core_dumped());
    BOOST_TEST(status.to_string() == "exited with 0");
  }
}

BOOST_AUTO_TEST_CASE(a_code_is_no_signal) {
  for (const int code : {1, 2, 127, 128, 255}) {
    const ExitStatus status(code << 8);
    BOOST_TEST(!status.ok());
    BOOST_TEST(status.code() == code);
    BOOST_TEST(status.signal() == 0);
    BOOST_TEST(!status.core_dumped());
    BOOST_TEST(status.to_string() == "exited with " + std::to_string(code));
  }
}

BOOST_AUTO_TEST_CASE(a_signal_is_no_code) {
  const ExitStatus status(SIGSEGV);
  BOOST_TEST(!status.ok());
  BOOST_TEST(status.code() == -1);
  BOOST_TEST(status.signal() == SIGSEGV);
  BOOST_TEST(!status.core_dumped());
  BOOST_TEST(status.to_string() == "was killed by SIGSEGV");
}

BOOST_AUTO_TEST_CASE(a_core_is_reported) {
  const ExitStatus status(SIGABRT | kCore);
  BOOST_TEST(status.signal() == SIGABRT);
  BOOST_TEST(status.core_dumped());
  BOOST_TEST(status.to_string() == "was killed by SIGABRT, core dumped");
}

BOOST_AUTO_TEST_CASE(a_signal_without_a_name_is_a_number) {
  BOOST_TEST(ExitStatus(40).to_string() == "was killed by signal 40");
  BOOST_TEST(ExitStatus(40).signal() == 40);
}

BOOST_AUTO_TEST_CASE(equal_ends_are_equal) {
  BOOST_TEST((ExitStatus(SIGTERM) == ExitStatus(SIGTERM)));
  BOOST_TEST((ExitStatus(SIGTERM) != ExitStatus(SIGTERM << 8)));
}

BOOST_AUTO_TEST_SUITE_END()
