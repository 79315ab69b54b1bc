# A Debian in a folder, for scripts that build and test the tree there. To be sourced.
#
# What runs in the folder has namespaces of its own for mounts and processes, and is gone with them
# when the script ends, however it ends. The machine itself stays as it is, but for debootstrap,
# which is installed if it is missing.
set -o pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
namespaces=() # further ones, as options of unshare
passed=0
failed=0
child=

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# use_folder FOLDER SUITE: what follows is about this folder, with that suite of Debian.
use_folder() {
  ((EUID == 0)) || die "run as root: it makes a Debian in a folder, and enters it"
  mkdir -p "$1"
  folder=$(cd "$1" && pwd -P)
  suite=$2
  log=$folder/var/log/weft
  [[ $folder/ != "$root"/* ]] || die "the folder has to be outside of the tree: $folder"
  if [[ ! -e $folder/weft-suite ]]; then
    [[ -z $(ls -A "$folder") ]] || die "neither empty nor made by this script: $folder"
    echo "$suite" >"$folder/weft-suite"
  fi
  [[ $(<"$folder/weft-suite") == "$suite" ]] || die "another suite than $suite: $folder"
  mkdir -p "$log"
  export folder
}

# stage NAME COMMAND...: one line; where it fails, also the end of what the command said.
stage() {
  local name=$1 start=$SECONDS verdict=passed
  local file=$log/${name//[^A-Za-z0-9.]/_}
  shift
  "$@" >"$file" 2>&1 || verdict=failed
  ((++$verdict)) # passed or failed
  echo "== $name $verdict, $((SECONDS - start)) s"
  [[ $verdict == passed ]] && return
  tail -n 40 "$file"
  echo "== all that it said: $file"
  return 1
}

report() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

end_child() { [[ -z $child ]] || kill -KILL "$child" 2>/dev/null; }
trap end_child EXIT
trap 'exit 130' INT TERM HUP

# Runs a command in namespaces of its own. The first process there is a shell, which reaps what
# others leave; when `unshare` ends, all of them end.
apart() {
  nice unshare --mount --pid --fork --kill-child "${namespaces[@]}" bash -c '"$@"; exit' - "$@" &
  child=$!
  wait "$child"
  local result=$?
  child=
  return "$result"
}

# in_folder COMMAND...
in_folder() { apart enter "$@"; }

# Of `binfmt`, if it is set, the kernel learns what runs programs of another architecture. That is
# one for each user namespace since Linux 6.7.
enter() {
  mount -t proc proc "$folder/proc" &&
    mount --rbind /dev "$folder/dev" &&
    mount --rbind /sys "$folder/sys" || return
  if [[ ${binfmt-} ]]; then
    mount -t binfmt_misc binfmt_misc "$folder/proc/sys/fs/binfmt_misc" &&
      # In there: the kernel opens the interpreter at once.
      printf %s "$binfmt" | chroot "$folder" tee /proc/sys/fs/binfmt_misc/register || return
  fi
  # Of this machine's variables only those for apt.
  env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PATH="${tools:+$tools:}/usr/sbin:/usr/bin:/sbin:/bin" ${http_proxy:+http_proxy="$http_proxy"} \
    ${https_proxy:+https_proxy="$https_proxy"} chroot "$folder" "$@"
}
export -f enter

# The first mirror of Debian among apt's sources, or else $MIRROR.
mirror() {
  local found
  found=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(RELEASE) $(REPO_URI)' \
    'Created-By: Packages' | awk '$1 == "Debian" && $2 == "main" && $3 !~ /security/ { print $4; exit }')
  echo "${MIRROR:-$found}"
}

bootstrap() {
  [[ ! -e $folder/weft-bootstrapped ]] || return 0
  type -P debootstrap >/dev/null ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends debootstrap; } || return
  [[ $(mirror) ]] || apt-get update -qq
  local from
  from=$(mirror)
  [[ $from ]] || { echo "apt knows no mirror of Debian: name one in MIRROR" && return 1; }
  apart debootstrap --variant=minbase "$suite" "$folder" "$from" || return
  # A mirror that is some weeks behind will do.
  echo 'Acquire::Check-Valid-Until "false";' >"$folder/etc/apt/apt.conf.d/weft"
  touch "$folder/weft-bootstrapped"
}

# The committed tree, as /src/weft.
copy_tree() {
  local tree=$folder/src/weft
  rm -rf "$tree" && mkdir -p "$tree" && git -C "$root" archive HEAD | tar -x -C "$tree"
}
