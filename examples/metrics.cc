#include "examples/metrics.h"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <utility>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace metrics {
namespace {

constexpr weft::Duration kPatience = 100ms;

// The numbers of a scheduler, as they were in one of its fibers.
struct Numbers : weft::SchedulerStats, Counts {
  std::size_t index = 0;
};

// A post, not a task: a task that does not end in time would have to be waited for at its end.
std::vector<Numbers> ask_all(const std::vector<Counts>& counts) {
  std::vector<weft::Future<Numbers>> answers;
  const auto schedulers = weft::Runtime::current().schedulers();
  for (std::size_t i = 0; i < schedulers.size(); ++i) {
    weft::Promise<Numbers> promise;
    answers.push_back(promise.future());
    schedulers[i]->post([&counts, i, promise = std::move(promise)]() mutable {
      promise.set_value(Numbers{weft::Scheduler::current().stats(), counts[i], i});
    });
  }
  std::vector<Numbers> numbers;
  for (const std::size_t i : weft::wait(answers, weft::When::all_completed, kPatience).done) {
    if (!answers[i].failed()) numbers.push_back(answers[i].get());  // it may be at its end
  }
  return numbers;
}

std::string text_of(weft::Duration time) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9f", std::chrono::duration<double>(time).count());
  return text;
}

template <class Number>
std::string text_of(Number number) {
  return std::to_string(number);
}

class Page {
 public:
  explicit Page(std::vector<Numbers> numbers) : numbers_(std::move(numbers)) {}

  // A metric with a sample of each scheduler.
  template <class Member>
  void add(const char* type, const char* name, const char* help, Member member) {
    begin(type, name, help);
    for (const Numbers& each : numbers_) {
      append(name, "{scheduler=\"", text_of(each.index), "\"} ", text_of(std::invoke(member, each)),
             "\n");
    }
  }

  // A metric with one sample.
  void add_one(const char* type, const char* name, const char* help, std::size_t value) {
    begin(type, name, help);
    append(name, " ", text_of(value), "\n");
  }

  std::string text;

 private:
  void begin(const char* type, const char* name, const char* help) {
    append("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }

  template <class... Texts>
  void append(const Texts&... texts) {
    (text.append(texts), ...);
  }

  const std::vector<Numbers> numbers_;
};

void add_schedulers(Page& page) {
  using Stats = weft::SchedulerStats;
  const auto gauge = std::bind_front(&Page::add<std::size_t Stats::*>, &page, "gauge");
  const auto counter = std::bind_front(&Page::add<std::uint64_t Stats::*>, &page, "counter");
  gauge("weft_tasks", "Fibers that have not ended.", &Stats::tasks);
  gauge("weft_ready_tasks", "Fibers that wait for their turn.", &Stats::ready);
  gauge("weft_timers", "Pending deadlines.", &Stats::timers);
  gauge("weft_stacks", "Stacks that were ever in use.", &Stats::stacks);
  gauge("weft_free_stacks", "Stacks that no fiber has.", &Stats::free_stacks);
  gauge("weft_awaited_descriptors", "Fibers that wait for a descriptor.",
        &Stats::awaited_descriptors);
  counter("weft_switches_total", "How often fibers let others run.", &Stats::switches);
  counter("weft_turns_total", "How often the loop looked at timers.", &Stats::turns);
  counter("weft_sleeps_total", "How often there was nothing to do.", &Stats::sleeps);
  counter("weft_wake_ups_total", "Sleeps that another thread has ended.", &Stats::wake_ups);
  page.add("counter", "weft_idle_seconds_total", "Time asleep.", &Stats::idle);
  page.add("gauge", "weft_max_lag_seconds", "How late a timer was at most.", &Stats::max_lag);
}

void add_pool(Page& page, const weft::ThreadPoolStats& pool) {
  page.add_one("gauge", "weft_pool_threads", "Threads of run_in_executor.", pool.threads);
  page.add_one("gauge", "weft_pool_queued_jobs", "Jobs that wait for a thread.", pool.queued);
  page.add_one("gauge", "weft_pool_running_jobs", "Jobs that have begun.", pool.running);
}

void add_server(Page& page) {
  page.add("counter", "http_connections_total", "Accepted connections.", &Counts::connections);
  page.add("counter", "http_requests_total", "Requests, this one included.", &Counts::requests);
}

}  // namespace

std::string page(const std::vector<Counts>& counts) {
  Page page(ask_all(counts));
  add_schedulers(page);
  add_pool(page, weft::executor_stats());
  add_server(page);
  return std::move(page.text);
}

}  // namespace metrics
