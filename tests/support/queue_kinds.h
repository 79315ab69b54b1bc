#ifndef WEFT_TESTS_SUPPORT_QUEUE_KINDS_H_
#define WEFT_TESTS_SUPPORT_QUEUE_KINDS_H_

#include <cstddef>

#include "tests/support/check.h"
#include "weft/sync/queue.h"

namespace weft::test {

// Calls test(queue) with an empty queue of each kind.
template <class T, class Test>
void with_each_kind(std::size_t capacity, Test test) {
  BOOST_TEST_CONTEXT("Queue") {
    Queue<T> queue(capacity);
    test(queue);
  }
  BOOST_TEST_CONTEXT("PriorityQueue") {
    PriorityQueue<T> queue(capacity);
    test(queue);
  }
  BOOST_TEST_CONTEXT("LifoQueue") {
    LifoQueue<T> queue(capacity);
    test(queue);
  }
}

}  // namespace weft::test

#endif  // WEFT_TESTS_SUPPORT_QUEUE_KINDS_H_
