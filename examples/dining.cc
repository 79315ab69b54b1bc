// Five philosophers share five forks, and each needs two to eat: no deadlock, and all of them eat.
// Run it: ./bazelw run -c opt //examples:dining
// With `-- --quick` the clock is virtual: the same output at once.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>

#include "weft/weft.h"

using namespace std::chrono_literals;

namespace {

constexpr std::array kNames = {"Aristotle", "Buddha", "Confucius", "Descartes", "Epicurus"};
constexpr int kMeals = 4;

// What a philosopher did: a letter for each tenth of a second.
class Diary {
 public:
  explicit Diary(weft::TimePoint start) : start_(start) {}

  // The letter stands for the time since the last note.
  void note(char letter) {
    const auto tenths = (weft::now() - start_ + 50ms) / 100ms;
    text_.resize(static_cast<std::size_t>(tenths), letter);
  }
  const std::string& text() const { return text_; }

 private:
  const weft::TimePoint start_;
  std::string text_;
};

void dine(std::size_t seat, weft::Mutex& left, weft::Mutex& right, Diary& diary) {
  for (int meal = 0; meal < kMeals; ++meal) {
    weft::sleep_for(200ms + seat * 100ms);
    diary.note('.');
    {
      const std::scoped_lock forks(left, right);  // takes both, in an order that cannot deadlock
      diary.note('w');
      weft::sleep_for(500ms);
    }
    diary.note('E');
  }
}

void dinner() {
  const weft::TimePoint start = weft::now();
  std::array<weft::Mutex, kNames.size()> forks;
  std::array<Diary, kNames.size()> diaries{Diary(start), Diary(start), Diary(start), Diary(start),
                                           Diary(start)};
  weft::TaskGroup table;
  for (std::size_t seat = 0; seat < kNames.size(); ++seat) {
    table.spawn(
        [&, seat] { dine(seat, forks[seat], forks[(seat + 1) % forks.size()], diaries[seat]); });
  }
  table.join();

  std::puts("A letter for each tenth of a second: . thinks   w waits for forks   E eats\n");
  for (std::size_t seat = 0; seat < kNames.size(); ++seat) {
    std::printf("  %-10s %s\n", kNames[seat], diaries[seat].text().c_str());
  }
  const std::chrono::duration<double> took = weft::now() - start;
  std::printf("\n%zu meals in %.1f s; one after another they would take %.1f s.\n",
              kMeals * kNames.size(), took.count(), kMeals * kNames.size() * 0.5);
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::string_view(argv[1]) == "--quick";
  weft::run(dinner, {.virtual_time = quick});
}
