#!/bin/bash
# Unpacks Debian's back ends that take a PROXY header into a cache folder, unless they are there, and prints it: for
# test/e2e/back-ends.full.ts, which lays the folder's usr over the machine's own in a mount namespace of the test's.
# Nothing is installed: Postfix and Exim exclude each other, and no service is to start. Needs root, for apt-get.
# The folder is $BACK_ENDS, else ~/.cache/wg-punchhole/back-ends.
set -eu
folder=${BACK_ENDS:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/back-ends}
packages='apache2-bin dovecot-core dovecot-imapd exim4-daemon-heavy libnginx-mod-stream lighttpd mariadb-server-core postfix varnish'

if [ "$(cat "$folder/.stamp" 2>/dev/null)" != "$packages" ]; then
  rm -rf "$folder"
  mkdir -p "$folder/archives/partial"
  apt-get -q update >&2
  for package in $packages; do
    # With what it depends on and the machine has not.
    apt-get -q -y --no-install-recommends --download-only -o Dir::Cache::archives="$folder/archives" install "$package" >&2
  done
  for archive in "$folder"/archives/*.deb; do dpkg --extract "$archive" "$folder"; done
  rm -rf "$folder/archives"
  echo "$packages" >"$folder/.stamp"
fi
echo "$folder"
