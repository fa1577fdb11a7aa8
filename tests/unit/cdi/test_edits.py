"""What each edit does to an OCI configuration, as the reference library does it."""

from __future__ import annotations

import copy
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdi
from cdi.edits import Lookup
from tests.unit.cdi import specs

TTY = cdi.HostDevice(type="c", major=4, minor=64, mode=0o620)
DISK = cdi.HostDevice(type="b", major=8, minor=0, mode=0o660)
PIPE = cdi.HostDevice(type="p", major=0, minor=0, mode=0o600)


def host(devices: Mapping[str, cdi.HostDevice]) -> Lookup:
    def lookup(path: str) -> cdi.HostDevice:
        if path not in devices:
            raise FileNotFoundError(2, "No such file or directory")
        return devices[path]

    return lookup


HOST = host({"/dev/tty": TTY, "/dev/disk": DISK, "/dev/pipe": PIPE})


def inject(config: object, **edits: Any) -> dict[str, Any]:
    """Inject, and make sure that the configuration given stays as it was."""
    before = copy.deepcopy(config)
    after: dict[str, Any] = cdi.inject(config, cdi.ContainerEdits(**edits), lookup=HOST)
    assert config == before
    return after


def test_no_edits_change_nothing() -> None:
    config = {"ociVersion": "1.0.2", "process": None}
    assert inject(config) == config


def test_variables_replace_those_of_their_name_in_place() -> None:
    config = {"process": {"env": ["A=1", "B=2", "A=3", "C"], "cwd": "/"}}
    after = inject(config, env=("B=x", "A=y", "NEW=z", "NEW=last", "C="))
    assert after["process"] == {"env": ["A=1", "B=x", "A=y", "C=", "NEW=last"], "cwd": "/"}


@pytest.mark.parametrize("config", [{}, {"process": None}, {"process": {"env": None}}])
def test_sections_that_are_missing_or_null_are_made(config: dict[str, Any]) -> None:
    assert inject(config, env=("A=1",)) == {"process": {"env": ["A=1"]}}


def test_a_device_node_takes_what_is_left_out_from_the_host() -> None:
    after = inject({}, device_nodes=(cdi.DeviceNode(path="/dev/x", host_path="/dev/tty"),))
    assert after["linux"]["devices"] == [
        {"path": "/dev/x", "type": "c", "major": 4, "minor": 64, "fileMode": 0o620}
    ]
    assert after["linux"]["resources"]["devices"] == [
        {"allow": True, "type": "c", "major": 4, "minor": 64, "access": "rwm"}
    ]


def test_a_device_node_keeps_what_it_says_itself() -> None:
    node = cdi.DeviceNode(
        path="/dev/disk", type="b", file_mode=0o600, permissions="r", uid=0, gid=6
    )
    after = inject({"process": {"user": {"uid": 1000, "gid": 1000}}}, device_nodes=(node,))
    number = {"type": "b", "major": 8, "minor": 0}
    owner = {"fileMode": 0o600, "uid": 0, "gid": 6}
    assert after["linux"]["devices"] == [{"path": "/dev/disk", **number, **owner}]
    assert after["linux"]["resources"]["devices"][0]["access"] == "r"


def test_a_device_node_belongs_to_the_user_of_the_process() -> None:
    config = {"process": {"user": {"uid": 1000, "gid": 0}}}
    after = inject(config, device_nodes=(cdi.DeviceNode(path="/dev/tty"),))
    assert after["linux"]["devices"][0]["uid"] == 1000
    assert "gid" not in after["linux"]["devices"][0]


def test_a_device_node_replaces_the_one_with_its_path_and_goes_last() -> None:
    others = [{"path": "/dev/tty", "type": "c"}, {"path": "/dev/null"}]
    config = {"linux": {"devices": others, "resources": {"devices": [{"allow": False}]}}}
    after = inject(config, device_nodes=(cdi.DeviceNode(path="/dev/tty"),))
    assert [device["path"] for device in after["linux"]["devices"]] == ["/dev/null", "/dev/tty"]
    rules = after["linux"]["resources"]["devices"]
    assert [rule["allow"] for rule in rules] == [False, True]


def test_a_fifo_has_no_number_and_no_rule() -> None:
    after = inject({}, device_nodes=(cdi.DeviceNode(path="/dev/pipe"),))
    expected = {"path": "/dev/pipe", "type": "p", "major": 0, "minor": 0, "fileMode": 0o600}
    assert after == {"linux": {"devices": [expected]}}


