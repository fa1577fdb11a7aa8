"""The benchmarks run to their end. What they measure is for people to read."""

from __future__ import annotations

import re
import subprocess
import sys

TITLES = (
    "Mover, whole process, against the bare kernel work",
    "Born in the pod, against moved there",
    "Start of the mover",
    "Mover against hooks that one could write",
    "Inventory and CDI file",
    "Virtual functions",
    "Commands, whole process",
    "Agent",
    "Container start on containerd, with and without a device",
    "Agent with claims",
    "20 nodes, on a virtual clock",
    "3 nodes, over HTTP",
)


def test_a_quick_run_fills_every_table_with_numbers() -> None:
    command = (sys.executable, "-m", "benchmarks", "--quick", "--markdown")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    tables = dict(part.split("\n", 1) for part in result.stdout.split("\n## ")[1:])
    assert tuple(tables) == TITLES
    for title, text in tables.items():
        rows = re.findall(r"^\| (?!---|ms|links|what|VFs)(.*) \|$", text, re.MULTILINE)
        assert rows, title
        for row in rows:
            # From a thousand on a figure has no decimals.
            assert re.search(r"\| ([0-9]+\.[0-9]+|[0-9]{4,}) \|", f"{row} |"), f"{title}: {row}"


def test_a_part_that_is_not_there_is_named() -> None:
    command = (sys.executable, "-m", "benchmarks", "speed")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "no such part: speed" in result.stderr
