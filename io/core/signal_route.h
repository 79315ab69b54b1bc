#ifndef WEFT_IO_CORE_SIGNAL_ROUTE_H_
#define WEFT_IO_CORE_SIGNAL_ROUTE_H_

#include <sys/types.h>

#include <csignal>

#include "weft/fiber/core/intrusive_list.h"

namespace weft::internal {

// While it lives, signals come to the thread that made it, which blocks them, and wait there. A
// signal that another thread takes, because it does not block it, is forwarded by a handler. When
// the last route of a signal ends, the earlier handler is put back.
class SignalRoute : public ListNode<> {
 public:
  explicit SignalRoute(const sigset_t& signals) noexcept;
  ~SignalRoute();

 private:
  friend class SignalRoutes;

  const sigset_t signals_;
  pid_t thread_;
};

}  // namespace weft::internal

#endif  // WEFT_IO_CORE_SIGNAL_ROUTE_H_
