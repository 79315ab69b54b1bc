"""Tests of weft."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
load("//fiber:at_once.bzl", "at_once")

def weft_test(name, suites = None, srcs = [], deps = [], size = None, support = "//tests/support", **kwargs):
    """A program of test suites, each in a file of its own, which is named as the suite.

    Args:
      name: of the program. Without suites it ends in _test, and what is before that is the suite.
      suites: those that the program has. They are compiled four at once.
      srcs: what else is compiled.
      deps: beside what every test may include.
      size: how long it may take, as Bazel counts; by default small, or medium for several suites.
      support: what every test may include, and main().
      **kwargs: as of cc_test.
    """
    if suites:
        files = ["%s_test.cc" % suite for suite in suites]
        for i in range(0, len(files), 4):
            at_once(name = "%s_%d" % (name, i // 4 + 1), srcs = files[i:i + 4])
            srcs = srcs + [":%s_%d.cc" % (name, i // 4 + 1)]
        cc_library(
            name = name + "_suites",
            testonly = True,
            textual_hdrs = files,
        )
        deps = deps + [":%s_suites" % name]
    cc_test(
        name = name,
        size = size or ("medium" if suites else "small"),
        # As binaries are: weft is not compiled once more, for a shared library.
        linkstatic = True,
        srcs = srcs if suites else srcs + [name + ".cc"],
        deps = deps + [support],
        **kwargs
    )

def weft_tests(name, alone):
    """The suites of a folder.

    Args:
      name: of the program that has all but those in `alone`.
      alone: those that have a program each, with what weft_test() is told of it.
    """
    for suite, kwargs in alone.items():
        weft_test(name = suite + "_test", **kwargs)
    suites = sorted([file[:-len("_test.cc")] for file in native.glob(["*_test.cc"])])
    weft_test(
        name = name,
        suites = [suite for suite in suites if suite not in alone],
    )
