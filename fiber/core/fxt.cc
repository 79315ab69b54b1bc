#include "weft/fiber/core/fxt.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace weft::internal {
namespace {

constexpr std::uint64_t kMagic = 0x0016547846040010;

enum RecordType : std::uint64_t {
  kMetadata = 0,
  kInitialization = 1,
  kString = 2,
  kEvent = 4,
  kKernelObject = 7,
  kScheduling = 8,
};

constexpr std::uint64_t kProviderInfo = 1;
constexpr std::uint64_t kDurationBegin = 2;
constexpr std::uint64_t kDurationEnd = 3;
constexpr std::uint64_t kProcess = 1;
constexpr std::uint64_t kThread = 2;
constexpr std::uint64_t kContextSwitch = 1;
constexpr std::uint64_t kThreadWakeup = 2;
constexpr std::uint64_t kInt32Argument = 1;
constexpr std::uint64_t kKoidArgument = 8;

// A string that stands in the record itself, whose length follows.
constexpr std::uint64_t kInline = 0x8000;
// The indices of strings, but for 0: the empty one.
constexpr std::size_t kMostStrings = 0x7fff;
// What a length has room for, and an index too.
constexpr std::size_t kLongest = 0x7fff;

constexpr std::uint64_t words_of(std::string_view text) { return (text.size() + 7) / 8; }

// The header of a record or an argument: `words` with the header itself.
constexpr std::uint64_t header(std::uint64_t type, std::uint64_t words) {
  return type | words << 4;
}

}  // namespace

FxtWriter::FxtWriter(std::string_view process, std::uint64_t pid, std::uint64_t ticks_per_second)
    : pid_(pid) {
  words_.push_back(kMagic);
  words_.push_back(header(kMetadata, 1 + words_of(process)) | kProviderInfo << 16 |
                   process.size() << 52);
  text(process);
  record(header(kInitialization, 2), {ticks_per_second});
  record(header(kKernelObject, 2 + words_of(process)) | kProcess << 16 |
             (kInline | process.size()) << 24,
         {pid});
  text(process);
}

void FxtWriter::record(std::uint64_t header, std::initializer_list<std::uint64_t> rest) {
  words_.push_back(header);
  words_.insert(words_.end(), rest);
}

// With zeros up to the next word.
void FxtWriter::text(std::string_view text) {
  const std::size_t begin = words_.size();
  words_.resize(begin + words_of(text));
  if (!text.empty()) std::memcpy(&words_[begin], text.data(), text.size());
}

// The index of a string, which is written before its first use. The empty one when there are no
// more indices.
std::uint64_t FxtWriter::reference(std::string_view name) {
  name = name.substr(0, kLongest);
  if (const auto found = strings_.find(name); found != strings_.end()) return found->second;
  if (name.empty() || strings_.size() == kMostStrings) return 0;
  const std::uint64_t index = strings_.size() + 1;
  strings_.emplace(name, index);
  words_.push_back(header(kString, 1 + words_of(name)) | index << 16 | name.size() << 32);
  text(name);
  return index;
}

void FxtWriter::thread(std::uint64_t id, std::string_view name) {
  const std::uint64_t process = reference("process");
  words_.push_back(header(kKernelObject, 4 + words_of(name)) | kThread << 16 |
                   (kInline | name.size()) << 24 | std::uint64_t{1} << 40);
  words_.push_back(id);
  text(name);
  record(header(kKoidArgument, 2) | process << 16, {pid_});
}

// An argument by which readers know a thread that stands for no work.
std::uint64_t FxtWriter::idle_weight(const char* name) {
  constexpr auto kWeight = static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::min());
  return header(kInt32Argument, 1) | reference(name) << 16 | std::uint64_t{kWeight} << 32;
}

void FxtWriter::context_switch(std::uint32_t processor, std::uint64_t time, std::uint64_t from,
                               State state, std::uint64_t to) {
  std::vector<std::uint64_t> weights;
  if (from == kIdle) weights.push_back(idle_weight("outgoing_weight"));
  if (to == kIdle) weights.push_back(idle_weight("incoming_weight"));
  record(header(kScheduling, 4 + weights.size()) | weights.size() << 16 |
             std::uint64_t{processor} << 20 | std::uint64_t{state} << 36 | kContextSwitch << 60,
         {time, from, to});
  words_.insert(words_.end(), weights.begin(), weights.end());
}

void FxtWriter::wake_up(std::uint32_t processor, std::uint64_t time, std::uint64_t id,
                        std::uint64_t waker) {
  const std::uint64_t name = reference("waker");
  const std::uint64_t arguments = waker != 0 ? 1 : 0;
  record(header(kScheduling, 3 + 2 * arguments) | arguments << 16 | std::uint64_t{processor} << 20 |
             kThreadWakeup << 60,
         {time, id});
  if (arguments) record(header(kKoidArgument, 2) | name << 16, {waker});
}

void FxtWriter::span(std::uint64_t type, std::uint64_t time, std::uint64_t id,
                     std::string_view name) {
  const std::uint64_t category = reference("weft");
  const std::uint64_t index = reference(name);
  record(header(kEvent, 4) | type << 16 | category << 32 | index << 48, {time, pid_, id});
}

void FxtWriter::begin_span(std::uint64_t time, std::uint64_t id, std::string_view name) {
  span(kDurationBegin, time, id, name);
}

void FxtWriter::end_span(std::uint64_t time, std::uint64_t id, std::string_view name) {
  span(kDurationEnd, time, id, name);
}

}  // namespace weft::internal
