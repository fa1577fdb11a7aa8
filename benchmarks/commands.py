"""How long a command takes, whole process, as a person or an init script waits for it."""

from __future__ import annotations

import itertools
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence

from benchmarks.listing import many_links
from benchmarks.numbers import Samples, Table
from benchmarks.spawn import timed
from netdevice_plugin import mover
from tests.kernel.scratch import Netns

_CONFIG = "pools:\n- name: netdevice\n  selectors:\n  - ifNames: ['bench*']\n"
_SCRIPT = pathlib.Path(sys.executable).with_name("netdevice-plugin")

Argv = tuple[str, ...]
Command = tuple[str, Callable[[], Argv]]  # its name in the table, and what to run next


def commands(counts: Sequence[int], runs: int) -> Table:
    """Time each command at each number of links, beside a Python that does nothing."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory(prefix="ndp-bench-") as name:
        directory = pathlib.Path(name)
        (directory / "config.yaml").write_text(_CONFIG)
        for count in counts:
            wanted = [*_general(directory), *_generate(directory)]
            if count != counts[0]:
                wanted = [one for one in wanted if one[0].startswith(("devices", "cdi", "-m"))]
            with many_links(count) as space:
                rows += _measured(space, count, wanted, runs)
    return Table(
        title="Commands, whole process",
        columns=("ms", "links", "median", "middle half"),
        rows=tuple(rows),
        notes=(
            f"{runs} runs each, in turn. The script is {_SCRIPT.name} of this virtual environment, "
            "where the package is installed in editable mode; -m is python -m netdevice_plugin. "
            "First: the file is written, with fsync. Again: nothing has changed. "
            "Target: cdi generate below 400 ms at 100 links.",
        ),
    )


def _general(directory: pathlib.Path) -> list[Command]:
    run_dir = str(directory / "run")
    script = str(_SCRIPT)
    lines: dict[str, Argv] = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "python -c 'import click'": (sys.executable, "-c", "import click"),
        "python -c 'import pyroute2'": (sys.executable, "-c", "import pyroute2"),
        "--version": (script, "--version"),
        "--help": (script, "--help"),
        "status": (script, "--run-dir", run_dir, "status"),
        "devices": (script, "--run-dir", run_dir, "devices"),
        "devices -o json": (script, "--run-dir", run_dir, "devices", "-o", "json"),
    }
    return [(name, lambda argv=argv: argv) for name, argv in lines.items()]  # type: ignore[misc]


def _generate(directory: pathlib.Path) -> list[Command]:
    common = ("cdi", "generate", "--run-dir", str(directory / "run"))
    bundled = ("--mover-path", str(mover.binary()))
    interfaces = (*common, *bundled, "--interfaces", "bench*")
    config = (*common, *bundled, "--config", str(directory / "config.yaml"))
    number = itertools.count()

    def fresh() -> str:
        return str(directory / f"cdi-{next(number)}") + "/"

    def command(*start: str, output: Callable[[], str]) -> Callable[[], Argv]:
        return lambda: (*start, "--output", output())

    same = str(directory / "cdi") + "/"
    script = str(_SCRIPT)
    return [
        ("cdi generate --interfaces, first", command(script, *interfaces, output=fresh)),
        ("cdi generate --interfaces, again", command(script, *interfaces, output=lambda: same)),
        ("cdi generate --config, first", command(script, *config, output=fresh)),
        (
            "-m cdi generate --interfaces, again",
            command(sys.executable, "-m", "netdevice_plugin", *interfaces, output=lambda: same),
        ),
    ]


def _measured(
    space: Netns, count: int, wanted: Sequence[Command], runs: int
) -> list[tuple[str, ...]]:
    times = space.call(lambda: _in_turn([command for _, command in wanted], runs))
    rows: list[tuple[str, ...]] = []
    for (name, _), seconds in zip(wanted, times, strict=True):
        samples = Samples(tuple(seconds))
        links = "" if name.startswith(("python", "--", "status")) else f"{count:,}"
        rows.append((name, links, str(samples), samples.spread))
    return rows


def _in_turn(wanted: Sequence[Callable[[], Argv]], runs: int) -> list[list[float]]:
    """Run them one after the other, all of them that many times, once before it counts."""
    for command in wanted:
        timed(command(), quiet=True)
    rounds = [[timed(command(), quiet=True).wall for command in wanted] for _ in range(runs)]
    return [list(times) for times in zip(*rounds, strict=True)]
