#include "tests/laws/names.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <utility>

namespace laws {
namespace {

struct Token {
  std::string text;
  int line;
};

bool is_name_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_name(std::string_view token) {
  return !token.empty() && is_name_part(token[0]) &&
         std::isdigit(static_cast<unsigned char>(token[0])) == 0;
}

// Names, numbers, :: and -> whole, of the rest each character.
std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  int line = 0;
  bool goes_on = false;  // a directive does, with a backslash
  for (const std::string& code : lines_of(parts_of(text).code)) {
    ++line;
    const std::string_view whole = trimmed(code);
    const bool is_directive = goes_on || whole.starts_with('#');
    goes_on = is_directive && whole.ends_with('\\');
    if (is_directive) continue;
    for (std::size_t at = 0; at < code.size();) {
      std::size_t end = at + 1;
      if (is_name_part(code[at])) {
        while (end < code.size() && (is_name_part(code[end]) || code[end] == '\'')) ++end;
      } else if (code.compare(at, 2, "::") == 0 || code.compare(at, 2, "->") == 0) {
        ++end;
      }
      if (code[at] != ' ' && code[at] != '\t') tokens.push_back({code.substr(at, end - at), line});
      at = end;
    }
  }
  return tokens;
}

// Reads the declarations of namespaces, and skips all that is within classes and functions.
class Reader {
 public:
  explicit Reader(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  std::vector<Declaration> read() {
    while (!at_end()) scope("");
    return std::move(found_);
  }

 private:
  bool at_end() const { return at_ >= tokens_.size(); }
  const std::string& here(std::size_t ahead = 0) const {
    static const std::string kNothing;
    return at_ + ahead < tokens_.size() ? tokens_[at_ + ahead].text : kNothing;
  }
  bool is(std::string_view text) const { return here() == text; }
  bool take(std::string_view text) {
    if (!is(text)) return false;
    ++at_;
    return true;
  }

  // From an opening bracket to behind the closing one.
  void skip_brackets() {
    int depth = 0;
    do {
      if (is("(") || is("[") || is("{")) ++depth;
      if (is(")") || is("]") || is("}")) --depth;
      ++at_;
    } while (depth > 0 && !at_end());
  }

  // The same for <>, in which there may be others.
  void skip_angles() {
    int depth = 0;
    do {
      if (is("(") || is("[") || is("{")) {
        skip_brackets();
        continue;
      }
      if (is("<")) ++depth;
      if (is(">")) --depth;
      ++at_;
    } while (depth > 0 && !at_end());
  }

  void skip_statement() {  // to behind its semicolon
    while (!at_end() && !take(";")) {
      if (is("(") || is("[") || is("{")) {
        skip_brackets();
      } else {
        ++at_;
      }
    }
  }

  void skip_attributes() {
    while (is("[") || is("alignas") || is("__attribute__")) {
      if (!is("[")) ++at_;
      skip_brackets();
    }
  }

  void skip_requires() {
    do {
      if (take("requires") && is("{")) {
        skip_brackets();
      } else if (is("(")) {
        skip_brackets();
        if (is("{")) skip_brackets();
      } else {
        do {
          ++at_;
          if (is("<")) skip_angles();
        } while (take("::"));
      }
    } while (take_connective());
  }
  bool take_connective() {
    if (!((is("&") && here(1) == "&") || (is("|") && here(1) == "|"))) return false;
    at_ += 2;
    return true;
  }

  void add(const std::string& name, int line, bool is_class = false, bool is_forward = false) {
    if (is_name(name)) found_.push_back({scope_, name, line, is_class, is_forward});
  }

  // What a namespace has, and its closing bracket.
  void scope(const std::string& name) {
    const std::string outer = std::exchange(scope_, name);
    while (!at_end() && !take("}")) declaration();
    scope_ = outer;
  }

  void declaration() {
    if (take(";")) return;
    if (is("inline") && here(1) == "namespace") ++at_;
    if (take("namespace")) return named_scope();
    if (is("extern") && here(1) == "\"") {
      while (!at_end() && (is("extern") || is("\""))) ++at_;
      if (take("{")) return scope(std::string(scope_));
      return declaration();
    }
    if (is("static_assert") || (is("extern") && here(1) == "template")) return skip_statement();
    if (take("template")) {
      if (!is("<")) return skip_statement();
      skip_angles();
      if (is("requires")) {
        ++at_;
        skip_requires();
      }
      return declaration();
    }
    if (take("using")) return use();
    if (take("typedef")) return define_type();
    if (take("concept")) {
      add(here(), tokens_[at_].line);
      return skip_statement();
    }
    if (is("class") || is("struct") || is("union") || is("enum")) return type();
    function_or_variable();
  }

  void named_scope() {
    std::string name = scope_;
    bool is_named = false;
    for (; !at_end() && !is("{") && !is("="); ++at_) {
      if (!is_name(here())) continue;
      name += (name.empty() ? "" : "::") + here();
      is_named = true;
    }
    if (take("{")) return scope(is_named ? name : name + "::(anonymous)");
    skip_statement();
  }

  void use() {
    if (is("namespace")) return skip_statement();
    const std::size_t begin = at_;
    while (!at_end() && !is("=") && !is(";")) ++at_;
    // The new name comes first, that of another scope last.
    if (at_end()) return;
    const Token& token = is("=") ? tokens_[begin] : tokens_[at_ - 1];
    add(token.text, token.line);
    skip_statement();
  }

  void define_type() {
    skip_statement();
    add(tokens_[at_ - 2].text, tokens_[at_ - 2].line);
  }

  // A class, struct, union or enum; or a function or variable that begins with such a word.
  void type() {
    const bool is_class = !is("enum");
    const std::size_t begin = at_++;
    if (!is_class && (is("class") || is("struct"))) ++at_;
    skip_attributes();
    const Token name = at_end() ? Token{} : tokens_[at_];
    bool is_member = false;  // a nested class, defined outside of its own
    for (; !at_end() && !is("{") && !is(";"); ++at_) {
      if (is(":")) break;
      if (is("::")) is_member = true;
      if (is("<")) {
        skip_angles();
        --at_;
      }
      if (is("(") || is("=")) {
        at_ = begin + 1;
        return function_or_variable();
      }
    }
    if (take(":")) {
      while (!at_end() && !is("{") && !is(";")) {
        if (is("<")) {
          skip_angles();
        } else {
          ++at_;
        }
      }
    }
    const bool is_forward = is(";");
    if (!is_member) add(name.text, name.line, is_class, is_forward);
    skip_statement();
  }

  void function_or_variable() {
    Token name;
    while (!at_end() && !is(";") && !is("=") && !is("{")) {
      if (is("[") && here(1) == "[") {
        skip_brackets();
      } else if (is("alignas") || is("decltype") || is("explicit") || is("__attribute__")) {
        ++at_;
        if (is("(")) skip_brackets();
      } else if (is("operator")) {
        name = {};
        ++at_;
        while (!at_end() && !is("(")) ++at_;
        if (is("(") && here(1) == ")" && here(2) == "(") at_ += 2;
      } else if (is("<")) {
        skip_angles();
      } else if (is("(")) {
        return function(name);
      } else if (is("[")) {
        skip_brackets();
      } else if (is("::")) {
        ++at_;
        name = {std::string(), 0};
        if (is_name(here()) && here(1) == "(") return function({});  // of a class
        if (!is("operator")) ++at_;
      } else {
        if (is_name(here())) name = tokens_[at_];
        ++at_;
      }
    }
    add(name.text, name.line);
    skip_statement();
  }

  // From its parameters to behind its body.
  void function(const Token& name) {
    add(name.text, name.line);
    skip_brackets();
    bool initializes = false;  // members, before the body
    while (!at_end()) {
      if (take(";")) return;
      if (is("=")) return skip_statement();
      if (is("{")) {
        const std::string& before = tokens_[at_ - 1].text;
        const bool is_body = !initializes || before == ")" || before == "}";
        skip_brackets();
        if (is_body) return;
      } else if (is("(") || is("[")) {
        skip_brackets();
      } else if (take("requires")) {
        skip_requires();
      } else {
        if (is(":")) initializes = true;
        ++at_;
      }
    }
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::string scope_;
  std::vector<Declaration> found_;
};

}  // namespace

std::vector<Declaration> declarations_in(std::string_view text) {
  return Reader(tokens_of(text)).read();
}

std::set<std::string> names_given_by(std::string_view text) {
  std::set<std::string> names;
  for (const Declaration& declaration : declarations_in(text)) {
    if (declaration.is_forward) continue;
    if (declaration.scope == "weft") names.insert(declaration.name);
    if (declaration.scope == "weft::testing") names.insert("testing::" + declaration.name);
  }
  for (const Directive& directive : directives_of(text)) {
    constexpr std::string_view kDefine = "#define WEFT_";
    if (!directive.text.starts_with(kDefine)) continue;
    const std::string macro = directive.text.substr(8);
    const std::string name = macro.substr(0, macro.find_first_of(" ("));
    if (!name.ends_with("_H_")) names.insert(name + " (macro)");
  }
  return names;
}

std::set<std::string> defined_classes(std::string_view text) {
  std::set<std::string> classes;
  for (const Declaration& declaration : declarations_in(text)) {
    if (declaration.is_class && !declaration.is_forward &&
        declaration.scope.find("(anonymous)") == std::string::npos) {
      classes.insert(declaration.name);
    }
  }
  return classes;
}

std::map<std::string, int> forward_declarations(std::string_view text) {
  std::map<std::string, int> declared;
  const std::vector<Token> tokens = tokens_of(text);
  for (std::size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (tokens[i].text != "class" && tokens[i].text != "struct") continue;
    if (tokens[i + 2].text == ";") declared.emplace(tokens[i + 1].text, tokens[i + 1].line);
  }
  return declared;
}

std::map<int, std::string> using_directives(std::string_view text) {
  std::map<int, std::string> directives;
  const std::vector<Token> tokens = tokens_of(text);
  for (std::size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (tokens[i].text != "using" || tokens[i + 1].text != "namespace") continue;
    std::string name;
    for (std::size_t j = i + 2; j < tokens.size() && tokens[j].text != ";"; ++j) {
      name += tokens[j].text;
    }
    directives.emplace(tokens[i].line, name);
  }
  return directives;
}

}  // namespace laws
