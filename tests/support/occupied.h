#ifndef WEFT_TESTS_SUPPORT_OCCUPIED_H_
#define WEFT_TESTS_SUPPORT_OCCUPIED_H_

#include "weft/sync/event.h"
#include "weft/sync/thread_pool.h"

namespace weft::test {

// Keeps one thread of a pool busy while it lives.
class Occupied {
 public:
  explicit Occupied(ThreadPool& pool) {
    pool.post([this] {
      begun_.set();
      release_.wait();
      ended_.set();
    });
    begun_.wait();
  }
  ~Occupied() {
    release();
    ended_.wait();
  }
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;

  void release() noexcept { release_.set(); }

 private:
  Event begun_, release_, ended_;
};

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_OCCUPIED_H_
