#!/usr/bin/env bash
# Run a command on a throw-away node: a host for container runtimes, made of namespaces. The
# machine's links, mounts, files and processes are out of its reach, and nothing of it is left.
#
#   hack/node.sh COMMAND [ARGUMENT...]        as root
#
# There /run is empty, what is written below /etc, /opt and /var goes to memory, /proc and /sys are
# those of the node, and COMMAND is process 1: when it ends, the kernel ends all that it has started.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
    exec unshare --mount --net --pid --ipc --uts --fork --kill-child --propagation private \
        -- "${BASH_SOURCE[0]}" --inside "$@"
fi
shift

mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/{cdi,lock,netns} /run/node/cgroup
mount --rbind /sys/fs/cgroup /run/node/cgroup
mount -t sysfs sysfs /sys # /sys/class/net is that of the namespace in which it was mounted
mount --move /run/node/cgroup /sys/fs/cgroup
umount /sys/fs/cgroup/unified 2>/dev/null || true # crun refuses a mixture of v1 and v2
for directory in /etc /opt /var; do
    mkdir -p /run/node/{upper,work}$directory
    mount -t overlay overlay $directory -o \
        "lowerdir=$directory,upperdir=/run/node/upper$directory,workdir=/run/node/work$directory"
done

ip link set lo up
# An address is tentative for a second while duplicates are looked for; there is no neighbour here.
for scope in all default; do echo 0 >/proc/sys/net/ipv6/conf/$scope/accept_dad; done
exec "$@"
