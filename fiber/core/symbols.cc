#include "weft/fiber/core/symbols.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace weft::internal {
namespace {

using Elf = ElfW(Ehdr);
using Section = ElfW(Shdr);
using Symbol = ElfW(Sym);
using Segment = ElfW(Phdr);

constexpr std::size_t kMaxModules = 64;

// As much of a file's beginning is compared with what was loaded: its headers, and the build id.
constexpr std::size_t kCompared = 4096;

std::string_view base_name(const char* path) noexcept {
  const std::string_view whole(path ? path : "");
  return whole.substr(whole.rfind('/') + 1);
}

// ---- What is loaded where -----------------------------------------------------------------------

// A file that the program consists of.
struct Loaded {
  const char* begin;     // its first byte in memory
  std::uintptr_t moved;  // how far it lies from where it says that it lies
  const char* path;      // empty: the program's own

  bool is_program() const noexcept { return path[0] == '\0'; }
  const char* to_open() const noexcept { return is_program() ? "/proc/self/exe" : path; }
  std::string_view name() const noexcept {
    if (!is_program()) return base_name(path);
    return base_name(reinterpret_cast<const char*>(getauxval(AT_EXECFN)));
  }
};

#if defined(DLFO_STRUCT_HAS_EH_DBASE)  // glibc 2.35: takes no lock, for unwinding needs it so

constexpr bool kFindsInHandler = true;

// Where the file is in memory. In a static program glibc knows where its code begins only; but the
// program headers, which the kernel has told of, are in the first page of the file.
const char* file_begin(const char* begin) noexcept {
  if (std::memcmp(begin, ELFMAG, SELFMAG) == 0) return begin;
  return reinterpret_cast<const char*>(getauxval(AT_PHDR) / kCompared * kCompared);
}

bool find_loaded(std::uintptr_t address, Loaded& loaded) noexcept {
  dl_find_object object;
  if (_dl_find_object(reinterpret_cast<void*>(address), &object) != 0) return false;
  const link_map& map = *object.dlfo_link_map;
  loaded = {file_begin(static_cast<const char*>(object.dlfo_map_start)), map.l_addr, map.l_name};
  return true;
}

#else

constexpr bool kFindsInHandler = false;

struct Wanted {
  std::uintptr_t address;
  Loaded& loaded;
};

int look_into(dl_phdr_info* info, std::size_t, void* argument) noexcept {
  const Wanted& wanted = *static_cast<Wanted*>(argument);
  const std::uintptr_t address = wanted.address - info->dlpi_addr;
  const char* begin = nullptr;
  bool found = false;
  for (const Segment& segment : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (segment.p_type != PT_LOAD) continue;
    if (!begin) begin = reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    found = found || address - segment.p_vaddr < segment.p_memsz;
  }
  if (found) wanted.loaded = {begin, info->dlpi_addr, info->dlpi_name};
  return found;
}

bool find_loaded(std::uintptr_t address, Loaded& loaded) noexcept {
  Wanted wanted{address, loaded};
  return dl_iterate_phdr(&look_into, &wanted) != 0;
}

#endif

// ---- A file -------------------------------------------------------------------------------------

// A file in memory. It stays there, for names are given out. One that is cut short later takes the
// program's code away, too.
std::span<const char> map_file(const char* path) noexcept {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return {};
  struct stat status;
  void* memory = MAP_FAILED;
  if (fstat(file, &status) == 0 && status.st_size > 0) {
    memory =
        mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
  }
  close(file);
  if (memory == MAP_FAILED) return {};
  return {static_cast<const char*>(memory), static_cast<std::size_t>(status.st_size)};
}

void unmap(std::span<const char> file) noexcept {
  if (!file.empty()) munmap(const_cast<char*>(file.data()), file.size());
}

// The part of a file that is an array; empty if it does not lie within.
template <class T>
std::span<const T> part_of(std::span<const char> file, std::uint64_t offset,
                           std::uint64_t size) noexcept {
  if (offset > file.size() || size > file.size() - offset || offset % alignof(T) != 0) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), size / sizeof(T)};
}

