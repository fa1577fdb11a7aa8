"""What each pool's file should say, made anew only for devices that changed. No I/O.

With 2,048 devices a whole file takes a tenth of a second to make, one device of
it 40 microseconds.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.model import Device, Pool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A pool's file as it should be; without `data` it should not be there."""

    kind: str
    data: bytes = b""
    devices: Mapping[str, bytes] = dataclasses.field(default_factory=dict)  # as they stand in it
    problems: tuple[str, ...] = ()  # a line for each device that had to be left out


@dataclasses.dataclass(slots=True)
class _Pool:
    """What was made for a pool last time."""

    delivery: Delivery
    made: dict[str, _Made] = dataclasses.field(default_factory=dict)
    content: Content | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Made:
    """A device's fragment, or why there is none, and the device that it was made of."""

    device: Device
    told: tuple[object, ...]
    fragment: cdi.Fragment | None
    problem: str = ""


class Renderer:
    """Makes files, and remembers the devices of each pool's last one."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool] = {}

    def render(self, pool: Pool, devices: Sequence[Device], delivery: Delivery) -> Content:
        """Make a pool's file: the bytes that `cdi.dumps(cdifiles.build(…))` gives.

        A device that cannot be described is left out, for the others' sake. The
        very same content is returned again if nothing in it changed.
        """
        memory = self._pools.get(pool.kind)
        if memory is None or memory.delivery != delivery:
            memory = self._pools[pool.kind] = _Pool(delivery)
        before, memory.made = memory.made, {}
        fresh = False
        for device in sorted(devices, key=operator.attrgetter("name")):
            made = before.get(device.name)
            if made is None or made.device is not device:
                known = made
                made = _make(pool.kind, device, delivery, known)
                fresh = fresh or known is None or made.fragment is not known.fragment
            memory.made[device.name] = made
        if memory.content is None or fresh or len(memory.made) != len(before):
            memory.content = _assemble(pool.kind, memory.made)
        return memory.content

    def forget(self, kinds: set[str]) -> None:
        """Forget all pools but these."""
        for kind in self._pools.keys() - kinds:
            del self._pools[kind]


def _make(kind: str, device: Device, delivery: Delivery, known: _Made | None) -> _Made:
    told = cdifiles.told(device)
    if known and known.told == told:
        return _Made(device, told, known.fragment, known.problem)
    try:
        fragment = cdi.fragment(kind, cdifiles.describe(device, delivery))
    except cdi.SpecError as error:
        problem = f"{kind}={device.name}: cannot be in a CDI file: {error.problems[0].message}"
        return _Made(device, told, None, problem)
    return _Made(device, told, fragment)


def _assemble(kind: str, made: Mapping[str, _Made]) -> Content:
    fragments = [one.fragment for one in made.values() if one.fragment]
    return Content(
        kind=kind,
        data=cdi.assemble(fragments) if fragments else b"",
        devices={one.name: one.data for one in fragments},
        problems=tuple(one.problem for one in made.values() if one.problem),
    )
