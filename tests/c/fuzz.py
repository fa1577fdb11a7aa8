"""Fuzz the mover's parsers with libFuzzer, under ASan and UBSan.

    python -m tests.c.fuzz                        every target, a minute each
    python -m tests.c.fuzz --seconds 600 state    one target, longer

What a run finds worth keeping stays in build/fuzz and is where the next one
starts; the committed seeds in tests/c/corpus are only read. An input that breaks
a parser is kept as build/fuzz/TARGET/crash-*.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

from tests.c.build import HERE, ROOT, SANITIZERS, compile_c, mover_sources

TEXT = ("text.c", "address.c", "names.c")
WORDS = ("parser.c", "vfwords.c", "settings.c", *TEXT)
TARGETS = {
    "state": ("ocistate.c", "json.c", *TEXT),
    "args": ("args.c", "values.c", "phrases.c", "linkwords.c", *WORDS),
    "text": TEXT,
    "counters": ("counters.c", "files.c", "steps.c", *TEXT),
    "record": (
        *("record.c", "fields.c", "holder.c", "list.c", "files.c", "steps.c"),
        *("message.c", "parts.c", "route.c", "describe.c", "netlink.c"),
        *WORDS,
    ),
}
LIMITS = ("-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1")


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    executions: int
    coverage: int  # edges
    broken: bool
    log: str


def seeds(target: str) -> pathlib.Path:
    """The committed inputs of a target."""
    return HERE / "corpus" / target


def build(target: str, out: pathlib.Path) -> pathlib.Path:
    """Compile a harness; needs clang and its libFuzzer (Debian: libclang-rt-14-dev)."""
    sources = (str(HERE / f"fuzz_{target}.c"), *mover_sources(TARGETS[target]))
    return compile_c(out, "clang", "-fsanitize=fuzzer", *SANITIZERS, *sources)


def run(binary: pathlib.Path, target: str, where: pathlib.Path, seconds: int) -> Run:
    """Fuzz for so many seconds, after all seeds have been tried."""
    found = where / "corpus"
    found.mkdir(parents=True, exist_ok=True)
    words = HERE / "corpus" / f"{target}.dict"
    argv = (
        *(str(binary), f"-max_total_time={seconds}", f"-artifact_prefix={where}/", *LIMITS),
        *([f"-dict={words}"] if words.exists() else []),
        *(str(found), str(seeds(target))),
    )
    result = subprocess.run(argv, capture_output=True, check=False)
    log = result.stderr.decode(errors="replace")
    executions = re.findall(r"stat::number_of_executed_units: (\d+)", log)
    coverage = re.findall(r" cov: (\d+)", log)
    return Run(
        executions=int(executions[-1]) if executions else 0,
        coverage=int(coverage[-1]) if coverage else 0,
        broken=result.returncode != 0,
        log=log,
    )


def main() -> int:
    """Fuzz what the arguments name, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.c.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    if unknown := sorted(set(options.targets) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}")
    failed = 0
    for target in options.targets or TARGETS:
        where = ROOT / "build" / "fuzz" / target
        where.mkdir(parents=True, exist_ok=True)
        result = run(build(target, where / "harness"), target, where, options.seconds)
        print(f"{target}: {result.executions} runs, {result.coverage} edges", flush=True)
        if result.broken:
            failed = 1
            print(result.log, file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
