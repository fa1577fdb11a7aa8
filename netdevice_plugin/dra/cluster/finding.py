"""Which API server, and who we are there: a kubeconfig, or what every pod is given.

lightkube reads both; here is which of them, and every failure as one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from lightkube import ConfigError as LightkubeError
from lightkube import KubeConfig, SingleConfig
from lightkube.config.kubeconfig import SERVICE_ACCOUNT
from lightkube.config.models import User

from netdevice_plugin.errors import ConfigError

_MAX_FILE = 2**20  # bytes; PyYAML takes its time
_MAX_REASON = 300

# lightkube passes over these: without them another server would be spoken to, or none.
_NOT_DONE = frozenset({"proxy-url", "tls-server-name"})
# What parsers of somebody else's YAML raise besides errors of their own.
_SURPRISES = (OSError, LookupError, TypeError, AttributeError, ValueError, RecursionError)


def find(
    file: Path | None, environ: Mapping[str, str], account: Path = Path(SERVICE_ACCOUNT)
) -> SingleConfig:
    """Say how to reach the API server: that file, else as a pod, else $KUBECONFIG.

    ~/.kube/config is not looked at: nobody has said that the agent should. Raises ConfigError.
    """
    if file is None and environ.get("KUBERNETES_SERVICE_HOST"):
        what = f"the pod's service account ({account})"
    elif named := file or environ.get("KUBECONFIG"):
        file, what = Path(named), str(named)
    else:
        raise ConfigError(
            "there is no API server to talk to: not in a pod, and no kubeconfig",
            hint="a pool with `frontend: dra` needs one: give --kubeconfig FILE, or set KUBECONFIG",
        )
    try:
        found = (KubeConfig.from_service_account(account) if file is None else _read(file)).get()
    except (LightkubeError, yaml.YAMLError, *_SURPRISES) as error:
        raise ConfigError(
            f"{what} does not say how to reach the API server: {_reason(error)}",
            hint="give one file with --kubeconfig; in a pod, see automountServiceAccountToken",
        ) from error
    if found is None:
        raise ConfigError(f"{what} has no current context")
    return found._replace(user=found.user or User())


def _read(file: Path) -> KubeConfig:
    if file.stat().st_size > _MAX_FILE:
        raise LightkubeError(f"the file is larger than {_MAX_FILE} bytes")
    content = yaml.safe_load(file.read_text())
    found = KubeConfig.from_dict(content, fname=file)
    context = found.contexts.get(str(found.current_context))
    cluster = context.cluster if context else None
    for entry in content["clusters"]:
        if entry["name"] == cluster and (left := _NOT_DONE & entry["cluster"].keys()):
            raise LightkubeError(f"{', '.join(sorted(left))} of its cluster is not supported")
    return found


def _reason(error: Exception) -> str:
    """Say it in one line, and without what stands in the file: there are secrets in it."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        return f"{line}{error.problem}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = str(error) if isinstance(error, LightkubeError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_MAX_REASON]
