#include "weft/fiber/core/symbols.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/check.h"
#include "tests/support/child_process.h"
#include "tests/support/program.h"
#include "tests/support/temporary_directory.h"
#include "weft/fiber/core/mangled.h"

extern "C" char __executable_start, etext;

namespace {

std::atomic<bool> memory_is_short = false;
std::atomic<long> allocations = 0;

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (memory_is_short) throw std::bad_alloc();
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

BOOST_AUTO_TEST_SUITE(symbols)

using namespace weft::internal;
using namespace weft::test;

namespace {

[[gnu::noinline]] const void* static_function() {
  return static_cast<const char*>(__builtin_return_address(0)) - 1;
}

template <class T>
struct Generic {
  [[gnu::noinline]] static const void* caller() { return static_function(); }
};

template <class F>
const void* address_of(F* function) {
  return reinterpret_cast<const void*>(function);
}

std::string_view text(const char* symbol) { return symbol ? symbol : ""; }

std::string name_at(const void* address) { return demangled(find_code(address).symbol); }

bool same(const CodePlace& a, const CodePlace& b) {
  return a.symbol == b.symbol && a.into == b.into && a.module == b.module && a.offset == b.offset;
}

std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe"); }
std::string own_name() { return std::filesystem::path(own_path()).filename(); }

// What a copy of this program says of itself, before main().
[[maybe_unused]] const bool asked = [] {
  if (!std::getenv("WEFT_ASKED_FOR_SYMBOLS")) return false;
  const CodePlace own = find_code(address_of(&static_function));
  const CodePlace libc = find_code(address_of(&std::free));
  std::printf("%s %s %zx %s\n", own.symbol ? own.symbol : "-", std::string(own.module).c_str(),
              static_cast<std::size_t>(own.offset), libc.symbol ? libc.symbol : "-");
  std::fflush(stdout);
  _exit(0);
}();

}  // namespace

// ---- What there is ------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_static_function_has_its_name) {
  BOOST_TEST(name_at(address_of(&static_function)).ends_with("::static_function()"));
}

BOOST_AUTO_TEST_CASE(a_lambda_has_its_name) {
  const auto lambda = [](int) { return static_function(); };
  const std::string name = name_at(lambda(1));
  BOOST_TEST(name.find("::a_lambda_has_its_name_case()::") != name.npos, name);
  BOOST_TEST(name.ends_with("::operator()(int) const"), name);
}

BOOST_AUTO_TEST_CASE(an_instance_of_a_template_has_its_name) {
  const std::string name = name_at(Generic<std::vector<int>>::caller());
  BOOST_TEST(name.find("Generic<std::vector<int") != name.npos, name);
  BOOST_TEST(name.ends_with("::caller()"), name);
}

BOOST_AUTO_TEST_CASE(a_function_of_a_shared_library_has_its_name) {
  Dl_info there;
  BOOST_REQUIRE(dladdr(dlsym(RTLD_DEFAULT, "getpid"), &there) != 0);
  const CodePlace place = find_code(there.dli_saddr);
  BOOST_TEST(text(place.symbol).ends_with("getpid"));
  BOOST_TEST((place.module == std::filesystem::path(there.dli_fname).filename().string()));
  BOOST_TEST(place.offset == static_cast<std::uintptr_t>(static_cast<char*>(there.dli_saddr) -
                                                         static_cast<char*>(there.dli_fbase)));
}

BOOST_AUTO_TEST_CASE(an_address_within_a_function_is_so_far_into_it) {
  const auto* const begin = static_cast<const char*>(address_of(&static_function));
  const CodePlace first = find_code(begin);
  const CodePlace place = find_code(begin + 3);
  BOOST_TEST(first.into == 0u);
  BOOST_TEST(place.into == 3u);
  BOOST_TEST(place.symbol == first.symbol);
  BOOST_TEST(place.offset == first.offset + 3);
}

BOOST_AUTO_TEST_CASE(the_module_is_the_program_and_the_offset_is_that_of_its_file) {
  const CodePlace place = find_code(address_of(&static_function));
  BOOST_TEST((place.module == own_name()));
  BOOST_TEST(place.offset ==
             static_cast<std::uintptr_t>(static_cast<const char*>(address_of(&static_function)) -
                                         &__executable_start));
}

