#!/usr/bin/env bash
# Usage: scripts/test.sh [--full]
# Type check, lint, then the tests; the last line is "N passed, N failed", in which a failed check counts as one failure.
# --full adds the files test/**/*.full.ts and sets WG_PUNCHHOLE_TEST=full, at which other tests may try more.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin

case ${1-} in
  '') ;;
  --full) export WG_PUNCHHOLE_TEST=full ;;
  *) echo "usage: scripts/test.sh [--full]" >&2 && exit 2 ;;
esac

failed=()
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1 </dev/null); then
    echo "ok    $name"
  else
    echo "$output"
    echo "FAIL  $name"
    failed+=("$name")
  fi
}

check 'type check' tsc --noEmit
check lint biome check --error-on-warnings .
exec node scripts/test.ts ${failed[@]+"${failed[@]}"} </dev/null
