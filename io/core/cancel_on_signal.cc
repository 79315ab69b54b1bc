#include "weft/io/core/cancel_on_signal.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "weft/fiber/core/atomic.h"
#include "weft/fiber/core/deadlock.h"
#include "weft/fiber/core/fiber.h"

namespace weft::internal {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<Fiber*> target{nullptr};
std::atomic<int> handling{0};    // threads in the handler
std::atomic<pid_t> owner{0};     // the process; a child has no such fiber
std::atomic<bool> armed{false};  // there is a target, and no signal has come yet

void replace_handler(int signal, void (*from)(int), void (*to)(int)) noexcept {
  struct sigaction now {};
  if (sigaction(signal, nullptr, &now) != 0) return;
  if (now.sa_flags & SA_SIGINFO || now.sa_handler != from) return;
  struct sigaction next {};
  next.sa_handler = to;
  next.sa_flags = SA_RESTART | SA_ONSTACK;
  sigaction(signal, &next, nullptr);
}

void replace_handlers(void (*from)(int), void (*to)(int)) noexcept {
  for (const int signal : kSignals) replace_handler(signal, from, to);
}

// Does only what is safe in a handler: atomic operations, sigaction and a write to an eventfd.
void on_signal(int signal) noexcept {
  // All of these are sequentially consistent: either this sees that the target is gone, or the
  // destructor that takes it away sees this handler, and waits.
  handling.fetch_add(1);
  armed.store(false);
  replace_handlers(&on_signal, SIG_DFL);
  if (owner.load() != getpid()) {
    raise(signal);  // takes effect when this returns
  } else if (Fiber* fiber = target.load()) {
    fiber->request(Fiber::kCancel);
  }
  handling.fetch_sub(1);
}

}  // namespace

CancelOnSignal::CancelOnSignal(Fiber& fiber) noexcept {
  Fiber* nobody = nullptr;
  const pid_t self = getpid();
  if (self != gettid() || !target.compare_exchange_strong(nobody, &fiber)) return;
  active_ = true;
  add_harmless_handler(&on_signal);
  owner.store(self);
  armed.store(true);
  replace_handlers(SIG_DFL, &on_signal);
}

CancelOnSignal::~CancelOnSignal() {
  if (!active_) return;
  armed.store(false);
  replace_handlers(&on_signal, SIG_DFL);
  target.store(nullptr);
  while (handling.load() != 0) let_others_run();
}

void CancelOnSignal::settle(int signal) noexcept {
  for (const int own : kSignals) {
    if (signal != own) continue;
    if (armed.load()) replace_handler(signal, SIG_DFL, &on_signal);
    // A thread that disarms it replaces the handler afterwards, but may have done so before the
    // line above.
    if (!armed.load()) replace_handler(signal, &on_signal, SIG_DFL);
  }
}

}  // namespace weft::internal
