#ifndef WEFT_TESTS_FAULTS_NOTICE_H_
#define WEFT_TESTS_FAULTS_NOTICE_H_

namespace weft::faults {

// What is to come of a call that failed.
enum class Notice {
  kMust,   // who made it learns of it
  kNever,  // it is repeated, or there is another way
  kMay,    // either: the call is made for several purposes, without one of which it goes, too
};

}  // namespace weft::faults

#endif  // WEFT_TESTS_FAULTS_NOTICE_H_
