// What http_server and weft do, in numbers that Prometheus reads.
#ifndef WEFT_EXAMPLES_METRICS_H_
#define WEFT_EXAMPLES_METRICS_H_

#include <string>
#include <string_view>
#include <vector>

namespace metrics {

// What one thread counts, in a cache line of its own. Only that thread reads and changes it.
struct alignas(64) Counts {
  long connections = 0;
  long requests = 0;
};

inline constexpr std::string_view kType = "text/plain; version=0.0.4";

// The numbers of all schedulers of the calling fiber's runtime, and of its pool, in Prometheus'
// text format. `counts` are those of the schedulers, and must live as long as the runtime. Waits
// for the answers of the other schedulers, but no longer than 100 ms: a scheduler that is held up
// has no samples then.
std::string page(const std::vector<Counts>& counts);

}  // namespace metrics

#endif  // WEFT_EXAMPLES_METRICS_H_
