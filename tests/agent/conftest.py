"""What the agent's edges are tested in: directories short enough for a socket's path."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Like `tmp_path`, whose name has the test's, which leaves no room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="ndp-") as name:
        yield Path(name)
