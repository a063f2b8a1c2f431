#!/usr/bin/env bash
# Decodes all golden files on a big-endian machine: tests/second_decoder.py under QEMU's user mode emulation of
# s390x, with the Python and NumPy of Debian for it. Writes benchmarks/results/big-endian.txt; exit status 1 if a
# file differs. Needs Debian, but not root, and installs nothing: packages are unpacked into a temporary folder.
#
#   benchmarks/emulated.sh
set -euo pipefail
cd "$(dirname "$0")/.."

release=bookworm
mirror=https://deb.debian.org/debian
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
log=benchmarks/results/big-endian.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack ARCHITECTURE PACKAGE: the package and all that it depends on, below $work/ARCHITECTURE.
# APT gets its own lists and an empty record of what is installed, so that it leaves this machine's alone.
unpack() {
  local architecture=$1 package=$2 state=$work/apt-$1 archive
  mkdir -p "$state"/lists/partial "$state"/cache/archives/partial "$work/$architecture"
  : >"$state/status"
  echo "deb [signed-by=$keyring] $mirror $release main" >"$state/sources.list"
  local options=(
    -qq
    -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    -o "APT::Sandbox::User=$(id -un)" -o APT::Install-Recommends=0
    -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status"
    -o "Dir::Cache=$state/cache" -o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=-
  )
  apt-get "${options[@]}" update
  apt-get "${options[@]}" --yes --download-only install "$package"
  for archive in "$state"/cache/archives/*.deb; do
    dpkg-deb --extract "$archive" "$work/$architecture"
  done
}

host=$(dpkg --print-architecture)
unpack "$host" qemu-user-static
unpack s390x python3-numpy
root=$work/s390x
# BLAS and LAPACK lie in folders of their own until the package's scripts have run, which they never do here.
libraries=/usr/lib/s390x-linux-gnu
python=(
  "$work/$host/usr/bin/qemu-s390x-static" -L "$root" -E "PYTHONHOME=$root/usr" -E PYTHONDONTWRITEBYTECODE=1
  -E "LD_LIBRARY_PATH=$libraries/blas:$libraries/lapack" "$root/usr/bin/python3"
)

{
  echo "machine     $("${python[@]}" -c 'import platform; print(platform.machine())'), $("${python[0]}" --version | head -n 1)"
  "${python[@]}" -c 'import platform; print("Python     ", platform.python_version(), platform.libc_ver())'
  "${python[@]}" -c 'import numpy; print("NumPy      ", numpy.__version__)'
  "${python[@]}" -c 'import sys; print("byte order ", sys.byteorder)'
  echo
} >"$work/log"
files=(tests/golden/*.nvp)
status=0
"${python[@]}" tests/second_decoder.py --weights nvpcodec/weights "${files[@]}" >>"$work/log" || status=$?
printf '\n%s of %s files equal\n' "$(grep -c ' ok$' "$work/log" || true)" "${#files[@]}" >>"$work/log"
tee "$log" <"$work/log"
exit "$status"
