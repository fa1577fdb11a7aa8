"""How `status` shows the mover's records, and what claims have. Pure, given who lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from netdevice_plugin.attachments import Attachment, Failure, Holder
from netdevice_plugin.cli import claimed, render
from netdevice_plugin.loans.loan import Judge, Life, pod

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.dra.claim import ClaimRef

HEADINGS = ("DEVICE", "PHASE", "CONTAINER", "POD", "SINCE", "LINK", "ERROR")
CLAIMS = (*HEADINGS[:-1], "CLAIM", "ERROR")
WIDE = (*CLAIMS[:-1], "IN POD", "PID", "NETNS", "PIN", "ERROR")

PREPARED = "prepared"  # a claim's, and in no pod: not yet, or not any more

_MARKS = {Life.ALIVE: "", Life.DEAD: " (dead)", Life.UNKNOWN: " (unknown)"}
_ALIVE = {Life.ALIVE: True, Life.DEAD: False, Life.UNKNOWN: None}


def rows(
    attachments: Iterable[Attachment],
    failures: Mapping[str, Failure],
    claims: Mapping[str, ClaimRef],
    judge: Judge,
    now: float,
) -> Iterator[dict[str, str]]:
    """Make the table: a row for each holder, then for each device that a claim just has."""
    lent = set()
    for attachment in attachments:
        lent.add(attachment.device)
        failure = failures.get(attachment.device)
        common = {
            "DEVICE": attachment.device,
            "CLAIM": claimed.cell(claims.get(attachment.device)),
            "PHASE": attachment.phase.value,
            "LINK": _link(attachment),
            "IN POD": attachment.pod_name,
            "NETNS": ":".join(map(str, attachment.netns or ())),
            "PIN": attachment.pin,
            "ERROR": attachment.error or (failure.message if failure else ""),
        }
        for holder in attachment.holders or (None,):
            life = judge(attachment, holder) if holder else Life.UNKNOWN
            yield common | (_holder_cells(holder, life, now) if holder else {})
    for device in sorted(claims.keys() - lent):
        yield {"DEVICE": device, "PHASE": PREPARED, "CLAIM": claimed.cell(claims[device])}


def _link(attachment: Attachment) -> str:
    """Name the link on the host: its own name, or what it was made on."""
    if attachment.born:
        return f"{attachment.link.kind} on {attachment.spec.link}"
    return attachment.link.name


def _holder_cells(holder: Holder, life: Life, now: float) -> dict[str, str]:
    return {
        "CONTAINER": holder.container[:12] + _MARKS[life],
        "POD": pod(holder),
        "SINCE": render.age(holder.since, now),
        "PID": str(holder.pid or ""),
    }


def entry(attachment: Attachment, claim: ClaimRef | None, judge: Judge) -> Plain:
    """Describe a record for programs; docs/reference/cli.md has the keys."""
    netns = attachment.netns
    return {
        "device": attachment.device,
        "phase": attachment.phase.value,
        "link": None if attachment.born else attachment.link.name,
        "born": {"kind": attachment.link.kind, "parent": attachment.spec.link}
        if attachment.born
        else None,
        "linkInPod": attachment.pod_name or None,
        "netns": {"device": netns[0], "inode": netns[1]} if netns else None,
        "pin": attachment.pin or None,
        "holders": [_holder_entry(one, judge(attachment, one)) for one in attachment.holders],
        "claim": claimed.entry(claim) if claim else None,
        "error": attachment.error or None,
    }


def claim_entry(device: str, claim: ClaimRef) -> Plain:
    """Describe who has a device by a claim, lent or not, for programs."""
    return {"device": device, **claimed.entry(claim)}


def _holder_entry(holder: Holder, life: Life) -> Plain:
    return {
        "container": holder.container,
        "containerName": holder.container_name or None,
        "namespace": holder.namespace or None,
        "pod": holder.pod or None,
        "podUid": holder.pod_uid or None,
        "pid": holder.pid,
        "alive": _ALIVE[life],
        "since": render.iso(holder.since),
    }


def failure_entry(failure: Failure) -> Plain:
    """Describe a failure for programs."""
    return {
        "device": failure.device,
        "time": render.iso(failure.when),
        "message": failure.message,
    }
