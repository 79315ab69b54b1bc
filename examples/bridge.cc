// A plain thread, such as the callback thread of a client library, feeds a queue that fibers read.
// Run it: ./bazelw run -c opt //examples:bridge

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr int kMessages = 12;

// Knows nothing of fibers. While the queue is full, push() blocks this thread and no other.
void produce(weft::Queue<std::string>& messages) {
  for (int i = 1; i <= kMessages; ++i) messages.push("message " + std::to_string(i));
  messages.close();
}

void consume(weft::Queue<std::string>& messages, char name, int& count) {
  for (const std::string& message : messages) {
    std::printf("  fiber %c got %s\n", name, message.c_str());
    ++count;
    weft::sleep_for(10ms);  // any wait: it holds up neither the other fibers nor the thread
  }
}

}  // namespace

int main() {
  weft::run([] {
    weft::Queue<std::string> messages(4);
    std::array<int, 3> counts{};
    weft::TaskGroup group;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      group.spawn([&, i] { consume(messages, static_cast<char>('A' + i), counts[i]); });
    }
    std::jthread producer(produce, std::ref(messages));
    group.join();
    weft::run_in_executor([&] { producer.join(); });  // blocks a thread of the pool, not the fibers

    std::printf("%d messages from a thread, read by three fibers: %d, %d and %d\n", kMessages,
                counts[0], counts[1], counts[2]);
  });
}
