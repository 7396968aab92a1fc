#!/bin/bash
# Builds the pinned tools of the tests that are Go modules into a cache folder, unless they are there, and prints it.
#   scripts/go-tools.sh           helm and kubeconform; helm takes some minutes the first time
#   scripts/go-tools.sh caddy     caddy, too
#   scripts/go-tools.sh coredns   coredns, too, with the plugins that the tests use: with all of them it takes minutes
#   scripts/go-tools.sh --have    only says whether helm and kubeconform are there: exit status 1 when not
# The folder is $GO_TOOLS, else ~/.cache/wg-punchhole/bin.
set -eu
helm=v3.22.0 kubeconform=v0.8.0 caddy=v2.11.9 coredns=v1.15.0
bin=${GO_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole/bin}
PATH=$PATH:/usr/local/go/bin

built() { [ "$(cat "$bin/$1.version" 2>/dev/null)" = "$2" ] && [ -x "$bin/$1" ]; }

install() { # NAME PACKAGE VERSION [LDFLAGS]
  built "$1" "$3" && return
  echo "building $1 $3" >&2
  GOBIN=$bin CGO_ENABLED=0 nice go install -trimpath -ldflags "-s -w ${4:-}" "$2@$3" >&2
  echo "$3" >"$bin/$1.version"
}

if [ "${1:-}" = --have ]; then
  built helm $helm && built kubeconform $kubeconform || exit 1
  echo "$bin"
  exit
fi

mkdir -p "$bin"
exec 9>"$bin/.lock"
flock 9
wants() { [ "$tool" = "$1" ]; }
tool=${1:-}
if ! { built helm $helm && built kubeconform $kubeconform && { ! wants caddy || built caddy $caddy; } && { ! wants coredns || built coredns $coredns; }; }; then
  command -v go >/dev/null || { echo 'go-tools: there is no go; install Go 1.26 or newer' >&2; exit 1; }
fi
# Releases of helm set the Kubernetes version that `template` and `lint` assume; a plain build assumes 1.20.
for at in chartutil lint/rules; do
  kube="${kube:-} -X helm.sh/helm/v3/pkg/$at.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$at.k8sVersionMinor=34"
done
install helm helm.sh/helm/v3/cmd/helm $helm "$kube"
install kubeconform github.com/yannh/kubeconform/cmd/kubeconform $kubeconform
if wants caddy; then install caddy github.com/caddyserver/caddy/v2/cmd/caddy $caddy; fi
if wants coredns && ! built coredns $coredns; then
  echo "building coredns $coredns" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cat >"$work/main.go" <<'END'
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/proxyproto"
	_ "github.com/coredns/coredns/plugin/whoami"
)

func main() { coremain.Run() }
END
  (cd "$work" && go mod init coredns && go get "github.com/coredns/coredns@$coredns" && go mod tidy) >&2
  (cd "$work" && CGO_ENABLED=0 nice go build -trimpath -ldflags '-s -w' -o "$bin/coredns" .) >&2
  echo "$coredns" >"$bin/coredns.version"
fi
echo "$bin"
