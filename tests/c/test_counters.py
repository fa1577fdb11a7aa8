"""The counters of a device: each run is in them once, whatever was in the file."""

from __future__ import annotations

import bisect
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.c.build import Driver

COMMANDS = ("attach", "detach", "reclaim")
MOVED, IDLE, FAILED = range(3)
BOUNDS = (1000, 2500, 5000, 7500, 10000, 25000, 50000, 100000, 250000, 1000000, 2500000)
STEPS = ("find the pod", "take the device", "give the link its MAC, MTU, queue length, group")

Run = tuple[int, int, int, str]  # command, outcome, microseconds, step

RUNS = st.tuples(
    st.sampled_from(range(3)),
    st.sampled_from(range(3)),
    st.integers(0, 5_000_000) | st.sampled_from(BOUNDS),
    st.sampled_from(STEPS),
)


def add(mover: Driver, text: str, run: Run) -> str:
    """The file's text with one more run in it."""
    answer = mover("counters", f"{' '.join(map(str, run))}\n{text}".encode())
    assert answer.number("cut") == 0
    return answer.text("text").decode()


def lines(runs: list[Run]) -> str:
    """What the file must say after these runs."""
    text = "format=1\n"
    for number, command in enumerate(COMMANDS):
        mine = [run for run in runs if run[0] == number]
        outcomes = [sum(run[1] == outcome for run in mine) for outcome in range(3)]
        took = [run[2] for run in mine if run[1] == MOVED]
        times = [0] * 12
        for one in took:
            times[bisect.bisect_left(BOUNDS, one)] += 1
        text += f"runs={command} {' '.join(map(str, outcomes))}\n"
        text += f"times={command} {sum(took)} {' '.join(map(str, times))}\n"
    failed = [(run[0], run[3]) for run in runs if run[1] == FAILED]
    for command_number, step in dict.fromkeys(failed):
        count = failed.count((command_number, step))
        text += f"failed={COMMANDS[command_number]} {count} {step}\n"
    return text


@given(runs=st.lists(RUNS, min_size=1, max_size=20))
def test_every_run_is_counted_once(mover: Driver, runs: list[Run]) -> None:
    text = ""
    for run in runs:
        text = add(mover, text, run)
    assert text == lines(runs)


def test_a_step_too_many_is_counted_without_its_name(mover: Driver) -> None:
    text = ""
    for number in range(40):
        text = add(mover, text, (0, FAILED, 1, f"step {number}"))
    assert "runs=attach 0 0 40\n" in text
    assert text.count("failed=") == 32
    assert "failed=attach 2 step 3\n" in add(mover, text, (0, FAILED, 1, "step 3"))


def test_a_step_too_long_is_cut(mover: Driver) -> None:
    text = add(mover, "", (0, FAILED, 1, "x" * 200))
    assert f"failed=attach 1 {'x' * 95}\n" in text
    assert add(mover, text, (1, MOVED, 1, "")) != text


GOOD = lines([(0, MOVED, 1, "")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "format=2\n",
        GOOD[:-1],
        GOOD.replace("format=1\n", ""),
        GOOD.replace("runs=attach 1 0 0", "runs=attach 1 0"),
        GOOD.replace("runs=attach 1 0 0", "runs=attach 1 0 0 0"),
        GOOD.replace("runs=attach 1 0 0", "runs=attach -1 0 0"),
        GOOD.replace("runs=attach", "runs=lend"),
        GOOD.replace("runs=attach", "walks=attach"),
        GOOD + "failed=attach 1\x00\n",
        GOOD + f"failed=attach 1 {'x' * 96}\n",
        GOOD + "failed=attach 1 x\n" * 33,
    ],
)  # fmt: skip
def test_counters_that_are_not_ours_are_refused(mover: Driver, text: str) -> None:
    assert mover("counters", f"0 0 1 \n{text}".encode()).number("rc") == -errno.EINVAL
