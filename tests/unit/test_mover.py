"""The bundled mover is found, installed whole, and run; a shell script stands in for it."""

from __future__ import annotations

import pathlib
import signal

import pytest

from netdevice_plugin import mover
from netdevice_plugin.errors import MoverError


def script(path: pathlib.Path, body: str) -> pathlib.Path:
    """A stand-in for the binary."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_missing_mover_says_how_to_build_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(MoverError, match="no mover") as caught:
        mover.binary(tmp_path / "bin" / "netdevice-mover")
    assert "hack.build_mover" in caught.value.hint


def test_a_mover_that_may_not_be_executed_is_as_good_as_missing(tmp_path: pathlib.Path) -> None:
    path = script(tmp_path / "mover", "exit 0")
    path.chmod(0o644)
    with pytest.raises(MoverError, match="executed"):
        mover.binary(path)


def test_install_makes_the_directory_and_the_mode(tmp_path: pathlib.Path) -> None:
    source = script(tmp_path / "mover", "exit 0")
    source.chmod(0o711)
    target = tmp_path / "opt" / "bin" / "netdevice-mover"
    assert mover.install(target.parent, source)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o7777 == 0o755


def test_the_same_mover_is_not_written_again(tmp_path: pathlib.Path) -> None:
    source = script(tmp_path / "mover", "exit 0")
    target = tmp_path / "bin" / "netdevice-mover"
    assert mover.install(target.parent, source)
    before = target.stat()
    assert not mover.install(target.parent, source)
    assert target.stat() == before


@pytest.mark.parametrize("mode", [0o644, 0o4755], ids=oct)
def test_the_same_bytes_with_another_mode_are_replaced(tmp_path: pathlib.Path, mode: int) -> None:
    source = script(tmp_path / "mover", "exit 0")
    mover.install(tmp_path / "bin", source)
    target = tmp_path / "bin" / "netdevice-mover"
    target.chmod(mode)
    assert mover.install(target.parent, source)
    assert target.stat().st_mode & 0o7777 == 0o755


def test_a_new_mover_leaves_the_running_one_its_file(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "bin" / "netdevice-mover"
    mover.install(target.parent, script(tmp_path / "mover", "exit 0"))
    with target.open("rb") as running:
        mover.install(target.parent, script(tmp_path / "mover", "exit 1"))
        assert running.read().endswith(b"exit 0\n")
    assert target.read_bytes().endswith(b"exit 1\n")
    assert list(target.parent.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_an_error_without_leftovers(
    tmp_path: pathlib.Path,
) -> None:
    source = script(tmp_path / "mover", "exit 0")
    in_the_way = tmp_path / "bin" / "netdevice-mover"
    in_the_way.mkdir(parents=True, mode=0o755)
    with pytest.raises(MoverError, match=r"cannot install .*/bin/netdevice-mover: Is a directory"):
        mover.install(in_the_way.parent, source)
    assert list(in_the_way.parent.iterdir()) == [in_the_way]
    with pytest.raises(MoverError, match="Not a directory"):
        mover.install(source, source)


def test_run_passes_the_arguments_and_returns_code_and_reason(tmp_path: pathlib.Path) -> None:
    path = script(tmp_path / "mover", 'echo "netdevice-mover: $*: held by $(cat)" >&2; exit 3')
    outcome = mover.run("reclaim", "--device", "eth1", path=path, stdin="c0ffee")
    assert outcome == mover.Outcome(mover.Exit.HELD, "reclaim --device eth1: held by c0ffee")


def test_a_run_that_is_killed_says_by_which_signal(tmp_path: pathlib.Path) -> None:
    outcome = mover.run("detach", path=script(tmp_path / "mover", "kill -KILL $$"))
    assert outcome == mover.Outcome(-signal.SIGKILL, "")


def test_what_is_not_text_does_not_break_the_report(tmp_path: pathlib.Path) -> None:
    path = script(tmp_path / "mover", r"printf '\377\n' >&2; exit 1")
    assert mover.run("detach", path=path).message == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("content", "argument"),
    [(b"neither ELF nor script", "x"), (b"#!/bin/sh\n", "a\0b")],
    ids=["wrong format", "NUL in an argument"],
)
def test_a_mover_that_cannot_start_is_an_error(
    tmp_path: pathlib.Path, content: bytes, argument: str
) -> None:
    path = tmp_path / "mover"
    path.write_bytes(content)
    path.chmod(0o755)
    with pytest.raises(MoverError, match="cannot run"):
        mover.run("reclaim", argument, path=path)
