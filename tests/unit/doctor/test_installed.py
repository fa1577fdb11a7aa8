from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from cdi.model import ContainerEdits, Device, Hook, Spec
from netdevice_plugin import __version__, mover
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import elf, installed, mounts
from netdevice_plugin.doctor.cdidirs import CdiFile
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.installed import Mover, RunDir
from netdevice_plugin.model import Injection, Pool
from tests.unit.doctor.roots import CONFIG, MOVER, Root, checks, lines, only
from tests.unit.doctor.test_parts import program

WITH_HOOKS = dataclasses.replace(CONFIG, pools=(Pool(name="a"),))
BUNDLED = mover.BUNDLED.read_bytes()


def named(path: str, *more: str) -> CdiFile:
    """A CDI file whose hook runs that program."""
    hook = Hook(hook_name="createRuntime", path=path, args=("netdevice-mover", "attach", *more))
    device = Device(name="eth1", edits=ContainerEdits(hooks=(hook,)))
    return CdiFile(
        path="/var/run/cdi/x.json", priority=1, spec=Spec(kind="a.b/c", devices=(device,))
    )


def look(root: Root, config: Config = WITH_HOOKS, *files: CdiFile) -> tuple[Mover, ...]:
    host = root.host({"netdevice-mover": f"netdevice-mover {__version__}\n"})
    return installed.read_movers(host, config, files, mounts.parse(host.mountinfo()))


def judge(facts: Mover) -> list[Finding]:
    return list(installed.check_mover(facts))


@pytest.fixture(autouse=True)
def table(root: Root) -> None:
    root.mounts(("/", "ext4", "rw"), ("/run", "tmpfs", "rw,nosuid,nodev"), owner="self")


def test_our_mover_where_it_belongs(root: Root) -> None:
    root.write(MOVER, BUNDLED, 0o755)
    (facts,) = look(root)
    (found,) = judge(facts)
    assert found.level is Level.OK
    assert str(found) == f"{MOVER}: is the mover of this package, {__version__}"


def test_another_build_of_this_version(root: Root) -> None:
    machine = {"x86_64": 62, "aarch64": 183}[os.uname().machine]
    root.write(MOVER, program(machine, 1), 0o755)
    (facts,) = look(root)
    assert lines(judge(facts)) == [f"mover/version {MOVER}: says that it is {__version__}"]


@pytest.mark.parametrize(
    ("config", "files", "level"),
    [
        (WITH_HOOKS, (), Level.FAIL),
        (CONFIG, (), Level.WARN),
        (CONFIG, (named(MOVER),), Level.FAIL),
    ],
)
def test_a_mover_that_is_missing(
    root: Root, config: Config, files: tuple[CdiFile, ...], level: Level
) -> None:
    (facts,) = look(root, config, *files)
    (found,) = judge(facts)
    assert (found.level, found.check) == (level, "mover/missing")
    assert found.remedy == "netdevice-plugin mover install /opt/netdevice-plugin/bin"


def test_native_pools_need_no_mover(root: Root) -> None:
    pool = Pool(name="a", injection=Injection.NATIVE)
    assert look(root, dataclasses.replace(CONFIG, pools=(pool,))) == ()


