#ifndef WEFT_TESTS_SUPPORT_ERROR_NAMES_H_
#define WEFT_TESTS_SUPPORT_ERROR_NAMES_H_

#include <string>
#include <system_error>
#include <vector>

namespace weft::test {

// For BOOST_CHECK_EXCEPTION: an error of this code, whose text names these, such as call and path.
template <class... Words>
auto is(std::errc code, Words... words) {
  return [code, all = std::vector<std::string>{words...}](const std::system_error& error) {
    const std::string what = error.what();
    for (const std::string& word : all) {
      if (what.find(word) == std::string::npos) return false;
    }
    return error.code() == code;
  };
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_ERROR_NAMES_H_
