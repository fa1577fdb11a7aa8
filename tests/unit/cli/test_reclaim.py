from __future__ import annotations

import dataclasses
import fcntl
from pathlib import Path

import pytest

from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.cli import returns
from netdevice_plugin.cli.returns import Flags, Result
from netdevice_plugin.mover import Outcome
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


class Mover:
    """Answers as the real one would, and remembers what it was asked."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[str] = []

    def __call__(self, *arguments: str) -> Outcome:
        self.calls.append(" ".join(arguments))
        return self.outcomes.pop(0)


ASKED = "reclaim --device eth1 --run-dir /run/x"


def test_the_mover_is_asked_to_bring_it_home() -> None:
    mover = Mover(Outcome(0, ""))
    result = returns.take_back("eth1", Path("/run/x"), Flags(), mover)
    assert result == Result(0, "eth1: home")
    assert mover.calls == [ASKED]


@pytest.mark.parametrize("code", [1, 4])
def test_to_forget_is_the_last_resort(code: int) -> None:
    mover = Mover(Outcome(code, "eth1: find it: gone"), Outcome(0, ""))
    result = returns.take_back("eth1", Path("/run/x"), Flags(forget=True, force=True), mover)
    assert result == Result(0, "eth1: forgotten")
    assert mover.calls == [f"{ASKED} --force", f"{ASKED} --force --forget"]


def test_what_a_container_has_is_not_forgotten() -> None:
    mover = Mover(Outcome(3, "eth1: held"))
    result = returns.take_back("eth1", Path("/run/x"), Flags(forget=True), mover)
    assert result == Result(3, "eth1: held")


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome(1, "eth1: move it: denied"), Result(1, "eth1: move it: denied")),
        (Outcome(4, "eth1: find it: gone"), Result(4, "eth1: find it: gone")),
        (Outcome(2, "bad arguments"), Result(1, "bad arguments")),
        (Outcome(-9, ""), Result(1, "eth1: the mover ended with -9")),
    ],
)
def test_a_failure_of_the_mover_is_passed_on(outcome: Outcome, result: Result) -> None:
    assert returns.take_back("eth1", Path("/run/x"), Flags(), Mover(outcome)) == result


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 3], 3), ([3, 4], 4), ([4, 1, 3], 1)],
)
def test_the_exit_code_is_the_worst(codes: list[int], code: int) -> None:
    assert returns.worst(codes) == code
