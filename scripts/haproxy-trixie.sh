#!/usr/bin/env bash
# Usage: HAPROXY_TRIXIE=$(scripts/haproxy-trixie.sh) npm run bench -- --contenders haproxy,haproxy-trixie,ours
# A full run of the benchmark does it by itself.
# Unpacks Debian 13's HAProxy with the libraries that it needs below ~/.cache/wg-punchhole, unless it is there, and prints
# the path of a script that runs it: the benchmark's contender haproxy-trixie. The machine may be another Debian's.
# Needs mmdebstrap and root; a new release of it is had by removing the folder.
set -euo pipefail

suite=trixie
folder=${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/haproxy-$suite
PATH=$PATH:/usr/sbin:/sbin
fail() { echo "haproxy-$suite: $*" >&2 && exit 1; }

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
if [ ! -x "$folder/haproxy" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  "$(dirname "$0")/debian-tree.sh" "$suite" "$work/tree" haproxy || fail 'it could not be unpacked'
  # With its own C library and loader: the machine's may be older.
  loader=$(cd "$work/tree" && find usr/lib -name 'ld-linux-*.so.*' -print -quit)
  libraries=usr/lib/$(basename "$(dirname "$(cd "$work/tree" && find usr/lib -name libc.so.6 -print -quit)")")
  cat >"$work/tree/haproxy" <<END
#!/bin/sh
exec '$folder/$loader' --library-path '$folder/$libraries' '$folder/usr/sbin/haproxy' "\$@"
END
  chmod +x "$work/tree/haproxy"
  rm -rf "$folder"
  mv "$work/tree" "$folder"
fi
"$folder/haproxy" -v >/dev/null || fail "it does not run; remove $folder and try again"
echo "$folder/haproxy"
