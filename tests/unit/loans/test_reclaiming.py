from __future__ import annotations

import asyncio
import itertools
import logging
import stat
import sys
from collections.abc import Coroutine
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import MoverError
from netdevice_plugin.loans import reclaiming
from netdevice_plugin.loans.reclaiming import Reclaims, lacking, reclaim
from netdevice_plugin.loans.reconcile import GAP
from netdevice_plugin.mover import Outcome
from tests.unit.loans.made import Clock, Runs, settle

HOME = Outcome(0, "")


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


class Scene:
    """Reclaims under a clock, whose mover and listeners are ours."""

    def __init__(self, *outcomes: Outcome | MoverError, hold: bool = False) -> None:
        self.clock = Clock()
        self.runs = Runs(self.clock, *outcomes, hold=hold)
        self.codes: list[int] = []
        self.woken = 0
        self.reclaims = Reclaims(
            self.runs, told=self.codes.append, wake=self._wake, clock=self.clock, at_once=2
        )

    def _wake(self) -> None:
        self.woken += 1

    async def want(self, *devices: str, about: object = "it") -> float | None:
        again = self.reclaims.want(dict.fromkeys(devices, about), self.clock())
        await settle()
        return again


def test_what_is_wanted_is_started_at_once_and_told() -> None:
    async def test() -> None:
        scene = Scene(HOME)
        assert await scene.want("eth1") is None
        assert (scene.runs.devices, scene.codes, scene.woken) == (["eth1"], [0], 1)

    run(test())


def test_no_more_than_so_many_run_at_once_and_the_others_follow() -> None:
    async def test() -> None:
        scene = Scene(hold=True)
        names = ("a", "b", "c")
        assert await scene.want(*names) is None
        assert scene.runs.devices == ["a", "b"]
        assert scene.reclaims.at_work("a")
        assert not scene.reclaims.at_work("c")
        assert await scene.want(*names) is None
        scene.runs.go()
        await settle()
        assert scene.woken == 2
        await scene.want(*names)
        assert scene.runs.devices == ["a", "b", "c"]
        assert scene.runs.most == 2

    run(test())


def test_a_failure_is_tried_again_later_and_later() -> None:
    async def test() -> None:
        scene = Scene()
        for wait in (5, 10, 20, 40, 80, 160, 300, 300):
            await scene.want("eth1")
            begun = len(scene.runs.begun)
            again = await scene.want("eth1")
            assert again == scene.clock.now + wait
            scene.clock.now = again - 0.001
            await scene.want("eth1")
            assert len(scene.runs.begun) == begun
            scene.clock.now = again

    run(test())


def test_one_that_is_home_is_not_brought_again_before_its_record_can_be_seen_to_be_gone() -> None:
    async def test() -> None:
        scene = Scene(HOME, HOME)
        await scene.want("eth1")
        again = await scene.want("eth1")
        assert again == scene.clock.now + 5
        assert len(scene.runs.begun) == 1
        await scene.want()
        assert await scene.want("eth1") == scene.clock.now + GAP
        scene.clock.now += GAP
        await scene.want("eth1")
        assert len(scene.runs.begun) == 2

    run(test())


def test_another_loan_of_the_device_is_tried_soon() -> None:
    async def test() -> None:
        scene = Scene()
        for _ in range(5):
            await scene.want("eth1")
            scene.clock.now += 1000
        last = len(scene.runs.begun)
        await scene.want("eth1")
        again = await scene.want("eth1", about="another")
        assert again == scene.clock.now + GAP
        scene.clock.now = again
        await scene.want("eth1", about="another")
        assert len(scene.runs.begun) == last + 2
        assert await scene.want("eth1", about="another") == scene.clock.now + 5

    run(test())


def test_links_that_change_bring_a_late_attempt_forward() -> None:
    async def test() -> None:
        scene = Scene()
        for _ in range(8):
            await scene.want("eth1")
            scene.clock.now += 1000
        await scene.want("eth1")
        scene.reclaims.stir()
        assert await scene.want("eth1") == scene.clock.now + 15

    run(test())


def test_a_mover_that_cannot_be_started_is_a_failure_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        scene = Scene(MoverError("/opt/mover: no mover that can be executed"))
        await scene.want("eth1")
        assert scene.codes == [1]
        assert await scene.want("eth1") == scene.clock.now + 5

    run(test())
    (record,) = caplog.records
    assert record.getMessage() == "Could not bring link home"
    assert record.__dict__["device"] == "eth1"
    assert record.__dict__["reason"] == "/opt/mover: no mover that can be executed"