@pytest.mark.parametrize(
    "node",
    [
        cdi.DeviceNode(path="/dev/absent", type="c", major=10, minor=200),
        cdi.DeviceNode(path="/dev/absent", type="p"),
    ],
    ids=["character device", "fifo"],
)
def test_a_node_that_says_it_all_need_not_be_on_the_host(node: cdi.DeviceNode) -> None:
    (device,) = inject({}, device_nodes=(node,))["linux"]["devices"]
    assert (device["type"], device["major"]) == (node.type, node.major)
    assert "fileMode" not in device


def test_a_node_that_says_it_all_gets_its_mode_from_the_host() -> None:
    node = cdi.DeviceNode(path="/dev/tty", type="c", major=99, minor=1)
    (device,) = inject({}, device_nodes=(node,))["linux"]["devices"]
    assert device == {"path": "/dev/tty", "type": "c", "major": 99, "minor": 1, "fileMode": 0o620}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (cdi.DeviceNode(path="/dev/absent"), "host device /dev/absent: No such file or directory"),
        (cdi.DeviceNode(path="/dev/x", host_path="/dev/y\n"), r"host device /dev/y\\n: No such"),
        (cdi.DeviceNode(path="/dev/tty", type="b"), "host device /dev/tty: is of type c, not b"),
    ],
)
def test_a_node_that_the_host_does_not_have_is_refused(node: cdi.DeviceNode, message: str) -> None:
    with pytest.raises(cdi.InjectionError, match=message):
        inject({}, device_nodes=(node,))


def test_network_devices_are_added_by_their_host_name() -> None:
    config = {"linux": {"netDevices": {"eth0": {"name": "old"}, "eth9": {}}}}
    net = (cdi.NetDevice(host_interface_name="eth0", name="net1"),)
    after = inject(config, net_devices=net)
    assert after["linux"]["netDevices"] == {"eth0": {"name": "net1"}, "eth9": {}}


def test_hooks_are_appended_in_order() -> None:
    config = {"hooks": {"createRuntime": [{"path": "/first"}], "poststop": None}}
    hooks = tuple(
        cdi.Hook(hook_name=name, path=path, args=("x",), env=("A=1",), timeout=timeout)
        for name, path, timeout in (
            ("createRuntime", "/second", 5),
            ("poststop", "/last", None),
            ("createRuntime", "/third", None),
        )
    )
    after = inject(config, hooks=hooks)
    paths = [hook["path"] for hook in after["hooks"]["createRuntime"]]
    assert paths == ["/first", "/second", "/third"]
    assert after["hooks"]["createRuntime"][1] == {
        "path": "/second",
        "args": ["x"],
        "env": ["A=1"],
        "timeout": 5,
    }
    assert after["hooks"]["poststop"] == [{"path": "/last", "args": ["x"], "env": ["A=1"]}]


def mounts(*destinations: str) -> dict[str, Any]:
    return {"mounts": [{"destination": path, "source": "old"} for path in destinations]}


def test_mounts_come_after_what_they_are_in_and_else_stay_in_order() -> None:
    config = mounts("/proc", "/dev", "/dev/pts", "/sys/fs/cgroup", "/")
    added = tuple(cdi.Mount(host_path="new", container_path=p) for p in ("/a/b", "/c", "//x//y/"))
    after = inject(config, mounts=added)
    order = " ".join(mount["destination"] for mount in after["mounts"])
    assert order == "/proc /dev / /c /dev/pts /a/b //x//y/ /sys/fs/cgroup"


def test_a_mount_replaces_the_one_at_its_destination() -> None:
    mount = cdi.Mount(host_path="/new", container_path="/b", type="none", options=("bind", "ro"))
    after = inject(mounts("/b", "/c"), mounts=(mount,))
    assert after["mounts"] == [
        {"destination": "/c", "source": "old"},
        {"destination": "/b", "type": "none", "source": "/new", "options": ["bind", "ro"]},
    ]


def test_mounts_are_not_sorted_when_none_is_added() -> None:
    config = mounts("/a/b", "/a")
    assert inject(config, env=("A=1",))["mounts"] == config["mounts"]


def test_resctrl_settings_replace_what_is_there() -> None:
    config = {"linux": {"intelRdt": {"closID": "old", "l3CacheSchema": "x"}}}
    rdt = cdi.IntelRdt(clos_id="new", schemata=("a",), enable_monitoring=True)
    assert inject(config, intel_rdt=rdt)["linux"]["intelRdt"] == {
        "closID": "new",
        "schemata": ["a"],
        "enableMonitoring": True,
    }


