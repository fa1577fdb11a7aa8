"""Somebody who sees that nothing about claims is ever wrong, at the kubelet or the API server."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping

from tests.fakes.apiserver import ApiServer, Manifest
from tests.fakes.kubelet import Kubelet
from tests.fakes.kubelet.drastate import ClaimInfo

# Seconds in which two may both believe it who were told one after the other.
PATIENCE = 0.5
Identity = tuple[str, str]  # pool and device


class Truth:
    """Looks whenever anything about the kubelet, claims or slices changes.

    No device may be prepared for two claims, or for a claim while the device plugin has given
    it to a pod; none that is allocated may be missing from its pool; none may be published and
    healthy for the device plugin; and what is prepared a runtime must be able to resolve.
    """

    def __init__(
        self,
        server: ApiServer,
        kubelet: Kubelet,
        cdi: pathlib.Path,
        node: str,
        patience: float = PATIENCE,
    ) -> None:
        self._server = server
        self._kubelet = kubelet
        self._cdi = cdi
        self._node = node
        self._patience = patience
        self._prepared: set[str] = set()  # uids
        self._since: dict[str, float] = {}  # what may be so for a moment
        self.looks = 0
        self.wrongs: list[str] = []
        kubelet.changes.watchers.append(self._look)

    def close(self) -> None:
        """Look no more."""
        self._kubelet.changes.watchers.remove(self._look)

    def _look(self) -> None:
        if not self._kubelet.runs:
            return
        self.looks += 1
        slices = published(self._server.cluster.slices(self._node))
        claims = self._server.cluster.objects("resourceclaims")
        found = [*self._held(claims), *self._unresolvable(), *self._for_long(slices)]
        found += _missing(claims, slices)
        self.wrongs += [text for text in found if text not in self.wrongs]

    def _held(self, claims: Iterable[Manifest]) -> Iterator[str]:
        """Devices that two have. A claim that is not allocated any more has none."""
        given = {claim["metadata"]["uid"]: _results(claim) for claim in claims}
        has: dict[Identity, set[str]] = collections.defaultdict(set)
        for info in self._kubelet.life.dra.claims():
            for identity in _devices(info) & given.get(info.uid, set()):
                has[identity].add(f"claim {info.name} ({info.uid})")
        for (pool, device), owners in has.items():
            if len(owners) > 1:
                yield f"{pool}/{device} is prepared for {sorted(owners)}"
        plugins = {name for entry in self._kubelet.life.ledger.active() for name in entry.ids}
        for (pool, device), owners in has.items():
            if device in plugins:
                yield f"{pool}/{device} is prepared for {sorted(owners)} and the device plugin's"

    def _unresolvable(self) -> Iterator[str]:
        """CDI names, just told to the kubelet, that no file has."""
        prepared = {info.uid: info for info in self._kubelet.life.dra.claims() if info.prepared}
        fresh = prepared.keys() - self._prepared
        self._prepared = set(prepared)
        if fresh:
            known = _resolvable(self._cdi)
            for uid in fresh:
                if missing := set(prepared[uid].cdi("")) - known:
                    yield f"{sorted(missing)} of claim {prepared[uid].name} are in no CDI file"

    def _for_long(self, slices: Mapping[str, Mapping[str, Manifest]]) -> Iterator[str]:
        """Devices that both front ends offer, for longer than it takes to tell both."""
        devices = self._kubelet.life.devices
        healthy = {
            device: resource
            for resource in devices.lists
            for device, word in devices.health(resource).items()
            if word == "Healthy"
        }
        now = time.monotonic()
        both = {
            f"{pool}/{device} is published and healthy for {healthy[device]}"
            for pool, names in slices.items()
            for device in names.keys() & healthy.keys()
        }
        self._since = {text: self._since.get(text, now) for text in both}
        yield from (text for text, since in self._since.items() if now - since >= self._patience)


def published(slices: Iterable[Manifest]) -> Mapping[str, Mapping[str, Manifest]]:
    """Devices by pool and name; a pool that is not complete is not there."""
    pools: dict[str, list[Manifest]] = collections.defaultdict(list)
    for one in slices:
        pools[one["spec"]["pool"]["name"]].append(one["spec"])
    found = {}
    for pool, specs in pools.items():
        newest = max(spec["pool"]["generation"] for spec in specs)
        current = [spec for spec in specs if spec["pool"]["generation"] == newest]
        if len(current) == current[0]["pool"]["resourceSliceCount"]:
            every = [device for spec in current for device in spec.get("devices") or ()]
            found[pool] = {device["name"]: device for device in every}
    return found


def _missing(
    claims: Iterable[Manifest], slices: Mapping[str, Mapping[str, Manifest]]
) -> Iterator[str]:
    """Devices that a claim has and their pool has not, where there is the pool."""
    for claim in claims:
        for pool, device in _results(claim):
            if pool in slices and device not in slices[pool]:
                yield f"{pool}/{device} of claim {claim['metadata']['name']} is not published"


def _results(claim: Manifest) -> set[Identity]:
    """What a claim has, but to look at."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results = (allocation.get("devices") or {}).get("results") or ()
    return {(one["pool"], one["device"]) for one in results if not one.get("adminAccess")}


def _devices(info: ClaimInfo) -> set[Identity]:
    return {(one.pool, one.device) for devices in info.devices.values() for one in devices}


def _resolvable(directory: pathlib.Path) -> set[str]:
    """The CDI names that a runtime would find now."""
    found = set()
    for path in directory.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            spec = json.loads(path.read_text())
            found |= {f"{spec['kind']}={device['name']}" for device in spec["devices"]}
    return found