@pytest.mark.parametrize(
    ("outcome", "level", "meaning"),
    [
        (HOME, logging.INFO, "home"),
        (Outcome(1, "eth1: move it: busy"), logging.WARNING, "failed"),
        (Outcome(3, "eth1: held"), logging.WARNING, "held by a container that lives"),
        (Outcome(4, "eth1: gone"), logging.WARNING, "lost"),
        (Outcome(-9, ""), logging.WARNING, "ended by a signal"),
    ],
    ids=lambda value: getattr(value, "code", None) and str(value.code),
)
def test_each_end_is_logged_with_what_it_means(
    outcome: Outcome, level: int, meaning: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        await Scene(outcome).want("eth1")

    with caplog.at_level(logging.INFO, reclaiming.__name__):
        run(test())
    (record,) = caplog.records
    assert record.levelno == level
    assert record.__dict__["outcome"] == meaning
    assert record.__dict__["code"] == outcome.code


def test_closing_waits_for_those_at_work_but_not_for_long() -> None:
    async def test() -> None:
        scene = Scene(hold=True)
        await scene.want("eth1")
        asyncio.get_running_loop().call_later(0.01, scene.runs.go)
        await scene.reclaims.close()
        assert scene.codes == [1]
        stuck = Scene(hold=True)
        await stuck.want("eth1")
        async with asyncio.timeout(5):
            await stuck.reclaims.close()
        assert (stuck.codes, stuck.runs.at_once) == ([], 0)

    run(test())


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 20),
            st.sets(st.sampled_from("abcde")),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_there_is_no_storm(turns: list[tuple[float, set[str], int, bool]]) -> None:
    """However often it is asked, and whatever for, a device has a run a second at most."""

    async def test() -> None:
        scene = Scene()
        for seconds, devices, about, stirred in turns:
            scene.clock.now += seconds
            if stirred:
                scene.reclaims.stir()
            await scene.want(*sorted(devices), about=about)
            assert scene.runs.most <= 2
        for device in "abcde":
            times = [when for when, name in scene.runs.begun if name == device]
            gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
            assert all(gap >= GAP - 1e-6 for gap in gaps)

    run(test())


def script(tmp_path: Path, body: str) -> Path:
    """A program in the mover's place."""
    path = tmp_path / "mover"
    path.write_text(f"#!{sys.executable}\nimport sys, os, signal, time\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_mover_is_run_as_its_contract_says(tmp_path: Path) -> None:
    path = script(
        tmp_path, "print('netdevice-mover:', *sys.argv[1:], file=sys.stderr); sys.exit(4)"
    )

    async def test() -> None:
        outcome = await reclaim("eth1", Path("/run/x"), path=path)
        assert outcome == Outcome(4, "reclaim --device eth1 --run-dir /run/x")

    run(test())


def test_a_mover_that_does_not_end_is_killed(tmp_path: Path) -> None:
    path = script(tmp_path, "signal.pause()")

    async def test() -> None:
        outcome = await reclaim("eth1", tmp_path, path=path, limit=0.5)
        assert outcome == Outcome(-9, "eth1: did not end within 0.5 s")

    run(test())


def test_a_mover_that_dies_is_told(tmp_path: Path) -> None:
    path = script(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)")

    async def test() -> None:
        assert await reclaim("eth1", tmp_path, path=path) == Outcome(-15, "")

    run(test())


def test_none_is_left_running_by_who_gives_up(tmp_path: Path) -> None:
    path = script(
        tmp_path, f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nsignal.pause()"
    )

    async def test() -> None:
        task = asyncio.create_task(reclaim("eth1", tmp_path, path=path))
        while not (pid := (tmp_path / "pid")).exists() or not pid.read_text():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not Path("/proc", pid.read_text()).exists()

    run(test())


@pytest.mark.parametrize("kind", ["missing", "no program"])
def test_a_mover_that_is_not_there_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mover"
    if kind == "no program":
        path.write_bytes(b"\x7fELF")
        path.chmod(0o755)

    async def test() -> None:
        with pytest.raises(MoverError, match=str(path)):
            await reclaim("eth1", tmp_path, path=path)

    run(test())


def test_capabilities_are_read_from_the_effective_set() -> None:
    status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000201000\nCapBnd:\t0\n"
    wanted = {"CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21}
    assert lacking(status, wanted) == ("CAP_SYS_CHROOT",)
