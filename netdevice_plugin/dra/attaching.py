"""NICs that are attached for a claim: what it may say of them, and a request for each device."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from netdevice_plugin.dra import holdings, parameters
from netdevice_plugin.dra.claim import Allocation, Result
from netdevice_plugin.dra.giving import Place
from netdevice_plugin.errors import ClaimError, PortError

Requests = Mapping[Result, Mapping[str, str]]  # which NICs, with what parameters


def remembering(wanted: Allocation, known: Allocation | None) -> Allocation:
    """Add which NICs a claim has, as far as it is to have them."""
    mine = holdings.owned(wanted)
    macs = known.macs if known else ()
    return dataclasses.replace(wanted, macs=tuple(one for one in macs if one[0] in mine))


def with_macs(wanted: Allocation, macs: Mapping[str, str]) -> Allocation:
    """Note which NICs devices are, or that they will be some."""
    return dataclasses.replace(wanted, macs=tuple(sorted({**dict(wanted.macs), **macs}.items())))


def requests(place: Place, wanted: Allocation, lacking: Sequence[Result]) -> Requests:
    """Say what is to be asked for. Raises ParameterError, also for what only a class may say."""
    return {one: _parameters(place, wanted, one) for one in lacking}


def _parameters(place: Place, wanted: Allocation, result: Result) -> Mapping[str, str]:
    asked = parameters.of_request(wanted.configs, result).port
    granted = _granted(wanted, result)
    allowed = place.delivery(result.pool.removeprefix(f"{place.node}/")).claim_parameters
    own = sorted(key for key, value in asked if granted.get(key) != value and key not in allowed)
    if own:
        where = f"request {result.main_request}, device {result.device}"
        why = "is not among the pool's claimParameters, and only a DeviceClass can set it"
        raise parameters.InvalidParametersError([f"{where}: port[{key}]: {why}" for key in own])
    return dict(asked)


def _granted(wanted: Allocation, result: Result) -> dict[str, object]:
    """Put together what the class says of a port; that it is all texts was checked before."""
    said = (
        one.parameters.get("port")
        for one in wanted.configs
        if one.from_class and parameters.applies(one.requests, result)
    )
    return {key: value for one in said if isinstance(one, Mapping) for key, value in one.items()}


async def ask(place: Place, wanted: Allocation, asked: Requests) -> Allocation:
    """Have NICs attached; returns the claim with their MACs. Raises ClaimError.

    All at once, and each is waited for, whatever becomes of the others.
    """
    found = await asyncio.gather(
        *(_attach(place, wanted, one, words) for one, words in asked.items()),
        return_exceptions=True,
    )
    macs = {}
    for result, mac in zip(asked, found, strict=True):
        if isinstance(mac, BaseException):
            raise mac
        macs[result.device] = mac
    return with_macs(wanted, macs)


async def _attach(
    place: Place, wanted: Allocation, result: Result, words: Mapping[str, str]
) -> str:
    where = f"{wanted.claim}: request {result.main_request}, device {result.device}"
    if place.attach is None:
        raise ClaimError(f"{where}: nobody attaches NICs here")
    pool = result.pool.removeprefix(f"{place.node}/")
    request = holdings.request(wanted.claim, result.device)
    try:
        return await place.attach(pool, request, words, wanted.mac(result.device))
    except PortError as error:
        raise ClaimError(f"{where}: no NIC: {error}", hint=error.hint) from error


def late(wanted: Allocation, asked: Requests) -> ClaimError:
    """Say that a claim has to wait."""
    names = ", ".join(one.device for one in asked)
    hint = "it goes on meanwhile, and the kubelet tries again; the agent's log says if it cannot be"
    return ClaimError(f"{wanted.claim}: the NIC of {names} is being attached", hint=hint)


def over(wanted: Allocation) -> ClaimError:
    """Say that somebody, another instance, has unprepared a claim meanwhile."""
    return ClaimError(f"{wanted.claim} was unprepared meanwhile", hint="the kubelet tries again")
