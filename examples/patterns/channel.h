// A queue with senders and receivers, which can be copied. When the last of a kind goes, it closes.
#ifndef WEFT_EXAMPLES_PATTERNS_CHANNEL_H_
#define WEFT_EXAMPLES_PATTERNS_CHANNEL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "weft/weft.h"

namespace patterns {

// What both kinds of ends are: a share of the queue. Copies are further ends of the same channel.
//
// After a move each use of the old object throws std::logic_error.
//
// Threads: ends from fibers of any scheduler and from plain threads. Calls on one end may overlap,
// except assigning, moving and destroying it.
template <class T>
class ChannelEnd {
 public:
  explicit ChannelEnd(std::shared_ptr<weft::Queue<T>> share) : share_(std::move(share)) {}

  // The queue itself: for weft::select() and for waits with a time limit. Valid as long as the end.
  weft::Queue<T>& queue() const {
    if (!share_) throw std::logic_error("patterns::channel: this end was moved from");
    return *share_;
  }

 private:
  std::shared_ptr<weft::Queue<T>> share_;
};

template <class T>
class Sender : public ChannelEnd<T> {
 public:
  using ChannelEnd<T>::ChannelEnd;

  // Waits until there is room, and adds the item. A cancellation point if it has to wait. Throws
  // weft::QueueClosed if there is no receiver any more; then `item` is untouched.
  void push(T&& item) const { this->queue().push(std::move(item)); }
  void push(const T& item) const { this->queue().push(item); }

  // Adds the item if there is room. Does not wait. Returns false, with `item` untouched, if the
  // queue is full. Throws weft::QueueClosed if there is no receiver any more.
  bool try_push(T&& item) const { return this->queue().try_push(std::move(item)); }
  bool try_push(const T& item) const { return this->queue().try_push(item); }
};

template <class T>
class Receiver : public ChannelEnd<T> {
 public:
  using ChannelEnd<T>::ChannelEnd;

  // Waits for an item, and takes it. Each item goes to one receiver. A cancellation point if it has
  // to wait. Throws weft::QueueClosed if all senders are gone and all items taken.
  T pop() const { return this->queue().pop(); }

  // Takes an item if there is one. Does not wait.
  std::optional<T> try_pop() const { return this->queue().try_pop(); }

  // for (auto&& item : receiver): pops until all senders are gone and all items taken.
  auto begin() const { return this->queue().begin(); }
  auto end() const { return this->queue().end(); }
};

// Makes a channel with room for `capacity` items, or for any number if that is 0.
//
//   auto [sender, receiver] = patterns::channel<Job>(100);
//   group.spawn([from = std::move(receiver)] { for (Job job : from) process(job); });
//   for (auto& source : sources) group.spawn([&source, to = sender] { to.push(source.read()); });
//   { auto last = std::move(sender); }  // process() ends when the sources have
//
// When the last sender goes, receivers take what is left, and then end. When the last receiver
// goes, what is left is destroyed, by its destructor, and push() throws, where it waits, too. Does
// not wait.
template <class T>
std::pair<Sender<T>, Receiver<T>> channel(std::size_t capacity = 0) {
  const auto queue = std::make_shared<weft::Queue<T>>(capacity);
  const auto close = [queue](weft::Queue<T>*) { queue->close(); };
  const auto discard = [queue](weft::Queue<T>*) { queue->close(weft::kDiscard); };
  using Share = std::shared_ptr<weft::Queue<T>>;  // one count for each kind of ends
  return {Sender<T>(Share(queue.get(), close)), Receiver<T>(Share(queue.get(), discard))};
}

}  // namespace patterns

#endif  // WEFT_EXAMPLES_PATTERNS_CHANNEL_H_
