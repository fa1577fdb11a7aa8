"""What the agent has published, as it concerns the ports of one pool. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netdevice_plugin.model import Interface, Listed, Snapshot
from netdevice_plugin.offering import InUse, Listing
from netdevice_plugin.ports.keeping import Scene, Use

_WORSE = (Use.FREE, Use.FAULTY, Use.HELD)


def scene(
    listing: Listing,
    others: Iterable[Listing],
    in_use: InUse,
    snapshot: Snapshot,
    kept: Iterable[str],
) -> Scene:
    """Look at a pool's devices by MAC; of two with the same one that counts which is in use.

    A link above another may have its MAC, which makes no difference: what is held
    is the port. So it is if another resource lists what is held.
    """
    held = {name for names in in_use.devices.values() for name in names}
    uses: dict[str, Use] = {}
    nameless = free = 0
    for listed in listing.devices:
        use = _use(listed, held)
        free += use is Use.FREE
        mac = _mac(listed.device.interface)
        nameless += not mac
        if mac:
            uses[mac] = max(use, uses.get(mac, Use.FREE), key=_WORSE.index)
    for listed in (one for other in others for one in other.devices):
        if (mac := _mac(listed.device.interface)) and _use(listed, held) is Use.HELD:
            uses[mac] = Use.HELD
    links = (*snapshot.interfaces, *snapshot.functions)
    return Scene(
        uses=uses,
        nameless=nameless,
        free=free,
        here=frozenset(map(_mac, links)) - {""},
        hidden=not all(map(_mac, snapshot.functions)),
        kept=frozenset(kept),
        serial=in_use.serial,
        known=in_use.known,
    )


def _mac(interface: Interface) -> str:
    return interface.identity_mac.lower()


def _use(listed: Listed, held: set[str]) -> Use:
    if listed.device.lent or listed.device.name in held:
        return Use.HELD
    return Use.FAULTY if listed.fault else Use.FREE
