"""The node: what is offered, what stays and why, what is lent, and who is at work."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping

from netdevice_plugin import attachments, pools
from netdevice_plugin.attachments import Attachment, Failure, Phase
from netdevice_plugin.config import Config
from netdevice_plugin.doctor import mounts
from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.errors import AttachmentError, NetdevError
from netdevice_plugin.loans import loan, seeing
from netdevice_plugin.look import View
from netdevice_plugin.model import Snapshot

LOCK = "agent.lock"  # below the run directory; who holds it is the agent in charge

_LOCK = re.compile(r"[0-9]+: FLOCK +\S+ +WRITE +([0-9]+) ([0-9a-f]+):([0-9a-f]+):([0-9]+) ")
_RECORD = (
    "its link may be in the namespace that is pinned below netns, from where ip link can move it "
    "home; then remove the file"
)
_MANY = 20  # failures, each with a line of its own

Look = Callable[[Config], View]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What was seen of links and loans."""

    view: View
    fault: str = ""  # why the links could not be read
    elsewhere: bool = False  # ours is not the host's network namespace
    problems: tuple[str, ...] = ()  # records that cannot be read
    failures: tuple[Failure, ...] = ()
    dead: frozenset[str] = frozenset()  # devices that nobody who lives holds
    blind: str = ""  # why it cannot be seen who lives
    busy: frozenset[str] = frozenset()  # devices that a mover is at work on
    leaked: tuple[str, ...] = ()  # pins without a record
    agent: int | None = None  # pid of the one in charge
    locked: bool = True  # there is a lock, held or not
    hidden: bool = False  # who holds locks cannot be seen


def read(host: Host, config: Config, look: Look) -> Node:
    """Look at links, records, locks and pins; `look` reads the links of our namespace."""
    run_dir = os.fspath(config.run_dir)
    view, fault = see(host, config, look)
    holders, hidden = _locks(host)
    recorded = _recorded(host, run_dir)
    processes = seeing.view(host.root / "proc")
    return Node(
        view=view,
        fault=fault,
        elsewhere=_is_elsewhere(host),
        problems=tuple(_as_on_host(host, problem) for problem in view.problems),
        failures=_failures(host, run_dir),
        dead=frozenset(
            one.device for one in view.attachments if loan.why_reclaim(one, processes.judge)
        ),
        blind=processes.blind,
        busy=frozenset(
            device
            for device in recorded
            if _holder(host, holders, f"{run_dir}/locks/{device}") is not None
        ),
        leaked=_leaked(host, run_dir, recorded, holders),
        agent=_holder(host, holders, f"{run_dir}/{LOCK}"),
        locked=host.exists(f"{run_dir}/{LOCK}"),
        hidden=hidden,
    )


def in_charge(host: Host, config: Config) -> int | None:
    """Find the process of the agent in charge, if that can be seen."""
    return _holder(host, _locks(host)[0], f"{config.run_dir}/{LOCK}")


def see(host: Host, config: Config, look: Look) -> tuple[View, str]:
    """Look at links and records; with none, the second says why."""
    try:
        return look(dataclasses.replace(config, run_dir=host.local(config.run_dir))), ""
    except NetdevError as error:
        return View(snapshot=Snapshot()), _as_on_host(host, error)


def _is_elsewhere(host: Host) -> bool:
    """Whether ours is another network namespace than that of the host's first process."""
    theirs, ours = host.namespace("1", "net"), Host().namespace("self", "net")
    return bool(theirs and ours) and theirs != ours


def _recorded(host: Host, run_dir: str) -> set[str]:
    """Name the devices that have a record, be it one that cannot be read."""
    try:
        return set(host.names(f"{run_dir}/attachments"))
    except OSError:
        return set()


def _failures(host: Host, run_dir: str) -> tuple[Failure, ...]:
    try:
        return attachments.errors(host.local(run_dir))
    except AttachmentError as error:
        return (Failure("", _as_on_host(host, error)),)


def _as_on_host(host: Host, error: Exception) -> str:
    """Name files as the host does."""
    return str(error) if host.own else str(error).replace(f"{host.root}/", "/")


def _locks(host: Host) -> tuple[Mapping[tuple[int, int, int], int], bool]:
    """Read who holds which file's flock, and whether that can be seen: nothing is locked for it."""
    try:
        lines = host.text("/proc/locks", 8 << 20).splitlines()
    except OSError:
        return {}, True
    found = (match for match in map(_LOCK.match, lines) if match)
    return {(int(m[2], 16), int(m[3], 16), int(m[4])): int(m[1]) for m in found}, False


def _holder(host: Host, holders: Mapping[tuple[int, int, int], int], path: str) -> int | None:
    """Find the process that holds a file's lock."""
    try:
        status = host.stat(path)
    except OSError:
        return None
    return holders.get((os.major(status.st_dev), os.minor(status.st_dev), status.st_ino))


