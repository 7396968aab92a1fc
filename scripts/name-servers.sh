#!/usr/bin/env bash
# Usage: scripts/name-servers.sh
# Unpacks the name servers that take a PROXY header over UDP, as Debian 12 and Debian 13 have them, and prints the folder:
# for test/e2e/udp-receivers.full.ts, which runs them by chroot(8). Needs mmdebstrap and root.
# The folder is $NAME_SERVERS, else ~/.cache/wg-punchhole/name-servers; in it is a tree for each of the two, unless it is there.
set -euo pipefail
folder=${NAME_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/name-servers}
scripts=$(dirname "$0")
common='dnsdist knot knot-resolver pdns-backend-bind pdns-recursor pdns-server unbound'

mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
for suite in bookworm trixie; do
  packages=$common
  # Debian 12's are too old for the header.
  if [ $suite = trixie ]; then packages+=' bind9 nsd'; fi
  tree=$folder/$suite
  if [ "$(cat "$tree.stamp" 2>/dev/null)" = "$packages" ]; then continue; fi
  rm -rf "$tree" "$tree.new"
  # shellcheck disable=SC2086 # one word for each package
  "$scripts/debian-tree.sh" $suite "$tree.new" $packages
  rm -rf "$tree.new"/usr/share/{doc,info,locale,man} "$tree.new"/var/{cache,lib}/apt
  # Programs look for their loader there.
  for each in bin lib lib64 sbin; do [ -e "$tree.new/$each" ] || ln -s "usr/$each" "$tree.new/$each"; done
  # Some look for the name of who runs them.
  echo 'root:x:0:0::/:/bin/sh' >"$tree.new/etc/passwd"
  echo 'root:x:0:' >"$tree.new/etc/group"
  mv "$tree.new" "$tree"
  echo "$packages" >"$tree.stamp"
done
echo "$folder"
