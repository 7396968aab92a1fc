#!/usr/bin/env bash
# Usage: scripts/setup.sh demo|bench|test|full
# Prepares a Debian 12 or 13 machine with Node >= 20 (npm) and Go: installs the Debian packages that are missing,
# fills node_modules, builds native/bin. Silent when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() { say "$*" >&2 && exit 1; }

# command:package
demo='ip:iproute2'
bench="$demo sysctl:procps curl:curl wg:wireguard-tools haproxy:haproxy nginx:nginx wrk:wrk socat:socat mmdebstrap:mmdebstrap"
test="$bench nsenter:util-linux capsh:libcap2-bin iptables:iptables unbound:unbound kdig:knot-dnsutils"
# With the CNI plugins, podman needs no other network stack: the one that the tests are made with.
full="$test /usr/lib/cni/bridge:containernetworking-plugins podman:podman buildah:buildah runc:runc chromium:chromium promtool:prometheus"
case ${1-} in
  demo) needed=$demo ;;
  bench) needed=$bench ;;
  test) needed=$test ;;
  full) needed=$full ;;
  *) echo "usage: scripts/setup.sh demo|bench|test|full" >&2 && exit 2 ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a command, shows the end of what it said only if it fails.
quietly() {
  "$@" >"$log" 2>&1 </dev/null && return
  tail -n 40 "$log" >&2
  fail "failed: $*"
}

[ "$(id -u)" = 0 ] ||
  fail "needs root, for network namespaces, TUN devices and routes (and apt-get where a package is missing); run it with sudo"

# A plain su leaves out the sbin folders, sudo leaves out Go's. Under npm run the first folders on PATH are node_modules/.bin,
# whose node is about to be replaced: npm must run on the machine's own.
PATH=$(tr : '\n' <<<"$PATH" | grep -v '/node_modules/\.bin$' | paste -sd :):/usr/sbin:/sbin:/usr/local/go/bin

missing=()
for entry in $needed; do
  command -v "${entry%:*}" >/dev/null || missing+=("${entry#*:}")
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null ||
    fail "apt-get is missing, so this is not Debian; install these with its own package manager: ${missing[*]}"
  say "installing the Debian packages ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get -q update
  # In runlevel 1 a package does not start its service; systemd does not ask, so what it started is stopped.
  RUNLEVEL=1 quietly apt-get -q -y install --no-install-recommends "${missing[@]}"
  for service in haproxy nginx prometheus unbound; do
    [[ -d /run/systemd/system && " ${missing[*]} " == *" $service "* ]] && quietly systemctl disable --now "$service"
  done
fi

lock=$(sha256sum <package-lock.json)
if [ "$(cat node_modules/.stamp 2>/dev/null)" != "$lock" ]; then
  node_major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || fail "Node is missing; install Node 20 or newer with npm"
  [ "$node_major" -ge 20 ] || fail "Node $node_major is too old; install Node 20 or newer with npm"
  command -v npm >/dev/null || fail "npm is missing; install it (Debian: apt-get install npm)"
  say "installing node_modules (npm ci)"
  quietly npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
  echo "$lock" >node_modules/.stamp
fi

# On amd64 and arm64 node_modules brings a Node that is new enough; elsewhere it is the machine's own.
PATH=$PWD/node_modules/.bin:$PATH
node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 24 || (major == 24 && minor >= 12) ? 0 : 1)' ||
  fail "Node $(node --version) cannot run the program and node_modules has no newer one for $(uname -m); install Node 24.12 or newer"

native/build.sh
for program in path udp; do
  if [[ $1 != demo && bench/$program.go -nt native/bin/$program ]]; then quietly go build -trimpath -o native/bin/$program bench/$program.go; fi
done

if [[ $1 == @(test|full) ]] && ! scripts/go-tools.sh --have >/dev/null; then
  say "building helm and kubeconform"
  quietly scripts/go-tools.sh
fi
if [[ $1 == full ]]; then
  quietly scripts/go-tools.sh caddy
  quietly scripts/go-tools.sh coredns
  quietly scripts/back-ends.sh
  quietly scripts/name-servers.sh
fi
