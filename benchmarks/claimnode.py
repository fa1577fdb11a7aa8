"""A node with claims to measure: an API server, who looks on at it, and the real agent."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.node import Agent, Follower, Peer, agent, configuration, scratch
from benchmarks.numbers import Samples

DRIVER = "networking.k8s.io"
NODE = "node"
POOL = f"{NODE}/netdevice"

# Where the kubelet has its directory: what is prepared has to survive a reboot.
_DISK = "/var/tmp"  # noqa: S108 - a directory of our own in it

Ref = tuple[str, str, str]  # namespace, name, uid
_WRITES = ("create", "update", "delete")


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What the API server was asked: seconds of CLOCK_MONOTONIC, verb and resource of each."""

    requests: tuple[tuple[float, str, str], ...]

    def writes(self) -> tuple[float, ...]:
        """When slices were written."""
        return tuple(
            at for at, verb, what in self.requests if what == "resourceslices" and verb in _WRITES
        )


class Cluster(Peer):
    """The process of benchmarks/cluster.py."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        super().__init__("cluster", kubeconfig, NODE)

    def claims(self, devices: Iterable[str]) -> tuple[Ref, ...]:
        """Make a claim for each device, allocated to it."""
        said = self.ask(f"claims {DRIVER} {POOL} {' '.join(devices)}", "claims")
        return tuple((namespace, name, uid) for namespace, name, uid in said["refs"])

    def asked(self) -> Asked:
        """What it was asked since the last time that this was called."""
        said = self.ask("asked", "asked")["requests"]
        return Asked(tuple((at, verb, resource) for at, verb, resource in said))


class Consumer(Follower):
    """The process of benchmarks/consumer.py: a device counts when all slices of its pool agree."""

    def __init__(self, directory: pathlib.Path, kubeconfig: pathlib.Path) -> None:
        self.mtus: dict[str, int] = {}
        self.addressed: dict[str, int] = {}  # when each was first seen with an IPv4 address
        super().__init__("consumer", directory, kubeconfig, DRIVER, NODE)

    def claim(self, what: str, claims: Sequence[Ref], rounds: int) -> dict[str, Samples]:
        """Have it work with claims; the seconds of each step."""
        wish = json.dumps({"do": what, "claims": claims, "rounds": rounds})
        said = self.ask(wish, "claimed")
        return {
            name: Samples(tuple(times)) for name, times in said.items() if isinstance(times, list)
        }

    def _note(self, said: dict[str, Any]) -> None:
        for name, fields in said.get("fields", {}).items():
            self.mtus[name] = fields["mtu"]
            if fields["ipv4"]:
                self.addressed.setdefault(name, said["at"])
        for name in said.get("removed", ()):
            self.mtus.pop(name, None)
        super()._note(said)


@contextlib.contextmanager
def claim_node() -> Iterator[tuple[Cluster, Consumer, Agent]]:
    """Start all three in this thread's namespace, the agent with every ifb in one pool."""
    with scratch() as directory, scratch(_DISK) as disk, contextlib.ExitStack() as stack:
        kubeconfig = directory / "kubeconfig"
        cluster = stack.enter_context(contextlib.closing(Cluster(kubeconfig)))
        consumer = Consumer(disk / "kubelet", kubeconfig)
        stack.enter_context(contextlib.closing(consumer))
        config = configuration(directory, disk / "kubelet", "dra")
        options = ("--node-name", NODE, "--kubeconfig", kubeconfig)
        yield (
            cluster,
            consumer,
            stack.enter_context(agent(directory, config, cluster, consumer, options=options)),
        )
