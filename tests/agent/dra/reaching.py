"""Configurations as lightkube has them, for servers of the tests."""

from __future__ import annotations

from lightkube import SingleConfig
from lightkube.config.models import Cluster, Context, User


def reaching(url: str, user: User | None = None, **cluster: str | bool) -> SingleConfig:
    """A context of one server; further words are those of lightkube's Cluster."""
    at = Cluster(server=url, **cluster)  # type: ignore[arg-type]
    return SingleConfig("tests", Context(cluster="tests"), at, user or User())
