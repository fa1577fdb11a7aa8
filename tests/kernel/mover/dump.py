"""All that a host namespace shows of itself, so that before and after can be compared.

A dump is a flat mapping of path to value, which makes a difference readable line by
line. Lifetimes become points in time, which are equal when they are about equal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.kernel.mover.harness import inside
from tests.kernel.scratch import Netns

Dump = dict[str, object]

_FOREVER = 0xFFFFFFFF
_TOLERANCE = 3.0  # seconds; the kernel counts lifetimes in whole ones
_PATIENCE = 30.0  # seconds at most for carrier and duplicate address detection to end
_SHOWN = 40  # lines of a difference
_QUIET = 0.03  # seconds without an event before a namespace counts as settled
_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400  # link, neigh, v4 and v6 addr and route

_QUERIES = {
    "link": "addr show",
    "route4": "-4 route show table all",
    "route6": "-6 route show table all",
    "rule4": "-4 rule show",
    "rule6": "-6 rule show",
    "nexthop": "nexthop show",
    "neighbour": "neigh show nud permanent",
    "proxy": "neigh show proxy",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """Seconds that are left of something, in an answer of ip(8)."""

    seconds: int


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """A point in monotonic time, known as well as one knows when the kernel was asked.

    On a busy machine an answer takes seconds; then it may be any time of those.
    """

    early: float
    late: float

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Moment)
            and self.early - other.late <= _TOLERANCE
            and other.early - self.late <= _TOLERANCE
        )

    def __hash__(self) -> int:
        raise TypeError("moments are about equal, so they have no hash")

    def __repr__(self) -> str:
        now = time.monotonic()
        return f"in {self.early - now:.0f} to {self.late - now:.0f} s"


def _dated(result: Dump, asked: float) -> Dump:
    """Say of what is left when it ends; it was told at some time since `asked`."""
    answered = time.monotonic()
    for key, value in result.items():
        if isinstance(value, Left):
            result[key] = Moment(asked + value.seconds, answered + value.seconds)
    return result


def _ask(queries: Sequence[str]) -> list[subprocess.Popen[str]]:
    """Start one ip(8) for each question, all at once: they take longer than all else here."""
    return [
        subprocess.Popen(["ip", "-j", "-d", *query.split()], text=True, stdout=subprocess.PIPE)
        for query in queries
    ]


def _answer(asked: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What it says, without the empty objects that ip(8) puts between."""
    text, _ = asked.communicate()
    assert asked.returncode == 0, asked.args
    return [entry for entry in json.loads(text or "[]") if entry]


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("_timer") or key == "stable-privacy":
                continue  # a bridge's clocks; how an address was made, which nobody can set
            yield from _flat(f"{prefix}/{key}", inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{prefix}/{number}", inner)
    else:
        yield prefix, _timed(prefix.rpartition("/")[2], value)


def _timed(key: str, value: object) -> object:
    if key not in {"valid_life_time", "preferred_life_time", "expires"}:
        return value
    if not isinstance(value, int) or value in {0, _FOREVER}:
        return value
    return Left(value)


def _listed(section: str, entries: list[dict[str, Any]]) -> Iterator[tuple[str, object]]:
    """Entries in an order that does not depend on when they were made."""
    named: dict[str, int] = {}
    for text in sorted(json.dumps(entry, sort_keys=True) for entry in entries):
        entry = json.loads(text)
        if section == "route6":  # its hops are routes of their own, in no order that counts
            entry.get("nexthops", []).sort(key=str)
        name = " ".join(str(entry[key]) for key in ("table", "id", "dst", "dev") if key in entry)
        number = named[name] = named.get(name, -1) + 1
        yield from _flat(f"{section}/{name}#{number}", entry)


def _settings() -> Iterator[tuple[str, object]]:
    """Every file in /proc/sys/net/ipv{4,6}/{conf,neigh}/<link>/."""
    for area in ("ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"):
        for link in os.scandir(f"/proc/sys/net/{area}"):
            for file in os.scandir(link.path):
                value = _setting(file.path)
                if value is not None:
                    yield f"sysctl/{area}/{link.name}/{file.name}", value


def _setting(path: str) -> bytes | None:
    """There are 1,500 of them: no object for each."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 256).strip()
    except OSError:
        return None  # stable_secret cannot be read while it is not set
    finally:
        os.close(descriptor)


def _tokens() -> Iterator[tuple[str, object]]:
    answer = subprocess.run(["ip", "token", "list"], text=True, capture_output=True, check=True)
    for line in answer.stdout.splitlines():
        words = line.split()
        yield f"token/{words[3]}", words[1]


def dump(space: Netns) -> Dump:
    """Links, addresses, routes, rules, nexthops, neighbours, tokens and settings."""
    began = time.monotonic()
    with inside(space.path):
        asked = _ask(tuple(_QUERIES.values()))
        result = dict([*_tokens(), *_settings()])
    answers = dict(zip(_QUERIES, map(_answer, asked), strict=True))
    for link in answers.pop("link"):
        if "UP" not in link["flags"]:
            del link["qdisc"]  # tells whether the link was ever up in this namespace
        result.update(_flat(f"link/{link['ifname']}", link))
    for section, entries in answers.items():
        result.update(_listed(section, entries))
    return _dated(result, began)


def glance(space: Netns) -> Dump:
    """Links and addresses alone: a cheap dump, for many rounds."""
    began = time.monotonic()
    with inside(space.path):
        (asked,) = _ask(["addr show"])
    links = _answer(asked)
    found = dict(pair for link in links for pair in _flat(f"link/{link['ifname']}", link))
    return _dated(found, began)


def difference(before: Dump, after: Dump) -> list[str]:
    """One line for each value that is gone (-), new (+), or both."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if key in before and key in after and before[key] == after[key]:
            continue
        lines += [f"-{key} = {before[key]}"] if key in before else []
        lines += [f"+{key} = {after[key]}"] if key in after else []
    return lines


class Events:
    """What rtnetlink tells of a namespace; made before looking, so that no change is missed."""

    def __init__(self, space: Netns) -> None:
        with inside(space.path):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, _GROUPS))
        self._socket.setblocking(False)

    def wait(self, seconds: float) -> bool:
        """Wait for an event and swallow all that are there; False when none came."""
        ready, _, _ = select.select([self._socket], [], [], max(seconds, 0))
        with contextlib.suppress(OSError):  # empty now, or ENOBUFS: we look again anyway
            while ready:
                self._socket.recv(65536)
        return bool(ready)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def eventually(space: Netns, ready: Callable[[], bool], patience: float = _PATIENCE) -> bool:
    """Look again after each rtnetlink event until it is so; False when patience ends."""
    deadline = time.monotonic() + patience
    with contextlib.closing(Events(space)) as events:
        while not ready():
            if time.monotonic() > deadline:
                return False
            events.wait(deadline - time.monotonic())
    return True


