#include "weft/fiber/fiber_local.h"

#include "weft/fiber/scheduler.h"

namespace weft {

void LocalTable::unref(LocalTable* table) noexcept {
  // Release: what this owner read comes before the destruction. Acquire: the last one waits for it.
  if (table && table->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete table;
}

const void* LocalTable::get(std::uint64_t key) {
  const LocalTable* table = Scheduler::require_fiber("weft::FiberLocal::get").locals;
  if (table) {
    for (const auto& [its_key, value] : table->values_) {
      if (its_key == key) return value.get();
    }
  }
  return nullptr;
}

void LocalTable::set(std::uint64_t key, std::shared_ptr<const void> value) {
  LocalTable*& table = Scheduler::require_fiber("weft::FiberLocal::set").locals;
  // Acquire: if the others are gone, what they read came before what is written here.
  if (!table || table->references_.load(std::memory_order_acquire) > 1) {
    auto copy = std::make_unique<LocalTable>();
    if (table) copy->values_ = table->values_;
    unref(table);
    table = copy.release();
  }
  for (auto& [its_key, its_value] : table->values_) {
    if (its_key == key) {
      its_value.swap(value);  // the old value is destroyed with the table in order
      return;
    }
  }
  table->values_.emplace_back(key, std::move(value));
}

std::uint64_t LocalTable::next_key() noexcept {
  static std::atomic<std::uint64_t> last{0};
  // Relaxed: only the number matters.
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace weft
