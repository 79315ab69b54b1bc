// The latest value: readers wait until it changes, and skip what they were too slow for.
#ifndef WEFT_EXAMPLES_PATTERNS_WATCH_H_
#define WEFT_EXAMPLES_PATTERNS_WATCH_H_

#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "weft/weft.h"

namespace patterns {

// A value that changes, such as a configuration.
//
//   patterns::Watch<Config> config(load());
//   auto task = weft::spawn([reader = config.reader()]() mutable {
//     do apply(reader.get()); while (reader.wait());
//   });
//   config.set(load());
//
// Threads: any, at once. Lifetime: destroy it when no call is under way; readers may outlive it. A
// value costs an allocation, and lives until no reader holds it.
template <class T>
class Watch {
  struct Version {
    explicit Version(T its_value) : value(std::move(its_value)) {}
    const T value;
    weft::Event replaced;  // or the Watch is gone
  };
  struct Source {
    std::shared_ptr<Version> look() {
      const std::lock_guard lock(mutex);
      return latest;
    }
    std::mutex mutex;  // guards the pointer; held for no wait
    std::shared_ptr<Version> latest;
  };

 public:
  // Copyable: a copy has seen what this has. For one fiber or thread at a time, on any scheduler.
  // If it was moved from, each use throws std::logic_error.
  class Reader {
   public:
    // The value that was seen last. Does not wait. Valid until the next wait() or refresh().
    const T& get() const { return seen().value; }

    // Waits until there is a value that was not seen, and sees the latest. Returns false if the
    // Watch is gone, and all was seen. A cancellation point if it has to wait.
    bool wait() {
      seen().replaced.wait();
      return refresh();
    }

    // Sees the latest value. Returns whether it is a new one. Does not wait.
    bool refresh() {
      if (!seen().replaced.is_set()) return false;
      const auto before = std::exchange(seen_, source_->look());
      return seen_ != before;
    }

    // Set when wait() would not wait: for weft::select() and for time limits. Valid as get().
    weft::Event& changed() const { return seen().replaced; }

   private:
    friend Watch;
    explicit Reader(std::shared_ptr<Source> source) : source_(source), seen_(source->look()) {}
    Version& seen() const {
      if (!seen_) throw std::logic_error("patterns::Watch: this reader was moved from");
      return *seen_;
    }

    std::shared_ptr<Source> source_;
    std::shared_ptr<Version> seen_;
  };

  explicit Watch(T value) { source_->latest = std::make_shared<Version>(std::move(value)); }
  ~Watch() { source_->latest->replaced.set(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Replaces the value, and wakes the readers that wait. Does not wait. O(readers that wait).
  void set(T value) {
    auto version = std::make_shared<Version>(std::move(value));
    std::unique_lock lock(source_->mutex);
    source_->latest.swap(version);
    lock.unlock();
    version->replaced.set();
  }

  // A reader that has seen the value of now. Does not wait.
  Reader reader() const { return Reader(source_); }

 private:
  const std::shared_ptr<Source> source_ = std::make_shared<Source>();
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_WATCH_H_
