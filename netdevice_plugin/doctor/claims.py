"""Claims that are prepared: whether checkpoints, CDI files and the kubelet's own note agree.

A claim's checkpoint says whose a device is; its CDI file lets containers of its pods
start, again too. There is never one without the other for longer than a moment.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from cdi import codec, syntax
from cdi.errors import SpecError
from netdevice_plugin.config import Config
from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host, reason
from netdevice_plugin.dra import allocation, checkpoint, claimfiles, holdings
from netdevice_plugin.dra.claim import Allocation
from netdevice_plugin.errors import ClaimError, KubeletError

_UNREADABLE = "remove the file, unless a pod uses the claim; if one does, look what wrote it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CdiFile:
    """A claim's CDI file; without `devices` it is no Spec, or cannot be read."""

    path: str
    devices: frozenset[str] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What was seen of claims on this node."""

    data_dir: str
    fault: str = ""  # what is wrong with that directory
    prepared: tuple[Allocation, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()  # checkpoints that cannot be read, and why
    files: Mapping[str, CdiFile] = dataclasses.field(default_factory=dict)  # by the claim's uid
    cdi_dir: str = ""
    granted: Mapping[str, str] = dataclasses.field(default_factory=dict)  # device: uid of its pod
    ungranted: str = ""  # why it is not known what the device plugin's pods have


def read(host: Host, config: Config) -> Claims:
    """Look at the driver's directory below the kubelet's, and for files of claims."""
    data_dir = f"{config.kubelet_dir}/plugins/{config.prefix}"
    prepared, problems = _checkpoints(host, f"{data_dir}/claims", config.prefix)
    granted, ungranted = _granted(host, config) if prepared else ({}, "")
    return Claims(
        data_dir=data_dir,
        fault=_fault(host, data_dir),
        prepared=tuple(prepared),
        problems=tuple(problems),
        files=dict(_files(host, config)),
        cdi_dir=os.fspath(config.cdi_dir),
        granted=granted,
        ungranted=ungranted,
    )


def _fault(host: Host, path: str) -> str:
    """Say why a directory is not one that root alone can change; one that is not there is fine."""
    try:
        if not host.exists(path):
            return ""
        return host.trusted(path) if host.is_dir(path) else "is not a directory"
    except OSError as error:
        return f"cannot be looked at: {reason(error)}"


def _checkpoints(
    host: Host, directory: str, driver: str
) -> tuple[list[Allocation], list[tuple[str, str]]]:
    found: list[Allocation] = []
    problems: list[tuple[str, str]] = []
    try:
        names = host.names(directory)
    except FileNotFoundError:
        return found, problems
    except OSError as error:
        return found, [(directory, f"cannot be read: {reason(error)}")]
    for name in names:
        uid, _, form = name.rpartition(".")
        if form != "json" or not allocation.is_uid(uid):
            continue
        path = f"{directory}/{name}"
        try:
            data = host.read(path, checkpoint.MAX_SIZE)
            found.append(checkpoint.loads(data, uid, driver=driver, node=None))
        except OSError as error:
            problems.append((path, f"cannot be read: {reason(error)}"))
        except ClaimError as error:
            problems.append((path, str(error)))
    return found, problems


def _files(host: Host, config: Config) -> Iterator[tuple[str, CdiFile]]:
    stem, end = claimfiles.file_name(config.prefix, "0").split("0.")
    try:
        names = host.names(config.cdi_dir)
    except OSError:  # cdi/directory says so
        return
    for name in names:
        uid = name.removeprefix(stem).removesuffix(f".{end}")
        if name == f"{stem}{uid}.{end}" and allocation.is_uid(uid):
            path = f"{config.cdi_dir}/{name}"
            yield uid, CdiFile(path=path, devices=_devices(host, path))


def _devices(host: Host, path: str) -> frozenset[str] | None:
    try:
        spec = codec.loads(host.read(path, syntax.MAX_BYTES), source=path, format="json")
    except (OSError, SpecError):  # cdi/bad-file says so
        return None
    return frozenset(device.name for device in spec.devices)


def _granted(host: Host, config: Config) -> tuple[dict[str, str], str]:
    """Read what the device plugin's pods have; the note of a pod that has ended is an old one."""
    from netdevice_plugin.usage import checkpoint as note  # noqa: PLC0415 - protobuf

    path = config.kubelet_dir / note.NAME
    try:
        grants = note.parse(host.read(path, note.MAX_SIZE), Path(path), (config.prefix,))
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path} cannot be read: {reason(error)}"
    except KubeletError as error:
        return {}, str(error)
    living = (one for one in grants if host.is_dir(f"{config.kubelet_dir}/pods/{one.pod.uid}"))
    return {device: one.pod.uid for one in living for device in one.devices}, ""


def check(facts: Claims) -> Iterator[Finding]:
    """Judge all of it. Where nothing was ever prepared there is nothing to say."""
    if facts.fault:
        remedy = f"chown root:root {facts.data_dir}; chmod 0750 {facts.data_dir}"
        yield fail("dra/data-dir", facts.data_dir, facts.fault, remedy)
    for path, problem in facts.problems:
        yield fail("dra/checkpoint", path, problem, _UNREADABLE)
    for one in facts.prepared:
        yield from _claim(one, facts)
    yield from _nobodys(facts)
    yield from _twice(facts)


def _claim(one: Allocation, facts: Claims) -> Iterator[Finding]:
    """Compare a claim's two files."""
    name, file = str(one.claim), facts.files.get(one.claim.uid)
    wanted = {claimfiles.device_name(one.claim.uid, result) for result in one.results}
    again = "start the agent anew: it writes the files of all claims that are prepared"
    if file is None and (names := some(device for device, mac in one.macs if not mac)):
        text = f"waits for the NIC of {names}, which is attached for it"
        yield warn("dra/cdi-file", name, text, "see the agent's log if it does not come")
    elif file is None:
        text = f"is prepared, and has no CDI file in {facts.cdi_dir}: its containers cannot start"
        yield fail("dra/cdi-file", name, text, again)
    elif file.devices is not None and not wanted <= file.devices:
        missing = some(sorted(wanted - file.devices))
        yield fail("dra/cdi-file", name, f"{file.path} does not have {missing}", again)
    else:
        yield ok("dra/claim", name, f"has {some(result.device for result in one.results)}")


def _nobodys(facts: Claims) -> Iterator[Finding]:
    known = {one.claim.uid for one in facts.prepared}
    known |= {path.rpartition("/")[2].removesuffix(".json") for path, _ in facts.problems}
    for uid, file in facts.files.items():
        if uid not in known:
            text = "is of a claim that is not prepared: whoever knows its names could have a link"
            yield warn("dra/cdi-file", file.path, text, f"rm {file.path}")


def _twice(facts: Claims) -> Iterator[Finding]:
    held = holdings.held(facts.prepared)
    for device in sorted(held.keys() & facts.granted.keys()):
        pod = facts.granted[device]
        text = f"{held[device]} has it, and so has the pod with the uid {pod}, by the device plugin"
        remedy = "delete one of the pods; the mover lets only one of them have the link meanwhile"
        yield fail("dra/twice", device, text, remedy)
    if facts.ungranted:
        text = f"whether pods of the device plugin have them too is not known: {facts.ungranted}"
        yield warn("dra/twice", "claims' devices", text, "be root; see the kubelet's log")
