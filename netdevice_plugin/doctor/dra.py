"""The DRA front end: whether the kubelet can find the driver, and by which name of the node."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import socket
from collections.abc import Callable, Iterator, Mapping

from netdevice_plugin.config import Config
from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host, Process
from netdevice_plugin.doctor.kubelet import Kubelet
from netdevice_plugin.dra import sockets

NEEDED = "lightkube"  # what the extra `dra` brings

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST = 253  # characters of an object's name

Find = Callable[[str], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frontend:
    """What was seen of the way from the kubelet to the driver."""

    driver: str
    installed: bool = True  # what pip install netdevice-plugin[dra] brings
    registry: str = ""  # the directory in which the kubelet looks for sockets
    has_registry: bool = True
    registrations: Mapping[str, str] = dataclasses.field(default_factory=dict)  # fault by path
    services: Mapping[str, str] = dataclasses.field(default_factory=dict)
    agent: int | None = None  # pid of the one in charge
    node: str = ""  # as the agent calls it; empty is not known
    kubelets_node: str = ""  # as the kubelet does


def read(
    host: Host,
    config: Config,
    kubelet: Kubelet,
    agent: int | None,
    find: Find = importlib.util.find_spec,
) -> Frontend:
    """Look for sockets, and at how agent and kubelet were started."""
    registry = f"{config.kubelet_dir}/{sockets.REGISTRY}"
    data_dir = f"{config.kubelet_dir}/{sockets.PLUGINS}/{config.prefix}"
    registrations = [
        path
        for name in sockets.registrations(config.prefix)
        for path in host.glob(f"{registry}/{name}")
    ]
    return Frontend(
        driver=config.prefix,
        installed=find(NEEDED) is not None,
        registry=registry,
        has_registry=host.is_dir(registry),
        registrations={path: host.listens(path) for path in registrations},
        services={path: host.listens(path) for path in host.glob(f"{data_dir}/{sockets.SERVICES}")},
        agent=agent,
        node=_agents_node(host, agent) if agent is not None else "",
        kubelets_node=kubelet.node or _host_name(host),
    )


def _agents_node(host: Host, pid: int) -> str:
    """Find out what an agent was told that the node is called; else it is the host's name."""
    try:
        argv = host.text(f"/proc/{pid}/cmdline").split("\0")
        environment = host.text(f"/proc/{pid}/environ").split("\0")
    except OSError:
        return ""
    told = Process(pid, tuple(argv)).option("--node-name")
    named = (one.partition("=")[2] for one in environment if one.startswith("NODE_NAME="))
    return told or next(named, "") or _host_name(host)


def _host_name(host: Host) -> str:
    if host.own:
        return socket.gethostname().strip().lower()
    return host.word("/etc/hostname").lower()


def check(facts: Frontend) -> Iterator[Finding]:
    """Judge it, for a configuration that has a pool of DRA and a host that has a kubelet."""
    if not facts.installed:
        text = f"the package {NEEDED} is not installed here: an agent of this installation "
        remedy = "pip install 'netdevice-plugin[dra]'; or run the doctor of the agent's image"
        yield warn("dra/installed", "netdevice-plugin", f"{text}publishes no device", remedy)
    if facts.has_registry:
        yield from _sockets(facts)
    else:
        text = "is not there: the kubelet finds drivers by it"
        remedy = "start the kubelet, and see its log; or correct kubeletDir"
        yield fail("dra/registry", facts.registry, text, remedy)
    yield from _node(facts)


def _sockets(facts: Frontend) -> Iterator[Finding]:
    for what, found in (("registration", facts.registrations), ("service", facts.services)):
        served = [path.rpartition("/")[2] for path, fault in found.items() if not fault]
        dead = {path: fault for path, fault in found.items() if fault}
        if served:
            yield ok("dra/sockets", f"{what} socket", f"served: {some(served)}")
        elif facts.agent is not None:
            text = f"the agent in charge (pid {facts.agent}) serves none for {what}"
            remedy = (
                "see /readyz and its log; in a pod the kubelet's directories have to be mounted "
                "read-write, at the same paths"
            )
            yield fail("dra/sockets", facts.driver, text, remedy)
        for path, fault in dead.items():
            remedy = "the next agent removes it: netdevice-plugin run"
            yield warn("dra/sockets", path, fault, remedy)


def _node(facts: Frontend) -> Iterator[Finding]:
    name = facts.node or facts.kubelets_node
    remedy = "run --node-name NAME, or NODE_NAME in the agent's pod, from spec.nodeName"
    if not name:
        yield warn("dra/node", "node", "what Kubernetes calls it is not known here", remedy)
    elif len(name) > _LONGEST or not _NAME.fullmatch(name):
        yield fail("dra/node", ascii(name), "can be no node's name", remedy)
    elif facts.node and facts.kubelets_node and facts.node != facts.kubelets_node:
        text = f"so the agent calls the node, and the kubelet seems to be {facts.kubelets_node}"
        yield warn("dra/node", name, text, remedy)
    else:
        yield ok("dra/node", name, "is the name of the node, as far as can be seen here")
