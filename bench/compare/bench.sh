#!/usr/bin/env bash
# weft beside its peers: ./bazelw run -c opt //bench [-- [--quick] [--results FILE] [part of a table's name]...]
# Peers that are installed (bench/compare/setup installs them) are built first. README.md explains the rest.
set -euo pipefail

readonly root=${BUILD_WORKSPACE_DIRECTORY:?"is set by bazel run: see README.md"}
readonly started_in=${BUILD_WORKING_DIRECTORY:-$PWD}
readonly built=$PWD/bench
readonly python=/usr/bin/python3 # Debian's, which its uvloop is for

arguments=(--contestant weft "$built/contestants/weft" --contestant raw "$built/contestants/raw")

has() { compgen -G "$1" >/dev/null; }

skip() { arguments+=(--remark "$1 is left out: $2"); }

# peer NAME TARGET COMMAND...: builds the target, if COMMAND succeeds.
peer() {
  local name=$1 target=$2 log
  shift 2
  if ! "$@" 2>/dev/null; then
    skip "$name" "it is not installed (bench/compare/setup installs it)"
  elif log=$(cd "$root" && ./bazelw build -c opt "//bench/contestants:$target" 2>&1); then
    arguments+=(--contestant "$name" "$outputs/bench/contestants/$target")
  else
    echo "$log" >&2
    skip "$name" "it could not be built"
  fi
}

echo "Building the peers that are installed..." >&2
outputs=$(cd "$root" && ./bazelw info -c opt bazel-bin 2>/dev/null)
peer "Boost.Fiber" boost_fiber has "/usr/lib/*/libboost_fiber.a"
peer "Asio, stackful" asio_stackful has /usr/include/boost/asio/spawn.hpp
peer "Asio, coroutines" asio_coroutines has /usr/include/boost/asio/awaitable.hpp
peer "libuv" libuv has /usr/include/uv.h
peer "State Threads" state_threads has /usr/include/st.h
peer "Go" go_contestant test -x /usr/bin/go
peer "tokio" tokio_contestant test -d /usr/share/cargo/registry -a -x /usr/bin/cargo
if [[ -x $python ]]; then
  arguments+=(--contestant asyncio "$python $root/bench/contestants/contestant.py")
else
  skip asyncio "there is no $python (bench/compare/setup installs it)"
fi
if "$python" -c "import uvloop" 2>/dev/null; then
  arguments+=(--contestant uvloop "$python $root/bench/contestants/contestant.py --uvloop")
else
  skip uvloop "it is not installed (bench/compare/setup installs it)"
fi

cd "$started_in"
exec "$built/compare/compare" "${arguments[@]}" "$@"
