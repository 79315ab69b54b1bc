#ifndef WEFT_FIBER_CORE_FXT_H_
#define WEFT_FIBER_CORE_FXT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weft::internal {

// A trace in the Fuchsia Trace Format, which ui.perfetto.dev opens: records of 64-bit words, whose
// headers have the type and the length. A thread is one of a kernel there, and a fiber here.
//
//   FxtWriter fxt("weft", 42, 1'000'000'000);
//   fxt.thread(7, "reader");
//   fxt.context_switch(0, 2000, 7, FxtWriter::kBlocked, FxtWriter::kIdle);
//   write_file(fxt.words());
class FxtWriter {
 public:
  // What a thread is that has stopped.
  enum State : std::uint8_t { kRunnable = 1, kBlocked = 3, kDead = 5 };

  // The thread that stands for a processor without work. Nothing is drawn for it.
  static constexpr std::uint64_t kIdle = 0;

  FxtWriter(std::string_view process, std::uint64_t pid, std::uint64_t ticks_per_second);

  void thread(std::uint64_t id, std::string_view name);

  // `state`: what `from` is now. Times are in ticks.
  void context_switch(std::uint32_t processor, std::uint64_t time, std::uint64_t from, State state,
                      std::uint64_t to);
  // `waker`: zero if it is not known.
  void wake_up(std::uint32_t processor, std::uint64_t time, std::uint64_t id, std::uint64_t waker);
  void begin_span(std::uint64_t time, std::uint64_t id, std::string_view name);
  void end_span(std::uint64_t time, std::uint64_t id, std::string_view name);

  const std::vector<std::uint64_t>& words() const noexcept { return words_; }

 private:
  void record(std::uint64_t header, std::initializer_list<std::uint64_t> rest);
  void text(std::string_view text);
  std::uint64_t reference(std::string_view text);
  std::uint64_t idle_weight(const char* name);
  void span(std::uint64_t type, std::uint64_t time, std::uint64_t id, std::string_view name);

  const std::uint64_t pid_;
  std::vector<std::uint64_t> words_;
  std::map<std::string, std::uint64_t, std::less<>> strings_;
};

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_FXT_H_
