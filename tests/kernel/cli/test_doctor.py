from __future__ import annotations

import fcntl
import json
import os
import pathlib
import pty
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from netdevice_plugin.doctor.host import Host as Below
from tests.kernel.cli.conftest import KIND, Host
from tests.kernel.mover.harness import Containers

LEVELS = {"ok": 0, "warn": 5, "fail": 6}


@pytest.fixture
def tmpfs() -> Iterator[pathlib.Path]:
    """A directory that a reboot empties, as one of records should be."""
    path = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def config(node: Host) -> pathlib.Path:
    """A configuration with the pool netdevice, for directories of this test's own."""
    path = node.cdi_dir.parent / "config.yaml"
    path.write_text(
        f"cdiDir: {node.cdi_dir}\nmoverPath: {node.mover.binary}\nrunDir: {node.mover.run_dir}\n"
        "pools:\n- name: netdevice\n  selectors:\n  - ifNames: [eth1, eth2]\n"
    )
    return path


def examine(node: Host, *arguments: object) -> list[dict[str, Any]]:
    """Run it for programs; the exit code is that of the worst."""
    result = node.netns.run(*node.command("doctor", "-o", "json", *arguments), check=False)
    assert result.stderr == ""
    document = json.loads(result.stdout)
    levels = {finding["level"] for finding in document["findings"]}
    assert document["worst"] == max(levels, key=LEVELS.__getitem__)
    assert result.returncode == LEVELS[document["worst"]]
    found: list[dict[str, Any]] = document["findings"]
    return found


def of(findings: list[dict[str, Any]], check: str) -> list[tuple[str, str, str]]:
    return [
        (one["level"], one["subject"], one["finding"]) for one in findings if one["check"] == check
    ]


def test_this_machine_is_examined_in_no_time(node: Host) -> None:
    started = time.monotonic()
    result = node.netns.run(*node.command("doctor"), check=False)
    assert time.monotonic() - started < 20
    assert result.returncode in LEVELS.values()
    assert result.stderr == ""
    *lines, summary = result.stdout.splitlines()
    words = [line.split()[0] for line in lines]
    assert set(words) <= {*LEVELS, "remedy:"}
    assert words.count("remedy:") == words.count("warn") + words.count("fail")
    assert summary == ", ".join(f"{words.count(level)} {level}" for level in LEVELS)
    for check in ("kernel/version", "kubelet/", "cdi/directory", "run-dir/", "node/agent"):
        assert any(line[6:].startswith(check) for line in lines), check


def test_links_loans_and_files_of_this_host(
    node: Host, config: pathlib.Path, containers: Containers
) -> None:
    node.generate("eth1", "eth2")
    container = containers.alone()
    node.lend("eth1", container)
    findings = examine(node, "--config", config)
    assert of(findings, "config/file") == [("ok", str(config), f"is valid; {KIND}")]
    assert of(findings, "node/pool") == [("ok", KIND, "offers eth1 eth2")]
    protected = "never offered: it carries the IPv4 default route"
    assert ("ok", "up0", protected) in of(findings, "node/protected")
    assert of(findings, "node/lent") == [("ok", "eth1", "lent, to containers that live")]
    (version,) = of(findings, "mover/version")
    assert version[1] == str(node.mover.binary)
    assert version[2].startswith("is the mover of this package")
    assert ("ok", str(node.cdi_dir), "can be read") in of(findings, "cdi/directory")
    container.end()
    (dead,) = of(examine(node, "--config", config), "node/dead")
    assert dead[:2] == ("warn", "eth1")


def test_a_pin_that_nobody_needs(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    node.lend("eth1", containers.alone())
    assert of(examine(node), "node/pin") == []
    (node.mover.run_dir / "attachments" / "eth1").unlink()
    ((level, pin, _),) = of(examine(node), "node/pin")
    assert (level, pin) == ("warn", str(node.mover.run_dir / "netns" / "eth1"))


def test_a_pool_that_names_an_uplink(node: Host, config: pathlib.Path) -> None:
    config.write_text(config.read_text().replace("eth2", "up0"))
    ((level, _, text), (_, _, offered)) = of(examine(node, "--config", config), "node/pool")
    assert (level, offered) == ("fail", "offers eth1")
    assert "up0 cannot be offered: it carries the IPv4 default route" in text


def test_the_agent_in_charge_is_seen_and_not_disturbed(node: Host, tmpfs: pathlib.Path) -> None:
    def agent() -> str:
        ((_, _, text),) = of(examine(node, "--run-dir", tmpfs), "node/agent")
        return text

    with (tmpfs / "agent.lock").open("w") as file:
        assert agent().startswith("no agent is in charge")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert agent() == f"an agent is in charge (pid {os.getpid()})"
    assert agent().startswith("no agent is in charge")


def test_records_on_a_tmpfs_are_where_they_belong(node: Host, tmpfs: pathlib.Path) -> None:
    findings = examine(node, "--run-dir", tmpfs)
    assert of(findings, "run-dir/state") == [("ok", str(tmpfs), "is on a tmpfs")]
    assert of(findings, "run-dir/tmpfs") == []


def test_the_kubelets_sockets_are_connected_to(node: Host, tmp_path: pathlib.Path) -> None:
    root = tmp_path / ("long" * 30)  # longer than a socket's path can be
    directory = root / "var/lib/kubelet/device-plugins"
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(directory, os.O_PATH)
        listening.bind(f"/proc/self/fd/{here}/kubelet.sock")
        os.close(here)
        path = "/var/lib/kubelet/device-plugins/kubelet.sock"
        nobody = ("fail", path, "is there, but nobody listens on it")
        assert of(examine(node, "--root", root), "kubelet/socket") == [nobody]
        listening.listen()
        assert Below(root).listens(path) == ""
        found = of(examine(node, "--root", root), "kubelet/socket")
        assert found == [("ok", path, "somebody listens")]


def test_a_mounted_root_is_another_host(node: Host, tmp_path: pathlib.Path) -> None:
    root = tmp_path / "host"
    (root / "etc/cdi").mkdir(parents=True)
    (root / "etc/cdi/\x1b[31m.json").write_text('{"kind": "v/net"}')
    result = node.netns.run(*node.command("doctor", "--root", root), check=False)
    assert result.returncode == 6
    assert r"/etc/cdi/\x1b[31m.json: the kind 'v/net' has a vendor" in result.stdout
    assert result.stdout.replace("\n", "").isprintable()
    assert str(root) not in result.stdout


def test_what_was_given_wrongly_is_no_finding(node: Host, tmp_path: pathlib.Path) -> None:
    result = node.run("doctor", "--root", tmp_path / "none", code=2)
    assert result.stdout == ""
    result = node.netns.run(*node.command("doctor", "--config", tmp_path / "none"), check=False)
    assert result.returncode == 6
    assert result.stdout.startswith("fail  config/file")


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_a_terminal_has_colours(node: Host, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    keep = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        ["nsenter", f"--net={node.netns.path}", "--", *node.command("doctor", "-o", "text")],
        stdout=theirs,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**keep, **environment, "TERM": "xterm"},
    ):
        os.close(theirs)
        said = _all(ours)
    os.close(ours)
    assert (b"\x1b[32mok" in said) == (not environment)


def _all(terminal: int) -> bytes:
    """What comes of a terminal until the other end is closed."""
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # EIO: nobody is left there
        pass
    return b"".join(parts)
