"""What a ResourceSlice may be: the limits of resource.k8s.io."""

from __future__ import annotations

from tests.fakes.apiserver import rules
from tests.fakes.apiserver.manifest import Manifest, at, items
from tests.fakes.apiserver.rules import Problems

EFFECTS = ("None", "NoExecute", "NoSchedule")
SCALARS, LISTS = ("bool", "int", "string", "version"), ("bools", "ints", "strings", "versions")
WHERE = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def check(problems: Problems, manifest: Manifest, old: Manifest | None) -> None:
    """Hold a slice against all rules, and against what it was."""
    spec = manifest["spec"]
    rules.driver(problems, "spec.driver", spec.get("driver") or "")
    _pool(problems, spec.get("pool") or {})
    if old is not None:
        for path in ("pool.name", "driver", "nodeName"):
            if at(spec, *path.split(".")) != at(old["spec"], *path.split(".")):
                problems.invalid(f"spec.{path}", at(spec, *path.split(".")), "field is immutable")
    _placed(problems, spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        problems.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    devices = items(spec, "devices")
    if problems.many("spec.devices", devices, most_devices(spec)):
        apart = bool(spec.get("perDeviceNodeSelection"))
        for index, device in enumerate(devices):
            _device(problems, f"spec.devices[{index}]", device, apart)
        problems.unique("spec.devices", (device.get("name") for device in devices))


def most_devices(spec: Manifest) -> int:
    """How many devices fit: fewer if any of them has what costs more."""
    for device in items(spec, "devices"):
        lists = any(set(a) & set(LISTS) for a in (device.get("attributes") or {}).values())
        if device.get("taints") or device.get("consumesCounters") or lists:
            return 64
    return 128


def _pool(problems: Problems, pool: Manifest) -> None:
    rules.pool(problems, "spec.pool.name", pool.get("name") or "")
    if pool.get("resourceSliceCount", 0) <= 0:
        problems.invalid(
            "spec.pool.resourceSliceCount",
            pool.get("resourceSliceCount", 0),
            "must be greater than zero",
        )
    if pool.get("generation", 0) < 0:
        problems.invalid(
            "spec.pool.generation", pool["generation"], "must be greater than or equal to zero"
        )


def _placed(problems: Problems, spec: Manifest) -> None:
    found = [name for name in WHERE if spec.get(name)]
    if spec.get("nodeName") is not None:
        if not spec["nodeName"]:
            problems.invalid(
                "spec.nodeName", "", "must be either unset or set to a non-empty string"
            )
        else:
            rules.subdomain(problems, "spec.nodeName", spec["nodeName"])
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name) is False:
            problems.invalid(f"spec.{name}", False, "must be either unset or set to true")
    terms = items(spec, "nodeSelector", "nodeSelectorTerms")
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        problems.invalid(
            "spec.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term"
        )
    said = f"exactly one of {', '.join(f'`{name}`' for name in WHERE)} is required"
    if not found:
        problems.required("spec", said)
    elif len(found) > 1:
        problems.invalid(
            "spec",
            "{" + ", ".join(f"`{name}`" for name in found) + "}",
            f"{said}, but multiple fields are set",
        )


def _device(problems: Problems, where: str, device: Manifest, apart: bool) -> None:
    rules.label(problems, f"{where}.name", device.get("name") or "")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > 32:
        problems.invalid(
            where,
            len(attributes) + len(capacity),
            "the total number of attributes and capacities must not exceed 32",
        )
    values = sum(max(1, *(len(a.get(name) or []) for name in LISTS)) for a in attributes.values())
    if values > 48:
        problems.invalid(where, values, "the total number of attribute values must not exceed 48")
    for name, attribute in attributes.items():
        rules.qualified(problems, f"{where}.attributes", name)
        _attribute(problems, f"{where}.attributes[{name}]", attribute)
    for name, amount in capacity.items():
        rules.qualified(problems, f"{where}.capacity", name)
        if amount.get("requestPolicy") is not None and not device.get("allowMultipleAllocations"):
            problems.forbidden(
                f"{where}.capacity[{name}].requestPolicy", "allowMultipleAllocations must be true"
            )
    problems.each(f"{where}.taints", device.get("taints") or [], 16, _taint)
    problems.many(f"{where}.consumesCounters", device.get("consumesCounters") or [], 2)
    _device_place(problems, where, device, apart)
    binding(problems, where, device)


def _attribute(problems: Problems, where: str, attribute: Manifest) -> None:
    found = [name for name in (*SCALARS, *LISTS) if attribute.get(name) is not None]
    if len(found) != 1:
        problems.invalid(
            where, "" if not found else attribute, "exactly one value must be specified"
        )
    for name in found:
        values = attribute[name] if name in LISTS else [attribute[name]]
        if not values:
            problems.invalid(f"{where}.{name}", [], "must not be empty if specified")
        for value in values:
            if name.startswith(("string", "version")):
                problems.length(f"{where}.{name}", value, 64)
            if name.startswith("version") and not rules.SEMVER.fullmatch(value):
                problems.invalid(
                    f"{where}.{name}",
                    value,
                    "must be a string compatible with semver.org spec 2.0.0",
                )


def _taint(problems: Problems, where: str, taint: Manifest) -> None:
    rules.label_name(problems, f"{where}.key", taint.get("key") or "")
    rules.label_value(problems, f"{where}.value", taint.get("value") or "")
    if not taint.get("effect"):
        problems.required(f"{where}.effect")
    elif taint["effect"] not in EFFECTS:
        problems.unsupported(f"{where}.effect", taint["effect"], EFFECTS)


def _device_place(problems: Problems, where: str, device: Manifest, apart: bool) -> None:
    found = [
        name for name in ("nodeName", "nodeSelector", "allNodes") if device.get(name) is not None
    ]
    if apart and len(found) != 1:
        problems.required(
            where,
            "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is "
            "required when `perDeviceNodeSelection` is set to true",
        )
    elif not apart and found:
        problems.invalid(
            where,
            "",
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec",
        )


def binding(problems: Problems, where: str, found: Manifest) -> None:
    """Conditions that the scheduler waits for: at most four each, both or none."""
    wanted = found.get("bindingConditions") or []
    failing = found.get("bindingFailureConditions") or []
    for name, conditions in (("bindingConditions", wanted), ("bindingFailureConditions", failing)):
        if problems.many(f"{where}.{name}", conditions, 4):
            for index, text in enumerate(conditions):
                rules.label_name(problems, f"{where}.{name}[{index}]", text)
            problems.unique(f"{where}.{name}", conditions)
    if set(wanted) & set(failing):
        problems.invalid(
            f"{where}.bindingFailureConditions",
            failing,
            "bindingFailureConditions must not overlap with bindingConditions",
        )
    if bool(wanted) != bool(failing):
        problems.invalid(
            f"{where}.bindingConditions",
            wanted,
            "bindingConditions and bindingFailureConditions need each other",
        )
