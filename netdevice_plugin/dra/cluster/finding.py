"""Where the API server is: what every pod is told, or a kubeconfig."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from netdevice_plugin.dra.cluster import kubeconfig
from netdevice_plugin.dra.cluster.access import Access, Material
from netdevice_plugin.errors import ConfigError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def find(file: Path | None, environ: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Say how to reach the API server: that file, else as a pod, else $KUBECONFIG.

    Raises ConfigError for what is wrong as written, ClusterError for what cannot be read.
    """
    if file is not None:
        return kubeconfig.read(file)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ, account)
    named = [Path(one) for one in environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    if len(named) > 1:
        raise ConfigError(
            "KUBECONFIG names several files; they are not merged here",
            hint="give one with --kubeconfig",
        )
    if named:
        return kubeconfig.read(named[0])
    raise ConfigError(
        "there is no API server to talk to: not in a pod, and no kubeconfig",
        hint="a pool with `frontend: dra` needs one: give --kubeconfig FILE, or set KUBECONFIG",
    )


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Take what every pod is given; raises ConfigError."""
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"KUBERNETES_SERVICE_PORT: {port[:40]!r} is no port")
    return Access(
        host=environ["KUBERNETES_SERVICE_HOST"],
        port=int(port),
        authorities=Material(path=account / "ca.crt"),
        token=Material(path=account / "token"),
    )
