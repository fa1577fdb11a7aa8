"""Which devices claims get: all claims of a pod at once, or none. PURE.

First fit with backtracking, as the scheduler's own. Left out are shared devices, counters,
capacities and binding conditions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from tests.fakes.apiserver import expressions
from tests.fakes.apiserver.expressions import ExpressionError
from tests.fakes.apiserver.inventory import Device, Identity, Inventory
from tests.fakes.apiserver.manifest import Manifest, at, items

MOST = 32  # results of a claim


class UnallocatableError(Exception):
    """There are no such devices (now); the text is for the pod's status."""


@dataclasses.dataclass(frozen=True)
class _Pick:
    claim: int
    name: str  # of the request, with the alternative that was chosen
    request: Manifest
    device: Device

    @property
    def main(self) -> str:
        return self.name.partition("/")[0]

    @property
    def admin(self) -> bool:
        return bool(self.request.get("adminAccess"))


def allocate(
    claims: Sequence[Manifest],
    classes: Mapping[str, Manifest],
    inventory: Inventory,
    taken: Collection[Identity],
    node: str,
) -> list[Manifest]:
    """Return each claim's status.allocation.

    Raises:
        UnallocatableError: a class is missing, a selector fails, or there are not enough devices.
    """
    search = _Search(claims, classes, inventory, set(taken))
    if not search.run(0):
        raise UnallocatableError("cannot allocate all claims")
    return [
        _allocation(claim, classes, [pick for pick in search.picks if pick.claim == index], node)
        for index, claim in enumerate(claims)
    ]


def tolerated(device: Device, request: Manifest) -> bool:
    """Tell whether a request puts up with a device's taints."""
    taints = [t for t in items(device.published, "taints") if t["effect"] != "None"]
    return all(any(_tolerates(t, taint) for t in items(request, "tolerations")) for taint in taints)


def _tolerates(toleration: Manifest, taint: Manifest) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same = (toleration.get("value") or "") == (taint.get("value") or "")
    return toleration.get("key") == taint["key"] and same


class _Search:
    """Goes through all requests of all claims, and back where it does not get on."""

    def __init__(
        self,
        claims: Sequence[Manifest],
        classes: Mapping[str, Manifest],
        inventory: Inventory,
        taken: set[Identity],
    ) -> None:
        self._claims, self._classes, self._inventory = claims, classes, inventory
        self._taken = taken
        self._todo = [
            (index, request)
            for index, claim in enumerate(claims)
            for request in items(claim, "spec", "devices", "requests")
        ]
        self._eligible: dict[int, list[Device]] = {}
        self.picks: list[_Pick] = []

    def run(self, position: int) -> bool:
        """Serve the requests from a position on; what was picked is in `picks`."""
        if position == len(self._todo):
            return True
        claim, request = self._todo[position]
        for name, one in _alternatives(request):
            devices, count = self._wanted(one)
            if devices and self._serve(
                position, _Pick(claim, name, one, devices[0]), devices, count
            ):
                return True
        return False

    def _wanted(self, request: Manifest) -> tuple[list[Device], int]:
        """Return the devices that a request may have, and how many it has to get."""
        devices = self._matching(request)
        if request["allocationMode"] != "All":
            return devices, request["count"]
        if self._inventory.unusable:
            raise UnallocatableError(f"pools are incomplete: {', '.join(self._inventory.unusable)}")
        return devices, len(devices)

    def _serve(self, position: int, pick: _Pick, devices: Sequence[Device], count: int) -> bool:
        """Pick so many of the devices, and go on with the next request."""
        if count == 0:
            return self.run(position + 1)
        for index, device in enumerate(devices):
            if len(devices) - index < count:
                return False
            trial = dataclasses.replace(pick, device=device)
            if not self._free(trial) or not self._consistent(trial):
                continue
            self.picks.append(trial)
            if self._serve(position, pick, devices[index + 1 :], count - 1):
                return True
            self.picks.pop()
        return False

    def _matching(self, request: Manifest) -> list[Device]:
        if id(request) not in self._eligible:
            class_ = self._classes.get(request["deviceClassName"])
            if class_ is None:
                raise UnallocatableError(f"no DeviceClass {request['deviceClassName']}")
            selectors = [*items(class_, "spec", "selectors"), *items(request, "selectors")]
            self._eligible[id(request)] = [
                device
                for device in self._inventory.devices
                if _selected(device, selectors) and tolerated(device, request)
            ]
        return self._eligible[id(request)]

    def _free(self, trial: _Pick) -> bool:
        identity = trial.device.identity
        if sum(pick.claim == trial.claim for pick in self.picks) >= MOST:
            return False
        if trial.admin:
            return all(pick.name != trial.name or pick.device.identity != identity
                       for pick in self.picks if pick.claim == trial.claim)  # fmt: skip
        mine = {pick.device.identity for pick in self.picks if not pick.admin}
        return identity not in self._taken | mine

    def _consistent(self, trial: _Pick) -> bool:
        for constraint in items(self._claims[trial.claim], "spec", "devices", "constraints"):
            names = set(items(constraint, "requests"))
            peers = [p for p in (*self.picks, trial) if p.claim == trial.claim and _named(p, names)]
            match, distinct = constraint.get("matchAttribute"), constraint.get("distinctAttribute")
            values = [repr(pick.device.attribute(match or distinct)) for pick in peers]
            if trial not in peers:
                continue
            wanted = 1 if match else len(values)
            if "None" in values or len(set(values)) != wanted:
                return False
        return True


