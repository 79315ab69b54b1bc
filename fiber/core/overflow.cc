#include "weft/fiber/core/overflow.h"

#include <sys/mman.h>
#include <unwind.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/context.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/core/interrupted.h"
#include "weft/fiber/core/lives.h"
#include "weft/fiber/core/mangled.h"
#include "weft/fiber/core/running.h"
#include "weft/fiber/core/stack.h"
#include "weft/fiber/core/symbols.h"
#include "weft/fiber/core/text.h"

namespace weft::internal {
namespace {

#if defined(WEFT_ASAN)
constexpr bool kTakesFaults = false;
#else
constexpr bool kTakesFaults = !kExplored;
#endif

// Address space, which only a handler touches. Enough for a large one of the program's.
constexpr std::size_t kAlternateSize = std::size_t{64} * 1024;

// What it takes to look at the stack: 9 KiB where it was measured, much of it for vector registers.
constexpr std::size_t kEnough = std::size_t{16} * 1024;

// ---- The functions on a stack -------------------------------------------------------------------

// Frames in a row that are at the same place, as those of a recursion are.
struct Row {
  std::uintptr_t code = 0;
  std::size_t first = 0;  // the number of its uppermost frame
  std::size_t count = 0;
  std::size_t begin = 0;  // where that lies
  std::size_t bytes = 0;  // of all; 0: not known

  CodePlace place() const noexcept {
    return find_code_in_handler(reinterpret_cast<const void*>(code));
  }
  void write(Text& text) const noexcept;
};

void Row::write(Text& text) const noexcept {
  const CodePlace where = place();
  text << "    #" << first;
  text.tab(10) << (where.symbol ? where.symbol : "?") << "    " << where.module << "+"
               << Hex(where.offset);
  if (bytes != 0) text << "    " << Count(bytes / count) << " bytes";
  if (bytes != 0 && count > 1) text << " a frame, " << Count(count) << " times";
  text << "\n";
}

// The stack that the calling handler has interrupted. It is kept in rows: the first ones, and of
// all others the last ones.
class Backtrace {
 public:
  // `fault`: the instruction.
  explicit Backtrace(std::uintptr_t fault) noexcept : fault_(fault) {
    _Unwind_Backtrace(&Backtrace::visit, this);
    if (row_.count != 0) end_row();
  }

  // Without the functions of weft that have started the task.
  void write(Text& text) noexcept;

 private:
  static constexpr std::size_t kFirst = 12;
  static constexpr std::size_t kLast = 6;
  static constexpr std::size_t kStarters = 24;  // at most, as compiled without optimization
  static constexpr std::size_t kKept = kLast + kStarters;

  static _Unwind_Reason_Code visit(_Unwind_Context* context, void* self) noexcept {
    auto& all = *static_cast<Backtrace*>(self);
    return all.add(_Unwind_GetIP(context), _Unwind_GetCFA(context)) ? _URC_NO_REASON
                                                                    : _URC_END_OF_STACK;
  }

  bool add(std::uintptr_t code, std::size_t begin) noexcept;
  void end_row() noexcept { at(rows_++) = row_; }
  Row& at(std::size_t n) noexcept { return n < kFirst ? first_[n] : last_[n % kKept]; }
  std::size_t end_of_task() noexcept;

