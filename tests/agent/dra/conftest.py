"""An API server for each test, and what the tests of it have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.apiserver import ApiServer

NODE = "worker-1"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """One of the newest release, with a node."""
    with ApiServer() as server:
        server.cluster.add_node(NODE)
        yield server
