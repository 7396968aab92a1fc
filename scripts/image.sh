#!/usr/bin/env bash
# Usage: scripts/image.sh [TAG]
# Builds the image from the stand-ins of scripts/image-bases.sh into the store of scripts/podman.sh, and prints its id.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/image-bases.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT
exec 9>"${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/.image.lock"
flock 9
tag=${1:-localhost/wg-punchhole:test}
before=$(scripts/podman.sh image inspect --format '{{.Id}}' "$tag" 2>/dev/null) || before=
# Podman's own format has no HEALTHCHECK. The network is the machine's, for npm, Go modules and Debian's mirror.
scripts/podman.sh build --format docker --layers --pull=never --network host --platform "linux/$(dpkg --print-architecture)" \
  --tag "$tag" . >"$log" 2>&1 9>&- || { tail -n 40 "$log" >&2; exit 1; }
after=$(scripts/podman.sh image inspect --format '{{.Id}}' "$tag")
# What is replaced would stay forever otherwise; one that still runs somewhere stays this time.
[ "$before" = "" ] || [ "$before" = "$after" ] || scripts/podman.sh rmi "$before" >/dev/null 2>&1 || true
scripts/podman.sh image prune --force --filter until=168h >/dev/null
echo "$after"
