#ifndef WEFT_FIBER_CORE_SANITIZERS_H_
#define WEFT_FIBER_CORE_SANITIZERS_H_

// Which sanitizer this is compiled for, as gcc and clang each say it: WEFT_ASAN, WEFT_TSAN.

#if defined(__SANITIZE_ADDRESS__)
#define WEFT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WEFT_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEFT_TSAN 1
#endif
#endif

#endif  // WEFT_FIBER_CORE_SANITIZERS_H_
