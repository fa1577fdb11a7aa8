"""Specs for the tests: a plain one, one with everything, and any at all."""

from __future__ import annotations

import re
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import cdi

# A busy machine is no reason to fail.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FORMATS: tuple[Literal["json", "yaml"], ...] = ("json", "yaml")


def hook_spec(kind: str = "vendor.com/net", *devices: str) -> cdi.Spec:
    """Each device has one hook that names it."""
    return cdi.Spec(kind=kind, devices=tuple(map(hook_device, devices or ("eth1",))))


def hook_device(name: str) -> cdi.Device:
    hook = cdi.Hook(hook_name="createRuntime", path="/opt/mover", args=("mover", name))
    return cdi.Device(name=name, edits=cdi.ContainerEdits(hooks=(hook,)))


EVERYTHING = cdi.Spec(
    kind="vendor.com/net.fast",
    annotations=(("vendor.com/made-by", 'a "quoted"\nline'), ("second", "é€😀")),
    edits=cdi.ContainerEdits(env=("VENDOR=1",)),
    devices=(
        cdi.Device(
            name="0000:03:00.1",
            annotations=(("numa", "0"),),
            edits=cdi.ContainerEdits(
                env=("A=b=c", "EMPTY="),
                device_nodes=(
                    cdi.DeviceNode(path="/dev/vfio/12"),
                    cdi.DeviceNode(
                        path="/dev/net/tun",
                        host_path="/dev/tun",
                        type="c",
                        major=10,
                        minor=200,
                        file_mode=0o660,
                        permissions="rw",
                        uid=0,
                        gid=107,
                    ),
                ),
                net_devices=(cdi.NetDevice(host_interface_name="enp3s0", name="net1"),),
                hooks=(
                    cdi.Hook(
                        hook_name="poststop",
                        path="/opt/mover",
                        args=("mover", "detach", "1e3", "yes", ""),
                        env=("PATH=/bin",),
                        timeout=30,
                    ),
                ),
                mounts=(
                    cdi.Mount(
                        host_path="/lib/firmware",
                        container_path="/lib/firmware",
                        options=("ro", "bind"),
                        type="none",
                    ),
                ),
                intel_rdt=cdi.IntelRdt(
                    clos_id="fast",
                    l3_cache_schema="L3:0=f",
                    mem_bw_schema="MB:0=70",
                    schemata=("L2:0=f",),
                    enable_monitoring=True,
                ),
                additional_gids=(0, 107),
            ),
        ),
        cdi.Device(name="rdt-only", edits=cdi.ContainerEdits(intel_rdt=cdi.IntelRdt())),
    ),
)

# Every string that can be in a file: no NUL, no half of a surrogate pair.
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
words = text.filter(bool)
uint32 = st.integers(0, 2**32 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
env = st.builds("{}={}".format, words.filter(lambda name: "=" not in name), text)


def tuples(items: st.SearchStrategy[str], max_size: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(items, max_size=max_size).map(tuple)


device_nodes = st.builds(
    cdi.DeviceNode,
    path=words,
    host_path=text,
    type=st.sampled_from(["", "b", "c", "u", "p"]),
    major=int64,
    minor=int64,
    file_mode=st.none() | uint32,
    permissions=st.text("rwm", max_size=3),
    uid=st.none() | uint32,
    gid=st.none() | uint32,
)
net_devices = st.lists(
    st.builds(cdi.NetDevice, host_interface_name=words, name=words),
    max_size=2,
    unique_by=(lambda net: net.host_interface_name, lambda net: net.name),
).map(tuple)
hooks = st.builds(
    cdi.Hook,
    hook_name=st.sampled_from(cdi.HOOK_NAMES),
    path=text.map("/{}".format),
    args=tuples(text),
    env=tuples(env),
    timeout=st.none() | st.integers(1, 2**63 - 1),
)
mounts = st.builds(
    cdi.Mount, host_path=words, container_path=words, options=tuples(text), type=text
)
rdt = st.builds(
    cdi.IntelRdt,
    clos_id=text.filter(lambda name: name not in (".", "..") and not set("/\n") & set(name)),
    l3_cache_schema=text,
    mem_bw_schema=text,
    schemata=tuples(text),
    enable_monitoring=st.booleans(),
)
edits = st.builds(
    cdi.ContainerEdits,
    env=tuples(env),
    device_nodes=st.lists(device_nodes, max_size=2).map(tuple),
    net_devices=net_devices,
    hooks=st.lists(hooks, max_size=2).map(tuple),
    mounts=st.lists(mounts, max_size=2).map(tuple),
    intel_rdt=st.none() | rdt,
    additional_gids=st.lists(uint32, max_size=2).map(tuple),
)
device_names = st.from_regex(
    re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,8}[A-Za-z0-9])?", re.ASCII), fullmatch=True
)
qualifiers = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}[A-Za-z0-9]", fullmatch=True)
annotation_pairs = st.dictionaries(
    st.from_regex(
        r"([a-z]{1,3}\.[a-z]{1,3}/)?[A-Za-z0-9]([\w.-]{0,3}[A-Za-z0-9])?", fullmatch=True
    ).filter(str.isascii),
    text,
    max_size=2,
).map(lambda pairs: tuple(pairs.items()))
devices = st.builds(
    cdi.Device,
    name=device_names,
    edits=edits.filter(lambda some: some != cdi.ContainerEdits()),
    annotations=annotation_pairs,
)
any_spec = st.builds(
    cdi.Spec,
    kind=st.builds("{}/{}".format, qualifiers, qualifiers),
    devices=st.lists(devices, min_size=1, max_size=3, unique_by=lambda d: d.name).map(tuple),
    edits=edits,
    annotations=annotation_pairs,
)
