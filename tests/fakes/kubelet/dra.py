"""The claims of pods: prepared before their sandbox, unprepared when the last one has ended.

k8s.io/kubernetes pkg/kubelet/cm/dra/manager.go. What is odd there is played:
- what a driver tells when it is asked once more (after a failure, or a restart of the kubelet)
  is added to what it told before, so that a device may be known twice;
- a pod that was never given a shared claim, when it ends, unprepares it if just one other pod
  uses it.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from tests.fakes.kubelet import drastate
from tests.fakes.kubelet.admission import Call
from tests.fakes.kubelet.apiserver import ApiError, ApiServer, Claim, decode
from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.cluster import Pod
from tests.fakes.kubelet.dradriver import ClaimName, Driver
from tests.fakes.kubelet.drastate import ClaimInfo, Prepared
from tests.fakes.kubelet.drivers import Drivers
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.settings import Interfere, RefusedError
from tests.fakes.kubelet.specs import ContainerSpec
from tests.fakes.kubelet.wire import dra as api


class DraError(Exception):
    """A pod cannot have, or give back, what its claims are; the text is for its events."""


class Answer(Protocol):
    """What a driver says of one claim."""

    error: str


Found = TypeVar("Found", bound=Answer)


class Dra:
    """The claims of one run; `active` tells the pods that are not over, by uid, or None.

    It is None until the kubelet knows its pods.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        server: ApiServer,
        drivers: Drivers,
        changes: Changes,
        *,
        interfere: Interfere,
        active: Callable[[], frozenset[str] | None],
    ) -> None:
        self._directory = directory
        self._server = server
        self._drivers = drivers
        self._changes = changes
        self._interfere = interfere
        self._active = active
        self._alive = True
        self._claims = {(c.namespace, c.name): c for c in drastate.read(directory)}
        self.calls: list[Call] = []

    def prepare(self, pod: Pod) -> None:
        """Have all claims of a pod prepared that are not yet in this run; raises DraError.

        Nothing is remembered of a pod whose claims are not right, or whose driver is not there.
        """
        claims = [self._check(pod, name) for name in pod.claims]
        drivers = {name: self._driver(name) for claim in claims for name in claim.drivers}
        infos = [info for claim in claims if not (info := self._refer(pod, claim)).prepared]
        for name, driver in drivers.items():
            batch = [info for info in infos if name in info.devices]
            if batch:
                self._prepare(driver, batch, lambda: pod.deleting or not self._alive)
        with self._changes.lock:
            for info in infos:
                info.prepared = True
            self._save()

    def unprepare(self, pod: Pod) -> None:
        """Let go of a pod's claims, and have those unprepared that no other pod uses.

        Raises DraError; then it has to be tried again.
        """
        uid = pod.spec.uid
        with self._changes.lock:
            keys = [key for key, info in self._claims.items() if uid in info.pods]
        self._unprepare(uid, keys or [(pod.spec.namespace, name) for name in pod.claims])

    def reconcile(self) -> None:
        """Let go of what pods have that are over."""
        active = self._active()
        if active is None:
            return
        with self._changes.lock:
            used = {
                uid: [key for key, info in self._claims.items() if uid in info.pods]
                for uid in {uid for info in self._claims.values() for uid in info.pods} - active
            }
        for uid, keys in used.items():
            try:
                self._unprepare(uid, keys)
            except DraError:
                continue  # until the next time

    def needs_unprepare(self, uid: str) -> bool:
        """Whether a pod has claims still: it is not over before it has none."""
        with self._changes.lock:
            return any(uid in info.pods for info in self._claims.values())

    def cdi(self, pod: Pod, container: ContainerSpec) -> list[str]:
        """The CDI names of a container, a name as often as it was told; raises DraError."""
        wanted: list[tuple[str, str]] = []
        for use in container.claims:
            name, _, request = use.partition("/")
            wanted.append((pod.spec.claims[name], request))
        if pod.extended is not None:
            mapped = pod.extended.requests(container.name, container.limits)
            wanted += [(pod.extended.claim, request) for request in mapped]
        with self._changes.lock:
            return [
                cdi
                for name, request in wanted
                for cdi in self._info(pod.spec.namespace, name).cdi(request)
            ]

    def infos(self, pod: Pod, container: ContainerSpec) -> list[ClaimInfo]:
        """The claims of a container as podresources has them: all or, if one is missing, none."""
        names = list(
            dict.fromkeys(pod.spec.claims[use.partition("/")[0]] for use in container.claims)
        )
        if pod.extended is not None and container.name in {
            mapped.container for mapped in pod.extended.mapped
        }:
            names.append(pod.extended.claim)
        with self._changes.lock:
            found = [self._claims.get((pod.spec.namespace, name)) for name in names]
            return [info for info in found if info is not None] if None not in found else []

    def claims(self) -> list[ClaimInfo]:
        """All that the run knows of."""
        with self._changes.lock:
            return list(self._claims.values())

    def close(self) -> None:
        """The run is over: nothing more is remembered."""
        with self._changes.lock:
            self._alive = False
            self._changes.tell()

    def _check(self, pod: Pod, name: str) -> Claim:
        """Read a claim that the pod may have."""
        try:
            claim = decode(self._server.claim(pod.spec.namespace, name))
        except ApiError as error:
            raise DraError(f"fetch ResourceClaim {name}: {error}") from error
        if pod.spec.uid not in claim.reserved_for:
            who = f"pod {pod.spec.name} ({pod.spec.uid})"
            raise DraError(f"{who} is not allowed to use ResourceClaim {name} ({claim.uid})")
        if not claim.allocated:
            raise DraError(f"ResourceClaim {name}: not allocated")
        return claim

    def _driver(self, name: str) -> Driver:
        try:
            return self._drivers.find(name)
        except PluginError as error:
            raise DraError(str(error)) from error

    def _refer(self, pod: Pod, claim: Claim) -> ClaimInfo:
        """Remember, on disk too, that the pod uses the claim."""
        with self._changes.lock:
            key = (claim.namespace, claim.name)
            info = self._claims.get(key)
            if info is None:
                info = ClaimInfo(
                    namespace=claim.namespace,
                    name=claim.name,
                    uid=claim.uid,
                    pods=set(),
                    devices={driver: [] for driver in claim.drivers},
                )
            elif info.uid != claim.uid:
                old = f"old ResourceClaim with same name {claim.name} and different UID {info.uid}"
                raise DraError(f"{old} still exists (previous pod force-deleted?!)")
            self._claims[key] = info
            info.pods.add(pod.spec.uid)
            self._save()
            return info

    def _prepare(
        self, driver: Driver, infos: list[ClaimInfo], cancelled: Callable[[], bool]
    ) -> None:
        names = [_name(info) for info in infos]
        method = "NodePrepareResources"
        answers = self._call(driver, method, names, lambda: driver.prepare(names, cancelled))
        by_uid = {info.uid: info for info in infos}
        for uid, answer in answers.items():
            _raise(method, by_uid, uid, answer.error)
            with self._changes.lock:
                known = by_uid[uid].devices[driver.name]
                known += [_prepared(device) for device in answer.devices]
        _complete(method, names, answers)

    def _unprepare(self, uid: str, keys: Iterable[tuple[str, str]]) -> None:
        last: list[ClaimInfo] = []
        with self._changes.lock:
            for info in [self._claims[key] for key in keys if key in self._claims]:
                if len(info.pods) > 1:
                    info.pods.discard(uid)
                else:
                    last.append(info)
        for name in dict.fromkeys(name for info in last for name in info.devices):
            batch = [info for info in last if name in info.devices]
            self._unprepare_by(self._driver(name), batch)
        with self._changes.lock:
            for info in last:
                self._claims.pop((info.namespace, info.name), None)
            self._save()
            self._changes.tell()

    def _unprepare_by(self, driver: Driver, infos: list[ClaimInfo]) -> None:
        names = [_name(info) for info in infos]
        method = "NodeUnprepareResources"
        answers = self._call(
            driver, method, names, lambda: driver.unprepare(names, lambda: not self._alive)
        )
        by_uid = {info.uid: info for info in infos}
        for uid, answer in answers.items():
            _raise(method, by_uid, uid, answer.error)
        _complete(method, names, answers)

    def _call(
        self,
        driver: Driver,
        method: str,
        names: list[ClaimName],
        call: Callable[[], Mapping[str, Found]],
    ) -> Mapping[str, Found]:
        with self._changes.lock:
            ids = frozenset(name.uid for name in names)
            self.calls.append(Call(method=method, resource=driver.name, ids=ids))
            self._changes.tell()
        try:
            self._interfere(method, driver.name)
            answers = call()
            self._interfere(f"{method} done", driver.name)
        except (PluginError, RefusedError) as error:
            raise DraError(f"{method}: {error}") from error
        if not self._alive:
            raise DraError("the kubelet ends")
        return answers

    def _info(self, namespace: str, name: str) -> ClaimInfo:
        try:
            return self._claims[namespace, name]
        except KeyError as error:
            text = f"unable to get claim info for ResourceClaim {name} in namespace {namespace}"
            raise DraError(f"internal error: {text}") from error

    def _save(self) -> None:
        if self._alive:
            drastate.write(self._directory, self._claims.values())


def _name(info: ClaimInfo) -> ClaimName:
    return ClaimName(namespace=info.namespace, name=info.name, uid=info.uid)


def _prepared(device: api.Device) -> Prepared:
    return Prepared(
        pool=device.pool_name,
        device=device.device_name,
        requests=tuple(device.request_names),
        cdi=tuple(device.cdi_device_ids),
        share_id=device.share_id,
    )


def _raise(method: str, asked: Mapping[str, ClaimInfo], uid: str, error: str) -> None:
    """Fail if an answer is for a claim that was not asked for, or is an error."""
    if uid not in asked:
        raise DraError(f"{method} returned result for unknown claim UID {uid}")
    if error:
        raise DraError(f"{method} failed for ResourceClaim {asked[uid].name}: {error}")


def _complete(method: str, names: Sequence[ClaimName], answers: Mapping[str, object]) -> None:
    if missing := len(names) - len(answers):
        raise DraError(f"{method} skipped {missing} ResourceClaims")
