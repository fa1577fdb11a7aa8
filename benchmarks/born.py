"""How long a link takes that is born in the pod, beside one that is moved there."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.moving import Way, cpu, in_turn, lent_by_mover, wall
from benchmarks.numbers import Table, ratio
from benchmarks.rtnl import Links
from benchmarks.spawn import Took, timed
from benchmarks.stage import Stage, stage
from tests.kernel.mover.harness import identity
from tests.kernel.mover.links import PARENT

_NAME = "born0"


def against_moved(rounds: int) -> Table:
    """Time a macvlan that is born in the pod, the kernel's part of that, and one that is moved."""
    with stage("macvlan") as here:
        before = here.at_home()
        ways = (_born(here), _bare(here), lent_by_mover(here))
        times = here.host.call(lambda: in_turn(ways, rounds))
        here.check(before)
    rows: list[tuple[str, ...]] = []
    for index, way in enumerate(("attach", "detach")):
        born, bare, moved = (wall(each[index]) for each in times)
        rows.append(
            (
                *(f"macvlan {way}", str(born), born.spread, str(bare), bare.spread),
                *(str(moved), moved.spread, ratio(moved.over(born)), str(cpu(times[0][index]))),
            )
        )
    return Table(
        title="Born in the pod, against moved there",
        columns=(
            *("ms, medians", "born", "middle half", "bare kernel", "middle half"),
            *("moved", "middle half", "moved over born", "CPU of born"),
        ),
        rows=tuple(rows),
        notes=(
            f"{rounds} rounds, in turn. Born and moved: the mover, whole process. Bare kernel: a "
            "warm process makes the link in the pod in one request and sets it up in another, and "
            "deletes it. The moved link has two addresses and a route, the born one none.",
        ),
    )


def _born(here: Stage) -> Way:
    create = ("--create", "macvlan mode bridge", "--as", "net1")
    attach = (*here.command("attach", _NAME), *identity(here.host, PARENT), *create)
    detach = here.command("detach", _NAME)
    creating, stopped = here.creating, here.stopped
    return lambda: timed(attach, creating), lambda: timed(detach, stopped)


def _bare(here: Stage) -> Way:
    """Its sockets and descriptors are left to the end of this process."""
    host, pod = here.host.call(Links), here.pod.call(Links)
    parent = here.host.links()[PARENT]["ifindex"]
    target = here.pod.path.open()

    def born() -> None:
        host.create_macvlan(_NAME, parent, target.fileno())
        pod.set_up(_NAME)

    return lambda: _took(born), lambda: _took(lambda: pod.remove(_NAME))


def _took(work: Callable[[], None]) -> Took:
    start, busy = time.perf_counter(), time.thread_time()
    work()
    return Took(time.perf_counter() - start, time.thread_time() - busy)
