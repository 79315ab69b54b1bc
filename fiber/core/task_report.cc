#include "weft/fiber/core/task_report.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <compare>
#include <new>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "weft/fiber/core/stack_text.h"
#include "weft/fiber/core/symbols.h"

namespace weft::internal {
namespace {

// Fibers of several schedulers are seen one after the other. A cycle of their waits is believed if
// each has lasted for so long.
constexpr Duration kBelieved = std::chrono::milliseconds(10);

// A fiber as the report lists it.
struct Line {
  const TaskRecord* task;
  const Survey::Entry* scheduler;
  Line* waits_for = nullptr;  // null: nothing, or nothing that is listed
  enum class Mark : std::uint8_t { kNone, kOnPath, kDone, kInCycle } mark = Mark::kNone;

  bool in_cycle() const noexcept { return mark == Mark::kInCycle; }
  std::span<void* const> stack() const noexcept { return scheduler->snapshot().stack_of(*task); }
};

// A fiber that holds up its thread comes first, then those that wait for certain others.
int rank(const Line& line) noexcept {
  if (line.task->running) return 0;
  if (line.in_cycle()) return 1;
  return line.waits_for ? 2 : 3;
}

// Fibers that wait for the same in the same place are equal: they are listed together.
std::strong_ordering compare(const Line& a, const Line& b) noexcept {
  const auto key = [](const Line& line) {
    return std::tuple(line.scheduler->number, line.scheduler, rank(line),
                      std::string_view(line.task->waits() ? line.task->what : ""),
                      line.in_cycle()  ? line.task->id
                      : line.waits_for ? line.waits_for->task->id
                                       : 0);
  };
  if (const auto order = key(a) <=> key(b); order != 0) return order;
  const std::span<void*const> left = a.stack(), right = b.stack();
  return std::lexicographical_compare_three_way(left.begin(), left.end(), right.begin(),
                                                right.end());
}

using Before = bool (*)(const Line* a, const Line* b) noexcept;

// Not inlined: all orders share one instance of the algorithm.
[[gnu::noinline]] void sort(std::vector<Line*>& lines, Before before) {
  std::sort(lines.begin(), lines.end(), before);
}

bool has_less_address(const Line* a, const Line* b) noexcept {
  return a->task->self < b->task->self;
}

bool is_listed_before(const Line* a, const Line* b) noexcept {
  const std::strong_ordering order = compare(*a, *b);
  return order != 0 ? order < 0 : a->task->id < b->task->id;
}

class Report {
 public:
  // Throws std::bad_alloc.
  Report(Text& text, const Survey& survey) : text_(text), survey_(survey) {
    collect();
    resolve();
    for (Line& line : lines_) find_cycle(line);
    sort(sorted_, &is_listed_before);
  }

  void write() noexcept {
    std::span<Line* const> left(sorted_);
    for (const Survey::Entry& entry : survey_.entries()) {
      write_scheduler(entry);
      while (!left.empty() && left.front()->scheduler == &entry) {
        const std::span<Line* const> group = left.first(size_of_group(left));
        write_group(group);
        left = left.subspan(group.size());
      }
      write_left_out(entry);
    }
    for (const Line* line : cycles_) write_cycle(*line);
  }

 private:
  void collect() {
    std::size_t count = 0;
    for (const Survey::Entry& entry : survey_.entries()) {
      if (entry.has_snapshot()) count += entry.snapshot().tasks().size();
    }
    lines_.reserve(count);
    sorted_.reserve(count);
    for (const Survey::Entry& entry : survey_.entries()) {
      if (!entry.has_snapshot()) continue;
      for (const TaskRecord& task : entry.snapshot().tasks()) {
        sorted_.push_back(&lines_.emplace_back(Line{&task, &entry}));
      }
    }
  }

  // Finds the fibers by whose addresses others name them.
  void resolve() {
    sort(sorted_, &has_less_address);
    for (Line& line : lines_) line.waits_for = find(line.task->waits_for.address);
  }

  // REQUIRES: the order is that of the addresses.
  Line* find(const LockOwner* address) const noexcept {
    const auto found = std::lower_bound(
        sorted_.begin(), sorted_.end(), address,
        [](const Line* line, const LockOwner* wanted) { return line->task->self < wanted; });
    return found != sorted_.end() && (*found)->task->self == address ? *found : nullptr;
  }

  // Follows the waits from here on. Each fiber waits for at most one that is known, so a path is
  // followed once.
  void find_cycle(Line& first) {
    Line* line = &first;
    for (; line && line->mark == Line::Mark::kNone; line = line->waits_for) {
      line->mark = Line::Mark::kOnPath;
    }
    if (line && line->mark == Line::Mark::kOnPath && is_believed(*line)) {
      cycles_.push_back(line);
      Line* member = line;
      do {
        member->mark = Line::Mark::kInCycle;
        member = member->waits_for;
      } while (member != line);
    }
    for (line = &first; line && line->mark == Line::Mark::kOnPath; line = line->waits_for) {
      line->mark = Line::Mark::kDone;
    }
  }

