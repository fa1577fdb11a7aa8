"""Links that are made for pods (`create`): what they are made on, and whether the kernel can."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from netdevice_plugin import making
from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.modules import Modules, State
from netdevice_plugin.making import Shared
from netdevice_plugin.model import Pool, Snapshot
from netdevice_plugin.pools import Assignment
from netdevice_plugin.provisioning import CreatedKind

_MODULES = {  # the kernel loads it by itself, when it is asked for such a link
    CreatedKind.MACVLAN: "macvlan",
    CreatedKind.IPVLAN: "ipvlan",
    CreatedKind.VLAN: "8021q",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What was seen of a pool's parent, and of the module that makes links on it."""

    shared: Shared
    uplink: str = ""  # why the parent is the node's own
    master: str = ""
    faults: tuple[tuple[str, str], ...] = ()  # of devices alone, by name
    module: State = State.UNKNOWN


def read(
    several: Sequence[Pool], assignment: Assignment, snapshot: Snapshot, modules: Modules
) -> Iterator[Parent]:
    """Look at the parent of each pool that makes its links, by name or altname."""
    protections = {one.ifindex: one for one in snapshot.protected}
    for shared in making.parents(snapshot, several, protections):
        protection = protections.get(shared.parent.ifindex)
        above = (one.name for one in snapshot.interfaces if one.ifindex == shared.parent.master)
        devices = () if shared.obstacle else assignment.of(shared.pool)
        names = [one.name for one in devices if one.name not in snapshot.bereft]
        yield Parent(
            shared=shared,
            uplink=protection.reason if protection and protection.uplink else "",
            master=next(above, ""),
            faults=tuple((one, why) for one in names if (why := assignment.faults.get(one))),
            module=modules.state(_MODULES[shared.creation.kind]),
        )


def check(facts: Parent) -> Iterator[Finding]:
    """Judge one pool's."""
    yield _parent(facts)
    kind = facts.shared.creation.kind
    module = _MODULES[kind]
    if facts.module is State.MISSING:
        remedy = f"a kernel with {module}, or its package of further modules"
        yield fail("create/kind", kind.value, "this kernel makes no such links", remedy)
    elif facts.module is State.UNKNOWN:
        text = "whether this kernel makes such links cannot be seen: no list of its modules"
        yield warn("create/kind", kind.value, text, f"modprobe {module}; or look at the whole root")
    else:
        yield ok("create/kind", kind.value, f"{module} is {_words(facts.module)}")


def _words(state: State) -> str:
    return "there" if state is State.LOADED else "loaded by the kernel when it is asked for one"


def _parent(facts: Parent) -> Finding:
    check, name = "create/parent", facts.shared.creation.parent
    if facts.shared.obstacle:
        return fail(check, name, facts.shared.obstacle, _remedy(facts))
    if facts.faults:
        text = f"does not do for {some(one for one, _ in facts.faults)}: {facts.faults[0][1]}"
        return fail(check, name, text, "take that out of the pool, or what is there already away")
    if facts.uplink:
        return ok(check, name, f"is there; it {facts.uplink}, as allowUplink permits")
    return ok(check, name, "is there, and up")


def _remedy(facts: Parent) -> str:
    parent = facts.shared.parent
    if not facts.shared.here:
        return "correct create.parent: ip link"
    if parent.lent:
        return "take it out of the other pool"
    if facts.shared.problem:
        return "another create.parent; or allowUplink: true, if pods may share the node's link"
    if facts.master:
        return f"create.parent: {facts.master}"
    if parent.link_type == "ether" and not parent.up:
        return f"ip link set {parent.name} up"
    return "another create.parent, or another kind"
