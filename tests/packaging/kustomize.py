"""The real kustomize, from a Debian package that is unpacked and never installed."""

from __future__ import annotations

import pathlib
import platform

from tests import debian
from tests.manifests import ROOT, Object, parse

_CACHE = ROOT / ".cache" / "kustomize"


def build(directory: pathlib.Path) -> list[Object]:
    """What `kubectl apply -k` would make of a directory; one line of reason if nothing."""
    home = debian.cached(_CACHE, ("kustomize", platform.machine()), _fill)
    return parse(debian.run(str(home / "usr/bin/kustomize"), "build", str(directory)))


def _fill(work: pathlib.Path, made: pathlib.Path) -> None:
    for package in debian.Apt(work).download("kustomize"):
        debian.unpack(package, made)
