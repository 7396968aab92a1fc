#!/usr/bin/env bash
# Usage: scripts/test-cluster.sh
# The chart on a real Kubernetes node: that of KUBECONFIG when it is set (its nodes must have the images localhost/wg-punchhole:test
# and localhost/nginx:test), else one of test/k8s, built once (10 to 12 minutes), brought up here and taken down again.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin:/usr/local/go/bin

say() { echo "test-cluster: $*"; }
fail() { say "$*" >&2 && exit 1; }

PATH=$(scripts/go-tools.sh):$PATH

if [ -z "${KUBECONFIG-}" ]; then
  export K8S_HOME=${K8S_HOME:-$HOME/.cache/k8s-node}
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  quietly() { "$@" >"$log" 2>&1 </dev/null || { tail -n 40 "$log" >&2; fail "failed: $*"; }; }

  if [ ! -x "$K8S_HOME/bin/coredns" ] || [ ! -e "$K8S_HOME/img/pause.tar" ]; then
    say 'building Kubernetes from its Go modules, once; this takes 10 to 12 minutes'
    quietly bash test/k8s/build.sh
  fi
  say 'building the images'
  quietly scripts/image.sh localhost/wg-punchhole:test
  quietly scripts/podman.sh build --format docker --layers --pull=never --network host \
    --tag localhost/nginx:test --file test/k8s/nginx.Containerfile test/k8s
  for image in wg-punchhole nginx; do
    rm -f "$K8S_HOME/img/$image.tar"
    quietly scripts/podman.sh save --format docker-archive --output "$K8S_HOME/img/$image.tar" "localhost/$image:test"
  done
  say 'bringing up a node'
  trap 'bash test/k8s/down.sh >/dev/null 2>&1 || true; rm -f "$log"' EXIT
  quietly bash test/k8s/up.sh
  export KUBECONFIG=$K8S_HOME/run/kubeconfig KUBECACHEDIR=$K8S_HOME/run/kubecache
  PATH=$K8S_HOME/bin:$PATH
fi

WG_PUNCHHOLE_TEST=cluster node scripts/test.ts </dev/null
