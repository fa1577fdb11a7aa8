"""A node with claims to prepare: links that are offered, an API server that is a dictionary."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import cdi
from netdevice_plugin import making
from netdevice_plugin.cdifiles import MOVER_RUN_DIR, Delivery
from netdevice_plugin.dra.claim import ClaimRef
from netdevice_plugin.dra.claims import Claims, Place
from netdevice_plugin.dra.cluster.errors import NotFoundError, UnreachableError
from netdevice_plugin.dra.giving import Attach
from netdevice_plugin.dra.lending import Lend
from netdevice_plugin.dra.observer import Silence
from netdevice_plugin.dra.parameters import API_VERSION, KIND
from netdevice_plugin.model import Device, Injection, Interface, Listed, PciDevice
from netdevice_plugin.serving.bell import Bell

DRIVER = "networking.k8s.io"
NODE = "worker-1"
POOL = "fast"
MOVER = Path("/opt/netdevice-plugin/bin/netdevice-mover")

Json = dict[str, Any]


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own, for a minute at most."""

    @functools.wraps(test)
    def run(*args: object, **fixtures: object) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **fixtures), 60))

    return run


def ref(number: int = 1, name: str = "") -> ClaimRef:
    uid = f"00000000-0000-0000-0000-{number:012d}"
    return ClaimRef(namespace="ns", name=name or f"claim-{number}", uid=uid)


def result(device: str, request: str = "nic", **more: object) -> Json:
    pool = f"{NODE}/{POOL}"
    return {"request": request, "driver": DRIVER, "pool": pool, "device": device, **more}


def config(parameters: Mapping[str, object], **more: object) -> Json:
    asked = {"apiVersion": API_VERSION, "kind": KIND, **parameters}
    return {
        "source": "FromClaim",
        "requests": [],
        "opaque": {"driver": DRIVER, "parameters": asked},
        **more,
    }


def claim(whose: ClaimRef, results: Sequence[Json], configs: Sequence[Json] = ()) -> Json:
    metadata = {"namespace": whose.namespace, "name": whose.name, "uid": whose.uid}
    devices = {"results": list(results), "config": list(configs)}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "status": {"allocation": {"devices": devices}},
    }


def link(name: str, number: int = 7, pci: str = "") -> Interface:
    return Interface(
        ifindex=number,
        name=name,
        kind="" if pci else "macvlan",
        mac=f"02:00:00:00:00:{number:02x}",
        mtu=1500,
        flags=1,
        pci=PciDevice(address=pci) if pci else None,
    )


class Counting(Silence):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def prepared(self, devices: int, seconds: float) -> None:
        self.told.append(f"prepared {devices}")

    def prepare_failed(self, reason: str) -> None:
        self.told.append(f"failed {reason}")

    def unprepared(self, seconds: float) -> None:
        self.told.append("unprepared")

    def unprepare_failed(self, reason: str) -> None:
        self.told.append(f"not unprepared {reason}")

    def taken_over(self) -> None:
        self.told.append("taken over")


class Node:
    """One node's directories, and what its agent's instances know. `away` is the API server."""

    def __init__(self, root: Path) -> None:
        self.data_dir = root / "plugins" / DRIVER
        self.cdi_dir = root / "cdi"
        self.server: dict[tuple[str, str], Any] = {}
        self.links: dict[str, Listed | str] = {}
        self.injection = Injection.HOOK
        self.mover = MOVER
        self.away = False
        self.reads: list[ClaimRef] = []
        self.changes = 0
        self.observer = Counting()
        self.step: Callable[[str], object] = lambda _: None
        self.waiting: asyncio.Event | None = None  # for the API server's answers
        self.lend: Lend | None = None
        self.attach: Attach | None = None
        self.patience = self.arrival = 5.0  # seconds
        self.claim_parameters: tuple[str, ...] = ()
        self._bell = Bell()  # something else is offered

    def offer(self, *links: Interface, fault: str = "") -> None:
        for one in links:
            device = Device(name=one.name, pool=POOL, interface=one)
            self.links[one.name] = Listed(device=device, fault=fault)
        self._bell.ring()

    def offer_on_demand(self, name: str, nic: Interface | None = None) -> None:
        """Offer a device whose NIC is yet to be attached, or is there."""
        device = making.awaited(name.rpartition("-")[0], int(name.rpartition("-")[2]))
        if nic:
            device = dataclasses.replace(device, interface=nic, lent=nic.lent)
        self.links[name] = Listed(device=device)
        self._bell.ring()

    def allocate(self, whose: ClaimRef, *results: Json, configs: Sequence[Json] = ()) -> ClaimRef:
        self.server[whose.namespace, whose.name] = claim(whose, results, configs)
        return whose

    def give(self, number: int, *devices: str, **parameters: object) -> ClaimRef:
        """Allocate devices to a claim, for one request each, named after them."""
        configs = [config(parameters)] if parameters else []
        return self.allocate(
            ref(number), *(result(one, f"req-{one}") for one in devices), configs=configs
        )

    def forget(self, whose: ClaimRef) -> None:
        del self.server[whose.namespace, whose.name]

    def instance(self) -> Claims:
        """Make an agent's part; several at once are a rolling update."""
        place = Place(
            driver=DRIVER,
            node=NODE,
            data_dir=self.data_dir,
            cdi_dir=self.cdi_dir,
            read_claim=self._read,
            offered=self._offered,
            delivery=lambda _: Delivery(
                injection=self.injection,
                mover=self.mover,
                run_dir=MOVER_RUN_DIR,
                timeout=30,
                claim_parameters=self.claim_parameters,
            ),
            attach=self.attach,
            until=self._bell.until,
            step=self.step,
        )
        return Claims(
            place,
            changed=self._changed,
            observer=self.observer,
            patience=self.patience,
            arrival=self.arrival,
            lend=self.lend,
        )

    def checkpoints(self) -> set[str]:
        """The uids that have a checkpoint."""
        found = (self.data_dir / "claims").glob("*.json")
        return {path.stem for path in found}

    def specs(self) -> dict[str, cdi.Spec]:
        """The claims' CDI files by uid."""
        found = self.cdi_dir.glob(f"{DRIVER}-claim_*.json") if self.cdi_dir.exists() else ()
        return {path.stem.partition("_")[2]: cdi.load(path) for path in found}

    async def _read(self, whose: ClaimRef) -> Any:
        self.reads.append(whose)
        if self.waiting:
            await self.waiting.wait()
        if self.away:
            raise UnreachableError("get claim: connection refused")
        try:
            return self.server[whose.namespace, whose.name]
        except KeyError:
            raise NotFoundError("get claim: not found", status=404) from None

    def _offered(self, pool: str, device: str) -> Listed | str:
        if pool != POOL:
            return f"there is no pool {pool} here"
        return self.links.get(device, f"the pool {pool} does not offer it")

    def _changed(self) -> None:
        self.changes += 1
