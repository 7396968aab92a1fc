#!/usr/bin/env bash
# Usage: scripts/podman.sh ARGUMENTS OF PODMAN
# podman with a store of this project's own: the stand-ins for the base images carry the names of the real ones, and must
# never be found by anybody else.
set -euo pipefail
# Health checks are run by the tests; podman's own timer needs a running systemd.
export DISABLE_HC_SYSTEMD=true
# crun refuses to start containers where both versions of cgroups are mounted.
exec podman --root "${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/podman" --runroot /run/wg-punchhole-podman \
  --runtime runc --cgroup-manager cgroupfs --events-backend none "$@"
