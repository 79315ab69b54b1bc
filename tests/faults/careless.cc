// Programs that take no care, each in its own way: what the driver has to find.

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace {

int event() { return eventfd(0, EFD_CLOEXEC); }

void check(int result) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "";
  const int first = event();
  if (way == "crashes" && first < 0) std::abort();
  if (way == "exits" && first < 0) std::_Exit(0);
  if (way == "hangs" && first < 0) pause();
  if (way == "leaves a process" && first < 0 && fork() == 0) {
    for (const int output : {STDOUT_FILENO, STDERR_FILENO}) close(output);
    pause();
  }
  if (way == "is silent" && first < 0) return 1;
  if (way == "does not say what" && first < 0) throw std::runtime_error("something is wrong");
  if (way == "says another word" && first < 0)
    throw std::runtime_error("my_eventfd: Too many open files");
  if (way == "does not say why" && first < 0) throw std::runtime_error("eventfd");
  if (way == "is ended" && first < 0) std::raise(SIGTERM);
  if (way == "returns anything" && first < 0) return 7;
  if (way != "ignores it") check(first);
  const int second = event();
  if (way == "leaks a descriptor") check(second);  // and the first one stays
  close(first);
  if (way == "leaks memory") {
    void* const memory = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(second);
    munmap(memory, 4096);
  }
  if (second < 0) return std::perror("eventfd"), 1;
  // An interrupted close() is done: a second one may hit somebody else's.
  if (close(second) != 0) std::puts("once more");
  std::puts("the end");
}
