"""What was prepared, on disk: a file for each claim, so that one that is broken harms no other.

    {"format": 1, "claim": {"metadata": …, "status": {"allocation": …}}, "nics": {DEVICE: MAC}}

The claim is what `allocation` reads, cut down to what is ours: all else follows from
it and from the inventory as it is by then, with or without an API server. `nics` is
there only for devices whose NIC is attached for the claim; the MAC is empty until then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

from cdi import StoreError, files
from cdi.errors import reason
from netdevice_plugin import fields
from netdevice_plugin.dra import allocation
from netdevice_plugin.dra.claim import Allocation, ClaimRef
from netdevice_plugin.errors import ClaimError

FORMAT = 1
MAX_SIZE = 2 * 2**20  # bytes; 64 entries of parameters have 640 KiB
MODE = 0o600

_EXTENSION = ".json"
_REMEDY = "remove the file, unless a pod uses the claim; the kubelet prepares it again if one does"

_Signature = tuple[int, int, int, int]


def dumps(made: Allocation, driver: str) -> bytes:
    """Write a checkpoint: the same allocation, the same bytes. Raises ClaimError."""
    content: dict[str, object] = {"format": FORMAT, "claim": allocation.encode(made, driver)}
    if made.macs:
        content["nics"] = dict(made.macs)
    try:
        text = json.dumps(content, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise ClaimError(f"{made.claim}: its parameters cannot be written: {error}") from error
    return text.encode() + b"\n"


def loads(data: bytes, uid: str, *, driver: str, node: str | None) -> Allocation:
    """Read a checkpoint of the claim with that uid; `node` None is any. Raises ClaimError."""
    if len(data) > MAX_SIZE:
        raise ClaimError(f"has more than {MAX_SIZE} bytes")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ClaimError("is not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ClaimError(f"is not of format {FORMAT}")
    ref = _reference(content.get("claim"), uid)
    found = allocation.decode(content["claim"], ref, driver=driver, node=node)
    return dataclasses.replace(found, macs=_macs(content.get("nics", {})))


def _macs(found: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(found, dict) or len(found) > allocation.MAX_RESULTS:
        raise ClaimError("does not say which NICs it has")
    try:
        macs = {device: "" if mac == "" else fields.mac(mac) for device, mac in found.items()}
    except (TypeError, ValueError) as error:
        raise ClaimError("has a NIC without a MAC") from error
    return tuple(sorted(macs.items()))


def _reference(claim: object, uid: str) -> ClaimRef:
    metadata = claim.get("metadata") if isinstance(claim, Mapping) else None
    names = metadata if isinstance(metadata, Mapping) else {}
    namespace, name = names.get("namespace"), names.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        raise ClaimError("does not say whose it is")
    return ClaimRef(namespace=namespace, name=name, uid=uid)


def left_behind(plugins: Path, driver: str) -> dict[str, int]:
    """Count the checkpoints of ours of other drivers, below the kubelet's `plugins`. Blocks.

    Nobody unprepares them before an agent with that prefix is there again. What
    cannot be read counts for nothing.
    """
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for path in plugins.glob("*/claims/*.json"):
            other = path.parent.parent.name
            if other != driver and _is_ours(path, other):
                found[other] = found.get(other, 0) + 1
    return found


def _is_ours(path: Path, driver: str) -> bool:
    with contextlib.suppress(OSError, ClaimError):
        loads(files.read_bytes(path), path.stem, driver=driver, node=None)
        return True
    return False


class Directory:
    """The checkpoints of one driver on one node; `node` None is whichever it is. Blocks.

    `scan` and the changes are for one thread at a time; writes of different claims
    are independent. What another instance changes is seen at the next scan.
    """

    def __init__(self, path: Path, *, driver: str, node: str | None) -> None:
        self.path = path
        self._driver = driver
        self._node = node
        self._seen: dict[str, tuple[_Signature, Allocation | str]] = {}

    def scan(self) -> tuple[dict[str, Allocation], tuple[str, ...]]:
        """Read all claims by uid, each file again only if it has changed; and what is wrong.

        Raises ClaimError if the directory cannot be read.
        """
        seen: dict[str, tuple[_Signature, Allocation | str]] = {}
        for uid, signature in self._list():
            known = self._seen.get(uid)
            if known is None or known[0] != signature:
                known = (signature, self._read(uid))
            seen[uid] = known
        self._seen = seen
        found = {uid: one for uid, (_, one) in seen.items() if isinstance(one, Allocation)}
        return found, tuple(one for _, one in seen.values() if isinstance(one, str))

    def look(self, uid: str) -> Allocation | None:
        """Read one claim's file; None if there is none that can be read."""
        found = self._read(uid)
        return found if isinstance(found, Allocation) else None

    def has(self, uid: str) -> bool:
        """Whether there is a file, of whatever content."""
        return os.path.lexists(self._file(uid))

    def write(self, uid: str, data: bytes) -> None:
        """Put a claim's file there, whole and to last, if it is another. Raises ClaimError."""
        try:
            files.write_bytes(self._file(uid), data, mode=MODE)
        except StoreError as error:
            raise ClaimError(str(error), hint="claims are prepared once it can be") from error

    def remove(self, uid: str) -> None:
        """Take a claim's file away, if there is one. Raises ClaimError."""
        try:
            files.remove(self.path, f"{uid}{_EXTENSION}")
        except StoreError as error:
            raise ClaimError(str(error), hint="the claim has its devices until it is") from error

    def _file(self, uid: str) -> Path:
        return self.path / f"{uid}{_EXTENSION}"

    def _list(self) -> list[tuple[str, _Signature]]:
        try:
            with os.scandir(self.path) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            hint = "no claim is served until it can be: it holds what is prepared"
            raise ClaimError(f"cannot read {self.path}: {reason(error)}", hint=hint) from error
        return sorted(
            (name.removesuffix(_EXTENSION), (it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns))
            for name, it in found
            if name.endswith(_EXTENSION) and allocation.is_uid(name.removesuffix(_EXTENSION))
        )

    def _read(self, uid: str) -> Allocation | str:
        path = self._file(uid)
        try:
            data = files.read_bytes(path)
            return loads(data, uid, driver=self._driver, node=self._node)
        except OSError as error:
            return f"{path} cannot be read: {reason(error)}; {_REMEDY}"
        except ClaimError as error:
            return f"{path}: {error}; {_REMEDY}"
