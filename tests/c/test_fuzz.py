"""A few seconds of fuzzing for every parser; `python -m tests.c.fuzz` is for longer."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from tests.c import fuzz

SECONDS = int(os.environ.get("NDP_FUZZ_SECONDS", "5"))
REQUIRED = os.environ.get("NDP_REQUIRE_KERNEL") == "1"  # CI: a skip is a failure


@pytest.mark.skipif(not REQUIRED and not shutil.which("clang"), reason="needs clang")
@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_a_parser_withstands_fuzzing(target: str, tmp_path: pathlib.Path) -> None:
    binary = fuzz.build(target, tmp_path / "harness")
    result = fuzz.run(binary, target, tmp_path, SECONDS)
    assert not result.broken, result.log[-5000:]
    assert result.executions > len(list(fuzz.seeds(target).iterdir()))
