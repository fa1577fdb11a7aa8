"""A root of each test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.doctor.roots import Root


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """What is made can be written by its owner alone, whoever runs the tests."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """An empty root directory."""
    path = tmp_path / "root"
    path.mkdir()
    return Root(path)
