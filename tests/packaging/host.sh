#!/usr/bin/env bash
# Boot systemd as process 1 of a host made of namespaces, in a root directory that it may change.
#
#   tests/packaging/host.sh ROOT CGROUP        as root; ends with who has started it
#
# Of the kernel's settings only those of its own network can be written, and of systemd's units there
# are only those in ROOT/run/units: this machine's devices and services are out of its reach.
set -euo pipefail

case $1 in
--inside)
    root=$2
    mount --bind "$root" "$root"
    mkdir -p "$root"/{dev,proc,run,sys,mnt}
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    cp -r "$root/units" "$root/run/units"
    mkdir "$root/run/no-generators"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    # In a container it sets up no devices, and says when it is up to who has started it.
    export container=test NOTIFY_SOCKET=/notify SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/no-generators
    exec /usr/lib/systemd/systemd --system --log-target=null
    ;;
*)
    root=$1 cgroup=$2
    mkdir -p "$cgroup"
    echo 0 >"$cgroup/cgroup.procs"
    exec setpriv --pdeathsig KILL -- unshare --mount --net --pid --ipc --uts --cgroup --fork \
        --kill-child --propagation private -- "${BASH_SOURCE[0]}" --inside "$root"
    ;;
esac
