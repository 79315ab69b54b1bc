"""What weft needs in a build that uses WORKSPACE; others read MODULE.bazel."""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")

def weft_dependencies():
    """Declares each repository that the workspace has not declared yet."""
    if native.bazel_version:
        maybe(
            http_archive,
            name = "rules_cc",
            sha256 = "2037875b9a4456dce4a79d112a8ae885bbc4aad968e6587dca6e64f3a0900cdf",
            strip_prefix = "rules_cc-0.0.9",
            urls = ["https://github.com/bazelbuild/rules_cc/releases/download/0.0.9/rules_cc-0.0.9.tar.gz"],
        )
    else:
        # Debian's Bazel bears no version. Its rules are on the disk: no network is needed.
        _debian_rules()

    _boost("boost.context", target = "boost.context", library = "boost_context")

    # For a test: headers alone.
    _boost("boost.asio", target = "boost.asio", library = "boost_context")
    _boost("boost.beast", target = "boost.beast", library = "boost_context")

    # For a benchmark that is built only where it is asked for.
    _boost("boost.fiber", target = "boost.fiber", library = "boost_fiber", deps = ["@boost.context"])

    _boost("boost.test", target = "unit_test_main", library = "boost_unit_test_framework")

def _boost(name, target, library, deps = []):
    """Boost from the system, static. The labels are those of the Bazel Central Registry."""
    maybe(
        native.new_local_repository,
        name = name,
        path = "/usr/lib",
        # One folder per architecture. The compiler finds the headers by itself.
        build_file_content = """
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "{}",
    srcs = glob(["*/lib{}.a"], allow_empty = False),
    visibility = ["//visibility:public"],
    deps = {},
)
""".format(target, library, deps),
    )

def _debian_rules():
    maybe(_debian_rules_cc, name = "rules_cc")

    # Bazel itself looks for these.
    maybe(native.local_repository, name = "bazel_skylib", path = "/usr/share/bazel/tools/skylib")
    maybe(native.local_repository, name = "rules_java", path = "/usr/share/bazel/rules/java")
    maybe(native.local_repository, name = "rules_python", path = "/usr/share/bazel/rules/python")
    maybe(
        native.new_local_repository,
        name = "remote_coverage_tools",
        path = "/usr/share/bazel/rules",
        build_file_content = """
filegroup(
    name = "coverage_report_generator",
    visibility = ["//visibility:public"],
)
""",
    )

def _debian_rules_cc_impl(ctx):
    copy = ctx.execute(["cp", "-r", "/usr/share/bazel/rules/cc/.", "."])
    if copy.return_code:
        fail("Is bazel-rules-cc installed? " + copy.stderr)

    # In Debian 12, rules_cc loads a function from Bazel that came only after Bazel 4.
    if "use_cpp_toolchain" not in ctx.read(Label("@bazel_tools//tools/cpp:toolchain_utils.bzl")):
        for rule in ["cc_flags_supplier", "compiler_flag"]:
            path = "cc/private/rules_impl/{}.bzl".format(rule)
            text = ctx.read(path)
            text = text.replace(', "use_cpp_toolchain"', "")
            text = text.replace("use_cpp_toolchain()", '["@bazel_tools//tools/cpp:toolchain_type"]')
            ctx.file(path, text)

_debian_rules_cc = repository_rule(_debian_rules_cc_impl, local = True)
