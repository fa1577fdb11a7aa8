"""What `status` and `reclaim` make of the mover's records. Pure, given who is alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from netdevice_plugin.attachments import Attachment, Failure, Holder, Phase
from netdevice_plugin.cli import render

if TYPE_CHECKING:
    from cdi.syntax import Plain

Alive = Callable[[Holder], bool]

IN_TROUBLE = (Phase.LOST, Phase.STRANDED)
HEADINGS = ("DEVICE", "PHASE", "CONTAINER", "POD", "SINCE", "LINK", "ERROR")
WIDE = (*HEADINGS[:-1], "IN POD", "PID", "NETNS", "PIN", "ERROR")


def pod(holder: Holder) -> str:
    """Name a holder's pod; empty where it is in none."""
    return f"{holder.namespace}/{holder.pod}" if holder.pod else ""


def describe(holder: Holder) -> str:
    """Name a holder for a message."""
    of = f" of {pod(holder)}" if holder.pod else ""
    return f"container {holder.container[:12]}{of}"


def why_reclaim(attachment: Attachment, alive: Alive) -> str:
    """Why nobody would miss the link; empty while a container that lives has it."""
    if attachment.phase is Phase.LOST:
        return "it is lost"
    if attachment.phase is Phase.STRANDED:
        return "it is home, but not as it was"
    if attachment.phase is not Phase.ATTACHED:
        return f"a mover has died while {attachment.phase.value}"
    return "" if any(map(alive, attachment.holders)) else "its holder is dead"


def rows(
    attachments: Iterable[Attachment], failures: Mapping[str, Failure], alive: Alive, now: float
) -> Iterator[dict[str, str]]:
    """Make the table: a row for each holder, its cells by heading."""
    for attachment in attachments:
        failure = failures.get(attachment.device)
        common = {
            "DEVICE": attachment.device,
            "PHASE": attachment.phase.value,
            "LINK": attachment.link.name,
            "IN POD": attachment.pod_name,
            "NETNS": ":".join(map(str, attachment.netns or ())),
            "PIN": attachment.pin,
            "ERROR": attachment.error or (failure.message if failure else ""),
        }
        for holder in attachment.holders or (None,):
            yield common | (_holder_cells(holder, alive, now) if holder else {})


def _holder_cells(holder: Holder, alive: Alive, now: float) -> dict[str, str]:
    return {
        "CONTAINER": holder.container[:12] + ("" if alive(holder) else " (dead)"),
        "POD": pod(holder),
        "SINCE": render.age(holder.since, now),
        "PID": str(holder.pid or ""),
    }


def entry(attachment: Attachment, alive: Alive) -> Plain:
    """Describe a record for programs; docs/reference/cli.md has the keys."""
    netns = attachment.netns
    return {
        "device": attachment.device,
        "phase": attachment.phase.value,
        "link": attachment.link.name,
        "linkInPod": attachment.pod_name or None,
        "netns": {"device": netns[0], "inode": netns[1]} if netns else None,
        "pin": attachment.pin or None,
        "holders": [_holder_entry(holder, alive) for holder in attachment.holders],
        "error": attachment.error or None,
    }


def _holder_entry(holder: Holder, alive: Alive) -> Plain:
    return {
        "container": holder.container,
        "containerName": holder.container_name or None,
        "namespace": holder.namespace or None,
        "pod": holder.pod or None,
        "podUid": holder.pod_uid or None,
        "pid": holder.pid,
        "alive": alive(holder),
        "since": render.iso(holder.since),
    }


def failure_entry(failure: Failure) -> Plain:
    """Describe a failure for programs."""
    return {
        "device": failure.device,
        "time": render.iso(failure.when),
        "message": failure.message,
    }
