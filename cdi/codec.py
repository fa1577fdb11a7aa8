"""A Spec to plain values and bytes, and back, with every rule that a CDI file is held to.

The rules are those of the reference library (pkg/cdi, 1.1.0) and those that the
specification (SPEC.md) adds and the library forgets. Nothing here opens a file.
"""

from __future__ import annotations

import re

from cdi import names, syntax, versions
from cdi.errors import quoted
from cdi.model import (
    ContainerEdits,
    Device,
    DeviceNode,
    Hook,
    IntelRdt,
    Mount,
    NetDevice,
    Spec,
)
from cdi.reader import Fields, Report, Value
from cdi.syntax import Format, Plain

HOOK_NAMES = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)
INT64 = 2**63 - 1
UINT32 = 2**32 - 1
ANNOTATIONS_LIMIT = 256 << 10  # bytes, keys and values together; as in Kubernetes
CLOS_ID_LIMIT = 4095

_ANNOTATION_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def loads(data: bytes | str, *, source: str = "<data>", format: Format = "json") -> Spec:
    """Read a Spec from bytes; raises SpecError with every problem, whatever the bytes are."""
    return decode(syntax.parse(data, source=source, format=format), source=source)


def dumps(spec: Spec, format: Format = "json", *, source: str = "<spec>") -> bytes:
    """Write a Spec: the same Spec gives the same bytes, on every machine.

    Raises SpecError for what `loads` would refuse, and for annotation keys that
    are not Kubernetes' kind of name: today's library does not look at them, but
    means to.
    """
    return syntax.dump(checked(spec, source=source), format)


def checked(spec: Spec, *, source: str) -> dict[str, Plain]:
    """Turn a Spec into plain values that may be written; raises SpecError as `dumps` does."""
    plain = encode(spec)
    decode(plain, source=source)
    report = Report(source)
    _check_annotation_keys(spec, report)
    report.finish()
    return plain


def encode(spec: Spec) -> dict[str, Plain]:
    """Turn a Spec into plain values, in the order of the specification; checks nothing."""
    return _without_empty(
        cdiVersion=spec.version,
        kind=spec.kind,
        annotations=dict(spec.annotations),
        devices=[_encode_device(device) for device in spec.devices],
        containerEdits=encode_edits(spec.edits),
    )


def encode_edits(edits: ContainerEdits) -> dict[str, Plain]:
    """Turn container edits into plain values; checks nothing."""
    plain = _without_empty(
        env=list(edits.env),
        deviceNodes=[_encode_device_node(node) for node in edits.device_nodes],
        netDevices=[
            {"hostInterfaceName": net.host_interface_name, "name": net.name}
            for net in edits.net_devices
        ],
        hooks=[_encode_hook(hook) for hook in edits.hooks],
        mounts=[_encode_mount(mount) for mount in edits.mounts],
    )
    if edits.intel_rdt is not None:  # says something even when empty
        plain["intelRdt"] = encode_intel_rdt(edits.intel_rdt)
    return plain | _without_empty(additionalGids=list(edits.additional_gids))


def encode_intel_rdt(rdt: IntelRdt) -> dict[str, Plain]:
    """Turn resctrl settings into plain values; OCI has the same keys."""
    return _without_empty(
        closID=rdt.clos_id,
        l3CacheSchema=rdt.l3_cache_schema,
        memBwSchema=rdt.mem_bw_schema,
        schemata=list(rdt.schemata),
        enableMonitoring=rdt.enable_monitoring,
    )


def _encode_device(device: Device) -> dict[str, Plain]:
    plain = _without_empty(name=device.name, annotations=dict(device.annotations))
    plain["containerEdits"] = encode_edits(device.edits)
    return plain


def _encode_device_node(node: DeviceNode) -> dict[str, Plain]:
    plain = _without_empty(
        path=node.path,
        hostPath=node.host_path,
        type=node.type,
        major=node.major,
        minor=node.minor,
        permissions=node.permissions,
    )
    optional = (("fileMode", node.file_mode), ("uid", node.uid), ("gid", node.gid))
    return plain | {key: value for key, value in optional if value is not None}


def _encode_hook(hook: Hook) -> dict[str, Plain]:
    plain = _without_empty(
        hookName=hook.hook_name, path=hook.path, args=list(hook.args), env=list(hook.env)
    )
    return plain if hook.timeout is None else plain | {"timeout": hook.timeout}


