"""The driver runs twice: under the sanitizers, and with the C library that is shipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.c.build import COMPILERS, Driver, build_driver


@pytest.fixture(scope="session", params=sorted(COMPILERS))
def mover(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    """The mover's parsers, compiled one of the two ways."""
    out = tmp_path_factory.mktemp("driver") / request.param
    driver = Driver(build_driver(out, COMPILERS[request.param]))
    yield driver
    driver.close()
