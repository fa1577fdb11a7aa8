"""The mover's counters, summed: nothing twice, nothing lost, and never less than before."""

from __future__ import annotations

import collections
import contextlib
import logging
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.operations import counters
from netdevice_plugin.operations.counters import Counters, Key

HERE = pathlib.Path("/run/netdevice-plugin/counters/eth1")
PLAIN = (
    "format=1\n"
    "runs=attach 6 1 2\n"
    "times=attach 48211 0 1 2 3 0 0 0 0 0 0 0 1\n"
    "failed=attach 1 find the pod\n"
    "later=attach 7\n"
)


def test_a_file_is_read() -> None:
    counts = counters.parse(PLAIN.encode(), HERE)
    assert counts["runs", "attach", "moved"] == 6
    assert counts["runs", "attach", "idle"] == 1
    assert counts["runs", "attach", "failed"] == 2
    assert counts["times", "attach", "sum"] == 48211
    assert counts["times", "attach", "0.0025"] == 1
    assert counts["times", "attach", "+Inf"] == 1
    assert counts["failed", "attach", "find the pod"] == 1
    assert len(counts) == 3 + 13 + 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "eth1:1: these are no counters: the first line is not format=1"),
        ("format=2\n", "eth1:1: these are no counters: the first line is not format=1"),
        (PLAIN[:-1], "eth1:5: the last line is cut short"),
        ("format=1\nruns=attach 6 1\n", "eth1:2: runs: '6 1' is not what should be there"),
        ("format=1\nruns=attach 6 1 2 3\n", "eth1:2: runs: '6 1 2 3' is not"),
        ("format=1\nruns=attach 6 1 -2\n", "eth1:2: runs: '6 1 -2' is not"),
        ("format=1\nruns=lend 6 1 2\n", "eth1:2: 'lend' is no command of the mover's"),
        ("format=1\nfailed=attach x find\n", "eth1:2: failed: 'x find' is not"),
        ("format=1\nfailed=attach 1\n", "eth1:2: failed: '1' is not"),
        ("format=1\nfailed=attach 1 \n", "eth1:2: failed: '1 ' is not"),
        ("format=1\nruns=attach 6 1 " + "9" * 21 + "\n", "eth1:2: runs: '6 1 999"),
        ("format=1\nruns\n", "eth1:2: '' is no command"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, place: str) -> None:
    with pytest.raises(AttachmentError) as caught:
        counters.parse(text.encode(), HERE)
    assert place in str(caught.value)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"format=1\n" + tail))
def test_any_bytes_are_counters_or_our_error(data: bytes) -> None:
    with contextlib.suppress(AttachmentError):
        assert all(count >= 0 for count in counters.parse(data, HERE).values())


def write(directory: pathlib.Path, device: str, text: str) -> None:
    """As the mover does."""
    directory.mkdir(exist_ok=True)
    new = directory / f".{device}.new"
    new.write_text(text)
    new.rename(directory / device)


def moved(count: int, command: str = "attach") -> str:
    return f"format=1\nruns={command} {count} 0 0\n"


MOVED: Key = ("runs", "attach", "moved")


def test_devices_are_added_up(tmp_path: pathlib.Path) -> None:
    summed = Counters(tmp_path / "counters")
    assert summed.read()[MOVED] == 0  # not even a directory
    write(tmp_path / "counters", "eth1", moved(3))
    write(tmp_path / "counters", "eth2", moved(4))
    assert summed.read()[MOVED] == 7
    assert summed.read()[MOVED] == 7
    write(tmp_path / "counters", "eth1", moved(5))
    assert summed.read()[MOVED] == 9
    assert Counters(tmp_path / "counters").read()[MOVED] == 9


def test_the_sum_never_falls(tmp_path: pathlib.Path) -> None:
    summed = Counters(tmp_path)
    write(tmp_path, "eth1", moved(5))
    write(tmp_path, "eth2", moved(1))
    assert summed.read()[MOVED] == 6
    write(tmp_path, "eth1", moved(2))  # begun anew
    assert summed.read()[MOVED] == 8
    (tmp_path / "eth2").unlink()
    assert summed.read()[MOVED] == 8
    write(tmp_path, "eth2", moved(3))
    assert summed.read()[MOVED] == 10


RUNS = st.lists(st.tuples(st.sampled_from(["eth1", "eth2"]), st.booleans()), max_size=20)


@given(runs=RUNS)
def test_each_run_counts_once_however_often_one_looks(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[str, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("counters")
    summed, done = Counters(directory), collections.Counter[str]()
    for device, looks in runs:
        done[device] += 1
        write(directory, device, moved(done[device]))
        if looks:
            assert summed.read()[MOVED] == done.total()
    assert summed.read()[MOVED] == len(runs)


def test_a_file_that_cannot_be_read_is_said_once_and_stays_in_the_sum(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    summed = Counters(tmp_path)
    write(tmp_path, "eth1", moved(5))
    write(tmp_path, "eth2", moved(2))
    summed.read()
    write(tmp_path, "eth1", "format=1\nruns=attach\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert summed.read()[MOVED] == 7
    (record,) = caplog.records
    assert str(vars(record)["err"]).startswith(f"{tmp_path}/eth1:2: runs: ")
    write(tmp_path, "eth1", moved(6))
    assert summed.read()[MOVED] == 8


def test_what_is_no_file_of_a_device_is_left_alone(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "eth1", moved(1))
    (tmp_path / ".eth2.new").write_text(moved(100))
    (tmp_path / "UPPER").write_text(moved(100))
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "eth1")
    assert Counters(tmp_path).read()[MOVED] == 1
    assert not caplog.records


def test_a_file_too_large_is_refused(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "eth1", "format=1\n" + "x" * 10_000_000)
    assert Counters(tmp_path).read()[MOVED] == 0
    assert "is larger than 65536 bytes" in str(vars(caplog.records[0])["err"])


def test_a_directory_that_cannot_be_listed_is_said(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "counters").write_text("in the way")
    assert Counters(tmp_path / "counters").read()[MOVED] == 0
    assert caplog.records[0].message == "Cannot list the counters of the mover"
