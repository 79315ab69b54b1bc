#ifndef WEFT_TESTS_SUPPORT_FXT_H_
#define WEFT_TESTS_SUPPORT_FXT_H_

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace weft::test {

// A file in the Fuchsia Trace Format, read as fuchsia.dev describes it. Throws std::runtime_error
// at each record, argument and reference that it does not know, and each wrong length.
class Fxt {
 public:
  struct Switch {
    std::uint64_t processor, time, from, to, state;
    bool from_idle, to_idle;
  };
  struct Wake {
    std::uint64_t processor, time, id, waker;  // waker: 0 if it is not there
  };
  struct Span {
    bool begin;
    std::uint64_t time, id;
    std::string name;
  };
  static constexpr std::uint64_t kRunnable = 1, kBlocked = 3, kDead = 5;

  explicit Fxt(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    check(in && bytes.size() % 8 == 0 && !bytes.empty(), "its size is no multiple of eight");
    words_.resize(bytes.size() / 8);
    std::memcpy(words_.data(), bytes.data(), bytes.size());
    check(take() == 0x0016547846040010, "it does not begin as such a file");
    while (at_ < words_.size()) read_record();
    check(ticks_per_second != 0, "there is no initialization");
  }

  std::uint64_t ticks_per_second = 0;
  std::string provider;
  std::map<std::uint64_t, std::string> processes, threads;
  std::vector<Switch> switches;
  std::vector<Wake> wakes;
  std::vector<Span> spans;

  // The id of the only thread of this name.
  std::uint64_t id_of(const std::string& name) const {
    std::uint64_t found = 0;
    for (const auto& [id, its_name] : threads) {
      if (its_name == name) check(!std::exchange(found, id), "two threads are named " + name);
    }
    check(found != 0, "no thread is named " + name);
    return found;
  }

 private:
  struct Argument {
    std::uint64_t type, value;
  };

  static void check(bool fine, const std::string& what) {
    if (!fine) throw std::runtime_error("not a file in the Fuchsia Trace Format: " + what);
  }

  static std::uint64_t bits(std::uint64_t word, int first, int last) {
    return word << (63 - last) >> (63 - last + first);
  }

  std::uint64_t take() {
    check(at_ < end(), "a record is too short");
    return words_[at_++];
  }
  std::size_t end() const { return end_ ? end_ : words_.size(); }

  std::string take_text(std::uint64_t size) {
    std::string text;
    for (std::uint64_t i = 0; i < size; i += 8) {
      const std::uint64_t word = take();
      text.append(reinterpret_cast<const char*>(&word), 8);
    }
    check(text.find_first_not_of('\0', size) == std::string::npos, "what fills up is not zero");
    text.resize(size);
    return text;
  }

  std::string text_of(std::uint64_t reference) {
    if (reference & 0x8000) return take_text(reference & 0x7fff);
    if (reference == 0) return "";
    check(strings_.count(reference) == 1, "a string is used before it is defined");
    return strings_[reference];
  }

  std::map<std::string, Argument> take_arguments(std::uint64_t count) {
    std::map<std::string, Argument> arguments;
    while (count-- > 0) {
      const std::uint64_t header = take();
      const std::size_t end = at_ - 1 + bits(header, 4, 15);
      const std::string name = text_of(bits(header, 16, 31));
      const std::uint64_t type = bits(header, 0, 3);
      check(type == 1 || type == 8, "an argument is neither an int32 nor a koid");
      arguments[name] = {type, type == 1 ? bits(header, 32, 63) : take()};
      check(at_ == end, "an argument has another length");
    }
    return arguments;
  }

  void read_record() {
    end_ = 0;
    const std::uint64_t header = take();
    end_ = at_ - 1 + bits(header, 4, 15);
    check(end_ >= at_ && end_ <= words_.size(), "a record has a wrong length");
    switch (bits(header, 0, 3)) {
      case 0:
        return read_metadata(header);
      case 1:
        ticks_per_second = take();
        break;
      case 2:
        check(bits(header, 16, 30) != 0, "the empty string is defined");
        strings_[bits(header, 16, 30)] = take_text(bits(header, 32, 46));
        break;
      case 4:
        read_event(header);
        break;
      case 7:
        read_object(header);
        break;
      case 8:
        read_scheduling(header);
        break;
      default:
        check(false, "a record of an unknown type");
    }
    check(at_ == end_, "a record has another length");
  }

  void read_metadata(std::uint64_t header) {
    check(bits(header, 16, 19) == 1, "metadata of an unknown type");
    provider = take_text(bits(header, 52, 59));
    check(at_ == end_, "a record has another length");
  }

  void read_object(std::uint64_t header) {
    const std::uint64_t id = take();
    const std::string name = text_of(bits(header, 24, 39));
    const auto arguments = take_arguments(bits(header, 40, 43));
    if (bits(header, 16, 23) == 1) {
      check(arguments.empty() && processes.emplace(id, name).second, "a process twice");
    } else {
      check(bits(header, 16, 23) == 2, "an object of an unknown type");
      check(arguments.size() == 1 && arguments.count("process"), "a thread without a process");
      check(processes.count(arguments.at("process").value), "a thread of an unknown process");
      check(threads.emplace(id, name).second, "a thread twice");
    }
  }

  void read_event(std::uint64_t header) {
    const std::uint64_t type = bits(header, 16, 19);
    check(type == 2 || type == 3, "an event that neither begins nor ends a span");
    check(bits(header, 20, 31) == 0, "arguments, or a thread by its index");
    const std::uint64_t time = take();
    check(processes.count(take()), "an event of an unknown process");
    const std::uint64_t id = take();
    check(threads.count(id), "an event of an unknown thread");
    check(text_of(bits(header, 32, 47)) == "weft", "another category");
    spans.push_back({type == 2, time, id, text_of(bits(header, 48, 63))});
  }

  void read_scheduling(std::uint64_t header) {
    const std::uint64_t type = bits(header, 60, 63);
    const std::uint64_t processor = bits(header, 20, 35);
    const std::uint64_t time = take();
    const std::uint64_t id = take();
    if (type == 2) {
      const auto arguments = take_arguments(bits(header, 16, 19));
      check(bits(header, 36, 59) == 0 && arguments.size() <= 1, "a wake-up with something else");
      const std::uint64_t waker = arguments.empty() ? 0 : arguments.at("waker").value;
      check(threads.count(id) && (waker == 0 || threads.count(waker)), "an unknown thread");
      return wakes.push_back({processor, time, id, waker});
    }
    check(type == 1 && bits(header, 40, 59) == 0, "a scheduling record of an unknown type");
    const std::uint64_t to = take();
    const auto arguments = take_arguments(bits(header, 16, 19));
    const bool from_idle = is_idle(arguments, "outgoing_weight");
    const bool to_idle = is_idle(arguments, "incoming_weight");
    check(from_idle == !threads.count(id) && to_idle == !threads.count(to), "an unknown thread");
    switches.push_back({processor, time, id, to, bits(header, 36, 39), from_idle, to_idle});
  }

  static bool is_idle(const std::map<std::string, Argument>& arguments, const char* name) {
    const auto found = arguments.find(name);
    if (found == arguments.end()) return false;
    check(found->second.type == 1 && found->second.value == 0x80000000, "an unknown weight");
    return true;
  }

  std::vector<std::uint64_t> words_;
  std::size_t at_ = 0;   // the next word
  std::size_t end_ = 0;  // of the record; 0: outside of one
  std::map<std::uint64_t, std::string> strings_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_FXT_H_
