#!/usr/bin/env bash
# A host link goes into a real container and comes back as it was; exit 0 says that it did.
# The host is a private network namespace: nothing of this machine's own network is touched.
#
#   hack/demo.sh        as root; `make demo` is the same, and builds first what is out of date
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly link=demo0 device=networking.k8s.io/netdevice=demo0
readonly image=localhost/busybox container=lucky
bold='' dim='' good='' bad='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' good=$'\e[1;32m' bad=$'\e[1;31m' plain=$'\e[0m'
fi

step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# run COMMAND...: show it as a user would type it, then do it; what it says is indented.
run() {
    printf '  %s$ %s%s\n' "$dim" "$*" "$plain"
    "$@" 2>&1 | sed 's/^/    /'
}

fails() {
    printf '  %s$ %s%s\n' "$dim" "$*" "$plain"
    if "$@" 2>&1 | sed 's/^/    /'; then die "this should have failed"; fi
}

die() {
    printf '%serror: %s%s\n' "$bad" "$*" "$plain" >&2
    exit 1
}

set_up() {
    [ "$(id -u)" = 0 ] || die "moving a link between namespaces takes root: sudo $0"
    PATH=$PATH:/usr/sbin:/sbin
    hack/setup.sh tools demo
    [ -x .venv/bin/netdevice-plugin ] || hack/setup.sh venv
    [ -x netdevice_plugin/mover/bin/netdevice-mover ] || .venv/bin/python -m hack.build_mover
}

# Everything about the link that a container could have changed. `state` follows the carrier
# up to a second late and is the kernel's own affair.
describe() {
    ip -details -oneline address show dev $link | sed -E 's/ state [A-Z]+//'
    ip route show table all dev $link
    ip -6 route show table all dev $link
    grep -rs . /proc/sys/net/ipv{4,6}/{conf,neigh}/$link/ || [ $? = 2 ] # some are not to be read
}

# So that `podman run` needs no more options than on any machine, keeps all that it stores in
# memory, and makes no cgroup and no AppArmor profile; a machine that is confined lets it raise
# no limit.
configure_podman() {
    mkdir -p /run/demo
    cat >/run/demo/containers.conf <<CONF
[containers]
apparmor_profile = "unconfined"
cgroups = "disabled"
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
CONF
    cat >/run/demo/storage.conf <<CONF
[storage]
driver = "overlay"
graphroot = "/run/demo/graph"
runroot = "/run/demo/run"
CONF
    export PODMAN_IGNORE_CGROUPSV1_WARNING=1 # it would stand before all that podman 5 says
    export CONTAINERS_CONF=/run/demo/containers.conf CONTAINERS_STORAGE_CONF=/run/demo/storage.conf
}

# The image is this machine's own static busybox: no registry is asked.
make_image() {
    local root=/run/demo/image applet
    mkdir -p $root/{bin,dev,etc,proc,sys,tmp}
    cp "$(command -v busybox)" $root/bin/busybox
    for applet in ip sleep; do ln -s busybox "$root/bin/$applet"; done
    tar --create --directory $root . | podman import --quiet - $image >/dev/null
}

demo() {
    trap 'exit 130' INT TERM
    PATH=$PWD/.venv/bin:$PATH
    configure_podman
    make_image

    echo "Lend a link to a container and get it back, on a host made of namespaces of its own:"
    echo "nothing of this machine's network is touched."

    step "1. The host has a link, $link."
    run ip link add $link type veth peer name far0
    run ip link set far0 up
    run ip link set $link mtu 1400 up
    run ip address add 192.168.8.8/32 dev $link
    run ip address add 2001:db8:8::8/64 dev $link
    run ip route add 203.0.113.0/24 dev $link
    run ip address show dev $link
    describe >/run/demo/before

    step "2. Tell container runtimes of it: a CDI file, whose hooks run the mover."
    run netdevice-plugin mover install /opt/netdevice-plugin/bin
    run netdevice-plugin cdi generate --interfaces $link --output /run/cdi

    step "3. Run a container that asks for the device: it has the link, with all that belongs to it."
    run podman run --detach --name $container --device $device $image sleep infinity
    run podman exec $container ip address show dev $link
    run podman exec $container ip route

    step "4. Meanwhile the host does not have it."
    fails ip link show dev $link
    run netdevice-plugin status

    step "5. The container ends, and the link is back on the host."
    run podman rm --force --time 0 $container
    run ip address show dev $link
    run ip route show dev $link

    describe >/run/demo/after
    diff --unified /run/demo/before /run/demo/after || die "$link is not as it was"
    printf '\n%sok:%s %s is as it was: link, addresses, routes and %s settings, compared one by one\n' \
        "$good" "$plain" $link "$(grep -c ^/proc /run/demo/after)"
}

if [ "${1:-}" = --inside ]; then
    demo
else
    set_up
    exec hack/node.sh hack/demo.sh --inside
fi