BOOST_AUTO_TEST_CASE(an_address_on_the_heap_has_no_module_and_no_name) {
  const auto memory = std::make_unique<char>();
  for (const void* address : std::array<const void*, 3>{memory.get(), &memory, nullptr}) {
    const CodePlace place = find_code(address);
    BOOST_TEST(!place.symbol);
    BOOST_TEST(place.module.empty());
    BOOST_TEST(place.offset == reinterpret_cast<std::uintptr_t>(address));
    BOOST_TEST(same(place, find_code_in_handler(address)));
  }
}

BOOST_AUTO_TEST_CASE(an_address_of_data_has_a_module_and_no_name) {
  const CodePlace place = find_code(&allocations);
  BOOST_TEST(!place.symbol);
  BOOST_TEST((place.module == own_name()));
}

// ---- In a handler -------------------------------------------------------------------------------

#if defined(DLFO_STRUCT_HAS_EH_DBASE)  // glibc 2.35

BOOST_AUTO_TEST_CASE(a_handler_finds_the_same_for_every_function_sampled) {
  constexpr std::ptrdiff_t kSamples = 2000;
  int named = 0;
  for (std::ptrdiff_t i = 0; i < kSamples; ++i) {
    const char* const address = &__executable_start + (&etext - &__executable_start) / kSamples * i;
    const CodePlace place = find_code(address);
    BOOST_REQUIRE(same(place, find_code_in_handler(address)));
    named += place.symbol != nullptr;
  }
  BOOST_TEST(named > kSamples / 2);
  BOOST_TEST(same(find_code(dlsym(RTLD_DEFAULT, "getpid")),
                  find_code_in_handler(dlsym(RTLD_DEFAULT, "getpid"))));
}

#endif

// ---- What is missing ----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_stripped_program_has_its_module_and_offset_and_others_have_names) {
  const TemporaryDirectory folder;
  const std::string copy = folder / "stripped";
  try {
    const Program::End end = run_program("objcopy", {"--strip-all", own_path(), copy});
    BOOST_TEST(end.exit_code == 0, end.err);
  } catch (const std::system_error&) {
    BOOST_TEST_MESSAGE("skipped: there is no objcopy");
    return;
  }
  char offset[20];
  std::snprintf(offset, sizeof(offset), "%zx",
                static_cast<std::size_t>(find_code(address_of(&static_function)).offset));
  setenv("WEFT_ASKED_FOR_SYMBOLS", "1", 1);
  const Program::End stripped = run_program(copy);
  const Program::End whole = run_program(own_path());
  unsetenv("WEFT_ASKED_FOR_SYMBOLS");
  check_lines(stripped.out, {std::string("- stripped ") + offset + " *free"});
  check_lines(whole.out, {std::string("_Z*static_function* ") + offset + " *free"});
}

namespace {

// A shared library that the program needs, and copies of it, each with a build id of its own.
class Copies {
 public:
  static constexpr const char* kFunction = "_Unwind_Backtrace";

  Copies() {
    const void* const address = dlsym(RTLD_DEFAULT, kFunction);
    Dl_info there;
    if (find_code(address).module == own_name() || dladdr(address, &there) == 0) return;
    contents_ = contents_of(there.dli_fname);
    id_ = contents_.find(std::string_view("\3\0\0\0GNU\0", 8));
  }

  // Whether there are any that can be told apart.
  explicit operator bool() const { return id_ < 4000; }

  // Loads another one. Returns the address of the function.
  const void* load() {
    ++contents_[id_ + 8 + static_cast<std::size_t>(loaded_) % 8];
    const std::string folder = folder_ / std::to_string(++loaded_);
    std::filesystem::create_directory(folder);
    file_ = folder + "/copy.so";
    write(file_, contents_);
    void* const library = dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    return dlsym(library, kFunction);
  }

  // The file of the last one, and what is in it.
  const std::string& contents() const { return contents_; }
  void remove() { std::filesystem::remove(file_); }
  void replace(std::string_view contents) {
    write(file_ + "+", contents);
    std::filesystem::rename(file_ + "+", file_);
  }

