"""Requests for CDI devices in the annotations of a container, for runtimes without a field.

The key is `cdi.k8s.io/<plugin>_<device id>`, the value qualified names with
commas between them (pkg/cdi/annotations.go). Runtimes still honour them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cdi.errors import InvalidNameError, quoted
from cdi.names import parse_name

PREFIX = "cdi.k8s.io/"
NAME_LIMIT = 63

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def annotation_key(plugin: str, device_id: str) -> str:
    """Make the key for one allocation; raises InvalidNameError.

    `plugin` is vendor.class by convention. Slashes in the id become underscores.
    """
    if not plugin or not device_id:
        raise InvalidNameError("a CDI annotation needs the names of a plugin and of a device")
    name = f"{plugin}_{device_id.replace('/', '_')}"
    if len(name) > NAME_LIMIT:
        raise InvalidNameError(f"CDI annotation {quoted(name)} has more than {NAME_LIMIT} letters")
    if not _NAME.fullmatch(name):
        rule = "must start and end with a letter or digit, with only these and . _ - between"
        raise InvalidNameError(f"CDI annotation {quoted(name)} {rule}")
    return PREFIX + name


def annotation_value(devices: Iterable[str]) -> str:
    """Make the value that asks for the devices; raises InvalidNameError."""
    names = [str(parse_name(device)) for device in devices]
    if not names:
        raise InvalidNameError("a CDI annotation needs at least one device")
    return ",".join(names)


def parse_annotations(annotations: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Find the devices that are asked for, by annotation key, in the order of the keys.

    Annotations of others are passed over; one of CDI's that names no device
    properly makes the whole request void: raises InvalidNameError.
    """
    requests: dict[str, tuple[str, ...]] = {}
    for key in sorted(annotations):
        if key.startswith(PREFIX):
            devices = annotations[key].split(",")
            requests[key] = tuple(str(parse_name(device)) for device in devices)
    return requests
