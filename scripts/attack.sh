#!/usr/bin/env bash
# Usage: scripts/attack.sh [NAME...]
# Attacks a running pair of ends and prints what was measured: each file test/attack/NAME.full.ts, or all of them.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin

files=()
for name in "${@:-*}"; do
  for file in test/attack/$name.full.ts; do
    [ -e "$file" ] || { echo "attack: no such attack: $name; there are: $(cd test/attack && echo *.full.ts | sed 's/\.full\.ts//g')" >&2; exit 2; }
    files+=("$file")
  done
done
# Comments are the measurements; of what holds only the count is said.
WG_PUNCHHOLE_TEST=full tap run --reporter=tap --jobs=1 --disable-coverage --allow-empty-coverage --include='test/attack/*.full.ts' "${files[@]}" |
  grep -E '^ *(# |not ok|[a-z]+:|- |\+ )' | grep -vE '# (time=|No coverage)'
