"""How an agent is run: what the command line says, beside the configuration."""

from __future__ import annotations

import dataclasses
import socket
import uuid
from pathlib import Path

from netdevice_plugin.config import Config
from netdevice_plugin.operations.http import Listen

# What a reload cannot change: sockets, records and files are there already.
FIXED = {
    "cdi_dir": "cdiDir",
    "run_dir": "runDir",
    "kubelet_dir": "kubeletDir",
    "registration": "registration",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one process, from its start to its end.

    `instance` tells one agent from the next one on the node; a container that is
    restarted keeps it. `host_proc` is where the host's /proc is seen.
    `node_name` and `kubeconfig` are for DRA alone.
    """

    config_file: Path | None = None
    interfaces: tuple[str, ...] = ()
    run_dir: Path | None = None
    kubelet_dir: Path | None = None
    node_addresses: tuple[str, ...] = ()  # beside those of the configuration
    kubelet: bool = True
    reclaim: bool = False
    listen: Listen | None = None
    instance: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    host_proc: Path = Path("/proc")
    node_name: str = ""  # as Kubernetes calls it; empty is this machine's host name
    kubeconfig: Path | None = None  # without one, that of the pod that the agent is in

    @property
    def node(self) -> str:
        """The node's name, as the kubelet makes it where nobody says."""
        return self.node_name or socket.gethostname().strip().lower()

    def over(self, config: Config) -> Config:
        """Let the command line have its way."""
        if self.run_dir:
            config = dataclasses.replace(config, run_dir=self.run_dir)
        if self.kubelet_dir:
            config = dataclasses.replace(config, kubelet_dir=self.kubelet_dir)
        if self.node_addresses:
            known = dict.fromkeys((*config.node_addresses, *self.node_addresses))
            config = dataclasses.replace(config, node_addresses=tuple(known))
        return config
