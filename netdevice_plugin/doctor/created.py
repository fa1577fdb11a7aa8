"""Links that are made for pods (`create`): what they are made on, and whether the kernel can."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.modules import Modules, State
from netdevice_plugin.model import Interface, Snapshot
from netdevice_plugin.provisioning import CreatedKind, Creation

_MODULES = {  # the kernel loads it by itself, when it is asked for such a link
    CreatedKind.MACVLAN: "macvlan",
    CreatedKind.IPVLAN: "ipvlan",
    CreatedKind.VLAN: "8021q",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What was seen of a pool's parent, and of the module that makes links on it."""

    create: Creation
    link: Interface | None = None
    kept: str = ""  # why it has to stay on the host
    master: str = ""
    module: State = State.UNKNOWN


def read(create: Creation, snapshot: Snapshot, modules: Modules) -> Parent:
    """Look a parent up by name or altname."""
    link = snapshot.named(create.parent)
    protection = snapshot.protection_of(link) if link else None
    above = (one.name for one in snapshot.interfaces if link and one.ifindex == link.master)
    return Parent(
        create=create,
        link=link,
        kept=protection.reason if protection and protection.hard else "",
        master=next(above, "another link") if link and link.master else "",
        module=modules.state(_MODULES[create.kind]),
    )


def check(facts: Parent) -> Iterator[Finding]:
    """Judge one pool's."""
    yield _parent(facts)
    kind, module = facts.create.kind.value, _MODULES[facts.create.kind]
    if facts.module is State.MISSING:
        remedy = f"a kernel with {module}, or its package of further modules"
        yield fail("create/kind", kind, "this kernel makes no such links", remedy)
    elif facts.module is State.UNKNOWN:
        text = "whether this kernel makes such links cannot be seen: no list of its modules"
        yield warn("create/kind", kind, text, f"modprobe {module}; or look at the whole root")
    else:
        yield ok("create/kind", kind, f"{module} is {_words(facts.module)}")


def _words(state: State) -> str:
    return "there" if state is State.LOADED else "loaded by the kernel when it is asked for one"


def _parent(facts: Parent) -> Finding:
    check, name, link = "create/parent", facts.create.parent, facts.link
    if link is None:
        return fail(check, name, "there is no such link", "correct create.parent: ip link")
    if link.lent:
        text = "is lent itself: nothing can be made on it"
        return fail(check, name, text, "take it out of the other pool")
    if facts.master:
        return fail(check, name, f"is a port of {facts.master}", f"create.parent: {facts.master}")
    if facts.kept and (link.loopback or not facts.create.allow_uplink):
        remedy = "another create.parent; or allowUplink: true, if pods may share the node's link"
        return fail(check, name, f"it {facts.kept}", remedy)
    if not link.up:
        return warn(check, name, "is down: links on it have no carrier", f"ip link set {name} up")
    text = (
        f"is there; it {facts.kept}, as allowUplink permits" if facts.kept else "is there, and up"
    )
    return ok(check, name, text)
