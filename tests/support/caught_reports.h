// What weft reports while a test runs.
#ifndef WEFT_TESTS_SUPPORT_CAUGHT_REPORTS_H_
#define WEFT_TESTS_SUPPORT_CAUGHT_REPORTS_H_

#include <fnmatch.h>

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/weft.h"

namespace weft::test {

// Collects the reports of all threads instead of stderr, while it lives. Calls `then` after each.
class Reports {
 public:
  explicit Reports(std::function<void()> then = {}) {
    set_report_handler([this, then = std::move(then)](std::string_view text) {
      {
        const std::lock_guard lock(mutex_);
        all_.emplace_back(text);
      }
      if (then) then();
    });
  }
  ~Reports() { set_report_handler(nullptr); }
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;

  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  // One after the other.
  std::string text() const {
    std::string text;
    for (const std::string& report : all()) text += report + '\n';
    return text;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> all_;
};

// Whether a text matches a pattern: `*` is any text, line ends included, `?` any character.
inline bool matches(const std::string& text, const std::string& pattern) {
  return fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

// How often the words are in the text.
inline int count_words(std::string_view text, std::string_view words) {
  int count = 0;
  for (std::size_t at = 0; (at = text.find(words, at)) != text.npos; at += words.size()) ++count;
  return count;
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_CAUGHT_REPORTS_H_