std::span<const Section> sections_of(std::span<const char> file) noexcept {
  constexpr unsigned char kWord = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;
  const auto header = part_of<Elf>(file, 0, sizeof(Elf));
  if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return {};
  if (header[0].e_ident[EI_CLASS] != kWord || header[0].e_shentsize != sizeof(Section)) return {};
  return part_of<Section>(file, header[0].e_shoff, header[0].e_shnum * sizeof(Section));
}

// The symbols of a file, and the text that has their names.
struct Names {
  std::span<const Symbol> symbols;
  std::span<const char> text;
};

Names names_of(std::span<const char> file) noexcept {
  const auto sections = sections_of(file);
  auto table = sections.end();
  for (const auto type : {SHT_SYMTAB, SHT_DYNSYM}) {  // a stripped file lacks the first
    table = std::find_if(sections.begin(), sections.end(), [type](const Section& section) {
      return section.sh_type == static_cast<unsigned>(type);
    });
    if (table != sections.end()) break;
  }
  if (table == sections.end() || table->sh_link >= sections.size()) return {};
  const Section& text = sections[table->sh_link];
  const auto characters = part_of<char>(file, text.sh_offset, text.sh_size);
  if (characters.empty() || characters.back() != '\0') return {};
  return {part_of<Symbol>(file, table->sh_offset, table->sh_size), characters};
}

bool is_function(const Symbol& symbol) noexcept {
  const int type = symbol.st_info & 0xf;
  return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF &&
         symbol.st_size != 0;
}

bool has(const Symbol& symbol, std::uintptr_t address) noexcept {
  return address - symbol.st_value < symbol.st_size;
}

// ---- A module -----------------------------------------------------------------------------------

// A function, and which of the symbols it is.
struct Function {
  std::uintptr_t begin;
  std::uint32_t symbol;

  // Of several that begin in one place the last one is found: the first in the file.
  bool operator<(const Function& other) const noexcept {
    return begin != other.begin ? begin < other.begin : symbol > other.symbol;
  }
};

// A file with its functions. One that is in use stays so.
class Module {
 public:
  constexpr Module() noexcept = default;

  // Whether this is the file that was loaded there. Acquire: sees what take() wrote.
  bool is(const Loaded& loaded) const noexcept {
    return state_.load(std::memory_order_acquire) == kReady && is_loaded(file_, loaded);
  }

  static bool is_loaded(std::span<const char> file, const Loaded& loaded) noexcept {
    return file.size() >= kCompared && std::memcmp(file.data(), loaded.begin, kCompared) == 0;
  }

  // Makes it this file's, if it is free.
  bool take(std::span<const char> file) noexcept;

  // The function that has this address, as the file numbers addresses. The fast one sorts them when
  // it is called first.
  const Symbol* find(std::uintptr_t address) const noexcept;
  const Symbol* find_fast(std::uintptr_t address) noexcept;

  const char* name_of(const Symbol& symbol) const noexcept {
    return symbol.st_name < names_.text.size() ? names_.text.data() + symbol.st_name : nullptr;
  }

 private:
  enum State { kFree, kTaken, kReady };

  const Function* sorted() noexcept;

  std::atomic<State> state_{kFree};
  std::span<const char> file_;
  Names names_;
  std::size_t count_ = 0;                         // of the functions
  std::atomic<const Function*> sorted_{nullptr};  // all of them; null: not yet
};

bool Module::take(std::span<const char> file) noexcept {
  State state = kFree;
  // Relaxed: nothing was written there before.
  if (!state_.compare_exchange_strong(state, kTaken, std::memory_order_relaxed)) return false;
  file_ = file;
  names_ = names_of(file);
  count_ = static_cast<std::size_t>(
      std::count_if(names_.symbols.begin(), names_.symbols.end(), &is_function));
  // Release: pairs with the acquire of is().
  state_.store(kReady, std::memory_order_release);
  return true;
}

const Symbol* Module::find(std::uintptr_t address) const noexcept {
  const Symbol* best = nullptr;
  for (const Symbol& symbol : names_.symbols) {
    if (!is_function(symbol) || symbol.st_value > address) continue;
    if (!best || symbol.st_value > best->st_value) best = &symbol;
  }
  return best && has(*best, address) ? best : nullptr;
}

