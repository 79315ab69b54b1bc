#include "weft/fiber/core/error.h"

#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "weft/fiber/report.h"

namespace weft::internal {
namespace {

using SharedHandler = std::shared_ptr<const ReportHandler>;

constinit std::mutex handler_lock;

// Never destroyed: at the end of the program other threads may still report.
// REQUIRES: the lock is held.
SharedHandler& handler_set() {
  static auto& handler = *new SharedHandler;
  return handler;
}

// fork() waits until no other thread holds the lock, which would not be released in the child.
[[maybe_unused]] const int report_at_fork = pthread_atfork(
    [] { handler_lock.lock(); }, [] { handler_lock.unlock(); }, [] { handler_lock.unlock(); });

thread_local bool in_report = false;

SharedHandler report_handler() noexcept try {
  const std::lock_guard lock(handler_lock);
  return handler_set();
} catch (const std::bad_alloc&) {
  return nullptr;
}

}  // namespace

void throw_logic_error(const char* caller, const char* what) {
  throw std::logic_error(std::string(caller) + what);
}

void throw_invalid_argument(const char* caller, const char* what) {
  throw std::invalid_argument(std::string(caller) + what);
}

void throw_system_error(std::error_code error, Words words) {
  std::string what("weft: ");
  for (const std::string_view word : words) what += word;
  throw std::system_error(error, what);
}

std::string decimal(std::int64_t number) { return std::to_string(number); }

std::string in_bytes(std::uint64_t size) { return std::to_string(size) + " bytes"; }

// What cannot be said is not said.
void write_report(std::string_view text) noexcept {
  iovec parts[] = {{const_cast<char*>(text.data()), text.size()}, {const_cast<char*>("\n"), 1}};
  while (parts[0].iov_len > 0) {
    const ssize_t written = ::writev(STDERR_FILENO, parts, 2);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0 || static_cast<std::size_t>(written) > parts[0].iov_len) return;
    parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + written;
    parts[0].iov_len -= static_cast<std::size_t>(written);
  }
}

void report(std::string_view text) noexcept {
  const SharedHandler handler = in_report ? nullptr : report_handler();
  if (!handler) return write_report(text);
  in_report = true;
  try {
    (*handler)(text);
  } catch (...) {
  }
  in_report = false;
}

void print_line(const char* format, ...) noexcept {
  constexpr std::string_view kPrefix = "weft: ";
  char line[250];
  kPrefix.copy(line, kPrefix.size());
  std::va_list values;
  va_start(values, format);
  const int size =
      std::vsnprintf(line + kPrefix.size(), sizeof(line) - kPrefix.size(), format, values);
  va_end(values);
  report({line, std::min(kPrefix.size() + static_cast<std::size_t>(std::max(size, 0)),
                         sizeof(line) - 1)});
}

void fail_misuse(const char* sentence) noexcept {
  print_line("%s", sentence);
  std::terminate();
}

}  // namespace weft::internal

namespace weft {

void set_report_handler(ReportHandler handler) {
  std::shared_ptr<const ReportHandler> next;
  if (handler) next = std::make_shared<const ReportHandler>(std::move(handler));
  const std::lock_guard lock(internal::handler_lock);  // released before the old one is destroyed
  internal::handler_set().swap(next);
}

}  // namespace weft
