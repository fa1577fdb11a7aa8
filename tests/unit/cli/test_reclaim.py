from __future__ import annotations

import dataclasses
import fcntl
from pathlib import Path

import pytest

from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.loans import returns
from tests.unit.cli.running import ATTACHED, DEAD, LIVING, keep, run


def record(device: str, phase: Phase = Phase.ATTACHED, *, dead: bool = False) -> Attachment:
    holders = (DEAD,) if dead else (LIVING,)
    return dataclasses.replace(ATTACHED, device=device, phase=phase, holders=holders)


EACH = (
    record("attaching", Phase.ATTACHING),
    record("dead", dead=True),
    record("living"),
    record("lost", Phase.LOST),
    record("returning", Phase.RETURNING, dead=True),
    record("stranded", Phase.STRANDED),
)


def test_all_are_those_that_nobody_has(tmp_path: Path) -> None:
    keep(tmp_path, *EACH)
    result = run("reclaim", "--all", "--dry-run", "--run-dir", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "attaching: would bring eth1 home (a mover has died while attaching)",
        "dead: would bring eth1 home (its holder is dead)",
        "lost: would bring eth1 home (it is lost)",
        "returning: would bring eth1 home (a mover has died while returning)",
        "stranded: would bring eth1 home (it is home, but not as it was)",
    ]


def test_what_a_mover_is_at_work_on_is_left_to_it(tmp_path: Path) -> None:
    keep(tmp_path, record("attaching", Phase.ATTACHING), record("returning", Phase.RETURNING))
    (tmp_path / "locks").mkdir()
    with (tmp_path / "locks" / "attaching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("reclaim", "--all", "--dry-run", "--run-dir", tmp_path)
    assert result.stdout.startswith("returning: ")
    assert len(result.stdout.splitlines()) == 1


def test_nothing_to_reclaim_is_fine(tmp_path: Path) -> None:
    result = run("reclaim", "--all", "--run-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "nothing to reclaim\n"


def test_a_holder_that_cannot_be_seen_is_said_and_exit_code_3(tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(record("elsewhere", dead=True), pidns=(1, 1))
    keep(tmp_path, elsewhere, record("dead", dead=True))
    result = run("reclaim", "--all", "--dry-run", "--run-dir", tmp_path)
    assert result.exit_code == 3
    assert result.stdout == "dead: would bring eth1 home (its holder is dead)\n"
    why = "whether its holder lives cannot be seen from here; run this on the host"
    assert result.stderr == f"error: elsewhere: {why}\n"


def test_all_goes_on_past_a_record_that_is_broken_and_fails(tmp_path: Path) -> None:
    keep(tmp_path, record("dead", dead=True))
    (tmp_path / "attachments" / "broken").write_text("")
    result = run("reclaim", "--all", "--dry-run", "--run-dir", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith("dead: would")
    assert result.stderr.startswith(f"error: {tmp_path}/attachments/broken:1: ")


def test_a_living_holder_is_named_and_exit_code_3(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    result = run("reclaim", "eth1", "--dry-run", "--run-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "error: eth1: held by container cccccccccccc of default/web-0\n"


def test_force_takes_it_nevertheless(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    result = run("reclaim", "eth1", "--dry-run", "--force", "--forget", "--run-dir", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == (
        "eth1: would bring eth1 home, or forget it where that fails"
        " (taken from container cccccccccccc of default/web-0)\n"
    )


@pytest.mark.parametrize("name", ["eth2", "", ".", "..", "../locks/eth1", "x\x1b", "a" * 300, "é"])
def test_a_device_that_is_not_lent_is_exit_code_2_and_names_those_that_are(
    tmp_path: Path, name: str
) -> None:
    keep(tmp_path, ATTACHED)
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "eth1").touch()
    result = run("reclaim", "eth1", name, "--run-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: not lent: ")
    assert hint == "hint: lent: eth1"


def test_a_device_is_found_by_the_name_of_its_link(tmp_path: Path) -> None:
    device = "net-jfcuqljq"
    keep(tmp_path, record(device))
    assert returns.named(["IEH-0"], tmp_path, ()) == (device,)


@pytest.mark.parametrize("arguments", [(), ("eth1", "--all"), ("--all", "--force")], ids=" ".join)
def test_what_to_reclaim_must_be_clear(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run("reclaim", "--run-dir", tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: name devices, or give --all without --force\n")