def test_every_mover_that_is_named_is_looked_at(root: Root) -> None:
    files = (named("/usr/local/bin/netdevice-mover"), named("/usr/local/bin/netdevice-mover"))
    found = look(root, WITH_HOOKS, *files)
    assert [(one.path, one.named_by) for one in found] == [
        ("/usr/local/bin/netdevice-mover", "/var/run/cdi/x.json"),
        (MOVER, "the configuration"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mode": 0o644}, [("fail", "mover/mode")]),
        ({"mode": 0o4755}, [("fail", "mover/privileged")]),
        ({"mode": 0o2755}, [("fail", "mover/privileged")]),
        ({"capabilities": True}, [("fail", "mover/privileged")]),
        ({"loose": "/opt can be written by others"}, [("fail", "mover/replaceable")]),
        ({"noexec": "/opt"}, [("fail", "mover/noexec")]),
        ({"program": None}, [("fail", "mover/program")]),
        ({"machine": "aarch64"}, [("fail", "mover/program")]),
        ({"same": False, "version": "0.0.9"}, [("warn", "mover/version")]),
        ({"same": False, "version": ""}, [("warn", "mover/version")]),
        ({"path": "opt/mover"}, [("fail", "mover/path")]),
        ({"fault": "Permission denied"}, [("fail", "mover/missing")]),
    ],
    ids=str,
)
def test_what_can_be_wrong_with_a_mover(
    change: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    head = elf.parse(program(62, 1))
    good = Mover(path=MOVER, named_by="x", program=head, machine="x86_64", same=True)
    assert checks(judge(good)) == [("ok", "mover/version")]
    assert checks(judge(dataclasses.replace(good, **change))) == expected  # type: ignore[arg-type]


def test_a_mover_that_needs_libraries_is_not_ours() -> None:
    head = elf.parse(program(62, 1, 3))
    facts = Mover(path=MOVER, named_by="x", program=head, machine="x86_64", version=__version__)
    assert checks(judge(facts)) == [("warn", "mover/program"), ("ok", "mover/version")]


def test_what_is_wrong_is_seen(root: Root) -> None:
    root.mounts(("/", "ext4", "rw"), ("/srv", "ext4", "rw,noexec"), owner="self")
    root.write("/srv/real", b"#!/bin/sh\n", 0o6777)
    root.link(MOVER, "/srv/real")
    (facts,) = look(root)
    assert [check for _, check in checks(judge(facts))] == [
        "mover/privileged",
        "mover/replaceable",
        "mover/noexec",
        "mover/program",
    ]


@pytest.mark.parametrize("make", ["fifo", "directory", "loop"])
def test_what_is_no_file_is_no_mover(root: Root, make: str) -> None:
    root.directory("/opt/netdevice-plugin/bin")
    if make == "fifo":
        os.mkfifo(root.at(MOVER))
    elif make == "directory":
        root.directory(MOVER)
    else:
        root.link(MOVER, MOVER)
    (facts,) = look(root)
    assert checks(judge(facts)) == [("fail", "mover/missing")]


def run_dir(root: Root, config: Config = CONFIG, *files: CdiFile, free: int = 1 << 30) -> RunDir:
    host = root.host({})
    table = mounts.parse(host.mountinfo())
    return installed.read_run_dir(host, config, files, table, lambda _path: free)


def judged(facts: RunDir) -> list[Finding]:
    return list(installed.check_run_dir(facts))


def test_a_run_directory_as_it_should_be(root: Root) -> None:
    root.directory("/run")
    assert lines(judged(run_dir(root))) == [
        "run-dir/state /run/netdevice-plugin: is not there; the first attach makes it"
    ]
    root.directory("/run/netdevice-plugin")
    assert lines(judged(run_dir(root))) == ["run-dir/state /run/netdevice-plugin: is on a tmpfs"]


def test_records_must_not_outlive_a_reboot(root: Root) -> None:
    root.mounts(("/", "ext4", "rw"), owner="self")
    found = only(judged(run_dir(root)), "run-dir/tmpfs")
    assert found.level is Level.WARN
    assert found.text.startswith("is on ext4: ")


def test_records_must_be_roots_alone(root: Root) -> None:
    root.directory("/run/netdevice-plugin")
    root.at("/run/netdevice-plugin").chmod(0o777)
    assert checks(judged(run_dir(root))) == [("fail", "run-dir/replaceable")]


def test_a_run_directory_that_is_full_read_only_or_none(root: Root) -> None:
    root.directory("/run")
    assert checks(judged(run_dir(root, free=4096))) == [("fail", "run-dir/full")]
    root.mounts(("/run", "tmpfs", "ro"), owner="self")
    assert checks(judged(run_dir(root))) == [("fail", "run-dir/state")]
    root.mounts(("/run", "tmpfs", "rw"), owner="self")
    root.write("/run/netdevice-plugin", "a file")
    assert checks(judged(run_dir(root))) == [("fail", "run-dir/state")]


def test_a_loop_in_place_of_the_run_directory(root: Root) -> None:
    root.link("/run/a", "/run/a")
    config = dataclasses.replace(CONFIG, run_dir=Path("/run/a"))
    assert [check for _, check in checks(judged(run_dir(root, config)))] == ["run-dir/state"]


def test_hooks_that_keep_their_records_elsewhere(root: Root) -> None:
    root.directory("/run")
    files = (named(MOVER, "--run-dir", "/run/mine"), named(MOVER, "--run-dir"))
    found = only(judged(run_dir(root, CONFIG, *files)), "run-dir/others")
    assert found.text == (
        "its hooks keep their records in /run/mine, and we look in /run/netdevice-plugin"
    )
    other = dataclasses.replace(CONFIG, run_dir=Path("/run/mine"))
    found = only(judged(run_dir(root, other, named(MOVER))), "run-dir/others")
    assert found.remedy.startswith("--run-dir /run/netdevice-plugin")
