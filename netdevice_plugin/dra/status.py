"""What a claim's status says of its devices, once their links are in the pod. Pure.

An entry of `status.devices` is there while the link is in the pod, and is cleared when it
is home. Entries of other drivers, and what others add to ours, are left as they are.
Facts: k8s.io/api/resource/v1, AllocatedDeviceStatus.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netdevice_plugin.attachments import Attachment, Phase
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import Parameters
from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import decode

Object = Mapping[str, Any]

MAX_ADDRESSES = 16
MAX_NAME = 256  # bytes
MAX_MAC = 128  # bytes

READY, ATTACHED = "Ready", "Attached"

_UNIVERSE = 0  # RT_SCOPE_UNIVERSE: not link-local


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """A device of a claim that is in the pod, and what it is there."""

    pool: str  # "<node>/<pool>"
    device: str
    share_id: str = ""
    interface: str = ""  # name in the pod
    addresses: tuple[str, ...] = ()  # with prefix length
    mac: str = ""


def of_attachment(
    result: Result, attachment: Attachment | None, parameters: Parameters
) -> DeviceStatus | None:
    """Describe a device of a claim; None as long as its link is not in the pod.

    What the claim gave stands for itself; else the link has what it had on the host.
    Addresses that are good on the link alone are left out, as are those that do not fit.
    """
    if result.admin or attachment is None or attachment.phase is not Phase.ATTACHED:
        return None
    name = attachment.pod_name or attachment.link.name
    if parameters.vlan:
        name = parameters.interface_name or f"{name}.{parameters.vlan.id}"
    mac = parameters.mac or attachment.link.mac
    return DeviceStatus(
        pool=result.pool,
        device=result.device,
        share_id=result.share_id,
        interface=name if _fits(name, MAX_NAME) else "",
        addresses=_addresses(attachment, parameters)[:MAX_ADDRESSES],
        mac=mac.lower() if _fits(mac, MAX_MAC) else "",
    )


def merge(
    devices: Sequence[Object],
    statuses: Iterable[DeviceStatus],
    *,
    driver: str,
    node: str,
    now: str,
) -> list[Object] | None:
    """Put ours among the entries of a claim; None if nothing would change.

    Ours are those of the driver in pools of the node. Of them only the condition Ready
    and networkData are replaced. `now` is RFC 3339, for a condition that is new.
    """
    wanted = {_key(driver, one.pool, one.device, one.share_id): one for one in statuses}
    made: list[Object] = []
    for entry in devices:
        key = _key_of(entry)
        if key[0] != driver or not key[1].startswith(f"{node}/"):
            made.append(entry)
        elif status := wanted.pop(key, None):
            made.append(_with(entry, status, now))
        elif rest := _without(entry):
            made.append(rest)
    made += [_with(_identity(driver, status), status, now) for _, status in sorted(wanted.items())]
    return None if made == list(devices) else made


def _with(entry: Object, status: DeviceStatus, now: str) -> Object:
    data: dict[str, object] = {}
    if status.interface:
        data["interfaceName"] = status.interface
    if status.addresses:
        data["ips"] = list(status.addresses)
    if status.mac:
        data["hardwareAddress"] = status.mac
    conditions = list(entry.get("conditions") or ())
    ready = {
        "type": READY,
        "status": "True",
        "reason": ATTACHED,
        "message": f"{status.interface or status.device} is in the pod",
    }
    last = next((one for one in conditions if one.get("type") == READY), None)
    if last is None:
        conditions.append({**ready, "lastTransitionTime": now})
    else:
        since = last.get("lastTransitionTime") if last.get("status") == "True" else None
        conditions[conditions.index(last)] = {**ready, "lastTransitionTime": since or now}
    made = {**entry, "conditions": conditions}
    made.pop("networkData", None)
    return {**made, "networkData": data} if data else made


def _without(entry: Object) -> Object | None:
    """Take away what we said; None if nothing of others is left."""
    rest = {key: value for key, value in entry.items() if key != "networkData"}
    conditions = [one for one in entry.get("conditions") or () if one.get("type") != READY]
    rest.pop("conditions", None)
    if conditions:
        rest["conditions"] = conditions
    return rest if rest.keys() - {"driver", "pool", "device", "shareID"} else None


def _identity(driver: str, status: DeviceStatus) -> dict[str, Any]:
    made = {"driver": driver, "pool": status.pool, "device": status.device}
    return {**made, "shareID": status.share_id} if status.share_id else made


def _key(driver: str, pool: str, device: str, share: str) -> tuple[str, str, str, str]:
    return driver, pool, device, share


def _key_of(entry: Object) -> tuple[str, str, str, str]:
    driver, pool, device, share = (
        str(entry.get(key) or "") for key in ("driver", "pool", "device", "shareID")
    )
    return driver, pool, device, share


def _addresses(attachment: Attachment, parameters: Parameters) -> tuple[str, ...]:
    if parameters.addresses or parameters.without_addresses:
        return _canonical(parameters.addresses)
    found = []
    for body in attachment.addresses:
        try:
            known = decode.address(body)
        except InventoryError:  # the mover judges its record; here it only serves display
            continue
        if known and known[1].scope == _UNIVERSE:
            found.append(str(known[1]))
    return _canonical(found)


def _canonical(addresses: Iterable[str]) -> tuple[str, ...]:
    """Write each as the API server wants it, once."""
    return tuple(dict.fromkeys(str(ipaddress.ip_interface(one)) for one in addresses))


def _fits(text: str, limit: int) -> bool:
    return len(text.encode("utf-8", "surrogateescape")) <= limit and text.isprintable()
