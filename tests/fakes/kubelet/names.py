"""Which resource names the kubelet accepts from a device plugin. Pure.

k8s.io/kubernetes pkg/apis/core/v1/helper IsExtendedResourceName, and
apimachinery's IsQualifiedName for the name with `requests.` before it.
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def is_extended_resource(name: str) -> bool:
    """A name of somebody's own: with a prefix, which is not Kubernetes' and fits in a quota."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    prefix, _, rest = f"requests.{name}".partition("/")
    if len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix):
        return False
    return len(rest) <= 63 and bool(_NAME.fullmatch(rest))
