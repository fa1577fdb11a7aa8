from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import KubeletError
from netdevice_plugin.usage import checkpoint
from netdevice_plugin.usage.usage import Grant, Pod
from tests.unit.usage import entries
from tests.unit.usage.entries import KIND, PATH, PREFIXES, entry

ETH1 = Grant(
    kind=KIND,
    devices=("eth1",),
    pod=Pod(uid="uid-1", container="app"),
    cdi_devices=(f"{KIND}=eth1",),
)


def parse(data: bytes) -> tuple[Grant, ...]:
    return checkpoint.parse(data, PATH, PREFIXES)


def refusal(data: bytes) -> str:
    """What is wrong; whatever it is, a line with the file's name, and a way out."""
    with pytest.raises(KubeletError) as caught:
        parse(data)
    message = str(caught.value)
    assert message.startswith(f"{PATH}: ")
    assert message.isprintable()
    assert len(message) < 400
    assert "kubelet writes it anew" in caught.value.hint
    return message.removeprefix(f"{PATH}: ")


def test_an_entry_says_which_container_has_which_devices_by_which_names() -> None:
    assert parse(entries.checkpoint(entry("eth1"))) == (ETH1,)


def test_a_checkpoint_as_a_kubelet_wrote_it_is_understood() -> None:
    data = (
        b'{"Data":{"PodDeviceEntries":[{"PodUID":"7b2c1a60-6b0e-4f0b-9d3c-2f8f1a3f9f10",'
        b'"ContainerName":"app","ResourceName":"networking.k8s.io/netdevice",'
        b'"DeviceIDs":{"0":["eth1"],"1":["eth2","eth1"]},'
        b'"AllocResp":"KiIKIG5ldHdvcmtpbmcuazhzLmlvL25ldGRldmljZT1ldGgx"}],'
        b'"RegisteredDevices":{"networking.k8s.io/netdevice":["eth1","eth2"]}},'
        b'"Checksum":1234}'
    )
    (found,) = parse(data)
    assert found.devices == ("eth1", "eth2")
    assert found.cdi_devices == ("networking.k8s.io/netdevice=eth1",)
    assert found.pod.uid == "7b2c1a60-6b0e-4f0b-9d3c-2f8f1a3f9f10"


def test_the_flat_list_of_old_kubelets_is_understood() -> None:
    data = entries.checkpoint(entry("eth1", DeviceIDs=["eth1"]))
    assert parse(data) == (ETH1,)


@pytest.mark.parametrize("devices", [None, {}, {"-1": None}, []])
def test_an_entry_may_have_no_device(devices: object) -> None:
    (found,) = parse(entries.checkpoint(entry(DeviceIDs=devices, AllocResp=None)))
    assert (found.devices, found.cdi_devices) == ((), ())


def test_nothing_given_away_is_nothing() -> None:
    assert parse(entries.checkpoint()) == ()
    assert parse(b'{"Data":{}}') == ()


def test_what_other_plugins_gave_is_no_matter() -> None:
    other = {"ResourceName": "example.com/gpu", "DeviceIDs": 7, "AllocResp": "%"}
    lookalikes = [
        entry("eth1", kind=kind)
        for kind in ("networking.k8s.io", "networking.k8s.io.example/net", "xnetworking.k8s.io/x")
    ]
    assert parse(entries.checkpoint(other, *lookalikes, entry("eth1"))) == (ETH1,)


def test_keys_that_are_not_known_are_ignored() -> None:
    data = entries.checkpoint(entry("eth1", Future={"a": [1]}), Future=None)
    assert parse(data) == (ETH1,)


