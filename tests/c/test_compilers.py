"""The parsers compile without a warning wherever they may be compiled."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tests.c.build import PARSERS, compile_c, mover_sources


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
@pytest.mark.parametrize("source", PARSERS)
def test_a_compiler_has_no_warning(compiler: str, source: str, tmp_path: pathlib.Path) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler} here")
    compile_c(tmp_path / "out.o", compiler, "-O2", "-c", *mover_sources([source]))
