#include "weft/io/file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/error_names.h"
#include "tests/support/fixture.h"
#include "tests/support/temporary_directory.h"

BOOST_AUTO_TEST_SUITE(file)

using namespace weft;
using namespace weft::test;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

void put(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), std::ssize(content));
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string read(File& file, std::size_t room) {
  std::string piece(room, '?');
  piece.resize(file.read(piece));
  return piece;
}

std::string pread(File& file, std::size_t room, std::uint64_t offset) {
  std::string piece(room, '?');
  piece.resize(file.pread(piece, offset));
  return piece;
}

// Some bytes that differ from their neighbours.
std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
  return bytes;
}

// What files claim to have beyond their size.
std::atomic<off_t> added_to_sizes{0};

int stat_and_add(int fd, struct stat* info) {
  static auto* const real = reinterpret_cast<int (*)(int, struct stat*)>(dlsym(RTLD_NEXT, "fstat"));
  const int result = real(fd, info);
  if (result == 0) info->st_size += added_to_sizes;
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE_END()

// Comes before libc's.
extern "C" int fstat(int fd, struct stat* info) noexcept {
  return file_suite::stat_and_add(fd, info);
}

BOOST_AUTO_TEST_SUITE(file)

// ---- Opening ------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(by_default_it_is_not_open) {
  File none;
  BOOST_TEST(!none.is_open());
  BOOST_TEST(none.native_handle() == -1);
  none.close();
  char byte;
  const auto closed = is(std::errc::bad_file_descriptor, "", "");
  BOOST_CHECK_EXCEPTION(none.read({&byte, 1}), std::system_error, closed);
  BOOST_CHECK_EXCEPTION(none.size(), std::system_error, closed);
}

WEFT_REAL_TIME_TEST_CASE(a_file_is_opened_and_closed) {
  const TemporaryDirectory directory;
  put(directory / "file", "content");
  const auto before = open_descriptors();
  File file = File::open(directory / "file");
  BOOST_TEST(file.is_open());
  BOOST_TEST(open_descriptors() == before + 1);
  BOOST_TEST((fcntl(file.native_handle(), F_GETFL) & O_ACCMODE) == O_RDONLY);
  BOOST_TEST(file.read_all() == "content");
  file.close();
  BOOST_TEST(!file.is_open());
  BOOST_TEST(file.native_handle() == -1);
  BOOST_TEST(open_descriptors() == before);
  file.close();
}

