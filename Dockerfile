# One image for both ends; only their config differs. Builds for linux/amd64 and linux/arm64.
ARG GOLANG=docker.io/library/golang:1.26-trixie
ARG NODE=docker.io/library/node:24-trixie-slim
ARG DEBIAN=docker.io/library/debian:trixie-slim

# Go compiles for the target on the machine that builds, and JavaScript is the same for both: no emulation.
FROM --platform=$BUILDPLATFORM ${GOLANG} AS wireguard-go
WORKDIR /native
COPY native/build.sh native/go.mod native/go.sum ./
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    ./build.sh

FROM --platform=$BUILDPLATFORM ${NODE} AS program
WORKDIR /program
COPY package.json package-lock.json ./
# The bundler is an optional dependency of esbuild's, one per platform.
RUN --mount=type=cache,target=/root/.npm \
    npm ci --ignore-scripts --no-audit --no-fund
COPY scripts/build.ts scripts/
COPY src src
RUN npm run build

FROM ${NODE} AS node

FROM ${DEBIAN}
# Nothing of npm's or of Node's headers: the program needs one binary.
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/LICENSE /usr/share/licenses/wg-punchhole/node.txt
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends iproute2 tini \
    && rm -rf /var/log/apt /var/log/*.log /var/cache/debconf/*-old /var/lib/dpkg/*-old \
    && mkdir -p /etc/wg-punchhole /run/wireguard \
    && ln -s ../../doc /usr/share/licenses/wg-punchhole/debian \
    && ln -s /opt/wg-punchhole/dist/main.js /usr/local/bin/wg-punchhole
COPY LICENSE LICENSES /usr/share/licenses/wg-punchhole/
WORKDIR /opt/wg-punchhole
COPY package.json config.schema.json ./
COPY --from=wireguard-go /native/bin native/bin
# Without the source maps, which only tests read.
COPY --from=program /program/dist/*.js dist/

# The version of package.json; a test compares them.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wg-punchhole" \
      org.opencontainers.image.description="Reach services in a cluster behind NAT through a public host, with the client's real address kept" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"

# uid 0 for NET_ADMIN, which is all it needs; the one folder it writes to is /var/run/wireguard.
USER 0:0
STOPSIGNAL SIGTERM
# A little more than the 5 s that the command itself waits for an answer.
HEALTHCHECK --interval=30s --timeout=7s --start-period=10s --retries=3 CMD ["wg-punchhole", "health", "--live"]
ENTRYPOINT ["/usr/bin/tini", "--", "wg-punchhole"]
CMD ["run"]
