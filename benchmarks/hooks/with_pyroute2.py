"""The hook that a Python user would write.

with_pyroute2.py attach|detach LINK DIR < OCI state
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from pyroute2 import IPRoute

GLOBAL = 0  # RT_SCOPE_UNIVERSE
KERNEL = 2  # RTPROT_KERNEL


def read(ipr: Any, index: int) -> dict[str, Any]:
    """What has to be given back: global addresses, and routes that the kernel does not make."""
    addresses = [
        {"address": one.get_attr("IFA_ADDRESS"), "prefixlen": one["prefixlen"]}
        for one in ipr.get_addr(index=index)
        if one["scope"] == GLOBAL
    ]
    routes = [
        {
            "dst": f"{one.get_attr('RTA_DST')}/{one['dst_len']}",
            "gateway": one.get_attr("RTA_GATEWAY"),
        }
        for one in ipr.get_routes(oif=index, table=254)
        if one["proto"] != KERNEL and one.get_attr("RTA_GATEWAY")
    ]
    return {"addresses": addresses, "routes": routes}


def write(ipr: Any, link: str, kept: dict[str, Any]) -> None:
    """Give it all to the link, where it is now."""
    (index,) = ipr.link_lookup(ifname=link)
    for address in kept["addresses"]:
        ipr.addr("add", index=index, **address)
    ipr.link("set", index=index, state="up")
    for route in kept["routes"]:
        ipr.route("add", oif=index, **route)


def attach(link: str, directory: pathlib.Path) -> None:
    """Record, pin, move, configure."""
    pid = json.load(sys.stdin)["pid"]
    pin = directory / f"{link}.netns"
    with IPRoute() as host:
        (index,) = host.link_lookup(ifname=link)
        kept = read(host, index)
        (directory / link).write_text(json.dumps(kept))
        pin.touch()
        subprocess.run(["mount", "--bind", f"/proc/{pid}/ns/net", pin], check=True)
        host.link("set", index=index, net_ns_pid=pid)
    with IPRoute(netns=str(pin)) as pod:
        write(pod, link, kept)


def detach(link: str, directory: pathlib.Path) -> None:
    """The way back."""
    pin = directory / f"{link}.netns"
    kept = json.loads((directory / link).read_text())
    with IPRoute(netns=str(pin)) as pod:
        (index,) = pod.link_lookup(ifname=link)
        pod.link("set", index=index, net_ns_pid=os.getpid())
    with IPRoute() as host:
        write(host, link, kept)
    subprocess.run(["umount", pin], check=True)
    pin.unlink()


{"attach": attach, "detach": detach}[sys.argv[1]](sys.argv[2], pathlib.Path(sys.argv[3]))
