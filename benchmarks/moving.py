"""How long a link takes to the pod and back, the mover's way and others."""

from __future__ import annotations

import pathlib
import random
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.numbers import Samples, Table, ratio
from benchmarks.replay import Replay, sides
from benchmarks.spawn import FailedError, Took, timed
from benchmarks.stage import Stage, stage
from benchmarks.watch import Request, watch
from netdevice_plugin import mover
from tests.kernel.mover.harness import DEVICE

KINDS = ("veth", "macvlan", "ifb", "tap", "vxlan")

PAUSE = 0.02

_HOOKS = pathlib.Path(__file__).parent / "hooks"

Way = tuple[Callable[[], Took], Callable[[], Took]]  # attach and detach
Round = tuple[list[Took], list[Took]]


def against_kernel(pairs: int, kinds: Sequence[str]) -> Table:
    """Time the mover and the bare requests in turn, on each kind of link."""
    return Table(
        title="Mover, whole process, against the bare kernel work",
        columns=(
            *("ms, medians", "mover", "middle half", "bare kernel", "middle half"),
            *("ratio", "95 %", "pairwise", "CPU", "bare CPU"),
        ),
        rows=tuple(row for kind in kinds for row in _beside_kernel(kind, pairs)),
        notes=(
            f"{pairs} pairs each, A B B A. Mover: posix_spawn to exit, OCI state on stdin, by a "
            "warm parent. Bare kernel: a warm process with sockets in both namespaces sends the "
            "very netlink requests that the mover sent for this link; no file, mount or process is "
            "among them. The link is up, with two addresses and a route.",
            "Ratio: of the medians, and where it is with a probability of 95 %. Pairwise: median "
            "of the ratios of neighbours. CPU: medians of what was not waiting. Target: 1.10x.",
        ),
    )


def _beside_kernel(kind: str, pairs: int) -> list[tuple[str, ...]]:
    with stage(kind) as here:
        before = here.at_home()
        there, back = _sent(here)
        with sides(here.host, here.pod) as by_inode:
            replays = Replay(there, by_inode), Replay(back, by_inode)
            times = here.host.call(lambda: in_turn((lent_by_mover(here), _warm(*replays)), pairs))
        here.check(before)
    rows: list[tuple[str, ...]] = []
    for index, way in enumerate(("attach", "detach")):
        whole, bare = (wall(each[index]) for each in times)
        low, high = whole.bounds(bare)
        rows.append(
            (
                *(f"{kind} {way}", str(whole), whole.spread, str(bare), bare.spread),
                *(ratio(whole.over(bare)), f"{low:.2f}..{high:.2f}", ratio(whole.pairwise(bare))),
                *(str(cpu(each[index])) for each in times),
            )
        )
    return rows


def wall(times: Sequence[Took]) -> Samples:
    """How long each took."""
    return Samples(tuple(took.wall for took in times))


def cpu(times: Sequence[Took]) -> Samples:
    """How long each was not waiting."""
    return Samples(tuple(took.cpu for took in times))


def _sent(here: Stage) -> tuple[tuple[Request, ...], tuple[Request, ...]]:
    """See what the mover sends on the way there and back; the second time, when all is warm."""
    found: list[tuple[Request, ...]] = []
    for _ in range(2):
        found = [
            _watched(here, here.attach(), here.creating),
            _watched(here, here.detach(), here.stopped),
        ]
    return found[0], found[1]


def _watched(here: Stage, argv: Sequence[str], stdin: bytes) -> tuple[Request, ...]:
    requests, code = here.host.call(lambda: watch(argv, stdin))
    if code:
        raise FailedError(f"{' '.join(argv)}: exit {code}")
    return requests


def lent_by_mover(here: Stage) -> Way:
    """Run the mover for the stage's link, there and back."""
    attach, detach = here.attach(), here.detach()
    creating, stopped = here.creating, here.stopped
    return lambda: timed(attach, creating), lambda: timed(detach, stopped)


def _warm(*replays: Replay) -> Way:
    """Refused is what was refused to the mover as well, and each time the same."""
    refused = [replay.run() for replay in replays]

    def run(index: int) -> Took:
        start, cpu = time.perf_counter(), time.thread_time()
        now = replays[index].run()
        took = Took(time.perf_counter() - start, time.thread_time() - cpu)
        if now != refused[index]:
            raise FailedError(f"the kernel refused {now}, and before {refused[index]}")
        return took

    return lambda: run(0), lambda: run(1)


