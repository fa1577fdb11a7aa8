"""Where the kubelet finds us, and what an instance that was killed left there.

Each instance has sockets of its own, so that the next one can be there before this
one goes; the kubelet takes the one that registered last (from 1.33 on).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import socket
import time
from pathlib import Path
from typing import Self

from netdevice_plugin.errors import ConfigError
from netdevice_plugin.serving.sockets import PATH_LIMIT, fits, socket_mark

PLUGINS = "plugins"
REGISTRY = "plugins_registry"
SERVICES = "dra-*.sock"  # in the driver's directory below PLUGINS

# Seconds after which a hidden socket that nobody listens on is no longer one in the making.
MAKING = 10.0

_PLAIN = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directory of a driver, which all its instances share, and one instance's sockets."""

    data_dir: Path
    service: Path
    registration: Path

    @classmethod
    def of(cls, kubelet_dir: Path, driver: str, instance: str) -> Self:
        """Name them, by a hash where a name is odd or leaves no room. Raises ConfigError.

        `instance` is the pod's uid, or what else nobody has at the same time.
        """
        data_dir = kubelet_dir / PLUGINS / driver
        registry = kubelet_dir / REGISTRY
        word = instance if _PLAIN.fullmatch(instance) else _digest(instance)
        return cls(
            data_dir=data_dir,
            service=_fitting(data_dir / f"dra-{word}.sock", data_dir / f"dra-{_digest(word)}.sock"),
            registration=_fitting(
                registry / f"{driver}-{word}-reg.sock",
                registry / f"{_short(driver)}-{_digest(word)}-reg.sock",
            ),
        )


def registrations(driver: str) -> tuple[str, str]:
    """Give the patterns of names that a driver's registration sockets have."""
    return f"{driver}-*-reg.sock", f"{_short(driver)}-*-reg.sock"


def sweep(paths: Paths, driver: str) -> list[Path]:
    """Remove sockets of this driver's that nobody listens on, and return them. Blocks a moment.

    Those of an instance that lives answer, and stay; so does what cannot be removed.
    """
    registry = paths.registration.parent
    found = [*paths.data_dir.glob(SERVICES), *paths.data_dir.glob(f".{SERVICES}")]
    for name in registrations(driver):
        found += [*registry.glob(name), *registry.glob(f".{name}")]
    removed = []
    for path in found:
        if _is_dead(path) and not _is_in_the_making(path):
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path)
    return removed


def _fitting(*candidates: Path) -> Path:
    for path in candidates:
        if fits(path):
            return path
    text = f"{candidates[-1].parent}: a socket's path there has more than {PATH_LIMIT} bytes"
    raise ConfigError(text, hint="kubeletDir has to be shorter, or the prefix")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _short(driver: str) -> str:
    return f"ndp-{_digest(driver)}"


def _is_dead(path: Path) -> bool:
    """Whether a socket's process is gone: there is nobody to take a connection."""
    if socket_mark(path) is None:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _is_in_the_making(path: Path) -> bool:
    """Whether it may be listened on in a moment: see `serving.endpoint`."""
    with contextlib.suppress(OSError):
        return path.name.startswith(".") and time.time() - path.lstat().st_mtime < MAKING
    return False