 private:
  TemporaryDirectory folder_;
  std::string contents_;
  std::size_t id_ = std::string::npos;
  std::string file_;
  int loaded_ = 0;
};

// Calls f(copies) in a child.
template <class F>
void check_with_copies(F f) {
  Copies copies;
  if (!copies) {
    BOOST_TEST_MESSAGE("skipped: there is no shared library to copy");
    return;
  }
  const ChildEnd end = run_in_child([&] { return f(copies); });
  BOOST_TEST(end.exit_code == 0, "it ended by signal " << end.signal << ", and said " << end.said);
}

bool has_name(const void* address) {
  const CodePlace place = find_code(address);
  return place.module == "copy.so" && text(place.symbol) == Copies::kFunction;
}

bool has_module_alone(const void* address) {
  const CodePlace place = find_code(address);
  return place.module == "copy.so" && !place.symbol && same(place, find_code_in_handler(address));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_library_that_was_loaded_later_has_names) {
  check_with_copies([](Copies& copies) { return has_name(copies.load()) ? 0 : 1; });
}

BOOST_AUTO_TEST_CASE(without_memory_names_are_found_all_the_same) {
  check_with_copies([](Copies& copies) {
    const void* const address = copies.load();
    memory_is_short = true;
    const CodePlace first = find_code(address);
    memory_is_short = false;
    return first.symbol && same(first, find_code(address)) ? 0 : 1;
  });
}

#if defined(DLFO_STRUCT_HAS_EH_DBASE)

BOOST_AUTO_TEST_CASE(a_handler_allocates_nothing) {
  check_with_copies([](Copies& copies) {
    const void* const address = copies.load();
    const long before = allocations;
    const CodePlace place = find_code_in_handler(address);
    return place.symbol && allocations == before ? 0 : 1;
  });
}

#endif

BOOST_AUTO_TEST_CASE(threads_that_look_first_at_the_same_time_find_the_same) {
  check_with_copies([](Copies& copies) {
    const void* const address = copies.load();
    std::array<CodePlace, 4> places;
    std::vector<std::thread> threads;
    for (CodePlace& place : places) {
      threads.emplace_back([&place, address] { place = find_code(address); });
    }
    for (std::thread& thread : threads) thread.join();
    // Each may have mapped the file for itself.
    return std::all_of(
               places.begin(), places.end(),
               [](const CodePlace& place) { return text(place.symbol) == Copies::kFunction; })
               ? 0
               : 1;
  });
}

BOOST_AUTO_TEST_CASE(a_file_that_was_removed_has_no_names) {
  check_with_copies([](Copies& copies) {
    const void* const address = copies.load();
    copies.remove();
    return has_module_alone(address) ? 0 : 1;
  });
}

BOOST_AUTO_TEST_CASE(a_file_that_was_replaced_by_another_version_has_no_names) {
  check_with_copies([](Copies& copies) {
    const void* const address = copies.load();
    copies.replace(contents_of("/proc/self/exe"));
    if (!has_module_alone(address)) return 1;
    copies.replace("no ELF");
    if (!has_module_alone(address)) return 2;
    copies.replace(copies.contents());
    return has_name(address) ? 0 : 3;
  });
}

BOOST_AUTO_TEST_CASE(a_file_that_was_cut_short_has_no_names) {
  check_with_copies([](Copies& copies) {
    const std::size_t whole = copies.contents().size();
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{52}, std::size_t{64}, std::size_t{4095},
          std::size_t{4096}, std::size_t{4097}, whole / 2, whole - 1}) {
      const void* const address = copies.load();
      copies.replace(std::string_view(copies.contents()).substr(0, size));
      if (!has_module_alone(address)) return static_cast<int>(size % 251) + 1;
    }
    return 0;
  });
}

// What is looked at lies at the end of the file, and is not what was loaded.
BOOST_AUTO_TEST_CASE(a_file_that_was_damaged_does_no_harm) {
  check_with_copies([](Copies& copies) {
    std::mt19937 random(1);
    for (int i = 0; i < 50; ++i) {
      const void* const address = copies.load();
      std::string damaged = copies.contents();
      for (int byte = 0; byte < 30; ++byte) {
        const std::size_t back = random() % (byte % 2 ? 2'000 : damaged.size() - 4096);
        damaged[damaged.size() - 1 - back] = static_cast<char>(random());
      }
      copies.replace(damaged);
      (void)demangled(find_code(address).symbol);
      if (find_code(address).symbol != find_code_in_handler(address).symbol) return 1;
    }
    return 0;
  });
}

BOOST_AUTO_TEST_CASE(with_too_many_modules_the_last_ones_have_no_names) {
  check_with_copies([](Copies& copies) {
    std::vector<const void*> addresses;
    for (int i = 0; i < 70; ++i) {
      addresses.push_back(copies.load());
      const bool named = has_name(addresses.back());
      if (i < 50 && !named) return 1;
      if (i >= 64 && !has_module_alone(addresses.back())) return 2;
      copies.remove();
    }
    return has_name(addresses[0]) ? 0 : 3;
  });
}

// ---- Names --------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(names_are_demangled_where_that_is_possible) {
  BOOST_TEST(demangled("_ZN4weft8internal4Loop3runEv") == "weft::internal::Loop::run()");
  BOOST_TEST(demangled("main") == "main");
  BOOST_TEST(demangled("_Z1") == "_Z1");
  BOOST_TEST(demangled("") == "");
  BOOST_TEST(demangled(nullptr) == "");
}

