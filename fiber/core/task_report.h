#ifndef WEFT_FIBER_CORE_TASK_REPORT_H_
#define WEFT_FIBER_CORE_TASK_REPORT_H_

#include <cstddef>
#include <string>

#include "weft/fiber/core/error.h"
#include "weft/fiber/core/survey.h"
#include "weft/fiber/core/text.h"

namespace weft::internal {

// A report lists at most this many fibers, with their stacks, and counts the rest.
inline constexpr std::size_t kMostListed = 10'000;

// Reports what write(text) writes, less the end of the last line.
template <class Write>
void report_text(Write write) noexcept {
  std::string all;
  {
    Text text(to_string, &all);
    write(text);
  }
  if (all.ends_with('\n')) all.pop_back();
  report(all);
}

// Writes task 7 "name", or task 7.
void write_task(Text& text, const TaskRecord& task) noexcept;

// Writes what print_tasks() shows; or what a survey has found, without the heading. If memory runs
// out, less of it.
void write_tasks(Text& text) noexcept;
void write_tasks(Text& text, const Survey& survey) noexcept;

}  // namespace weft::internal

#endif  // WEFT_FIBER_CORE_TASK_REPORT_H_
