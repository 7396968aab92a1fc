#!/bin/sh
# Builds wireguard-go, statically linked, at the version that go.mod pins:
#   bin/wireguard-go           the program
#   bin/wireguard-go.version   its module version; the program's own --version is not kept up to date
# For GOARCH, else Docker's TARGETARCH, else this machine. Does nothing when both are already there.
set -eu
cd "$(dirname "$0")"

module=golang.zx2c4.com/wireguard
program=bin/wireguard-go

fail() {
  echo "native/build.sh: $*" >&2
  exit 1
}

machine_of() { # the ELF header's e_machine
  case $(od -An -tx1 -j18 -N2 "$1" 2>/dev/null | tr -d ' ') in
    3e00) echo amd64 ;;
    b700) echo arm64 ;;
  esac
}

arch=${GOARCH:-${TARGETARCH:-$(uname -m)}}
case $arch in
  amd64 | x86_64) arch=amd64 ;;
  arm64 | aarch64) arch=arm64 ;;
  *) fail "architecture $arch is not supported; build on or for amd64 or arm64 (GOARCH=amd64)" ;;
esac

version=$(awk -v module="$module" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module && $2 ~ /^v/ { print $2 }' go.mod)
[ -n "$version" ] || fail "go.mod pins no version of $module"

if [ "$(cat "$program.version" 2>/dev/null)" = "$version" ] && [ "$(machine_of "$program")" = "$arch" ]; then
  exit 0
fi

PATH=$PATH:/usr/local/go/bin
needed=$(awk '$1 == "go" { print $2 }' go.mod)
install="install Go $needed or newer: https://go.dev/doc/install"
command -v go >/dev/null || fail "Go is missing; $install"
# Asked in this folder, a Go that may fetch toolchains answers with the one that go.mod selects, and one that may not fails.
found=$(go env GOVERSION 2>/dev/null) || fail "$(go version) is too old; $install"
oldest=$(printf '%s\n' "${found#go}" "$needed" | sort -V | head -n 1)
case $found in
  go*) [ "$oldest" = "$needed" ] || fail "$found is too old; $install" ;;
esac

mkdir -p bin
staged=$(mktemp -d bin/.build.XXXXXX)
trap 'rm -rf "$staged"' EXIT
trap 'exit 1' HUP INT TERM

echo "building wireguard-go $version for $arch"
CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$staged/program" "$module"
echo "$version" >"$staged/version"

# Without the version file a program counts as absent, so a build that is killed between the two moves is done again.
rm -f "$program.version"
mv "$staged/program" "$program"
mv "$staged/version" "$program.version"
