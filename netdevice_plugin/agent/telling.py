"""What the log says of devices: a line for each that is another than before. Pure but for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set

from netdevice_plugin.model import Listed

MANY = 20  # changes at once, of which only the number is said

Lists = Mapping[str, Sequence[Listed]]

_log = logging.getLogger(__name__)


def tell(before: Lists, after: Lists) -> None:
    """Log what has changed for the kubelet."""
    for kind in sorted(before.keys() | after.keys()):
        old, new = before.get(kind, ()), after.get(kind, ())
        if old is not new:
            _tell_kind(kind, old, new)


def _by_name(listed: Sequence[Listed], besides: Set[int]) -> dict[str, Listed]:
    return {one.device.name: one for one in listed if id(one) not in besides}


def _tell_kind(kind: str, before: Sequence[Listed], after: Sequence[Listed]) -> None:
    same = set(map(id, before)) & set(map(id, after))  # nearly all
    old, new = _by_name(before, same), _by_name(after, same)
    names = sorted(old.keys() | new.keys())
    changed = [name for name in names if _said(old.get(name)) != _said(new.get(name))]
    if len(changed) > MANY:
        healthy = sum(not one.fault for one in after)
        counts = {"changed": len(changed), "healthy": healthy, "unhealthy": len(after) - healthy}
        _log.info("Devices changed", extra={"resource": kind, **counts})
        return
    for name in changed:
        _tell_device({"device": name, "resource": kind}, old.get(name), new.get(name))


def _said(listed: Listed | None) -> tuple[bool, str] | None:
    return (listed.device.lent, listed.fault) if listed else None


def _tell_device(about: dict[str, str], old: Listed | None, new: Listed | None) -> None:
    if new is None:
        _log.info("Device is gone", extra=about)
    elif new.fault:
        _log.warning("Device is unhealthy", extra={**about, "reason": new.fault})
    elif new.device.lent and not (old and old.device.lent):
        _log.info("Device is lent", extra=about)
    elif old and old.device.lent and not new.device.lent:
        _log.info("Device is home", extra=about)
    elif old:
        _log.info("Device is healthy again", extra=about)
    else:
        _log.info("Device is offered", extra=about)