BOOST_AUTO_TEST_CASE(what_is_in_namespace_weft_is_told_by_its_name) {
  for (const char* symbol :
       {"_ZN4weft8internal4Loop3runEv", "_ZNK4weft8TaskBase4doneEv",
        "_ZN4weft8internal9TaskStateIZ4mainEUlvE_vE4workERNS0_5FiberE",
        "_ZZN4weft7Runtime3runEvENKUlvE_clEv", "_ZZZN4weft1fEvENKUlvE_clEvENKUlvE_clEv",
        "_ZN4weftL3fooEv", "_ZN4weft8internal9RunQueue9hand_overERNS0_5FiberES3_b.cold"}) {
    BOOST_TEST(is_weft(symbol), symbol);
    BOOST_TEST(is_plumbing(symbol), symbol);
  }
  for (const char* symbol :
       {"_Z8transferRN4weft5MutexES1_", "_ZZ4mainENKUlvE_clEv", "_ZN3app4weftEv", "_Z4weftv",
        "_ZZ4weftvENKUlvE_clEv", "_ZN5weft23runEv", "_ZN8weft_app3runEv", "main", "weft", "_Z", "",
        "_ZN", static_cast<const char*>(nullptr)}) {
    BOOST_TEST(!is_weft(symbol), text(symbol));
    BOOST_TEST(!is_plumbing(symbol), text(symbol));
  }
}

// Unless that was inlined, a fiber that waits is in it.
BOOST_AUTO_TEST_CASE(what_weft_switches_by_counts_as_weft) {
  for (const char* symbol :
       {"_ZNO5boost7context5fiber11resume_withIRZN4weft8internal11SwitchState4jumpERNS4_7ContextES7"
        "_EUlOS1_E_EES1_OT_",
        "_ZN5boost7context6detail11fiber_entryINS1_12fiber_recordEEEvNS1_10transfer_tE"}) {
    BOOST_TEST(is_weft(symbol), symbol);
    BOOST_TEST(is_plumbing(symbol), symbol);
  }
}

BOOST_AUTO_TEST_CASE(plumbing_is_also_the_standard_library_and_the_switch_itself) {
  for (const char* symbol : {"_ZSt13__invoke_implIvRZ4mainEUlvE_JEET_St14__invoke_otherOT0_DpOT1_",
                             "_ZNSt8functionIFvvEEclEv", "_ZNKSt8functionIFvvEEclEv",
                             "_ZNSs6appendEPKc", "_ZN9__gnu_cxx13new_allocatorIcE8allocateEmPKv",
                             "make_fcontext", "jump_fcontext", "ontop_fcontext"}) {
    BOOST_TEST(!is_weft(symbol), symbol);
    BOOST_TEST(is_plumbing(symbol), symbol);
  }
  BOOST_TEST(!is_plumbing("_ZN5boost4asio10io_context3runEv"));
}

BOOST_AUTO_TEST_CASE(the_build_id_is_the_one_in_the_file) {
  const std::string program = contents_of("/proc/self/exe");
  const std::size_t note = program.find(std::string_view("\3\0\0\0GNU\0", 8));
  std::string expected;
  if (note != program.npos) {
    const auto size = static_cast<std::size_t>(program[note - 4]);
    for (std::size_t i = 0; i < size; ++i) {
      char digits[3];
      std::snprintf(digits, sizeof(digits), "%02x",
                    static_cast<unsigned>(static_cast<unsigned char>(program[note + 8 + i])));
      expected += digits;
    }
  }
  BOOST_TEST(build_id() == expected);
}

BOOST_AUTO_TEST_SUITE_END()