def _named(pick: _Pick, names: Collection[str]) -> bool:
    return not names or pick.main in names or pick.name in names


def _alternatives(request: Manifest) -> Iterator[tuple[str, Manifest]]:
    if request.get("exactly"):
        yield request["name"], request["exactly"]
    for alternative in items(request, "firstAvailable"):
        yield f"{request['name']}/{alternative['name']}", alternative


def _selected(device: Device, selectors: Sequence[Manifest]) -> bool:
    """Hold a device against expressions; an error is the whole pod's, as in the real one."""
    try:
        return all(
            expressions.selects(selector["cel"]["expression"], device.driver, device.published)
            for selector in selectors
        )
    except ExpressionError as error:
        raise UnallocatableError(f"device {'/'.join(device.identity)}: {error}") from error


def _allocation(
    claim: Manifest, classes: Mapping[str, Manifest], picks: Sequence[_Pick], node: str
) -> Manifest:
    devices: Manifest = {"results": [_result(pick) for pick in picks]}
    used = {pick.name: pick.request for pick in picks}
    config = [
        {"source": "FromClass", "requests": [name], **entry}
        for name, request in used.items()
        for entry in items(classes[request["deviceClassName"]], "spec", "config")
    ]
    for entry in items(claim, "spec", "devices", "config"):
        names = items(entry, "requests")
        if not names or any(_named(pick, names) for pick in picks):
            config.append({"source": "FromClaim", **entry})
    if config:
        devices["config"] = config
    allocation: Manifest = {"devices": devices}
    if any(pick.device.bound for pick in picks):
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        allocation["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return allocation


def _result(pick: _Pick) -> Manifest:
    driver, pool, name = pick.device.identity
    made: Manifest = {"request": pick.name, "driver": driver, "pool": pool, "device": name}
    if pick.admin:
        made["adminAccess"] = True
    if tolerations := items(pick.request, "tolerations"):
        made["tolerations"] = tolerations
    return made


def taken(claims: Sequence[Manifest]) -> set[Identity]:
    """Return the devices that claims have for themselves; admin access takes nothing."""
    return {
        (result["driver"], result["pool"], result["device"])
        for claim in claims
        for result in at(claim, "status", "allocation", "devices", "results") or []
        if not result.get("adminAccess")
    }
