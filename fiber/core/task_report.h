#ifndef WEFT_FIBER_CORE_TASK_REPORT_H_
#define WEFT_FIBER_CORE_TASK_REPORT_H_

#include <cstddef>

#include "weft/fiber/core/survey.h"
#include "weft/fiber/core/text.h"

namespace weft::internal {

// A report lists at most this many fibers, with their stacks, and counts the rest.
inline constexpr std::size_t kMostListed = 10'000;

// Writes what print_tasks() shows; or what a survey has found, without the heading. If memory runs
// out, less of it.
void write_tasks(Text& text) noexcept;
void write_tasks(Text& text, const Survey& survey) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TASK_REPORT_H_
