"""A claim's JSON, in the shape of v1 -> what it was given of our devices on this node. Pure.

Strict where it is ours to read, and blind to the rest: other drivers' results and
parameters are none of our business. Facts: k8s.io/api/resource/v1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from netdevice_plugin.dra.claim import Allocation, ClaimRef, Opaque, Result
from netdevice_plugin.dra.parameters.merging import applies
from netdevice_plugin.errors import ClaimError
from netdevice_plugin.model import is_dns_label
from netdevice_plugin.yamlnode import shorten

MAX_RESULTS = 32
MAX_CONFIGS = 64
MAX_REQUEST = 127  # "main/sub", a DNS label each

# As a file's name and as the beginning of a CDI device's: a UUID, but that is not promised.
_UID = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")

_RESULTS = "status.allocation.devices.results"
_CONFIG = "status.allocation.devices.config"
_ODD = "the API server would not have taken that: ask whoever wrote it"


class NotAllocatedError(ClaimError):
    """The claim that is meant has nothing of ours here: it is gone, another, or not allocated."""


def is_uid(text: str) -> bool:
    """Whether a uid can be what it has to be here: part of the names of files and CDI devices."""
    return bool(_UID.fullmatch(text))


def decode(claim: object, ref: ClaimRef, *, driver: str, node: str | None) -> Allocation:
    """Read what a claim has of a driver's on a node; None is on any.

    Entries of its configuration that are for none of these results are left out, as
    are those for what it may only look at.
    Raises NotAllocatedError, or ClaimError for what cannot be: each names the field.
    """
    return _Reader(ref, driver, node).read(claim)


def encode(allocation: Allocation, driver: str) -> dict[str, object]:
    """Make the part of a claim that `decode` reads, so that it gives the same again."""
    ref = allocation.claim
    devices = {
        "results": [_encode_result(one, driver) for one in allocation.results],
        "config": [_encode_config(one, driver) for one in allocation.configs],
    }
    return {
        "metadata": {"namespace": ref.namespace, "name": ref.name, "uid": ref.uid},
        "status": {"allocation": {"devices": devices}},
    }


def _encode_result(result: Result, driver: str) -> dict[str, object]:
    return {
        "request": result.request,
        "driver": driver,
        "pool": result.pool,
        "device": result.device,
        **({"adminAccess": True} if result.admin else {}),
        **({"shareID": result.share_id} if result.share_id else {}),
    }


def _encode_config(config: Opaque, driver: str) -> dict[str, object]:
    return {
        "source": "FromClass" if config.from_class else "FromClaim",
        "requests": list(config.requests),
        "opaque": {"driver": driver, "parameters": config.parameters},
    }


class _Reader:
    """The steps of `decode`, with what their messages say."""

    def __init__(self, ref: ClaimRef, driver: str, node: str | None) -> None:
        self._ref = ref
        self._driver = driver
        self._node = node

    def read(self, claim: object) -> Allocation:
        claim = self._mapping(claim, "the claim")
        self._check_identity(self._mapping(claim.get("metadata"), "metadata"))
        status = self._mapping(claim.get("status"), "status", optional=True)
        if status.get("allocation") is None:
            hint = "the scheduler allocates it for a pod that uses it; the kubelet tries again"
            raise NotAllocatedError(f"{self._ref} is not allocated", hint=hint)
        allocation = self._mapping(status["allocation"], "status.allocation")
        place = "status.allocation.devices"
        devices = self._mapping(allocation.get("devices"), place, optional=True)
        results = tuple(self._results(devices.get("results")))
        self._check_results(results)
        moved = [one for one in results if not one.admin]
        configs = self._configs(devices.get("config"))
        used = tuple(one for one in configs if any(applies(one.requests, it) for it in moved))
        return Allocation(claim=self._ref, results=results, configs=used)

    def _check_identity(self, metadata: Mapping[str, object]) -> None:
        uid = self._text(metadata, "uid", "metadata", MAX_REQUEST)
        if uid == self._ref.uid:
            return
        hint = "delete the pod, and its controller's next one uses the claim that there is"
        text = f"{self._ref} is another one by now: its uid is {shorten(uid)}"
        raise NotAllocatedError(f"{text}, not {self._ref.uid}", hint=hint)

    def _results(self, found: object) -> Iterator[Result]:
        for place, one in self._items(found, _RESULTS, MAX_RESULTS):
            if self._text(one, "driver", place) != self._driver:
                continue
            pool = self._text(one, "pool", place)
            if self._node is None or pool.startswith(f"{self._node}/"):
                yield self._result(one, pool, place)

    def _result(self, one: Mapping[str, object], pool: str, place: str) -> Result:
        device = self._text(one, "device", place)
        if not is_dns_label(device):
            self._refuse(f"{place}.device", f"{shorten(device)} is not a DNS label")
        admin = one.get("adminAccess")
        if not isinstance(admin, bool | None):
            self._refuse(f"{place}.adminAccess", "must be true or false")
        return Result(
            request=self._text(one, "request", place),
            pool=pool,
            device=device,
            admin=bool(admin),
            share_id=self._text(one, "shareID", place) if one.get("shareID") else "",
        )

    def _check_results(self, results: Sequence[Result]) -> None:
        if not results:
            where = f" on the node {self._node}" if self._node is not None else ""
            what = f"{self._ref} has no device of {self._driver}{where}"
            hint = "if the pod was scheduled here, --node-name is not the node's name"
            raise NotAllocatedError(what, hint=hint)
        owned = [one.device for one in results if not one.admin]
        twice = sorted({device for device in owned if owned.count(device) > 1})
        if twice:
            self._refuse(_RESULTS, f"the device {twice[0]} is given twice")

    def _configs(self, found: object) -> Iterator[Opaque]:
        for place, one in self._items(found, _CONFIG, MAX_CONFIGS):
            opaque = self._mapping(one.get("opaque"), f"{place}.opaque", optional=True)
            if opaque.get("driver") != self._driver:
                continue
            where = f"{place}.opaque.parameters"
            yield Opaque(
                parameters=self._mapping(opaque.get("parameters"), where),
                place=where,
                from_class=one.get("source") == "FromClass",
                requests=self._requests(one.get("requests"), f"{place}.requests"),
            )

    def _requests(self, found: object, place: str) -> tuple[str, ...]:
        found = () if found is None else found
        if not isinstance(found, list | tuple) or len(found) > MAX_RESULTS:
            self._refuse(place, f"must be a list of at most {MAX_RESULTS} names")
        if not all(isinstance(one, str) and len(one) <= MAX_REQUEST for one in found):
            self._refuse(place, f"must be a list of names, of at most {MAX_REQUEST} characters")
        return tuple(found)

    def _items(
        self, found: object, place: str, limit: int
    ) -> Iterator[tuple[str, Mapping[str, object]]]:
        found = () if found is None else found
        if not isinstance(found, list | tuple) or len(found) > limit:
            self._refuse(place, f"must be a list of at most {limit}")
        for index, one in enumerate(found):
            where = f"{place}[{index}]"
            yield where, self._mapping(one, where)

    def _mapping(
        self, value: object, place: str, *, optional: bool = False
    ) -> Mapping[str, object]:
        if value is None and optional:
            return {}
        if not isinstance(value, Mapping):
            self._refuse(place, "must be an object")
        return value

    def _text(
        self, one: Mapping[str, object], key: str, place: str, limit: int = 4 * MAX_REQUEST
    ) -> str:
        value = one.get(key)
        if not isinstance(value, str) or not value:
            self._refuse(f"{place}.{key}", "must be a text")
        if len(value) > limit or not value.isprintable():
            self._refuse(f"{place}.{key}", f"{shorten(value)} cannot be")
        return value

    def _refuse(self, place: str, what: str) -> NoReturn:
        raise ClaimError(f"{self._ref}: {place}: {what}", hint=_ODD)