def in_turn(ways: Sequence[Way], rounds: int) -> list[Round]:
    """Send the link there and back each way in turn, every other round in the reverse order."""
    found: list[Round] = [([], []) for _ in ways]
    for number in range(-1, rounds):
        order = range(len(ways)) if number % 2 else range(len(ways))[::-1]
        for index in order:
            for direction in (0, 1):
                _pause()
                took = ways[index][direction]()
                if number >= 0:  # the first round warms up
                    found[index][direction].append(took)
    return found


def _pause() -> None:
    """Wait for 20 to 40 ms.

    What a move leaves for the kernel to do later must not be counted with the next
    one. A move ends with a tick of the kernel's clock (4 ms at 250 Hz): begun just
    after one, it would have milliseconds to waste. So begin at any time.
    """
    time.sleep(PAUSE * (1 + random.random()))  # noqa: S311 - no secret


def first_request(runs: int) -> Table:
    """Time from the start of the mover's process to its first netlink request, and its size."""
    with stage("veth") as here:
        sent = here.attach(), here.creating, here.detach(), here.stopped
        times = here.host.call(lambda: [_first(here, *sent) for _ in range(runs)])
    binary = mover.binary()
    columns = [Samples(column) for column in zip(*times, strict=True)]
    names = (
        "start to first netlink request, attach",
        "start to first netlink request, detach",
        "whole process, netdevice-mover --version",
        "whole process, true(1) of this machine",
    )
    size = binary.stat().st_size
    return Table(
        title="Start of the mover",
        columns=("ms", "median", "middle half"),
        rows=tuple((name, str(s), s.spread) for name, s in zip(names, columns, strict=True)),
        notes=(
            f"{runs} runs. Start: before posix_spawn. A seccomp listener sees the first request; "
            "it costs nothing until then, and is woken some 50 us late. Target: 1.5 ms.",
            f"Size of the binary: {size:,} bytes ({size / 1024:.1f} KiB). Target: 100 KiB.",
        ),
    )


def _first(
    here: Stage, attach: Sequence[str], creating: bytes, detach: Sequence[str], stopped: bytes
) -> tuple[float, ...]:
    there = _watched(here, attach, creating)[0].after
    _pause()
    back = _watched(here, detach, stopped)[0].after
    _pause()
    nothing = timed((str(mover.binary()), "--version"), quiet=True).wall
    return there, back, nothing, timed(("/bin/true",)).wall


def against_hooks(rounds: int, kinds: Sequence[str]) -> Table:
    """Time the mover against hooks of shell and of Python that do less."""
    return Table(
        title="Mover against hooks that one could write",
        columns=(
            *("ms, medians", "mover", "sh + ip", "middle half", "pyroute2", "middle half"),
            *("sh + ip", "pyroute2"),
        ),
        rows=tuple(row for kind in kinds for row in _beside_hooks(kind, rounds)),
        notes=(
            f"{rounds} rounds, in turn. Both are in benchmarks/hooks: they pin the namespace, move "
            "the link, and add addresses and routes again. They check, lock and undo nothing, and "
            "restore neither MTU, MAC, flags, settings, names nor neighbours. The last two "
            "columns: times what the mover takes.",
        ),
    )


def _beside_hooks(kind: str, rounds: int) -> list[tuple[str, ...]]:
    with stage(kind) as here:
        before = here.at_home()
        ways = (lent_by_mover(here), _shell(here), _pyroute2(here))
        times = here.host.call(lambda: in_turn(ways, rounds))
        here.check(before)
    rows: list[tuple[str, ...]] = []
    for index, way in enumerate(("attach", "detach")):
        own, shell, python = (wall(each[index]) for each in times)
        rows.append(
            (
                *(f"{kind} {way}", str(own), str(shell), shell.spread, str(python)),
                *(python.spread, ratio(shell.over(own)), ratio(python.over(own))),
            )
        )
    return rows


def _shell(here: Stage) -> Way:
    return _hook(here, str(_HOOKS / "ip.sh"))


def _pyroute2(here: Stage) -> Way:
    return _hook(here, sys.executable, str(_HOOKS / "with_pyroute2.py"))


def _hook(here: Stage, *command: str) -> Way:
    directory = here.directory / pathlib.Path(command[-1]).stem
    directory.mkdir()
    there = (*command, "attach", DEVICE, str(directory))
    back = (*command, "detach", DEVICE, str(directory))
    return lambda: timed(there, here.creating), lambda: timed(back, here.stopped)
