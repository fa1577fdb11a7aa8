# The agent, and the mover that its init container puts onto the node.
#
#   docker build --tag netdevice-plugin:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 --tag … .
#
# No program of another architecture is run: the mover is cross-compiled, and all else that is not
# Python comes as wheels. A package index of one's own: --secret id=pip,src=$HOME/.config/pip/pip.conf
#
# EXTRAS: of the package, with commas; openstack attaches ports (docs/how-to/ports.md).
# BASE: any image with Python 3.11 or newer as python3, its venv, glibc 2.28 or newer and libstdc++.
ARG BASE=python:3.13-slim

FROM --platform=$BUILDPLATFORM ${BASE} AS build
ARG TARGETARCH
ARG EXTRAS=dra
COPY . /src
WORKDIR /src
RUN --mount=type=secret,id=pip,target=/etc/pip.conf set -eu; \
    case "$TARGETARCH" in \
        amd64) machine=x86_64 ;; \
        arm64) machine=aarch64 ;; \
        *) echo "error: no mover for '$TARGETARCH', only for amd64 and arm64" >&2; exit 1 ;; \
    esac; \
    home=/usr/local/lib/netdevice-plugin; \
    python3 -m venv /build; \
    NETDEVICE_MOVER_TARGET=$machine /build/bin/pip wheel --quiet --no-deps --wheel-dir /wheels .; \
    python3 -m venv --without-pip $home; \
    site=$(echo $home/lib/python3.*/site-packages); \
    /build/bin/pip install --quiet --constraint hack/constraints.txt --no-compile --target "$site" \
        --only-binary :all: --platform "manylinux_2_28_$machine" \
        --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
        "$(echo /wheels/*.whl)[$EXTRAS]"; \
    rm -r "$site/bin"; \
    python3 -m compileall -q --invalidation-mode unchecked-hash "$site"; \
    mkdir -p $home/bin; \
    printf '%s\n' "#!$home/bin/python3 -I" 'from netdevice_plugin.cli import main' 'main()' \
        >$home/bin/netdevice-plugin; \
    chmod 755 $home/bin/netdevice-plugin

FROM ${BASE}
LABEL org.opencontainers.image.title="netdevice-plugin" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/local/lib/netdevice-plugin /usr/local/lib/netdevice-plugin
ENV PATH=/usr/local/lib/netdevice-plugin/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# It runs as root, to write into directories of the node that are root's; it needs no capability and
# no place to write in here.
ENTRYPOINT ["netdevice-plugin"]
