"""Kernel tests need root; where that is missing they skip, or fail when CI asks for them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.kernel.scratch import Netns, netns

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all below this directory, and skip it without root unless it is required."""
    allowed = os.geteuid() == 0 or os.environ.get("NDP_REQUIRE_KERNEL") == "1"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kernel)
            if not allowed:
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def host() -> Iterator[Netns]:
    """The namespace that plays the node's."""
    with netns("host") as space:
        yield space


@pytest.fixture
def pod() -> Iterator[Netns]:
    """The namespace that plays a pod's."""
    with netns("pod") as space:
        yield space
