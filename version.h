// The version of weft, as MODULE.bazel has it.
//
//   #if WEFT_VERSION_MAJOR == 0 && WEFT_VERSION_MINOR < 2
//   #error weft 0.2 or later is needed
//   #endif
#ifndef WEFT_VERSION_H_
#define WEFT_VERSION_H_

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION "0.1.0"

#endif  // WEFT_VERSION_H_
