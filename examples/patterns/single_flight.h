// Callers that ask for the same at once share one execution: Go's singleflight.
#ifndef WEFT_EXAMPLES_PATTERNS_SINGLE_FLIGHT_H_
#define WEFT_EXAMPLES_PATTERNS_SINGLE_FLIGHT_H_

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "weft/weft.h"

namespace patterns {

// Runs a function once for all callers that want its result for the same key at that time: for
// results that are expensive and often asked for at once, such as a page that has left a cache.
//
//   patterns::SingleFlight<std::string, Page> loads;
//   Page page = loads.run(url, [url] { return load(url); });
//   cache.insert(url, page);
//
// Each caller gets a copy of the result, or the exception. It is no cache: nothing is kept, and a
// call that comes after the end of an execution begins the next one.
//
// Threads: fibers of any scheduler, at once. Lifetime: must outlive its calls.
template <class Key, class T>
class SingleFlight {
 public:
  SingleFlight() = default;
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;

  // Waits for the execution of this key, or begins one: f() in a fiber of its own, of the caller's
  // scheduler. A cancellation point. Throws what f has thrown, and if it begins one, what
  // weft::spawn() throws.
  //
  // If a caller is cancelled, f goes on for the others: so f must own what it uses. If the last one
  // is cancelled, it cancels f and waits for its end. If f asks for its own key it waits for ever.
  template <class F>
  T run(const Key& key, F&& f) {
    const std::shared_ptr<Flight> flight = join(key, std::forward<F>(f));
    return flight->result.get();
  }

 private:
  // An execution. Its callers share it; with the last of them go its future and so its task.
  struct Flight {
    Flight(SingleFlight& its_owner, const Key& its_key) : owner(its_owner), key(its_key) {}
    Flight(const Flight&) = delete;
    Flight& operator=(const Flight&) = delete;
    ~Flight() { owner.forget(key); }

    SingleFlight& owner;
    const Key key;
    weft::Future<T> result;
  };

  template <class F>
  std::shared_ptr<Flight> join(const Key& key, F&& f) {
    std::shared_ptr<Flight> ahead, begun;  // destroyed after the lock, which ~Flight() takes
    const std::lock_guard lock(mutex_);
    std::weak_ptr<Flight>& place = flights_[key];
    ahead = place.lock();
    if (ahead && !ahead->result.done()) return ahead;
    begun = std::make_shared<Flight>(*this, key);
    place = begun;
    begun->result = weft::spawn(std::forward<F>(f)).share();
    return begun;
  }

  // Another execution of the key may have begun, and stays.
  void forget(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto place = flights_.find(key);
    if (place != flights_.end() && place->second.expired()) flights_.erase(place);
  }

  std::mutex mutex_;  // held for no wait
  std::map<Key, std::weak_ptr<Flight>> flights_;
};

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_SINGLE_FLIGHT_H_
