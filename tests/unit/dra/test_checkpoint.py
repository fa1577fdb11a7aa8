"""What was prepared, on disk: written whole, read strictly, each claim for itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra import allocation, checkpoint
from netdevice_plugin.dra.checkpoint import Directory, dumps, loads
from netdevice_plugin.dra.claim import Allocation, ClaimRef, Opaque, Result
from netdevice_plugin.errors import ClaimError
from tests.unit.dra.claimed import DRIVER, NODE, POOL, claim, config, ref, result


def allocated(number: int = 1, *devices: str) -> Allocation:
    one = ref(number)
    results = [result(device) for device in devices or ("eth1",)]
    made = claim(one, results, [config({"mtu": 1400, "interfaceName": "net0"})])
    return allocation.decode(made, one, driver=DRIVER, node=NODE)


def read(data: bytes, uid: str = ref(1).uid) -> Allocation:
    return loads(data, uid, driver=DRIVER, node=NODE)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "claims", driver=DRIVER, node=NODE)


def test_what_is_written_is_read_as_the_same_and_written_the_same() -> None:
    one = allocated(1, "eth1", "eth2")
    assert read(dumps(one, DRIVER)) == one
    assert dumps(read(dumps(one, DRIVER)), DRIVER) == dumps(one, DRIVER)
    macs = (("eth1", "02:00:00:00:00:07"), ("eth2", ""))
    attached = dataclasses.replace(one, macs=macs)
    assert read(dumps(attached, DRIVER)) == attached


@pytest.mark.parametrize("nics", [[], None, {"eth1": 0}, {"eth1": "02:00"}, {"eth1": None}])
def test_nics_that_are_none_make_a_broken_checkpoint(nics: object) -> None:
    content = {**json.loads(dumps(allocated(), DRIVER)), "nics": nics}
    with pytest.raises(ClaimError, match="NIC"):
        read(json.dumps(content).encode())


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
results = st.builds(
    Result,
    request=names,
    pool=names.map(lambda name: f"{NODE}/{name}"),
    device=names,
    admin=st.booleans(),
    share_id=st.just("") | names,
)


@given(st.lists(results, min_size=1, max_size=8, unique_by=lambda one: one.device), names, names)
def test_any_allocation_is_read_as_it_was_written(
    given_: list[Result], namespace: str, name: str
) -> None:
    whose = ClaimRef(namespace=namespace, name=name, uid=ref(1).uid)
    one = Allocation(claim=whose, results=tuple(given_))
    assert read(dumps(one, DRIVER)) == one


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not of format 1"),
        (b'{"format": 2}', "is not of format 1"),
        (b'{"format": 1}', "does not say whose it is"),
        (b'{"format": 1, "claim": []}', "does not say whose it is"),
        (b'{"format": 1, "claim": {"metadata": {"namespace": "a"}}}', "does not say whose"),
        (b"{" + b" " * checkpoint.MAX_SIZE + b"}", "has more than 2097152 bytes"),
        (dumps(allocated(2), DRIVER), "its uid is '00000000-0000-0000-0000-000000000002'"),
        (dumps(allocated(1), "other.example.com"), "has no device of networking.k8s.io"),
    ],
    ids=range(12),
)
def test_what_is_no_checkpoint_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(ClaimError, match=why):
        read(data)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_a_damaged_file_is_read_or_refused(junk: bytes, where: int) -> None:
    whole = dumps(allocated(), DRIVER)
    for data in (whole[:where], whole[:where] + junk + whole[where + len(junk) :]):
        with contextlib.suppress(ClaimError):
            assert read(data).claim.uid == ref(1).uid


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_json_does_not_have_is_not_written(value: object) -> None:
    odd = Opaque(parameters={"mtu": value}, place="here")
    one = Allocation(claim=ref(1), results=allocated().results, configs=(odd,))
    with pytest.raises(ClaimError, match="claim ns/claim-1: its parameters cannot be written"):
        dumps(one, DRIVER)


def test_a_directory_that_is_not_there_is_empty(directory: Directory) -> None:
    assert directory.scan() == ({}, ())


def test_files_are_for_root_alone_and_hold_no_rest(directory: Directory) -> None:
    for number in (1, 2):
        directory.write(ref(number).uid, dumps(allocated(number), DRIVER))
    assert directory.scan()[0] == {ref(number).uid: allocated(number) for number in (1, 2)}
    assert {path.stat().st_mode & 0o777 for path in directory.path.iterdir()} == {0o600}
    directory.remove(ref(1).uid)
    directory.remove(ref(1).uid)
    assert [path.name for path in directory.path.iterdir()] == [f"{ref(2).uid}.json"]


def test_a_file_that_is_broken_is_a_problem_and_the_others_are_read(directory: Directory) -> None:
    directory.write(ref(1).uid, dumps(allocated(1), DRIVER))
    whole = dumps(allocated(2), DRIVER)
    odd = {
        f"{ref(2).uid}.json": whole[:-20],
        f"{ref(3).uid}.json": b"",
    }
    for name, data in odd.items():
        (directory.path / name).write_bytes(data)
    (directory.path / f"{ref(4).uid}.json").mkdir()
    os.mkfifo(directory.path / f"{ref(5).uid}.json")
    (directory.path / f"{ref(6).uid}.json").symlink_to("nowhere")
    found, problems = directory.scan()
    assert found.keys() == {ref(1).uid}
    assert len(problems) == 5
    for number, problem in zip(range(2, 7), problems, strict=True):
        assert str(directory.path / f"{ref(number).uid}.json") in problem
        assert "remove the file" in problem


def test_what_is_not_ours_is_passed_over(directory: Directory) -> None:
    directory.path.mkdir()
    for name in ("README", ".cdi-0123456789abcdef.tmp", ".hidden.json", "a b.json", "x.json.bak"):
        (directory.path / name).write_text("{")
    assert directory.scan() == ({}, ())


def test_only_what_has_changed_is_read_again(directory: Directory) -> None:
    for number in (1, 2):
        directory.write(ref(number).uid, dumps(allocated(number), DRIVER))
    first, _ = directory.scan()
    directory.write(ref(2).uid, dumps(allocated(2, "eth2"), DRIVER))
    second, _ = directory.scan()
    assert second[ref(1).uid] is first[ref(1).uid]
    assert second[ref(2).uid] == allocated(2, "eth2")


def test_a_directory_that_cannot_be_read_is_an_error(directory: Directory) -> None:
    directory.path.write_text("in the way")
    with pytest.raises(ClaimError, match=r"cannot read .*claims: Not a directory"):
        directory.scan()
    with pytest.raises(ClaimError, match="cannot write"):
        directory.write(ref(1).uid, b"{}")


def test_the_format_is_as_documented(directory: Directory) -> None:
    content = json.loads(dumps(allocated(), DRIVER))
    assert content == {
        "format": 1,
        "claim": {
            "metadata": {"namespace": "ns", "name": "claim-1", "uid": ref(1).uid},
            "status": {
                "allocation": {
                    "devices": {
                        "results": [
                            {
                                "request": "nic",
                                "driver": DRIVER,
                                "pool": f"{NODE}/{POOL}",
                                "device": "eth1",
                            }
                        ],
                        "config": [
                            {
                                "source": "FromClaim",
                                "requests": [],
                                "opaque": config({"mtu": 1400, "interfaceName": "net0"})["opaque"],
                            }
                        ],
                    }
                }
            },
        },
    }