def _leaked(
    host: Host, run_dir: str, recorded: set[str], holders: Mapping[tuple[int, int, int], int]
) -> tuple[str, ...]:
    """List the pins that no record needs, and no mover is just about to remove."""
    try:
        table, where = mounts.parse(host.mountinfo()), host.real(f"{run_dir}/netns")
    except OSError:
        return ()
    pins = [posixpath.split(one.point) for one in table if posixpath.dirname(one.point) == where]
    return tuple(
        f"{directory}/{device}"
        for directory, device in pins
        if device not in recorded and _holder(host, holders, f"{run_dir}/locks/{device}") is None
    )


def check(facts: Node, config: Config, *, kubelet: bool) -> Iterator[Finding]:
    """Judge all of it."""
    if facts.fault:
        remedy = "as root, and in the host's network namespace (hostNetwork)"
        yield fail("node/links", "links of this host", facts.fault, remedy)
    elif facts.elsewhere:
        text = "this is not the network namespace of the host's first process"
        yield warn("node/namespace", "links", text, "hostNetwork: true; or nsenter --net -t 1")
    if not facts.fault:
        yield from _protected(facts.view.snapshot)
        yield from _pools(facts.view.snapshot, config)
    yield from _lent(facts)
    yield from _troubles(facts)
    yield from _agent(facts, config, kubelet=kubelet)


def _protected(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield why links stay, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    uplink = False
    for interface in snapshot.interfaces:
        protection = snapshot.protection_of(interface)
        if protection:
            reasons.setdefault(protection.reason, []).append(interface.name)
            uplink = uplink or (protection.hard and not interface.loopback)
    shown = sorted(reasons.items(), key=lambda item: item[1])
    for why, names in shown[:_MANY]:
        yield ok("node/protected", some(names), f"never offered: it {why}")
    if len(shown) > _MANY:
        yield ok("node/protected", "links", f"{len(shown) - _MANY} more reasons; see devices")
    if not uplink:
        text = "none carries a default route or the node's address, so none is known to be needed"
        remedy = "nodeAddresses in the configuration, if the node is reached by one of them"
        yield warn("node/uplink", "links", text, remedy)


def _pools(snapshot: Snapshot, config: Config) -> Iterator[Finding]:
    assignment = pools.assign(snapshot, config.pools)
    for problem in assignment.problems:
        remedy = "take the name out of the pool's ifNames, or take from the link what keeps it"
        yield fail("node/pool", "configuration", problem, remedy)
    for pool in config.pools:
        devices = assignment.of(pool)
        if devices:
            yield ok("node/pool", pool.kind, f"offers {some(one.name for one in devices)}")
        else:
            text = "selects no link of this host"
            yield warn("node/pool", pool.kind, text, "netdevice-plugin devices shows why not")


def _lent(facts: Node) -> Iterator[Finding]:
    well = []
    for one in facts.view.attachments:
        found = _loan(one, facts)
        if found is None:
            well.append(one.device)
        else:
            yield found
    for problem in facts.problems:
        yield fail("node/record", "record", problem, _RECORD)
    if well:
        text = "lent" if facts.blind else "lent, to containers that live"
        yield ok("node/lent", some(well), text)


def _loan(one: Attachment, facts: Node) -> Finding | None:
    why = f": {one.error}" if one.error else ""
    if one.phase is Phase.LOST:
        remedy = f"netdevice-plugin reclaim --forget {one.device}, if it is gone for good"
        return fail("node/lost", one.device, f"its link is not to be found{why}", remedy)
    if one.phase is Phase.STRANDED:
        text = f"{one.link.name} is home, but not as it was{why}"
        remedy = f"netdevice-plugin reclaim {one.device}, once what is in its way is gone"
        return fail("node/stranded", one.device, text, remedy)
    if one.device in facts.busy or one.device not in facts.dead:
        return None
    if one.phase is Phase.ATTACHED:
        text = "lent to a container that has ended without giving it back"
    else:
        text = f"a mover has died while {one.phase.value}"
    return warn("node/dead", one.device, text, f"netdevice-plugin reclaim {one.device}")


def _troubles(facts: Node) -> Iterator[Finding]:
    for failure in facts.failures[:_MANY]:
        remedy = "see docs/how-to/troubleshooting.md for the step; the next success removes it"
        yield warn(
            "node/failure", failure.device, f"its last run failed: {failure.message}", remedy
        )
    if len(facts.failures) > _MANY:
        text = f"{len(facts.failures) - _MANY} more have failed"
        yield warn("node/failure", "devices", text, "netdevice-plugin status shows all")
    for pin in facts.leaked:
        text = "pins a network namespace that no record needs"
        yield warn("node/pin", pin, text, f"umount {pin}; rm {pin}")


def _agent(facts: Node, config: Config, *, kubelet: bool) -> Iterator[Finding]:
    path = f"{config.run_dir}/{LOCK}"
    if facts.agent is not None:
        yield ok("node/agent", path, f"an agent is in charge (pid {facts.agent})")
    elif facts.hidden and facts.locked:
        text = "whether an agent is in charge cannot be seen: no /proc/locks"
        yield warn("node/agent", path, text, "mount the host's /proc below the root")
    elif kubelet:
        text = "no agent is in charge: pods that ask for a device stay pending"
        yield warn("node/agent", path, text, "netdevice-plugin run; or look at its DaemonSet")
    else:
        yield ok("node/agent", path, "no agent is in charge, and no kubelet would ask it")
