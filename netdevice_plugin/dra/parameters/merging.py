"""Several entries -> what holds for one request: the class's first, the claim's over them.

Field by field: a value or a list replaces what was there, maps (`sysctls`, `vf`, `port`
and those of `ethtool`) are united key by key.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from netdevice_plugin.dra.claim import Opaque, Result
from netdevice_plugin.dra.parameters import reading, together
from netdevice_plugin.dra.parameters.model import Ethtool, Parameters
from netdevice_plugin.errors import ParameterError
from netdevice_plugin.yamlnode import Node, Problem, Scalar, join, shorten

_T = TypeVar("_T")
_Pairs = tuple[tuple[str, _T], ...]

MAX_SIZE = 10 * 1024  # bytes of one entry as JSON (k8s.io/api/resource/v1)
MAX_DEPTH = 8  # twice what the deepest field has
MAX_SHOWN = 10  # problems in a message: a pod's event has 1,024 characters

_FIELDS = {
    "interfaceName": "interface_name",
    "mtu": "mtu",
    "mac": "mac",
    "addresses": "addresses",
    "keepHostAddresses": "keep_host_addresses",
    "routes": "routes",
    "rules": "rules",
    "neighbours": "neighbours",
    "vrf": "vrf",
    "vlan": "vlan",
    "sysctls": "sysctls",
    "ethtool": "ethtool",
    "gateway": "gateway",
    "vf": "vf",
    "port": "port",
}


class InvalidParametersError(ParameterError):
    """Parameters have problems; `problems` has a line for each, with its field."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        hint = "see docs/reference/claim-parameters.md, and try: netdevice-plugin claim check FILE"
        more = len(self.problems) - MAX_SHOWN
        shown = [*self.problems[:MAX_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        super().__init__("; ".join(shown), hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """The parameters of one entry of a configuration as a tree, and its place."""

    node: Node
    place: str


def applies(requests: Sequence[str], result: Result) -> bool:
    """Whether an entry for these requests is for a result; an entry for none is for all."""
    return not requests or result.request in requests or result.main_request in requests


def of_request(configs: Sequence[Opaque], result: Result) -> Parameters:
    """Put together what the class and the claim say of the request that a result is for.

    Raises ParameterError with every problem of the entries that apply.
    """
    found = [config for config in configs if applies(config.requests, result)]
    found.sort(key=lambda config: not config.from_class)
    problems: list[Problem] = []
    entries = [
        Entry(tree(config.parameters, config.place, problems), config.place) for config in found
    ]
    parameters = merge(entries, problems)
    if problems:
        raise InvalidParametersError([f"{p.path}: {p.text}" for p in problems])
    return parameters


def merge(entries: Iterable[Entry], problems: list[Problem]) -> Parameters:
    """Read entries, each over those before it. Counts for nothing once there are problems."""
    known = len(problems)
    merged = Parameters()
    places: dict[str, tuple[Node, str]] = {}
    for entry in entries:
        read = read_entry(entry, problems)
        given = entry.node.value if isinstance(entry.node.value, dict) else {}
        merged = _over(merged, read, given)
        places |= {key: (node, join(entry.place, key)) for key, node in given.items()}
    if len(problems) > known:
        return merged
    return together.complete(merged, together.Places(places, problems))


def read_entry(entry: Entry, problems: list[Problem]) -> Parameters:
    """Read one entry by itself: what others add to it, or it to them, does not count."""
    text = json.dumps(plain(entry.node), ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode(errors="surrogatepass"))
    if size <= MAX_SIZE:
        return reading.read(entry.node, entry.place, problems)
    reason = f"has {size} bytes as JSON, and Kubernetes takes {MAX_SIZE}"
    problems.append(Problem(entry.node.line, entry.place, reason))
    return Parameters()


def tree(value: object, place: str, problems: list[Problem], depth: int = 0) -> Node:
    """Make a tree without lines of what JSON is decoded to."""
    if depth > MAX_DEPTH:
        problems.append(Problem(0, place, f"is nested more than {MAX_DEPTH} levels deep"))
        return Node(None, 0)
    if isinstance(value, Mapping):
        return Node({str(k): tree(v, place, problems, depth + 1) for k, v in value.items()}, 0)
    if isinstance(value, list | tuple):
        return Node([tree(item, place, problems, depth + 1) for item in value], 0)
    if value is None or isinstance(value, Scalar):
        return Node(value, 0)
    problems.append(Problem(0, place, f"{shorten(str(value))} is no JSON"))
    return Node(None, 0)


def plain(node: Node) -> object:
    """Undo `tree`."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def _over(below: Parameters, above: Parameters, given: Iterable[str]) -> Parameters:
    names = [_FIELDS[key] for key in given if key in _FIELDS]
    changes = {name: getattr(above, name) for name in names} | {
        "sysctls": _united(below.sysctls, above.sysctls),
        "ethtool": Ethtool(
            features=_united(below.ethtool.features, above.ethtool.features),
            rings=_united(below.ethtool.rings, above.ethtool.rings),
            channels=_united(below.ethtool.channels, above.ethtool.channels),
        ),
        "vf": above.vf.over(below.vf),
        "port": _united(below.port, above.port),
    }
    return dataclasses.replace(below, **changes)


def _united(below: _Pairs[_T], above: _Pairs[_T]) -> _Pairs[_T]:
    return tuple(sorted((dict(below) | dict(above)).items(), key=lambda pair: pair[0]))