WEFT_REAL_TIME_TEST_CASE(a_child_process_does_not_get_it) {
  const TemporaryDirectory directory;
  for (const int flags : {O_RDWR | O_CREAT, O_RDONLY, O_WRONLY | O_TRUNC}) {
    const File file = File::open(directory / "file", flags);
    BOOST_TEST((fcntl(file.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

WEFT_REAL_TIME_TEST_CASE(a_new_file_gets_the_mode_less_the_umask) {
  const TemporaryDirectory directory;
  const mode_t before = umask(027);
  File::open(directory / "usual", O_CREAT | O_WRONLY);
  File::open(directory / "mine", O_CREAT | O_WRONLY, 0600);
  umask(before);
  struct stat info {};
  BOOST_TEST(stat((directory / "usual").c_str(), &info) == 0);
  BOOST_TEST((info.st_mode & 0777) == 0640u);
  BOOST_TEST(stat((directory / "mine").c_str(), &info) == 0);
  BOOST_TEST((info.st_mode & 0777) == 0600u);
}

WEFT_REAL_TIME_TEST_CASE(what_cannot_be_opened_is_an_error_that_names_it) {
  const TemporaryDirectory directory;
  put(directory / "file", "");
  const auto fails = [](const std::string& path, int flags, std::errc code) {
    const auto before = open_descriptors();
    BOOST_TEST_CONTEXT(path) {
      BOOST_CHECK_EXCEPTION(File::open(path, flags), std::system_error, is(code, "open", path));
    }
    BOOST_TEST(open_descriptors() == before);
  };
  fails(directory / "missing", O_RDONLY, std::errc::no_such_file_or_directory);
  fails(directory / "missing/file", O_CREAT | O_RDWR, std::errc::no_such_file_or_directory);
  fails(directory / "file/below", O_RDONLY, std::errc::not_a_directory);
  fails(directory / "file", O_CREAT | O_EXCL | O_RDWR, std::errc::file_exists);
  fails(directory.path(), O_RDONLY, std::errc::is_a_directory);
  fails(directory.path(), O_RDWR, std::errc::is_a_directory);
  fails(directory.path(), O_RDONLY | O_DIRECTORY, std::errc::is_a_directory);
  fails(directory / std::string(300, 'x'), O_RDONLY, std::errc::filename_too_long);
  fails("", O_RDONLY, std::errc::no_such_file_or_directory);
}

BOOST_AUTO_TEST_CASE(a_file_without_permission_is_an_error_that_names_it) {
  const TemporaryDirectory directory;
  put(directory / "file", "");
  chmod((directory / "file").c_str(), 0);
  const ChildEnd end = run_in_child([&] {
    // So that it holds for root, too.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capset, &header, none) != 0) return 1;
    return run([&] {
      try {
        File::open(directory / "file");
      } catch (const std::system_error& error) {
        return is(std::errc::permission_denied, "open", directory / "file")(error) ? 7 : 2;
      }
      return 3;
    });
  });
  BOOST_TEST(end.exit_code == 7, end.said);
}

// The system takes a path up to its first zero.
WEFT_REAL_TIME_TEST_CASE(a_path_with_a_zero_inside_is_refused) {
  const TemporaryDirectory directory;
  put(directory / "file", "");
  BOOST_CHECK_THROW(File::open((directory / "file") + "\0.txt"s), std::system_error);
}

WEFT_REAL_TIME_TEST_CASE(running_out_of_descriptors_is_an_error) {
  rlimit usual{};
  getrlimit(RLIMIT_NOFILE, &usual);
  std::vector<File> files;
  std::error_code error;
  std::string what;
  const rlimit low{static_cast<rlim_t>(open_descriptors()) + 5, usual.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  try {
    for (int i = 0; i < 20; ++i) files.push_back(File::open("/dev/null"));
  } catch (const std::system_error& failure) {
    error = failure.code();
    what = failure.what();
  }
  // Checked with descriptors, of which UBSan needs some to look at a type.
  setrlimit(RLIMIT_NOFILE, &usual);
  BOOST_TEST(!files.empty());
  BOOST_TEST((error == std::errc::too_many_files_open));
  BOOST_TEST(what.starts_with("weft: open /dev/null: "), what);
}

BOOST_AUTO_TEST_CASE(it_needs_a_fiber_of_a_runtime) {
  BOOST_CHECK_THROW(File::open("/dev/null"), std::logic_error);
  File file = run([] { return File::open("/dev/zero", O_RDWR); });
  char byte = 'x';
  BOOST_CHECK_THROW(file.read({&byte, 1}), std::logic_error);
  BOOST_CHECK_THROW(file.write({&byte, 1}), std::logic_error);
  BOOST_CHECK_THROW(file.size(), std::logic_error);
  BOOST_TEST(run([&] { return file.read({&byte, 1}); }) == 1u);  // it may outlive its runtime
  BOOST_TEST(byte == 0);
}

// ---- Reading and writing ------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(reads_and_writes_move_the_position) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  BOOST_TEST(file.write("one") == 3u);
  BOOST_TEST(file.write("") == 0u);
  BOOST_TEST(file.write(" two three") == 10u);
  BOOST_TEST(read(file, 10) == "");
  File other = File::open(directory / "file", O_RDWR);
  BOOST_TEST(read(other, 3) == "one");
  BOOST_TEST(read(other, 0) == "");
  BOOST_TEST(read(other, 5) == " two ");
  BOOST_TEST(other.write("THR") == 3u);
  BOOST_TEST(read(other, 100) == "ee");
  BOOST_TEST(read(other, 100) == "");
  BOOST_TEST(content_of(directory / "file") == "one two THRee");
}

WEFT_REAL_TIME_TEST_CASE(a_place_is_read_and_written_without_moving_the_position) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  file.write("0123456789");
  BOOST_TEST(pread(file, 3, 4) == "456");
  BOOST_TEST(pread(file, 100, 8) == "89");
  BOOST_TEST(pread(file, 100, 10) == "");
  BOOST_TEST(pread(file, 100, 1'000'000) == "");
  BOOST_TEST(file.pwrite("ab", 1) == 2u);
  BOOST_TEST(file.pwrite("", 1) == 0u);
  BOOST_TEST(file.pwrite("cd", 12) == 2u);
  file.write("X");
  BOOST_TEST(content_of(directory / "file") == "0ab3456789X\0cd"s);
}

WEFT_REAL_TIME_TEST_CASE(large_pieces_come_whole) {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(20'000'000);
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  BOOST_TEST(file.pwrite(bytes, 5'000'000'000) == bytes.size());  // beyond 32 bits
  BOOST_TEST(file.size() == 5'000'000'000 + bytes.size());
  BOOST_TEST((pread(file, bytes.size(), 5'000'000'000) == bytes));
  BOOST_TEST((pread(file, 1000, 5'010'000'000) == bytes.substr(10'000'000, 1000)));
  BOOST_TEST(file.write(bytes) == bytes.size());
  BOOST_TEST((pread(file, bytes.size(), 0) == bytes));
}

WEFT_REAL_TIME_TEST_CASE(appending_writes_go_to_the_end) {
  const TemporaryDirectory directory;
  File first = File::open(directory / "file", O_WRONLY | O_CREAT | O_APPEND);
  File second = File::open(directory / "file", O_WRONLY | O_APPEND);
  first.write("one ");
  second.write("two ");
  first.write("three");
  BOOST_TEST(content_of(directory / "file") == "one two three");
}

// The kernel would append it, wherever it was to go.
WEFT_REAL_TIME_TEST_CASE(a_file_that_is_appended_to_refuses_to_be_written_at_a_place) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  File file = File::open(path, O_RDWR | O_CREAT | O_APPEND);
  file.write("0123456789");
  BOOST_CHECK_EXCEPTION(file.pwrite("ab", 1), std::system_error,
                        is(std::errc::invalid_argument, "pwrite", path, "O_APPEND"));
  BOOST_TEST(content_of(path) == "0123456789");
  BOOST_TEST(pread(file, 2, 1) == "12");
  // What holds is what the descriptor is now.
  const int flags = fcntl(file.native_handle(), F_GETFL);
  BOOST_REQUIRE(fcntl(file.native_handle(), F_SETFL, flags & ~O_APPEND) == 0);
  BOOST_TEST(file.pwrite("ab", 1) == 2u);
  BOOST_TEST(content_of(path) == "0ab3456789");
}

WEFT_REAL_TIME_TEST_CASE(appended_lines_of_many_fibers_are_not_mixed) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_WRONLY | O_CREAT | O_APPEND);
  TaskGroup group;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    group.spawn([&, letter] {
      for (int i = 0; i < 5; ++i) file.write(std::string(50, letter) + "\n");
    });
  }
  group.join();
  std::ifstream lines(directory / "file");
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    BOOST_TEST((line == std::string(50, line[0])));
  }
  BOOST_TEST(count == 26 * 5);
}

WEFT_REAL_TIME_TEST_CASE(all_is_what_comes_from_the_position_to_the_end) {
  const TemporaryDirectory directory;
  for (const std::size_t size : {0, 1, 16'383, 16'384, 16'385, 1'000'000}) {
    const std::string bytes = pattern(size);
    put(directory / "file", bytes);
    File file = File::open(directory / "file");
    BOOST_TEST((file.read_all() == bytes));
    BOOST_TEST(file.read_all() == "");
    File other = File::open(directory / "file");
    const std::string begin = read(other, size / 2);
    BOOST_TEST((begin + other.read_all() == bytes));
  }
}

WEFT_REAL_TIME_TEST_CASE(a_file_of_more_than_the_limit_is_refused_before_it_is_read) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  put(path, "12345");
  File file = File::open(path, O_RDWR);
  BOOST_CHECK_EXCEPTION(
      file.read_all(4), std::system_error,
      is(std::errc::file_too_large, "read_all", path, "5 bytes", "more than 4 bytes"));
  BOOST_TEST(file.read_all(5) == "12345");  // from the position on
  BOOST_TEST(file.read_all(0) == "");
  // Sparse: it takes no room on the disk.
  constexpr off_t kHuge = off_t{4} << 40;
  BOOST_REQUIRE(ftruncate(file.native_handle(), kHuge) == 0);
  BOOST_CHECK_EXCEPTION(file.read_all(), std::system_error,
                        is(std::errc::file_too_large, path, std::to_string(kHuge - 5) + " bytes",
                           "1073741824 bytes"));
}

WEFT_REAL_TIME_TEST_CASE(what_has_no_size_is_read_up_to_the_limit) {
  const TemporaryDirectory directory;
  const std::string path = directory / "fifo";
  BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const std::string bytes = pattern(300'000);
  for (const std::size_t limit : {300'000, 299'999, 16'384, 1, 0}) {
    auto all = spawn([&] { return File::open(path).read_all(limit); });
    try {
      File::open(path, O_WRONLY).write(bytes);
    } catch (const std::system_error& error) {  // of a pipe that the reader has closed
      BOOST_TEST((error.code() == std::errc::broken_pipe));
    }
    if (limit == bytes.size()) {
      BOOST_TEST((all.get() == bytes));
    } else {
      BOOST_CHECK_EXCEPTION(all.get(), std::system_error,
                            is(std::errc::file_too_large, "read_all", path,
                               "more than " + std::to_string(limit) + " bytes"));
    }
  }
  BOOST_CHECK_THROW(File::open("/dev/zero").read_all(1'000'000), std::system_error);
}

WEFT_REAL_TIME_TEST_CASE(memory_grows_with_what_is_read_and_not_with_the_size) {
  const TemporaryDirectory directory;
  put(directory / "file", "12345");
  File file = File::open(directory / "file");
  added_to_sizes = off_t{1} << 50;  // there is no machine with so much memory
  BOOST_TEST(file.read_all(std::numeric_limits<std::size_t>::max()) == "12345");
  added_to_sizes = 0;
  const std::string bytes = pattern(40'000'000);
  put(directory / "large", bytes);
  BOOST_TEST((File::open(directory / "large").read_all() == bytes));
}

WEFT_REAL_TIME_TEST_CASE(all_of_what_has_no_size_is_read) {
  BOOST_TEST((File::open("/proc/self/environ").read_all() == content_of("/proc/self/environ")));
  BOOST_TEST(File::open("/proc/self/maps").read_all().size() > 1000u);
  BOOST_TEST(File::open("/dev/null").read_all() == "");
  // A file of /sys claims to be larger than it is.
  BOOST_TEST(!File::open("/sys/kernel/mm/transparent_hugepage/enabled").read_all().empty());
}

WEFT_REAL_TIME_TEST_CASE(all_of_a_pipe_is_what_comes_until_its_end) {
  const TemporaryDirectory directory;
  const std::string path = directory / "fifo";
  BOOST_REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  // The one opens when the other does.
  auto all = spawn([&] { return File::open(path).read_all(); });
  const std::string bytes = pattern(300'000);
  BOOST_TEST(File::open(path, O_WRONLY).write(bytes) == bytes.size());
  BOOST_TEST((all.get() == bytes));
}

WEFT_REAL_TIME_TEST_CASE(a_file_may_grow_while_it_is_read) {
  const TemporaryDirectory directory;
  put(directory / "file", "begin");
  File file = File::open(directory / "file", O_RDWR | O_APPEND);
  std::atomic<bool> stop{false};
  std::string written = "begin";
  std::thread writer([&] {
    std::ofstream stream(directory / "file", std::ios::app);
    for (int i = 0; i < 2000 && !stop; ++i) {
      const std::string piece = pattern(static_cast<std::size_t>(1 + i % 5000));
      stream << piece << std::flush;
      written += piece;
    }
  });
  std::string all;
  for (int i = 0; i < 20; ++i) all += file.read_all();
  stop = true;
  writer.join();
  all += file.read_all();
  BOOST_TEST((all == written));
}

WEFT_REAL_TIME_TEST_CASE(the_size_is_as_it_is_now) {
  const TemporaryDirectory directory;
  File file = File::open(directory / "file", O_RDWR | O_CREAT);
  BOOST_TEST(file.size() == 0u);
  file.write("12345");
  BOOST_TEST(file.size() == 5u);
  BOOST_TEST(ftruncate(file.native_handle(), 3) == 0);
  BOOST_TEST(file.size() == 3u);
  file.sync();
}

// ---- Errors -------------------------------------------------------------------------------------

WEFT_REAL_TIME_TEST_CASE(what_is_not_allowed_is_an_error_that_names_call_and_path) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  char byte = 'x';
  File writer = File::open(path, O_WRONLY | O_CREAT);
  const auto bad = std::errc::bad_file_descriptor;
  BOOST_CHECK_EXCEPTION(writer.read({&byte, 1}), std::system_error, is(bad, "read", path));
  BOOST_CHECK_EXCEPTION(writer.pread({&byte, 1}, 0), std::system_error, is(bad, "pread", path));
  BOOST_CHECK_EXCEPTION(writer.read_all(), std::system_error, is(bad, "read", path));
  File reader = File::open(path);
  BOOST_CHECK_EXCEPTION(reader.write({&byte, 1}), std::system_error, is(bad, "write", path));
  BOOST_CHECK_EXCEPTION(reader.pwrite({&byte, 1}, 0), std::system_error, is(bad, "pwrite", path));
  BOOST_CHECK_EXCEPTION(reader.pread({&byte, 1}, std::uint64_t{1} << 63), std::system_error,
                        is(std::errc::invalid_argument, "pread", path));
  File full = File::open("/dev/full", O_RDWR);
  BOOST_CHECK_EXCEPTION(full.write("x"), std::system_error,
                        is(std::errc::no_space_on_device, "write", "/dev/full"));
  BOOST_CHECK_EXCEPTION(File::open("/proc/self/status").sync(), std::system_error,
                        is(std::errc::invalid_argument, "fsync", "/proc/self/status"));
}

BOOST_AUTO_TEST_CASE(what_can_be_written_in_part_only_is_an_error) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  const ChildEnd end = run_in_child([&] {
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    return run([&] {
      File file = File::open(path, O_WRONLY | O_CREAT);
      int errors = 0;
      const auto fails = [&](const std::string& call, const std::function<void()>& f) {
        try {
          f();
        } catch (const std::system_error& error) {
          errors += is(std::errc::file_too_large, call, path)(error);
        }
      };
      fails("pwrite", [&] { file.pwrite(std::string(900, 'x'), 500); });
      fails("write", [&] { file.write(std::string(1500, 'y')); });
      return errors == 2 ? 7 : 1;
    });
  });
  BOOST_TEST(end.exit_code == 7, end.said);
  BOOST_TEST((content_of(path) == std::string(1000, 'y')));
}

BOOST_AUTO_TEST_SUITE_END()
