"""A root of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.doctor.roots import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """An empty root directory."""
    path = tmp_path / "root"
    path.mkdir()
    return Root(path)