const Symbol* Module::find_fast(std::uintptr_t address) noexcept {
  const Function* const all = sorted();
  if (!all) return find(address);
  const Function* const next = std::upper_bound(
      all, all + count_, address,
      [](std::uintptr_t its, const Function& function) { return its < function.begin; });
  if (next == all) return nullptr;
  const Symbol& symbol = names_.symbols[next[-1].symbol];
  return has(symbol, address) ? &symbol : nullptr;
}

// Null if there is no memory for it.
const Function* Module::sorted() noexcept {
  // Acquire: sees what the thread that made it wrote.
  const Function* there = sorted_.load(std::memory_order_acquire);
  if (there) return there;
  std::unique_ptr<Function[]> functions(new (std::nothrow) Function[count_]);
  if (!functions) return nullptr;
  Function* end = functions.get();
  for (std::uint32_t i = 0; i < names_.symbols.size(); ++i) {
    if (is_function(names_.symbols[i])) *end++ = {names_.symbols[i].st_value, i};
  }
  std::sort(functions.get(), end);
  // Release: pairs with the acquire above, and that on failure, where another thread was faster.
  if (!sorted_.compare_exchange_strong(there, functions.get(), std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
    return there;
  }
  return functions.release();
}

constinit Module modules[kMaxModules];

// Null if the file that was loaded is not there any more, or cannot be mapped. Two threads, or a
// handler and what it interrupts, may open a file twice, which does no harm.
Module* module_of(const Loaded& loaded) noexcept {
  for (Module& module : modules) {
    if (module.is(loaded)) return &module;
  }
  const std::span<const char> file = map_file(loaded.to_open());
  if (Module::is_loaded(file, loaded)) {
    for (Module& module : modules) {
      if (module.take(file)) return &module;
    }
  }
  unmap(file);
  return nullptr;
}

template <class Find>
CodePlace place_of(const void* code, Find find) noexcept {
  CodePlace place;
  place.offset = reinterpret_cast<std::uintptr_t>(code);
  Loaded loaded;
  if (!find_loaded(place.offset, loaded)) return place;
  place.module = loaded.name();
  place.offset -= loaded.moved;
  Module* const module = module_of(loaded);
  if (!module) return place;
  if (const Symbol* const symbol = find(*module, place.offset)) {
    place.symbol = module->name_of(*symbol);
    place.into = place.offset - symbol->st_value;
  }
  return place;
}

// ---- The build id -------------------------------------------------------------------------------

constexpr std::size_t round_up(std::size_t size, std::size_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

// The build id among notes; empty if it is not there.
std::span<const unsigned char> find_id(std::span<const unsigned char> notes,
                                       std::size_t alignment) noexcept {
  using Note = ElfW(Nhdr);
  while (notes.size() >= sizeof(Note)) {
    Note note;
    std::memcpy(&note, notes.data(), sizeof(note));
    const std::size_t name = sizeof(note);
    const std::size_t text = name + round_up(note.n_namesz, alignment);
    const std::size_t end = text + round_up(note.n_descsz, alignment);
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
        std::memcmp(&notes[name], ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0) {
      return notes.subspan(text, note.n_descsz);
    }
    notes = notes.subspan(end);
  }
  return {};
}

// Of the first file that it is called for, which is the program.
int find_program_id(dl_phdr_info* info, std::size_t, void* argument) noexcept {
  auto& id = *static_cast<std::span<const unsigned char>*>(argument);
  for (const Segment& segment : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
    if (segment.p_type != PT_NOTE || !id.empty()) continue;
    const auto* const notes =
        reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr);
    id = find_id({notes, segment.p_memsz}, segment.p_align == 8 ? 8 : 4);
  }
  return 1;
}

}  // namespace

CodePlace find_code(const void* address) noexcept {
  return place_of(address, [](Module& module, std::uintptr_t at) { return module.find_fast(at); });
}

CodePlace find_code_in_handler(const void* address) noexcept {
  if (!kFindsInHandler) return {.offset = reinterpret_cast<std::uintptr_t>(address)};
  return place_of(address, [](Module& module, std::uintptr_t at) { return module.find(at); });
}

std::string build_id() {
  std::span<const unsigned char> id;
  dl_iterate_phdr(&find_program_id, &id);
  std::string digits;
  for (const unsigned char byte : id) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 0xf];
  }
  return digits;
}

}  // namespace weft::internal
