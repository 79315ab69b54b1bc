#include "weft/fiber/core/local_table.h"

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/fiber.h"
#include "weft/fiber/fiber_local.h"

namespace weft::internal {
namespace {

// That of the job that the thread runs, or null. Fibers have theirs in the control block.
constinit thread_local LocalTable** table_of_job = nullptr;

}  // namespace

void LocalTable::unref(LocalTable* table) noexcept {
  // Release: what this owner read comes before the destruction. Acquire: the last one waits for it.
  if (table && table->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete table;
}

void LocalTable::drop(LocalTable*& table) noexcept {
  if (!table) return;
  const BorrowedLocals borrowed(table);  // what destructors set belongs to this table's owner
  while (LocalTable* const last = std::exchange(*of_caller(), nullptr)) unref(last);
}

LocalTable** LocalTable::of_caller() noexcept {
  if (Fiber* const fiber = current_fiber()) return &fiber->locals;
  return table_of_job;
}

const void* get_local(std::uint64_t key) noexcept {
  LocalTable** const own = LocalTable::of_caller();
  if (!own || !*own) return nullptr;
  for (const auto& [its_key, value] : (*own)->values_) {
    if (its_key == key) return value.get();
  }
  return nullptr;
}

void set_local(std::uint64_t key, std::shared_ptr<const void> value) {
  LocalTable** const own = LocalTable::of_caller();
  if (!own) {
    throw_logic_error("weft::FiberLocal::set needs a fiber, or a job of a ThreadPool");
  }
  LocalTable*& table = *own;
  // Acquire: if the others are gone, what they read came before what is written here.
  if (!table || table->references_.load(std::memory_order_acquire) > 1) {
    auto copy = std::make_unique<LocalTable>();
    if (table) copy->values_ = table->values_;
    LocalTable::unref(table);
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

// On a fiber the two tables change places, since it may wait, and others run meanwhile.
BorrowedLocals::BorrowedLocals(LocalTable*& table) noexcept : table_(table) {
  if (Fiber* const fiber = current_fiber()) {
    std::swap(fiber->locals, table_);
  } else {
    before_ = std::exchange(table_of_job, &table_);
  }
}

BorrowedLocals::~BorrowedLocals() {
  if (Fiber* const fiber = current_fiber()) {
    std::swap(fiber->locals, table_);
  } else {
    table_of_job = before_;
  }
}

std::uint64_t next_local_key() noexcept {
  static std::atomic<std::uint64_t> last{0};
  // Relaxed: only the number matters.
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace weft::internal
