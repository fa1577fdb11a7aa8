"""Records: written, read again, and refused when they are not what was written."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions import record
from netdevice_plugin.functions.record import FunctionRecord, Link, Phase, VfBefore
from netdevice_plugin.functions.store import Store
from netdevice_plugin.model import Address
from netdevice_plugin.provisioning import LinkState, VfSettings

FULL = FunctionRecord(
    device="pci-0000-03-10-0",
    address="0000:03:10.0",
    pool="networking.k8s.io/fast@dra",
    phase=Phase.BOUND,
    target="vfio-pci",
    driver="igbvf",
    override="igbvf",
    reset=True,
    stays=True,
    holder="claim 1",
    link=Link(
        name="ens5f0v0",
        altnames=("enp3s16", "ä"),
        mac="02:00:00:00:00:10",
        permanent_mac="02:00:00:00:00:11",
        own_mac=True,
        mtu=9000,
        up=True,
        driver="igbvf",
        addresses=(
            Address(family=4, address="10.0.0.1", prefix=24, broadcast="10.0.0.255", flags=128),
            Address(family=4, address="10.1.0.1", prefix=32, peer="10.1.0.2", label="a:b"),
            Address(family=6, address="2001:db8::1", prefix=64, flags=0x280, metric=7),
        ),
    ),
    vf=VfBefore(
        pf="0000:03:00.0",
        number=3,
        settings=VfSettings(
            mac="00:00:00:00:00:00",
            vlan=7,
            qos=1,
            protocol="802.1ad",
            spoof_check=True,
            trust=False,
            link_state=LinkState.AUTO,
            min_tx_rate=0,
            max_tx_rate=100,
        ),
    ),
)
BARE = FunctionRecord(
    device="pci-0000-03-10-0",
    address="0000:03:10.0",
    pool="p",
    phase=Phase.BINDING,
    target="uio_pci_generic",
)


@pytest.mark.parametrize("one", [FULL, BARE], ids=["full", "bare"])
def test_what_was_written_is_read_again(one: FunctionRecord) -> None:
    assert record.loads(record.dumps(one), one.device) == one


def test_all_that_is_wrong_is_named() -> None:
    content = json.loads(record.dumps(FULL))
    content["phase"] = "done"
    content["address"] = "03:10.0"
    content["reset"] = "yes"
    content["more"] = 1
    content["link"]["mtu"] = -1
    content["link"]["addresses"][0]["address"] = "10.0.0"
    content["vf"]["before"]["vlan"] = 5000
    del content["vf"]["number"]
    with pytest.raises(FunctionError) as raised:
        record.loads(json.dumps(content).encode(), FULL.device)
    for place in (
        "phase: 'done' must be binding or bound or returning",
        "address: ",
        "reset: must be true or false",
        "more: unknown key",
        "link.mtu: ",
        "link.addresses[0].address: ",
        "vf.before.vlan: ",
        "vf.number: is missing",
    ):
        assert place in str(raised.value)
    assert "remove the file" in raised.value.hint


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"\0" * 100,
        b"[" * 30_000,
        b'{"device": "a", "device": "b"}',
        b" " * 10_000_000,
        record.dumps(BARE)[:-20],
        record.dumps(BARE).replace(b'"format": 1', b'"format": 2'),
        record.dumps(dataclasses.replace(BARE, device="other")),
        record.dumps(BARE).replace(b"uio_pci_generic", b"../../evil"),
    ],
    ids=[
        "empty",
        "null",
        "list",
        "NUL",
        "deep",
        "twice",
        "10 MB",
        "cut short",
        "another format",
        "another device",
        "a path for a driver",
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(FunctionError):
        record.loads(data, BARE.device)


@given(st.data())
def test_a_record_with_a_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    text = bytearray(record.dumps(FULL))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255))
    try:
        found = record.loads(bytes(text), FULL.device)
    except FunctionError:
        return
    assert record.loads(record.dumps(found), FULL.device) == found


def test_a_directory_has_the_records_and_says_which_are_broken(tmp_path: pathlib.Path) -> None:
    store = Store(tmp_path)
    store.write(FULL)
    (store.path / "pci-1.json").write_text("{}")
    (store.path / "pci-2.json").mkdir()
    (store.path / ".cdi-0123456789abcdef.tmp").touch()
    other = Store(tmp_path)
    problems = other.load()
    assert other.records == {FULL.device: FULL}
    assert sorted(problems) == ["pci-1", "pci-2"]
    assert "device: is missing" in problems["pci-1"]
    other.remove(FULL.device)
    other.remove(FULL.device)
    assert other.records == {}


def test_a_directory_that_cannot_be_read_is_no_empty_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "functions").touch()
    with pytest.raises(FunctionError, match=r"cannot read .*functions: Not a directory"):
        Store(tmp_path).load()
