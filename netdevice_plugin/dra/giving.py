"""What a claim's devices are given as: from what is offered now, and what the claim asks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.dra import parameters
from netdevice_plugin.dra.claim import Allocation, ClaimRef, Result
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.errors import ClaimError
from netdevice_plugin.model import Listed
from netdevice_plugin.offering import LEAVING

# Of a pool, for a request, with these parameters, in place of the NIC with this MAC.
Attach = Callable[[str, str, Mapping[str, str], str], Awaitable[str]]


async def _never(_: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    await asyncio.Event().wait()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What claims are prepared with: whose, where, and how to find out what they need to know.

    `read_claim` gives a claim as the API server has it, in the shape of v1, and raises
    ClusterError, NotFoundError if there is none. `offered` gives a device of a pool of
    ours as it is listed, or says why it is not; `delivery` how such a pool's devices
    are moved. `attach` has the NIC of a device attached, for a request, with parameters and
    the MAC that was known, and gives its MAC; `until` returns when something holds of what is
    `offered`. `step` is told of each change before it is made, in the thread that does.
    """

    driver: str
    node: str
    data_dir: Path  # the driver's, below the kubelet's `plugins`
    cdi_dir: Path
    read_claim: Callable[[ClaimRef], Awaitable[Mapping[str, Any]]]
    offered: Callable[[str, str], Listed | str]
    delivery: Callable[[str], Delivery]
    attach: Attach | None = None
    until: Callable[[Callable[[], bool]], Awaitable[object]] = _never
    step: Callable[[str], object] = lambda _: None


def give(
    place: Place, wanted: Allocation, kept: Collection[str], *, early: bool = False
) -> list[Given]:
    """Find out how a claim gets each of its devices, and whether it can.

    Those that it has already (`kept`) it keeps, whatever became of them. A userspace
    device, which is not moved, has the nodes that are known now: once it is bound they
    may be others (`Given.with_nodes`). One whose NIC is attached for the claim has it by
    then, unless it is `early`. Raises ClaimError, and ParameterError with every problem of a
    device.
    """
    given = [_device(place, one, wanted, kept) for one in wanted.results]
    lacking = () if early else absent(place, wanted)
    for result in lacking:
        what = f"request {result.main_request}, device {result.device}: its NIC is not here"
        raise ClaimError(f"{wanted.claim}: {what}", hint="the kubelet tries again")
    moved = [one for one in given if one.name and not one.result.admin]
    parameters.check_all([(one.result, one.parameters, one.device.interface) for one in moved])
    return given


def _device(place: Place, result: Result, wanted: Allocation, kept: Collection[str]) -> Given:
    where = f"request {result.main_request}, device {result.device}"
    pool = result.pool.removeprefix(f"{place.node}/")
    listed = place.offered(pool, result.device)
    if isinstance(listed, str):
        hint = "its slice is being corrected: delete the pod, so that it gets another device"
        raise ClaimError(f"{wanted.claim}: {where}: {listed}", hint=hint)
    # A claim may have been allocated one that is about to leave before it was taken off its
    # slice; now that it is the claim's it stays.
    faulty = listed.fault not in ("", LEAVING)
    if faulty and not result.admin and result.device not in kept:
        hint = "delete the pod, so that it gets another device"
        raise ClaimError(f"{wanted.claim}: {where} is unhealthy: {listed.fault}", hint=hint)
    delivery, device = place.delivery(pool), listed.device
    asked = parameters.Parameters()
    if not result.admin:
        asked = parameters.of_request(wanted.configs, result)
        parameters.check(asked, device, where, delivery.injection, delivery.vf)
    return Given(result=result, device=device, parameters=asked, delivery=delivery)


def absent(place: Place, wanted: Allocation) -> tuple[Result, ...]:
    """Name the devices whose NIC has to be attached for the claim, and is not here.

    One that is here may be the last claim's, which is about to go.
    """
    return tuple(one for one in wanted.results if not one.admin and _is_absent(place, one, wanted))


def _is_absent(place: Place, result: Result, wanted: Allocation) -> bool:
    listed = place.offered(result.pool.removeprefix(f"{place.node}/"), result.device)
    if isinstance(listed, str) or not listed.device.on_demand:
        return False
    mac = listed.device.interface.identity_mac.lower()
    return not mac or mac != wanted.mac(result.device)