  const std::uintptr_t fault_;
  std::size_t frames_ = 0;
  std::size_t rows_ = 0;
  Row row_;  // the one under way
  Row first_[kFirst];
  Row last_[kKept];
};

// The next frame, which has called the one before, or has made the fault. What comes before that is
// the handler's. Returns false where the stack ends.
bool Backtrace::add(std::uintptr_t code, std::size_t begin) noexcept {
  if (frames_ == 0) {
    if (code != fault_) return true;
  } else {
    // Only the first may have nothing on the stack, before it has made room. Else it is no stack.
    if (begin < row_.begin || (begin == row_.begin && frames_ > 1)) return false;
    --code;  // in the call, not behind it
    row_.bytes = begin - row_.begin;
    if (code == row_.code) {
      ++row_.count;
    } else {
      end_row();
    }
  }
  if (code != row_.code) row_ = {.code = code, .first = frames_, .count = 1, .begin = begin};
  ++frames_;
  return true;
}

// How many rows there are without the lowest ones that no task needs to know.
std::size_t Backtrace::end_of_task() noexcept {
  for (std::size_t end = rows_; end > 0 && rows_ - end <= kStarters; --end) {
    if (!is_plumbing(at(end - 1).place().symbol)) return end;
  }
  return rows_;
}

void Backtrace::write(Text& text) noexcept {
  const std::size_t end = end_of_task();
  const std::size_t first = std::min(end, kFirst);
  const std::size_t last = std::max(first, end - std::min(end, kLast));
  for (std::size_t n = 0; n < first; ++n) at(n).write(text);
  if (first < last) {
    const Row& before = at(first - 1);
    text << "          and " << Count(at(last).first - before.first - before.count) << " more\n";
  }
  for (std::size_t n = last; n < end; ++n) at(n).write(text);
}

// ---- The handler --------------------------------------------------------------------------------

struct sigaction next_for_fault;  // what gets the signal afterwards

// Whether the stack has grown to this address in its guard: nothing lies far below the stack
// pointer, but a large frame far above it. A switch begins on the stack that it leaves, when the
// next fiber counts as the running one already; it has no large frame.
bool has_grown_to(std::uintptr_t address, std::uintptr_t stack, const Fiber& fiber) noexcept {
  constexpr std::uintptr_t kNear = 4096;
  return stack <= address + kNear && (&fiber == running.fiber || address <= stack + kNear);
}

void explain(const void* address, const Interrupted& interrupted) noexcept {
  const Fiber* const guarded = Lives::here()->guarded_by(address);
  if (!guarded || !guarded->live) return;
  const FiberLabel victim(*guarded, "task");
  const auto place = reinterpret_cast<std::uintptr_t>(address);
  Text text(to_stderr, nullptr);
  if (!has_grown_to(place, interrupted.stack, *guarded)) {
    const Fiber* const self = running.fiber;
    text << "weft: " << (self ? FiberLabel(*self, "task").text : "a scheduler's loop")
         << " touched the guard page below the stack of " << victim.text << ", at " << Hex(place)
         << ": a wild pointer, no overflow\n";
    return;
  }
  text << "weft: " << victim.text << " overflowed its stack of "
       << guarded->pool->stack_size() / 1024 << " KiB, at " << Hex(place) << "\n";
  text.flush();  // in case that the rest does not come
  if (interrupted.alternate_size >= kEnough) Backtrace(interrupted.code).write(text);
}

void pass_fault_on(int signal, siginfo_t* info, void* context) noexcept {
  const bool has_handler =
      next_for_fault.sa_handler != SIG_DFL && next_for_fault.sa_handler != SIG_IGN;
  const bool is_fault = info->si_code > 0;
  if (!has_handler || (next_for_fault.sa_flags & SA_RESETHAND)) {
    if (!is_fault && next_for_fault.sa_handler == SIG_IGN) return;
    std::signal(signal, SIG_DFL);
  }
  if (has_handler && (next_for_fault.sa_flags & SA_SIGINFO)) {
    next_for_fault.sa_sigaction(signal, info, context);
  } else if (has_handler) {
    next_for_fault.sa_handler(signal);
  } else if (!is_fault) {
    raise(signal);  // delivered when the handler returns; a fault comes again by itself
  }
}

// The signal is blocked meanwhile, as SA_NODEFER is not set: a fault in here ends the program.
void on_fault(int signal, siginfo_t* info, void* context) noexcept {
  const int error = errno;
  if (info->si_code > 0 && running.scheduler) {
    explain(info->si_addr, Interrupted(context));
  }
  errno = error;
  pass_fault_on(signal, info, context);
}

bool install() noexcept {
  // Its first call prepares it, and binds what it calls.
  _Unwind_Backtrace([](_Unwind_Context*, void*) { return _URC_END_OF_STACK; }, nullptr);
  if (sigaction(SIGSEGV, nullptr, &next_for_fault) != 0) return false;
  struct sigaction action = next_for_fault;
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | (next_for_fault.sa_flags & SA_RESTART);
  return sigaction(SIGSEGV, &action, nullptr) == 0;
}

}  // namespace

void OverflowNames::attach() noexcept {
  if (!kTakesFaults) return;
  [[maybe_unused]] static const bool installed = install();
  stack_t stack;
  if (sigaltstack(nullptr, &stack) != 0 || !(stack.ss_flags & SS_DISABLE)) return;
  stack.ss_sp = mmap(nullptr, kAlternateSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack.ss_sp == MAP_FAILED) return;
  stack.ss_size = kAlternateSize;
  stack.ss_flags = 0;
  stack_ = stack.ss_sp;
  if (sigaltstack(&stack, nullptr) != 0) munmap(std::exchange(stack_, nullptr), kAlternateSize);
}

void OverflowNames::detach() noexcept {
  if (!stack_) return;
  stack_t stack;
  if (sigaltstack(nullptr, &stack) == 0 && stack.ss_sp == stack_) {
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
  }
  munmap(std::exchange(stack_, nullptr), kAlternateSize);
}

}  // namespace weft::internal
