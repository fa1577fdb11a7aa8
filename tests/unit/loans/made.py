"""Records and loans to decide about."""

from __future__ import annotations

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Phase
from netdevice_plugin.loans.loan import Life, Seen
from netdevice_plugin.loans.reconcile import Loan

WEB = Holder(
    container="c" * 64, pid=7, start_time=70, namespace="default", pod="web-0", pod_uid="uid-1"
)
PODMAN = Holder(container="d" * 64, pid=8, start_time=80)


def record(
    device: str = "eth1",
    *holders: Holder,
    phase: Phase = Phase.ATTACHED,
    error: str = "",
) -> Attachment:
    link = HostLink(name=device, ifindex=7, kind="veth", mac="02:00:00:00:00:07")
    return Attachment(
        device=device, phase=phase, link=link, netns=(4, 9), holders=holders, error=error
    )


def loan(made: Attachment, *lives: Life, since: float = 0, **known: float) -> Loan:
    """A loan whose holders have been so from the beginning."""
    return Loan(
        record=made,
        since=since,
        holders=tuple(Seen(life, since) for life in lives),
        unclaimed=known.get("unclaimed", 0),
        locked=bool(known.get("locked", False)),
    )
