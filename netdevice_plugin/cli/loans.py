"""How `status` shows the mover's records. Pure, given who is alive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from netdevice_plugin.attachments import Attachment, Failure, Holder
from netdevice_plugin.cli import render
from netdevice_plugin.loans.loan import Alive, pod

if TYPE_CHECKING:
    from cdi.syntax import Plain

HEADINGS = ("DEVICE", "PHASE", "CONTAINER", "POD", "SINCE", "LINK", "ERROR")
WIDE = (*HEADINGS[:-1], "IN POD", "PID", "NETNS", "PIN", "ERROR")


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
