from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.loans import returns
from netdevice_plugin.loans.returns import Flags, Result
from netdevice_plugin.mover import Outcome


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


def test_what_becomes_of_a_link_that_was_born_is_foretold() -> None:
    link = HostLink(name="net1", ifindex=0, kind="macvlan")
    born = Attachment(device="lan-0", phase=Phase.RETURNING, link=link, born=True)
    result = returns.foretell("lan-0", [born], Flags())
    assert result.code == 0
    assert result.text.startswith("lan-0: would delete net1 in the pod (")


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


def test_a_lock_that_somebody_holds_is_locked_and_looking_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    assert not returns.locked(tmp_path, "eth1")
    with (tmp_path / "locks" / "eth1").open("w") as lock:
        assert not returns.locked(tmp_path, "eth1")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert returns.locked(tmp_path, "eth1")


def test_a_lock_that_cannot_be_looked_at_may_be_held(tmp_path: Path) -> None:
    (tmp_path / "locks").touch()
    assert returns.locked(tmp_path, "eth1")