def _encode_mount(mount: Mount) -> dict[str, Plain]:
    return _without_empty(
        hostPath=mount.host_path,
        containerPath=mount.container_path,
        options=list(mount.options),
        type=mount.type,
    )


def _without_empty(**members: object) -> dict[str, Plain]:
    return {key: value for key, value in members.items() if value}  # type: ignore[misc]


def decode(plain: object, *, source: str = "<spec>") -> Spec:
    """Turn plain values into a Spec; raises SpecError with every problem and its place.

    A null counts as an absent member, as it does for the reference library.
    """
    report = Report(source)
    top = Value(plain, report).fields(
        "cdiVersion", "kind", "annotations", "devices", "containerEdits"
    )
    version = top.required("cdiVersion").removeprefix("v")
    kind = _kind(top)
    devices_member = top.need("devices")
    devices = top.each("devices", _device)
    if devices_member and devices_member.raw == []:
        devices_member.problem("is empty: a Spec has at least one device")
    _check_unique(top.get("devices"), "name")
    edits = _edits(top.get("containerEdits"))
    annotations = _annotations(top.get("annotations"))
    spec = Spec(kind=kind, devices=devices, edits=edits, annotations=annotations, version=version)
    _check_version(top.get("cdiVersion"), spec)
    report.finish()
    return spec


def _check_version(member: Value | None, spec: Spec) -> None:
    if member is None or not isinstance(member.raw, str) or not member.raw:
        return
    if spec.version not in versions.KNOWN:
        known = f"{versions.EARLIEST} to {versions.LATEST}"
        member.problem(f"unknown version {quoted(member.raw)}; {known} can be read")
        return
    needed, path = versions.newest_feature(spec)
    if versions.is_lower(spec.version, needed):
        why = f"needed for {path}" if path else "the earliest that runtimes read"
        member.problem(f"{spec.version} is lower than {needed}, {why}")


def _kind(top: Fields) -> str:
    kind = top.required("kind")
    fault = names.kind_fault(kind)
    member = top.get("kind")
    if kind and fault and member:
        member.problem(fault)
    return kind


def _device(value: Value) -> Device:
    fields = value.fields("name", "annotations", "containerEdits")
    name = fields.required("name")
    member = fields.get("name")
    if name and member and (fault := names.device_fault(name)):
        member.problem(fault)
    member = fields.need("containerEdits")
    edits = _edits(member)
    hollow = member and isinstance(member.raw, dict) and not any(member.raw.values())
    if member and hollow and edits == ContainerEdits():
        member.problem("is empty: a device has at least one edit")
    annotations = _annotations(fields.get("annotations"))
    return Device(name=name, edits=edits, annotations=annotations)


def _annotations(member: Value | None) -> tuple[tuple[str, str], ...]:
    if member is None:
        return ()
    pairs = tuple((key, value.text()) for key, value in member.members())
    size = sum(len(key.encode(errors="replace")) + len(text.encode()) for key, text in pairs)
    if size > ANNOTATIONS_LIMIT:
        member.problem(f"has {size} bytes of keys and values, more than {ANNOTATIONS_LIMIT}")
    return pairs


def _edits(member: Value | None) -> ContainerEdits:
    if member is None:
        return ContainerEdits()
    fields = member.fields(
        "env", "deviceNodes", "netDevices", "hooks", "mounts", "intelRdt", "additionalGids"
    )
    _check_unique(fields.get("netDevices"), "hostInterfaceName")
    _check_unique(fields.get("netDevices"), "name")
    rdt = fields.get("intelRdt")
    return ContainerEdits(
        env=fields.each("env", _env),
        device_nodes=fields.each("deviceNodes", _device_node),
        net_devices=fields.each("netDevices", _net_device),
        hooks=fields.each("hooks", _hook),
        mounts=fields.each("mounts", _mount),
        intel_rdt=_intel_rdt(rdt) if rdt else None,
        additional_gids=fields.each("additionalGids", lambda item: item.integer(0, UINT32)),
    )


def _env(value: Value) -> str:
    text = value.text()
    if text.find("=") < 1 and text == value.raw:
        value.problem(f"{quoted(text)} must be NAME=value")
    return text


