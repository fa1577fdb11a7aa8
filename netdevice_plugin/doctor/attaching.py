"""Who attaches NICs to this machine (`ports`): whether the agent can reach them.

What the configuration names is looked for where the agent in charge sees it: in a
pod that is the image, and what is mounted there.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.provisioning import PortProvider

NEEDED = "openstack"  # what the extra of that name brings

_CLOUDS = "/etc/openstack/clouds.yaml"  # the last place that openstacksdk looks at, and ours
_VARIABLES = ("OS_CLIENT_CONFIG_FILE=", "OS_AUTH_URL=")

Find = Callable[[str], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What was seen of a pool's provider."""

    pool: str  # its kind
    provider: PortProvider
    fault: str = ""
    sure: bool = True  # seen as the agent in charge sees it
    configured: bool = True  # of OpenStack: where it is, and as whom


def read(
    host: Host,
    kind: str,
    provider: PortProvider,
    agent: int | None,
    find: Find = importlib.util.find_spec,
) -> Provider:
    """Look at program, socket or package."""
    inside = host.seen_by(agent) if agent is not None else None
    place = inside or host
    fault = ""
    if provider.command:
        path = provider.command[0]
        fault = "" if place.executable(path) else f"{path} is no program"
    elif provider.grpc:
        fault = place.listens(provider.grpc)
        fault = fault and f"{provider.grpc} {fault}"
    elif find(NEEDED) is None:
        fault = "openstacksdk is not installed here"
    return Provider(
        pool=kind,
        provider=provider,
        fault=fault,
        sure=inside is not None and not provider.openstack,
        configured=not provider.openstack or _configured(host, place, agent),
    )


def _configured(host: Host, place: Host, agent: int | None) -> bool:
    if place.exists(_CLOUDS):
        return True
    try:
        environment = host.text(f"/proc/{agent}/environ").split("\0") if agent is not None else []
    except OSError:
        return True  # it cannot be seen, which is no reason to complain
    return any(one.startswith(_VARIABLES) for one in environment)


def check(facts: Provider) -> Iterator[Finding]:
    """Judge one pool's."""
    remedy = _remedy(facts.provider)
    if not facts.fault:
        yield ok("ports/provider", facts.pool, f"its port provider is there: {_name(facts)}")
    elif facts.sure:
        yield fail("ports/provider", facts.pool, f"gets no NICs: {facts.fault}", remedy)
    else:
        yield warn("ports/provider", facts.pool, f"as seen from here, {facts.fault}", remedy)
    if not facts.configured:
        text = f"the agent has neither {_CLOUDS} nor OS_AUTH_URL"
        yield warn("ports/cloud", facts.pool, text, "deploy/components/ports, with a Secret")


def _name(facts: Provider) -> str:
    provider = facts.provider
    if provider.command:
        return PurePosixPath(provider.command[0]).name
    return str(provider.grpc) if provider.grpc else "OpenStack"


def _remedy(provider: PortProvider) -> str:
    if provider.command:
        return "put the program where the agent runs: into its image, or a mount of its pod"
    if provider.grpc:
        return "start the provider, and mount its socket's directory into the agent's pod"
    return "pip install 'netdevice-plugin[openstack]'; or run the doctor of the agent's image"
