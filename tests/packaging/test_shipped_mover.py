"""The shipped movers run on their machines; the foreign one under QEMU's user mode."""

from __future__ import annotations

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import pytest

import netdevice_plugin
from tests.packaging import elf
from tests.packaging.conftest import ROOT, checkout, run


def execute(
    mover: pathlib.Path, *argv: str, before: tuple[str, ...] = (), stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it, with what it takes to run it on this machine."""
    machine = elf.read(mover).machine
    emulator: tuple[str, ...] = ()
    if machine != platform.machine():
        path = shutil.which(f"qemu-{machine}-static")
        if path is None:
            pytest.skip(f"no qemu-{machine}-static: install qemu-user-static")
        emulator = (path,)
    command = [*before, *emulator, str(mover), *argv]
    return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)


def test_it_says_its_version(shipped: pathlib.Path) -> None:
    result = execute(shipped, "--version")
    assert result.returncode == 0
    assert result.stdout == f"netdevice-mover {netdevice_plugin.__version__}\n"


def test_it_explains_its_commands(shipped: pathlib.Path) -> None:
    result = execute(shipped, "--help")
    assert result.returncode == 0
    assert {"attach", "detach", "reclaim"} <= set(result.stdout.split())


@pytest.mark.parametrize(
    "argv",
    [(), ("steal",), ("attach", "--device"), ("detach", "--device", "eth1", "--device", "eth1")],
    ids=["none", "unknown command", "no value", "given twice"],
)
def test_wrong_arguments_are_one_line_and_exit_2(
    shipped: pathlib.Path, argv: tuple[str, ...]
) -> None:
    result = execute(shipped, *argv)
    assert result.returncode == 2
    assert result.stderr.startswith("netdevice-mover: ")
    assert result.stderr.count("\n") == 1


def test_a_truncated_state_is_refused_before_anything_is_touched(
    shipped: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = ("--device", "eth1", "--link", "eth1", "--run-dir", str(tmp_path / "run"))
    result = execute(shipped, "attach", *options)
    assert result.returncode == 2
    assert result.stderr.startswith("netdevice-mover: eth1: ")
    assert not list(tmp_path.glob("run/attachments/*"))


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_reads_the_state_and_asks_the_kernel_for_links(
    shipped: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Further than this QEMU's user mode does not go: it knows no RTM_GETNEXTHOP.
    state = {"ociVersion": "1.0.2", "id": "c0ffee", "status": "created", "pid": os.getpid()}
    options = ("--device", "eth1", "--link", "eth1", "--link-mac", "02:00:00:00:00:01")
    result = execute(
        shipped,
        *("attach", *options, "--run-dir", str(tmp_path)),
        before=("unshare", "--net", "--"),
        stdin=json.dumps(state | {"bundle": "/"}),
    )
    assert result.returncode == 1
    assert result.stderr.startswith("netdevice-mover: eth1: find the link on the host: ")


def test_the_same_sources_give_the_same_bytes_wherever_they_are(
    shipped: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    machine = elf.read(shipped).machine
    out = tmp_path / "another-name"
    command = (sys.executable, "-m", "hack.build_mover", "--target", machine, out)
    run(*command, cwd=checkout(tmp_path), ZIG_LOCAL_CACHE_DIR=str(tmp_path / "zig"))
    assert out.read_bytes() == shipped.read_bytes()
    assert str(ROOT).encode() not in shipped.read_bytes()


def test_an_unknown_machine_is_refused_with_the_known_ones(tmp_path: pathlib.Path) -> None:
    command = ("env", "NETDEVICE_MOVER_TARGET=riscv64", sys.executable, "-m", "hack.build_mover")
    result = subprocess.run(
        [*command, str(tmp_path / "out")], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert result.returncode == 1
    assert "no mover for riscv64" in result.stderr
    assert "x86_64 or aarch64" in result.stderr
    assert not list(tmp_path.iterdir())
