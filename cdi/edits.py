"""Apply container edits to an OCI runtime configuration, as the container runtimes do.

Pure but for the look-up of host device nodes, which is passed in. The semantics
are the reference library's (pkg/cdi/container-edits.go, 1.1.0).
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

from cdi.codec import encode_intel_rdt
from cdi.errors import InjectionError, OciError, Problem, printable, reason
from cdi.model import ContainerEdits, DeviceNode, Hook, Mount, NetDevice
from cdi.syntax import Plain

Object = dict[str, Plain]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostDevice:
    """A device node of the host."""

    type: str  # b, c or p
    major: int
    minor: int
    mode: int  # permission bits


Lookup = Callable[[str], HostDevice]


def host_device(path: str) -> HostDevice:
    """Look a device node up; raises OSError. A symbolic link is not followed, as in runtimes."""
    status = os.lstat(path)
    mode = status.st_mode
    kinds = (("b", stat.S_ISBLK(mode)), ("c", stat.S_ISCHR(mode)), ("p", stat.S_ISFIFO(mode)))
    kind = next((letter for letter, is_kind in kinds if is_kind), "")
    if not kind:
        raise OSError("it is not a device node")
    number = 0 if kind == "p" else status.st_rdev
    return HostDevice(
        type=kind, major=os.major(number), minor=os.minor(number), mode=stat.S_IMODE(mode)
    )


def inject(
    config: object,
    edits: ContainerEdits,
    *,
    lookup: Lookup = host_device,
    source: str = "<config>",
) -> Object:
    """Return the configuration with the edits made; the one given stays as it is.

    What is not touched is shared between both. Sections that are missing or null
    are made. Raises OciError, naming the place, where the configuration is not
    what OCI says, and InjectionError where a host device is not what is asked for.
    """
    editor = _Editor(config, source)
    if edits.env:
        _add_env(editor, edits.env)
    for node in edits.device_nodes:
        _add_device(editor, node, lookup)
    if edits.net_devices:
        _add_net_devices(editor, edits.net_devices)
    if edits.mounts:
        _add_mounts(editor, edits.mounts)
    for hook in edits.hooks:
        editor.array("hooks", hook.hook_name).append(_oci_hook(hook))
    if edits.intel_rdt is not None:
        editor.section("linux")["intelRdt"] = encode_intel_rdt(edits.intel_rdt)
    if edits.additional_gids:
        _add_gids(editor, edits.additional_gids)
    return editor.config


class _Editor:
    """Copies each section of the configuration when it is first asked for."""

    def __init__(self, config: object, source: str) -> None:
        self.source = source
        self._sections: dict[tuple[str, ...], Object] = {}
        self._arrays: dict[tuple[str, ...], list[Plain]] = {}
        if not isinstance(config, dict):
            self.fail("", "must be an object")
        self.config: Object = dict(config)

    def section(self, *path: str) -> Object:
        """Return our own copy of the object there, made if missing."""
        if not path:
            return self.config
        if path not in self._sections:
            parent = self.section(*path[:-1])
            value = parent.get(path[-1])
            if not isinstance(value, dict | None):
                self.fail(".".join(path), "must be an object")
            parent[path[-1]] = self._sections[path] = dict(value or {})
        return self._sections[path]

    def array(self, *path: str) -> list[Plain]:
        """Return our own copy of the list there, made if missing."""
        if path not in self._arrays:
            parent = self.section(*path[:-1])
            value = parent.get(path[-1])
            if not isinstance(value, list | None):
                self.fail(".".join(path), "must be a list")
            parent[path[-1]] = self._arrays[path] = list(value or ())
        return self._arrays[path]

    def objects(self, *path: str) -> Iterator[Object]:
        """Go through a list that must have objects only."""
        for index, item in enumerate(self.array(*path)):
            if not isinstance(item, dict):
                self.fail(f"{'.'.join(path)}[{index}]", "must be an object")
            yield item

    def fail(self, path: str, message: str) -> NoReturn:
        """Raise OciError for one place."""
        raise OciError([Problem(source=self.source, path=path, message=message)])


def _add_env(editor: _Editor, env: Iterable[str]) -> None:
    """Set variables, each where one of its name is already, else at the end."""
    entries = editor.array("process", "env")
    places: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, str):
            editor.fail(f"process.env[{index}]", "must be a string")
        places[entry.partition("=")[0]] = index
    for entry in env:
        name = entry.partition("=")[0]
        if name in places:
            entries[places[name]] = entry
        else:
            places[name] = len(entries)
            entries.append(entry)


def _add_device(editor: _Editor, node: DeviceNode, lookup: Lookup) -> None:
    """Add a node, instead of one with its path, and allow the container to use it."""
    filled = _fill(node, lookup)
    devices = editor.array("linux", "devices")
    devices[:] = [d for d in editor.objects("linux", "devices") if d.get("path") != node.path]
    devices.append(_oci_device(filled, editor))
    if filled.type in ("b", "c"):
        rule: Object = {
            "allow": True,
            "type": filled.type,
            "major": filled.major,
            "minor": filled.minor,
            "access": node.permissions or "rwm",
        }
        editor.array("linux", "resources", "devices").append(rule)


def _fill(node: DeviceNode, lookup: Lookup) -> DeviceNode:
    """Take from the host what the Spec leaves out.

    A node whose type and major number are given needs none on the host, but gets
    its mode if there is one. A FIFO has no number.
    """
    complete = bool(node.type) and (node.major != 0 or node.type == "p")
    path = node.host_path or node.path
    try:
        found = lookup(path)
    except OSError as error:
        if complete:
            return node
        raise InjectionError(f"host device {printable(path)}: {reason(error)}") from error
    mode = found.mode if node.file_mode is None else node.file_mode
    if complete:
        return dataclasses.replace(node, file_mode=mode)
    if node.type and node.type != found.type:
        wanted = f"is of type {found.type}, not {node.type}"
        raise InjectionError(f"host device {printable(path)}: {wanted}")
    filled = dataclasses.replace(node, type=found.type, file_mode=mode)
    if found.type == "p" or node.major:
        return filled
    return dataclasses.replace(filled, major=found.major, minor=found.minor)


def _oci_device(node: DeviceNode, editor: _Editor) -> Object:
    device: Object = {
        "path": node.path,
        "type": node.type,
        "major": node.major,
        "minor": node.minor,
    }
    owner: Object = {
        "fileMode": node.file_mode,
        "uid": _process_id(editor, "uid") if node.uid is None else node.uid,
        "gid": _process_id(editor, "gid") if node.gid is None else node.gid,
    }
    return device | {key: value for key, value in owner.items() if value is not None}


def _process_id(editor: _Editor, key: str) -> int | None:
    """The user or group of the process: it owns the nodes that say nothing else."""
    process = editor.config.get("process")
    user = process.get("user") if isinstance(process, dict) else None
    number = user.get(key) if isinstance(user, dict) else None
    if not isinstance(number, int | None) or isinstance(number, bool):
        editor.fail(f"process.user.{key}", "must be an integer")
    return number or None


def _add_net_devices(editor: _Editor, net_devices: Iterable[NetDevice]) -> None:
    section = editor.section("linux", "netDevices")
    for net in net_devices:
        section[net.host_interface_name] = {"name": net.name}


def _add_mounts(editor: _Editor, mounts: Iterable[Mount]) -> None:
    """Add mounts, each instead of one with its destination, parents before what is in them."""
    entries = list(editor.objects("mounts"))
    for index, entry in enumerate(entries):
        if not isinstance(entry.get("destination"), str):
            editor.fail(f"mounts[{index}].destination", "must be a string")
    for mount in mounts:
        entries = [entry for entry in entries if entry["destination"] != mount.container_path]
        entries.append(_oci_mount(mount))
    in_order = sorted(entries, key=_depth)
    editor.array("mounts")[:] = in_order


def _depth(mount: Object) -> int:
    """Count the components of the destination; the sort is stable, as it is in runtimes."""
    cleaned = posixpath.normpath(str(mount["destination"])).replace("//", "/")
    return cleaned.count("/")


def _oci_mount(mount: Mount) -> Object:
    members: Object = {
        "destination": mount.container_path,
        "type": mount.type,
        "source": mount.host_path,
        "options": [*mount.options],
    }
    return {key: value for key, value in members.items() if value}


def _oci_hook(hook: Hook) -> Object:
    members: Object = {
        "path": hook.path,
        "args": [*hook.args],
        "env": [*hook.env],
        "timeout": hook.timeout,
    }
    return {key: value for key, value in members.items() if value}


def _add_gids(editor: _Editor, gids: Iterable[int]) -> None:
    """Add groups to the process, none twice; 0 says nothing (SPEC.md, additionalGids)."""
    present = editor.array("process", "user", "additionalGids")
    for index, gid in enumerate(present):
        if not isinstance(gid, int):
            editor.fail(f"process.user.additionalGids[{index}]", "must be an integer")
    present += [gid for gid in dict.fromkeys(gids) if gid and gid not in present]
