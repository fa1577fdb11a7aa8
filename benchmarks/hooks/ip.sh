#!/bin/sh
# The hook that an operator would write: iproute2, util-linux and a pin for the way back.
#   ip.sh attach|detach LINK DIR < OCI state
set -eu
link=$2
kept=$3/$2

case $1 in
attach)
    pid=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
    ip -o addr show dev "$link" scope global | awk '{print "addr add", $4, "dev", $2}' >"$kept.addresses"
    ip route show dev "$link" | awk -v link="$link" '!/proto kernel/ {print "route add", $0, "dev", link}' >"$kept.routes"
    : >"$kept.netns"
    mount --bind "/proc/$pid/ns/net" "$kept.netns"
    ip link set dev "$link" netns "$pid"
    {
        cat "$kept.addresses"
        echo "link set $link up"
        cat "$kept.routes"
    } | nsenter --net="$kept.netns" ip -batch -
    ;;
detach)
    nsenter --net="$kept.netns" ip link set dev "$link" netns $$
    {
        cat "$kept.addresses"
        echo "link set $link up"
        cat "$kept.routes"
    } | ip -batch -
    umount "$kept.netns"
    rm "$kept.addresses" "$kept.routes" "$kept.netns"
    ;;
esac