  static bool is_believed(const Line& first) noexcept {
    bool of_one = true;
    Duration least = Duration::max();
    const Line* line = &first;
    do {
      of_one = of_one && line->scheduler == first.scheduler;
      least = std::min(least, line->task->since);
      line = line->waits_for;
    } while (line != &first);
    return of_one || least >= kBelieved;
  }

  static std::size_t size_of_group(std::span<Line* const> lines) noexcept {
    std::size_t size = 1;
    while (size < lines.size() && compare(*lines[0], *lines[size]) == 0) ++size;
    return size;
  }

  void write_scheduler(const Survey::Entry& entry) noexcept {
    text_ << "scheduler " << entry.number;
    switch (entry.answer) {
      case Survey::Answer::kNotRunning:
        text_ << " does not run now\n";
        return;
      case Survey::Answer::kNone:
        text_ << ": thread " << static_cast<std::uint64_t>(entry.thread) << ", does not answer\n";
        return;
      default:
        text_ << ": thread " << static_cast<std::uint64_t>(entry.thread) << ", "
              << Count(entry.snapshot().ready()) << " ready"
              << (entry.answer == Survey::Answer::kStuck ? ", held up\n" : "\n");
    }
  }

  void write_group(std::span<Line* const> group) noexcept {
    if (group.size() == 1) {
      write_task(text_, *group.front()->task);
    } else {
      text_ << Count(group.size()) << " tasks";
      write_names(group);
    }
    write_state(group);
    text_ << "\n";
    write_stack(text_, group.front()->stack());
  }

  // The name, if it is one, and the ids of the first and the last.
  void write_names(std::span<Line* const> group) noexcept {
    const TaskRecord &first = *group.front()->task, &last = *group.back()->task;
    const bool same = std::ranges::all_of(
        group, [&](const Line* line) { return line->task->name_view() == first.name_view(); });
    if (!same) {
      text_ << ", ";
      write_task(text_, first);
      text_ << " ... ";
      return write_task(text_, last);
    }
    if (first.name_size > 0) text_ << " \"" << first.name_view() << "\"";
    text_ << " (" << first.id << " ... " << last.id << ")";
  }

  void write_state(std::span<Line* const> group) noexcept {
    Duration least = Duration::max(), most{};
    for (const Line* line : group) {
      least = std::min(least, line->task->since);
      most = std::max(most, line->task->since);
    }
    const TaskRecord& task = *group.front()->task;
    const bool one = group.size() == 1;
    if (!task.waits()) {
      text_ << (task.running ? " runs" : one ? " is ready" : " are ready");
      if (task.running) text_ << " for " << Seconds(task.since) << " s";
      return;
    }
    text_ << (one ? " waits " : " wait ") << Seconds(least);
    if (!one) text_ << " to " << Seconds(most);
    text_ << " s in " << task.what;
    write_owner(*group.front());
  }

  void write_owner(const Line& line) noexcept {
    const OwnedWait::Owner& owner = line.task->waits_for;
    if (!owner.address) return;
    text_ << ", for ";
    if (line.waits_for) {
      write_task(text_, *line.waits_for->task);
    } else if (owner.id != 0) {
      text_ << "task " << owner.id;
    } else {
      text_ << "a thread, or a task that is not listed";
    }
  }

  void write_left_out(const Survey::Entry& entry) noexcept {
    if (!entry.has_snapshot() || entry.snapshot().left_out() == 0) return;
    text_ << Count(entry.snapshot().left_out()) << " more tasks, which are not listed\n";
  }

  void write_cycle(const Line& first) noexcept {
    text_ << "cycle: ";
    const Line* line = &first;
    do {
      text_ << "task " << line->task->id << " -> ";
      line = line->waits_for;
    } while (line != &first);
    text_ << "task " << first.task->id
          << (first.waits_for == &first ? ": it waits for itself\n"
                                        : ": they wait for each other\n");
  }

  Text& text_;
  const Survey& survey_;
  std::vector<Line> lines_;
  std::vector<Line*> sorted_;
  std::vector<Line*> cycles_;
};

void write_heading(Text& text, const Survey& survey) noexcept {
  const std::size_t tasks = survey.count_tasks(), schedulers = survey.entries().size();
  text << "weft: " << Count(tasks) << (tasks == 1 ? " task" : " tasks") << " on "
       << Count(schedulers) << (schedulers == 1 ? " scheduler" : " schedulers") << ", pid "
       << static_cast<std::uint64_t>(getpid());
  try {
    if (const std::string id = build_id(); !id.empty()) text << ", build " << id;
  } catch (const std::bad_alloc&) {
  }
  text << "\n";
}

}  // namespace

void write_task(Text& text, const TaskRecord& task) noexcept {
  text << "task " << task.id;
  if (task.name_size > 0) text << " \"" << task.name_view() << "\"";
}

void write_tasks(Text& text, const Survey& survey) noexcept try {
  Report(text, survey).write();
} catch (const std::bad_alloc&) {
  text << "weft: there is no memory for a list of the tasks\n";
}

void write_tasks(Text& text) noexcept try {
  const Survey survey(kMostListed);
  write_heading(text, survey);
  write_tasks(text, survey);
} catch (const std::bad_alloc&) {
  text << "weft: there is no memory for a list of the tasks\n";
}

}  // namespace weft::internal
