"""Tests of weft."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def weft_test(name, suites = None, srcs = [], deps = [], size = None, support = "//tests/support", **kwargs):
    """A program of test suites, each in a file of its own, which is named as the suite.

    Args:
      name: of the program. Without suites it ends in _test, and what is before that is the suite.
      suites: those that the program has.
      srcs: what else is compiled.
      deps: beside what every test may include.
      size: how long it may take, as Bazel counts; by default small, or medium for several suites.
      support: what every test may include, and main().
      **kwargs: as of cc_test.
    """
    cc_test(
        name = name,
        size = size or ("medium" if suites else "small"),
        # As binaries are: weft is not compiled once more, for a shared library.
        linkstatic = True,
        srcs = srcs + (["%s_test.cc" % suite for suite in suites] if suites else [name + ".cc"]),
        deps = deps + [support],
        **kwargs
    )
