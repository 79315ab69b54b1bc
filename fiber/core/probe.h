#ifndef WEFT_FIBER_CORE_PROBE_H_
#define WEFT_FIBER_CORE_PROBE_H_

// WEFT_PROBE(name, format, operands...) marks a place where tools such as bpftrace and perf may
// stop a running program: a user-space statically defined tracepoint of the provider `weft`.
//
//   WEFT_PROBE("wake", "8@%[id]", [id] "m"(fiber.id));
//   // $ readelf -n program
//   // $ bpftrace -e 'usdt:./program:weft:wake { printf("%d\n", arg0); }'
//
// It adds no instruction: the kernel can stop at any, so the note names the one that follows. Each
// operand is eight bytes of memory, to which the compiler has a pointer anyway. (clang for aarch64
// computes its address: one instruction each. "nor", as is usual, has clang copy values instead.)
//
// A note has the address of the place and two that are not used: of a section whose address shows
// how far the program was moved after it was linked, and of a counter of the tools that watch. The
// `?` puts the note into the group of the function, with which it goes if the linker drops it.
//
// A second note, weft's own, is loaded and refers to the place, too. It keeps gold from collecting
// the function as garbage: it would then fail at the reference from the first one.
#if defined(__x86_64__) || defined(__aarch64__)
#define WEFT_PROBE(name, format, ...)               \
  asm inline volatile(                              \
      "990:\n"                                      \
      ".pushsection .note.stapsdt,\"?\",\"note\"\n" \
      ".balign 4\n"                                 \
      ".4byte 992f-991f,994f-993f,3\n"              \
      "991: .asciz \"stapsdt\"\n"                   \
      "992: .balign 4\n"                            \
      "993: .8byte 990b,0,0\n"                      \
      ".asciz \"weft\"\n"                           \
      ".asciz \"" name                              \
      "\"\n"                                        \
      ".asciz \"" format                            \
      "\"\n"                                        \
      "994: .balign 4\n"                            \
      ".popsection\n"                               \
      ".pushsection .note.weft,\"a?\",\"note\"\n"   \
      ".balign 4\n"                                 \
      ".4byte 5,4,1\n"                              \
      ".asciz \"weft\"\n"                           \
      ".balign 4\n"                                 \
      ".4byte 990b-.\n"                             \
      ".popsection"                                 \
      :                                             \
      : __VA_ARGS__)
#else
#define WEFT_PROBE(name, format, ...) static_cast<void>(0)
#endif

#endif  // WEFT_FIBER_CORE_PROBE_H_