def _device_node(value: Value) -> DeviceNode:
    fields = value.fields(
        *("path", "hostPath", "type", "major", "minor"),
        *("fileMode", "permissions", "uid", "gid"),
    )
    kind, permissions = fields.text("type"), fields.text("permissions")
    if kind not in ("", "b", "c", "u", "p"):
        _complain(fields, "type", f"{quoted(kind)} must be b, c, u or p")
    if permissions.strip("rwm"):
        _complain(fields, "permissions", f"{quoted(permissions)} must be letters of rwm")
    return DeviceNode(
        path=fields.required("path"),
        host_path=fields.text("hostPath"),
        type=kind,
        major=fields.integer("major", -INT64 - 1, INT64) or 0,
        minor=fields.integer("minor", -INT64 - 1, INT64) or 0,
        file_mode=fields.integer("fileMode", 0, UINT32),
        permissions=permissions,
        uid=fields.integer("uid", 0, UINT32),
        gid=fields.integer("gid", 0, UINT32),
    )


def _net_device(value: Value) -> NetDevice:
    fields = value.fields("hostInterfaceName", "name")
    host = fields.required("hostInterfaceName")
    return NetDevice(host_interface_name=host, name=fields.required("name"))


def _hook(value: Value) -> Hook:
    fields = value.fields("hookName", "path", "args", "env", "timeout")
    name, path = fields.required("hookName"), fields.required("path")
    if name and name not in HOOK_NAMES:
        _complain(fields, "hookName", f"{quoted(name)} must be one of {', '.join(HOOK_NAMES)}")
    if path and not path.startswith("/"):
        _complain(fields, "path", f"{quoted(path)} must be absolute")
    return Hook(
        hook_name=name,
        path=path,
        args=fields.texts("args"),
        env=fields.each("env", _env),
        timeout=fields.integer("timeout", 1, INT64),
    )


def _mount(value: Value) -> Mount:
    fields = value.fields("hostPath", "containerPath", "options", "type")
    return Mount(
        host_path=fields.required("hostPath"),
        container_path=fields.required("containerPath"),
        options=fields.texts("options"),
        type=fields.text("type"),
    )


def _intel_rdt(value: Value) -> IntelRdt:
    fields = value.fields("closID", "l3CacheSchema", "memBwSchema", "schemata", "enableMonitoring")
    clos_id = fields.text("closID")
    # A directory name in resctrl; "/" alone is the root group.
    named = clos_id == "/" or not (clos_id in (".", "..") or set("/\n") & set(clos_id))
    if not named or len(clos_id.encode()) > CLOS_ID_LIMIT:
        _complain(fields, "closID", f"{quoted(clos_id)} cannot name a directory")
    monitoring = fields.get("enableMonitoring")
    return IntelRdt(
        clos_id=clos_id,
        l3_cache_schema=fields.text("l3CacheSchema"),
        mem_bw_schema=fields.text("memBwSchema"),
        schemata=fields.texts("schemata"),
        enable_monitoring=monitoring.flag() if monitoring else False,
    )


def _complain(fields: Fields, key: str, message: str) -> None:
    member = fields.get(key)
    if member:
        member.problem(message)


def _check_unique(member: Value | None, key: str) -> None:
    """Note every item of a list of objects whose `key` an earlier one has already."""
    seen: dict[str, int] = {}
    if member is None or not isinstance(member.raw, list):
        return
    for index, item in enumerate(member.items()):
        text = item.raw.get(key) if isinstance(item.raw, dict) else None
        if not isinstance(text, str):
            continue
        if text in seen:
            place = Value(text, item.report, item, key)
            place.problem(f"{quoted(text)} is in [{seen[text]}] already")
        seen.setdefault(text, index)


def _check_annotation_keys(spec: Spec, report: Report) -> None:
    places = [("annotations", spec.annotations)]
    places += [(f"devices[{i}].annotations", d.annotations) for i, d in enumerate(spec.devices)]
    for path, pairs in places:
        if len(dict(pairs)) < len(pairs):
            report.add(path, "has a key twice")
        for key, _ in pairs:
            if not _is_annotation_key(key):
                report.add(path, f"{quoted(key)} is not a key as Kubernetes has them")


def _is_annotation_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    labels = prefix.lower().split(".") if slash else []
    valid = len(prefix) <= names.VENDOR_LIMIT and all(map(_DNS_LABEL.fullmatch, labels))
    return valid and bool(_ANNOTATION_NAME.fullmatch(name))
