#include "weft/fiber/call.h"

#include "weft/fiber/local_table.h"
#include "weft/fiber/scheduler.h"

namespace weft {

Call::Call(Scheduler& scheduler) noexcept
    : InboxNode([](InboxNode& node) noexcept {
        auto& self = static_cast<Call&>(node);
        self.scheduler_.launch(self);
      }),
      Timer([](Timer& timer) noexcept {
        auto& self = static_cast<Call&>(timer);
        self.scheduler_.launch(self);
      }),
      scheduler_(scheduler) {
  if (const Fiber* fiber = Scheduler::current_fiber()) locals_ = LocalTable::share(fiber->locals);
}

Call::~Call() { LocalTable::unref(locals_); }

void Handle::cancel() noexcept {
  if (call_ && !call_->over_) call_->scheduler_.forget(*call_);
}

}  // namespace weft
