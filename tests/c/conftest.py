"""The driver runs twice: under the sanitizers, and with the C library that is shipped."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.c.build import COMPILERS, Driver, build_driver


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pathlib.Path]:
    """Compiles each way once, however often tests turn from one to the other: with every file."""
    home = tmp_path_factory.mktemp("driver")
    return functools.cache(lambda way: build_driver(home / way, COMPILERS[way]))


@pytest.fixture(scope="session", params=sorted(COMPILERS))
def mover(
    request: pytest.FixtureRequest, compiled: Callable[[str], pathlib.Path]
) -> Iterator[Driver]:
    """The mover's parsers, compiled one of the two ways."""
    driver = Driver(compiled(request.param))
    yield driver
    driver.close()
