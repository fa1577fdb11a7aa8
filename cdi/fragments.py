"""Spec files put together from devices that were checked and written before.

Who keeps a file of thousands of devices true need not write and check all of
them again for each one that changes: a device becomes a `Fragment` once, and
the file is made of fragments. It has the bytes that `cdi.dumps` gives.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import cast

from cdi import codec, syntax, versions
from cdi.errors import Problem, SpecError, quoted
from cdi.model import Device, Spec
from cdi.syntax import Plain

_LEVEL = 2  # of a device in the file: in an object, in a list


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A device as it stands in a JSON file, found valid. Equal ones are the same device."""

    kind: str
    name: str
    version: str  # the lowest that allows the device, in a file of that kind
    data: bytes


def fragment(kind: str, device: Device, *, source: str = "<device>") -> Fragment:
    """Check and write one device; raises SpecError as `dumps` would for a Spec of it alone."""
    spec = Spec(kind=kind, devices=(device,))
    [plain] = cast("list[Plain]", codec.checked(spec, source=source)["devices"])
    text = "  " * _LEVEL + syntax.indented_json(plain, _LEVEL)
    return Fragment(kind=kind, name=device.name, version=spec.version, data=text.encode())


def assemble(fragments: Sequence[Fragment], *, source: str = "<spec>") -> bytes:
    """Make the JSON file of these devices: what `dumps` gives for a Spec of them, in their order.

    Such a Spec has neither annotations nor edits of its own. Raises SpecError if
    there is no device, one is there twice, or they are not all of one kind.
    """
    _check(fragments, source)
    needed = {one.version for one in fragments}
    version = max(needed, key=versions.KNOWN.index)
    top = syntax.dump(codec.encode(Spec(kind=fragments[0].kind, version=version)), "json")
    devices = b",\n".join([one.data for one in fragments])
    return top.removesuffix(b"\n}\n") + b',\n  "devices": [\n' + devices + b"\n  ]\n}\n"


def _check(fragments: Sequence[Fragment], source: str) -> None:
    names = [one.name for one in fragments]
    fault = ""
    if not names:
        fault = "is empty: a Spec has at least one device"
    elif len(set(names)) < len(names):
        [(twice, _)] = collections.Counter(names).most_common(1)
        fault = f"{quoted(twice)} is there twice"
    elif len({one.kind for one in fragments}) > 1:
        fault = "are not all of one kind"
    if fault:
        raise SpecError([Problem(source=source, path="devices", message=fault)])