def _calm(space: Netns) -> bool:
    """No address is tentative, and every link's operstate agrees with its carrier."""
    for link in space.json("addr", "show"):
        if any(address.get("tentative") for address in link["addr_info"]):
            return False
        stopped = link["operstate"] in {"DOWN", "LOWERLAYERDOWN"}
        if "UP" in link["flags"] and stopped == ("LOWER_UP" in link["flags"]):
            return False
    return True


def settled(space: Netns, take: Callable[[Netns], Dump] = dump) -> Dump:
    """A dump of a namespace in which nothing is under way any more."""
    with contextlib.closing(Events(space)) as events:
        deadline = time.monotonic() + _PATIENCE
        while not _calm(space) or events.wait(_QUIET):
            assert time.monotonic() < deadline, f"{space.name} does not settle"
            events.wait(_QUIET)
        return take(space)


def assert_same(space: Netns, before: Dump, take: Callable[[Netns], Dump] = dump) -> None:
    """Fail, with the differences, unless the namespace is, or gets, as it was."""
    seen: list[list[str]] = [[]]

    def same() -> bool:
        seen[0] = difference(before, take(space))
        return not seen[0]

    eventually(space, same)
    shown = [*seen[0][:_SHOWN], *(["..."] if len(seen[0]) > _SHOWN else [])]
    assert not shown, "\n".join([f"{space.name} is not as it was:", *shown])
