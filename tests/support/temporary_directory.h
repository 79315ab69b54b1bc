#ifndef WEFT_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_
#define WEFT_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weft::test {

// A new directory, which goes with all that is in it. Its path is short enough for socket files.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_("/tmp/weft-test-XXXXXX") {
    if (!mkdtemp(path_.data())) throw std::runtime_error("mkdtemp failed");
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_
