"""Versions of programs, and the newest CDI file that each of them can read. Pure.

A runtime refuses a file whose cdiVersion its library does not list. Which library a
release has is from its go.mod; a distribution may build with a newer one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"(?<![\w.])v?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?")


class Version(NamedTuple):
    """A release; what comes after the three numbers does not count."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))


def parse(text: str) -> Version | None:
    """Find the first version in what a program says of itself."""
    found = _VERSION.search(text)
    return Version(*(int(number or 0) for number in found.groups())) if found else None


# From which release on which cdiVersion is read.
_READ = {
    "containerd": (
        (Version(1, 7), "0.5.0"),
        (Version(1, 7, 12), "0.6.0"),
        (Version(1, 7, 16), "0.7.0"),
        (Version(1, 7, 27), "0.8.0"),
        (Version(2, 0, 5), "1.0.0"),
        (Version(2, 2, 1), "1.1.0"),
    ),
    "CRI-O": (
        (Version(1, 25), "0.5.0"),
        (Version(1, 28), "0.6.0"),
        (Version(1, 30), "0.7.0"),
        (Version(1, 31), "0.8.0"),
        (Version(1, 33), "1.0.0"),
        (Version(1, 35), "1.1.0"),
    ),
    "podman": (
        (Version(4, 1), "0.4.0"),
        (Version(4, 3), "0.5.0"),
        (Version(4, 7), "0.6.0"),
        (Version(5, 1), "0.7.0"),
        (Version(5, 2), "0.8.0"),
        (Version(5, 5), "1.0.0"),
    ),
    "docker": (
        (Version(25, 0), "0.6.0"),
        (Version(26, 1), "0.7.0"),
        (Version(28, 0), "0.8.0"),
        (Version(28, 1), "1.0.0"),
        (Version(29, 2), "1.1.0"),
    ),
    "nerdctl": ((Version(2, 1), "1.0.0"), (Version(2, 2, 1), "1.1.0")),
}


def newest_cdi(program: str, version: Version | None) -> str:
    """Name the highest cdiVersion that a release reads; empty if that is not known."""
    reads = [cdi for since, cdi in _READ.get(program, ()) if version and since <= version]
    return reads[-1] if reads else ""
