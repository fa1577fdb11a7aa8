"""The Kubernetes manifests as tests read them: parsed, found by kind, held against the schemas."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Collection, Iterable
from typing import Any

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).parents[1]
BASE = ROOT / "deploy" / "base"
INSTALL = ROOT / "install.yaml"
# From the first that takes CDI names by default; the last is the newest that the validator knows
# and the project has been read against.
VERSIONS = tuple(f"1.{minor}" for minor in range(29, 37))

Object = dict[str, Any]

# Since when Kubernetes has what not all of them have.
_SINCE = {
    "appArmorProfile": "1.30",
    "admissionregistration.k8s.io/v1": "1.30",
    "resource.k8s.io/v1": "1.34",
}


def parse(text: str) -> list[Object]:
    """All documents of a YAML file; empty ones are none."""
    return [document for document in yaml.safe_load_all(text) if document]


def validate(objects: Iterable[Object], version: str) -> None:
    """Fail unless each is what that Kubernetes takes, without a key that it does not know."""
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def versions(objects: Iterable[Object]) -> tuple[str, ...]:
    """Which versions have all that is in these."""
    text = json.dumps(list(objects))
    first = max(
        (VERSIONS.index(since) for word, since in _SINCE.items() if f'"{word}"' in text), default=0
    )
    return VERSIONS[first:]


def takes(objects: Collection[Object]) -> None:
    """Fail unless every version that can takes them."""
    for version in versions(objects):
        validate(objects, version)


def only(objects: Iterable[Object], kind: str) -> Object:
    """The one object of that kind."""
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def pod_spec(objects: Iterable[Object]) -> Object:
    """The specification of the DaemonSet's pods."""
    spec: Object = only(objects, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def configuration(objects: Iterable[Object]) -> str:
    """The agent's configuration file."""
    text: str = only(objects, "ConfigMap")["data"]["config.yaml"]
    return text
