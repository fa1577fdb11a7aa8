"""Functions bound for the claims that are given them: a program in the pod drives these."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from netdevice_plugin.dra.claim import Allocation
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.model import Device, pci_address_of
from netdevice_plugin.provisioning import Node, VfSettings

# Makes a device of a pool ready, with these settings and for whom, and names its nodes.
Lend = Callable[[str, Device, VfSettings, str], Awaitable[tuple[Node, ...]]]


def concerns(wanted: Allocation) -> bool:
    """Whether a claim may have any."""
    return any(pci_address_of(result.device) for result in wanted.results)


async def ready(given: Sequence[Given], *, node: str, holder: str, lend: Lend) -> list[Given]:
    """Have the devices bound that a program drives; returns all, these with their nodes.

    All at once, and idempotent. What a claim may only look at stays as it is. Raises
    FunctionError.
    """

    async def lent(one: Given) -> Given:
        if not one.device.userspace or one.result.admin:
            return one
        pool = one.result.pool.removeprefix(f"{node}/")
        return one.with_nodes(await lend(pool, one.device, one.vf, holder))

    results = await asyncio.gather(*map(lent, given), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