def test_groups_are_added_once_and_never_0() -> None:
    config = {"process": {"user": {"uid": 1, "additionalGids": [5, 6]}}}
    after = inject(config, additional_gids=(0, 7, 6, 7, 8))
    assert after["process"]["user"] == {"uid": 1, "additionalGids": [5, 6, 7, 8]}


NODE = {"device_nodes": (cdi.DeviceNode(path="/dev/tty"),)}
NET = {"net_devices": (cdi.NetDevice(host_interface_name="a", name="b"),)}
HOOK = {"hooks": (cdi.Hook(hook_name="poststop", path="/x"),)}
MOUNT = {"mounts": (cdi.Mount(host_path="/x", container_path="/y"),)}
ODD: dict[str, tuple[object, dict[str, Any], str]] = {
    "config": ([], {}, "must be an object"),
    "process": ({"process": []}, {"env": ("A=1",)}, "process: must be an object"),
    "env": ({"process": {"env": {}}}, {"env": ("A=1",)}, "process.env: must be a list"),
    "variable": (
        {"process": {"env": ["A=1", 5]}},
        {"env": ("A=1",)},
        "process.env[1]: must be a string",
    ),
    "linux": ({"linux": "x"}, NET, "linux: must be an object"),
    "netDevices": ({"linux": {"netDevices": []}}, NET, "linux.netDevices: must be an object"),
    "devices": ({"linux": {"devices": {}}}, NODE, "linux.devices: must be a list"),
    "device": ({"linux": {"devices": [None]}}, NODE, "linux.devices[0]: must be an object"),
    "resources": ({"linux": {"resources": 1}}, NODE, "linux.resources: must be an object"),
    "uid": ({"process": {"user": {"uid": "0"}}}, NODE, "process.user.uid: must be an integer"),
    "gid": ({"process": {"user": {"gid": True}}}, NODE, "process.user.gid: must be an integer"),
    "hooks": ({"hooks": []}, HOOK, "hooks: must be an object"),
    "hook": ({"hooks": {"poststop": {}}}, HOOK, "hooks.poststop: must be a list"),
    "mounts": ({"mounts": {}}, MOUNT, "mounts: must be a list"),
    "mount": ({"mounts": ["/"]}, MOUNT, "mounts[0]: must be an object"),
    "destination": ({"mounts": [{}]}, MOUNT, "mounts[0].destination: must be a string"),
    "groups": (
        {"process": {"user": {"additionalGids": [1, "2"]}}},
        {"additional_gids": (3,)},
        "process.user.additionalGids[1]: must be an integer",
    ),
}


@pytest.mark.parametrize(("config", "edits", "message"), ODD.values(), ids=ODD.keys())
def test_an_odd_configuration_is_our_error_with_its_place(
    config: object, edits: dict[str, Any], message: str
) -> None:
    with pytest.raises(cdi.OciError) as caught:
        cdi.inject(config, cdi.ContainerEdits(**edits), lookup=HOST, source="config.json")
    assert str(caught.value) == f"config.json: {message}"
    assert caught.value.exit_code == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)
SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "process": JSON | st.fixed_dictionaries({}, optional={"env": JSON, "user": JSON}),
        "linux": JSON | st.fixed_dictionaries({}, optional={"devices": JSON, "resources": JSON}),
        "mounts": JSON,
        "hooks": JSON,
    },
)


@specs.patient
@given(config=SECTIONS, edits=specs.edits)
def test_no_configuration_raises_anything_but_our_error_or_is_changed(
    config: dict[str, Any], edits: cdi.ContainerEdits
) -> None:
    before = json.dumps(config)
    try:
        after = cdi.inject(config, edits, lookup=lambda _path: TTY)
    except cdi.Error:
        after = {}
    assert json.dumps(config) == before
    json.dumps(after)


def test_the_host_is_asked_for_real_nodes(tmp_path: pathlib.Path) -> None:
    assert cdi.host_device("/dev/null") == cdi.HostDevice(type="c", major=1, minor=3, mode=0o666)
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert cdi.host_device(str(tmp_path / "fifo")) == PIPE


def test_what_is_no_node_on_the_host_is_refused_links_too(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("/dev/null")
    for name in ("file", "link"):
        edits = cdi.ContainerEdits(device_nodes=(cdi.DeviceNode(path=str(tmp_path / name)),))
        with pytest.raises(cdi.InjectionError, match=f"{name}: it is not a device node"):
            cdi.inject({}, edits)