WRONG = {
    "empty": (b"", "is not JSON"),
    "zeros": (b"\0" * 100, "is not JSON"),
    "no UTF-8": (b'{"Data": "\xff"}', "is not JSON"),
    "a number without end": (b"1" * 5000, "is not JSON"),
    "too deep": (b"[" * 100_000, "is nested too deeply"),
    "too deep within": (b'{"Data":' * 100_000, "is nested too deeply"),
    "too large": (b" " * (checkpoint.MAX_SIZE + 1), "is larger than 8388608 bytes"),
    "a list": (b"[]", "it must be an object, not a list"),
    "no data": (b"{}", "Data must be an object, not null"),
    "data is text": (b'{"Data":"x"}', "Data must be an object, not 'x'"),
    "entries are an object": (
        entries.checkpoint(PodDeviceEntries={}),
        "Data.PodDeviceEntries must be a list, not an object",
    ),
    "an entry is a number": (
        entries.checkpoint(entry("eth1"), 7),
        "Data.PodDeviceEntries[1] must be an object, not 7",
    ),
    "no resource": (
        entries.checkpoint(entry(ResourceName=None)),
        "Data.PodDeviceEntries[0].ResourceName must be a name, not null",
    ),
    "no pod": (
        entries.checkpoint(entry("eth1", uid="")),
        "Data.PodDeviceEntries[0].PodUID must be a name, not ''",
    ),
    "a NUL byte in a name": (
        entries.checkpoint(entry("eth1\0x", AllocResp=None)),
        "Data.PodDeviceEntries[0].DeviceIDs.'-1'[0] must be a name, not 'eth1\\x00x'",
    ),
    "half a character": (
        entries.checkpoint(entry("\ud800", AllocResp=None)),
        "Data.PodDeviceEntries[0].DeviceIDs.'-1'[0] must be a name, not '\\ud800'",
    ),
    "an endless name": (
        entries.checkpoint(entry("eth1", container="x" * 9999)),
        f"Data.PodDeviceEntries[0].ContainerName must be a name, not '{'x' * 39}",
    ),
    "a device that is none": (
        entries.checkpoint(entry(DeviceIDs={"0": [["eth1"]]})),
        "Data.PodDeviceEntries[0].DeviceIDs.'0'[0] must be a name, not a list",
    ),
    "devices that are text": (
        entries.checkpoint(entry(DeviceIDs={"0": "eth1"})),
        "Data.PodDeviceEntries[0].DeviceIDs.'0' must be a list, not 'eth1'",
    ),
    "an answer that is no base64": (
        entries.checkpoint(entry("eth1", AllocResp="?")),
        "Data.PodDeviceEntries[0].AllocResp must be base64, not '?'",
    ),
    "an answer beyond ASCII": (
        entries.checkpoint(entry("eth1", AllocResp="é")),
        "Data.PodDeviceEntries[0].AllocResp must be base64, not '\\xe9'",
    ),
    "an answer that is no message": (
        entries.checkpoint(entry("eth1", AllocResp=base64.b64encode(b"\xff" * 9).decode())),
        "Data.PodDeviceEntries[0].AllocResp: is not a ContainerAllocateResponse",
    ),
}


@pytest.mark.parametrize(("data", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_sense_is_refused_and_named(data: bytes, wrong: str) -> None:
    assert refusal(data).startswith(wrong)


def test_a_file_cut_in_half_anywhere_is_refused() -> None:
    data = entries.checkpoint(entry("eth1"), entry("eth2", uid="uid-2"))
    for size in range(len(data)):
        refusal(data[:size])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    key=st.sampled_from(("PodUID", "ContainerName", "ResourceName", "DeviceIDs", "AllocResp")),
    value=VALUES,
)
def test_an_entry_is_either_understood_or_refused(key: str, value: object) -> None:
    data = entries.checkpoint(entry("eth1") | {key: value})
    try:
        found = parse(data)
    except KubeletError:
        return
    assert all(isinstance(grant, Grant) for grant in found)


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_either_understood_or_refused(data: bytes) -> None:
    with contextlib.suppress(KubeletError):
        assert isinstance(parse(data), tuple)


def test_a_kubelet_that_gave_nothing_away_has_no_file(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path, PREFIXES) == ()


def test_the_file_is_found_in_the_kubelets_directory(tmp_path: Path) -> None:
    path = tmp_path / "device-plugins" / "kubelet_internal_checkpoint"
    path.parent.mkdir()
    path.write_bytes(entries.checkpoint(entry("eth1")))
    assert checkpoint.read(tmp_path, PREFIXES) == (ETH1,)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.NAME
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(KubeletError, match="is not a regular file"):
        checkpoint.read(tmp_path, PREFIXES)


def test_a_place_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "device-plugins").write_text("")
    with pytest.raises(KubeletError, match=r"cannot read .*checkpoint: Not a directory"):
        checkpoint.read(tmp_path, PREFIXES)
