#!/usr/bin/env bash
# Usage: scripts/debian-tree.sh SUITE FOLDER PACKAGE...
# Unpacks packages of a Debian suite, which may be another than the machine's, into a new folder with all that they need.
# Nothing is installed or started; what is in it runs by chroot(8). Needs mmdebstrap and root.
set -euo pipefail
suite=$1 folder=$2
shift 2
PATH=$PATH:/usr/sbin:/sbin
fail() { echo "debian-tree: $*" >&2 && exit 1; }

command -v mmdebstrap >/dev/null || fail 'mmdebstrap is missing: apt-get install mmdebstrap'
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# As the machine itself judges the age of a mirror, and from its mirror.
options=()
while read -r setting; do options+=(--aptopt="$setting"); done < <(apt-config dump | grep -E '^Acquire::(Check-|http::Proxy|https::Proxy)')
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 -E '/debian/?$') || mirror=http://deb.debian.org/debian
IFS=,
mmdebstrap --variant=extract --include="$*" "${options[@]}" "$suite" "$folder" \
  "deb $mirror $suite main" "deb ${mirror%/}-security $suite-security main" >"$log" 2>&1 || { tail -n 30 "$log" >&2; fail 'mmdebstrap failed'; }
