#include "tests/laws/sources.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/support/check.h"

namespace laws {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Cuts a text into code, comments and what is in quotes.
class Cutter {
 public:
  explicit Cutter(std::string_view text) : text_(text), parts_{blank(), blank()} {}

  Parts cut() {
    while (at_ < text_.size()) step();
    return std::move(parts_);
  }

 private:
  std::string blank() const {
    std::string blanks(text_);
    for (char& c : blanks) {
      if (c != '\n') c = ' ';
    }
    return blanks;
  }

  void step() {
    const char c = text_[at_];
    if (text_.substr(at_, 2) == "//") return comment(end_of_line());
    if (text_.substr(at_, 2) == "/*") return comment(after("*/", at_ + 2));
    if (text_.substr(at_, 8) == "#include")
      return code(std::min(end_of_line(), text_.find(" //", at_)));
    if (text_.substr(at_, 2) == "R\"") return raw();
    // The other ' parts the digits of a number.
    if (c == '"' || (c == '\'' && (at_ == 0 || !is_name(text_[at_ - 1])))) return quoted(c);
    code(at_ + 1);
  }

  std::size_t end_of_line() const { return std::min(text_.find('\n', at_), text_.size()); }
  std::size_t after(std::string_view closing, std::size_t from) const {
    const std::size_t found = text_.find(closing, from);
    return found == npos ? text_.size() : found + closing.size();
  }

  void copy(std::string& to, std::size_t end) {
    for (end = std::min(end, text_.size()); at_ < end; ++at_) to[at_] = text_[at_];
  }
  void comment(std::size_t end) { copy(parts_.comments, end); }
  void code(std::size_t end) { copy(parts_.code, end); }

  void quoted(char quote) {
    code(at_ + 1);
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    code(at_ + 1);
  }

  void raw() {
    const std::size_t open = text_.find('(', at_);
    if (open == npos) return code(at_ + 2);
    const std::string close = ")" + std::string(text_.substr(at_ + 2, open - at_ - 2)) + "\"";
    code(at_ + 2);
    at_ = after(close, open) - 1;
    code(at_ + 1);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Parts parts_;
};

Tree read_library() {
  Tree tree;
  for (const char* path : {"weft.h", "testing.h", "version.h"}) tree[path] = read_file(path);
  for (const char* folder : {"fiber", "sync", "io"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const auto extension = entry.path().extension();
      if (extension != ".h" && extension != ".cc") continue;
      tree[entry.path().string()] = read_file(entry.path().string());
    }
  }
  return tree;
}

}  // namespace

const Tree& library() {
  static const Tree tree = read_library();
  return tree;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

void expect_none(const Breaches& breaches) {
  for (const std::string& breach : breaches) BOOST_ERROR(breach);
  BOOST_TEST(breaches.empty(), breaches.size() << " breaches");
}

bool has(const Breaches& breaches, std::string_view text) {
  for (const std::string& breach : breaches) {
    if (breach.find(text) != npos) return true;
  }
  return false;
}

bool is_header(std::string_view path) { return path.ends_with(".h"); }
bool is_core(std::string_view path) { return path.find("/core/") != npos; }
bool is_public(std::string_view path) { return is_header(path) && !is_core(path); }
bool is_for_tests(std::string_view path) {
  return path == "testing.h" || path.find("/testing/") != npos;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

std::string joined(const std::set<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

Parts parts_of(std::string_view text) { return Cutter(text).cut(); }

std::string place(const std::string& path, int line) {
  return path + ":" + std::to_string(line) + ": ";
}

std::vector<Directive> directives_of(std::string_view text) {
  std::vector<Directive> found;
  int number = 0;
  for (const std::string& line : lines_of(parts_of(text).code)) {
    ++number;
    const std::string_view directive = trimmed(line);
    if (directive.starts_with('#')) found.push_back({number, std::string(directive)});
  }
  return found;
}

std::vector<Include> includes_of(std::string_view text) {
  constexpr std::string_view kOurs = "#include \"weft/";
  std::vector<Include> found;
  for (const Directive& directive : directives_of(text)) {
    if (!directive.text.starts_with(kOurs)) continue;
    const std::string path = directive.text.substr(kOurs.size());
    found.push_back({directive.line, path.substr(0, path.find('"'))});
  }
  return found;
}

std::set<std::string> reachable_from_public(const Tree& tree) {
  std::set<std::string> reached;
  std::vector<std::string> to_visit;
  for (const auto& [path, text] : tree) {
    if (is_public(path)) to_visit.push_back(path);
  }
  while (!to_visit.empty()) {
    const std::string path = to_visit.back();
    to_visit.pop_back();
    if (!reached.insert(path).second) continue;
    const auto file = tree.find(path);
    if (file == tree.end()) continue;
    for (const Include& include : includes_of(file->second)) to_visit.push_back(include.path);
  }
  return reached;
}

std::vector<std::string> list_in(std::string_view text) {
  std::vector<std::string> list;
  for (const std::string& line : lines_of(text)) {
    const std::string_view entry = trimmed(line);
    if (!entry.empty() && !entry.starts_with('#')) list.emplace_back(entry);
  }
  return list;
}

}  // namespace laws
