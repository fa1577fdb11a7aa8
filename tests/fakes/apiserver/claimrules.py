"""What claims, their templates and DeviceClasses may be: the limits of resource.k8s.io."""

from __future__ import annotations

import re

from tests.fakes.apiserver import expressions, rules, slicerules
from tests.fakes.apiserver.manifest import Manifest, at, items
from tests.fakes.apiserver.rules import Problems

_RESOURCE = re.compile(r"(?P<domain>[^/]+)/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_REF = "must be the name of a request in the claim or the name of a request and a subrequest"


def check_spec(problems: Problems, spec: Manifest, where: str = "spec") -> None:
    """Hold a new claim's spec against all rules."""
    devices, where = spec.get("devices") or {}, f"{where}.devices"
    requests = items(devices, "requests")
    problems.each(f"{where}.requests", requests, 32, _request)
    problems.unique(f"{where}.requests", (request.get("name") for request in requests))
    names = request_names(devices)
    constraints = items(devices, "constraints")
    if problems.many(f"{where}.constraints", constraints, 32):
        for index, constraint in enumerate(constraints):
            _constraint(problems, f"{where}.constraints[{index}]", constraint, names)
    config = items(devices, "config")
    if problems.many(f"{where}.config", config, 32):
        for index, entry in enumerate(config):
            _refs(problems, f"{where}.config[{index}].requests", items(entry, "requests"), names)
            configuration(problems, f"{where}.config[{index}]", entry)


def check_class(problems: Problems, spec: Manifest) -> None:
    """Hold a DeviceClass against all rules."""
    problems.each("spec.selectors", items(spec, "selectors"), 32, _selector)
    problems.each("spec.config", items(spec, "config"), 32, configuration)
    name = spec.get("extendedResourceName")
    if name is not None:
        found = _RESOURCE.fullmatch(name)
        domain = found["domain"] if found else ""
        native = "kubernetes.io" in domain or name.startswith("requests.")
        if native or not rules.SUBDOMAIN.fullmatch(domain):
            problems.invalid(
                "spec.extendedResourceName", name, "must be a valid extended resource name"
            )


def check_status(problems: Problems, claim: Manifest, old: Manifest) -> None:
    """Hold a claim's new status against all rules, and against what it was."""
    status, before = claim.get("status") or {}, old.get("status") or {}
    names = request_names(at(claim, "spec", "devices") or {})
    reserved = items(status, "reservedFor")
    problems.each("status.reservedFor", reserved, 256, _consumer)
    problems.unique("status.reservedFor", (consumer.get("uid") for consumer in reserved))
    _statuses(problems, status)
    allocation = status.get("allocation")
    if reserved and allocation is None:
        problems.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    elif claim["metadata"].get("deletionTimestamp"):
        added = [consumer for consumer in reserved if consumer not in items(before, "reservedFor")]
        if added:
            problems.forbidden(
                "status.reservedFor",
                "new entries may not be added while "
                "`deallocationRequested` or `deletionTimestamp` are set",
            )
    if allocation is not None and before.get("allocation") is not None:
        if allocation != before["allocation"]:
            problems.invalid("status.allocation", {}, "field is immutable")
    elif allocation is not None:
        _allocation(problems, allocation, names)


def request_names(devices: Manifest) -> set[str]:
    """Every name that a request may be referred to by: main, main/sub."""
    names = set()
    for request in items(devices, "requests"):
        names.add(request.get("name"))
        for alternative in items(request, "firstAvailable"):
            names.add(f"{request.get('name')}/{alternative.get('name')}")
    return names


def configuration(problems: Problems, where: str, entry: Manifest) -> None:
    """Parameters for a driver: an object of at most 10 KiB."""
    opaque = entry.get("opaque")
    if opaque is None:
        problems.required(f"{where}.opaque")
        return
    rules.driver(problems, f"{where}.opaque.driver", opaque.get("driver") or "")
    rules.opaque(problems, f"{where}.opaque.parameters", opaque.get("parameters"))


def _request(problems: Problems, where: str, request: Manifest) -> None:
    rules.label(problems, f"{where}.name", request.get("name") or "")
    exact, alternatives = request.get("exactly"), items(request, "firstAvailable")
    if (exact is None) == (not alternatives):
        said = "exactly one of `exactly` or `firstAvailable` is required"
        if exact is None:
            problems.required(where, said)
        else:
            problems.invalid(where, "", f"{said}, but multiple fields are set")
    elif exact is not None:
        _exact(problems, f"{where}.exactly", exact)
    else:
        problems.each(f"{where}.firstAvailable", alternatives, 8, _alternative)
        problems.unique(f"{where}.firstAvailable", (a.get("name") for a in alternatives))


def _alternative(problems: Problems, where: str, alternative: Manifest) -> None:
    rules.label(problems, f"{where}.name", alternative.get("name") or "")
    _exact(problems, where, alternative)


def _exact(problems: Problems, where: str, request: Manifest) -> None:
    if not request.get("deviceClassName"):
        problems.required(f"{where}.deviceClassName")
    else:
        rules.subdomain(problems, f"{where}.deviceClassName", request["deviceClassName"])
    problems.each(f"{where}.selectors", items(request, "selectors"), 32, _selector)
    mode, count = request.get("allocationMode"), request.get("count", 0)
    if mode == "All" and count:
        problems.invalid(
            f"{where}.count", count, "must not be specified when allocationMode is 'All'"
        )
    elif mode == "ExactCount" and count <= 0:
        problems.invalid(f"{where}.count", count, "must be greater than zero")
    elif mode not in ("All", "ExactCount"):
        problems.unsupported(f"{where}.allocationMode", mode, ("All", "ExactCount"))
    problems.each(f"{where}.tolerations", items(request, "tolerations"), 16, toleration)


def _selector(problems: Problems, where: str, selector: Manifest) -> None:
    expression = at(selector, "cel", "expression")
    if selector.get("cel") is None:
        problems.required(f"{where}.cel")
    elif len((expression or "").encode()) > 10 * 1024:
        problems.too_long(f"{where}.cel.expression", 10 * 1024)
    elif why := expressions.problem(expression or ""):
        problems.invalid(f"{where}.cel.expression", expression or "", why)


def toleration(problems: Problems, where: str, found: Manifest) -> None:
    """What of a device's taints a request does not mind."""
    if found.get("key"):
        rules.label_name(problems, f"{where}.key", found["key"])
    operator, value = found.get("operator"), found.get("value") or ""
    if operator == "Exists" and value:
        problems.invalid(f"{where}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        rules.label_value(problems, f"{where}.value", value)
    elif operator != "Exists":
        problems.unsupported(f"{where}.operator", operator, ("Equal", "Exists"))
    if found.get("effect") and found["effect"] not in slicerules.EFFECTS:
        problems.unsupported(f"{where}.effect", found["effect"], slicerules.EFFECTS)


def _constraint(problems: Problems, where: str, constraint: Manifest, names: set[str]) -> None:
    _refs(problems, f"{where}.requests", items(constraint, "requests"), names)
    kinds = [k for k in ("matchAttribute", "distinctAttribute") if constraint.get(k) is not None]
    if len(kinds) != 1:
        problems.required(
            where, 'exactly one of "matchAttribute" or "distinctAttribute" is required'
        )
    for kind in kinds:
        rules.qualified(problems, f"{where}.{kind}", constraint[kind])
        if "/" not in constraint[kind]:
            problems.invalid(
                f"{where}.{kind}",
                constraint[kind],
                "a fully qualified name must be a domain and a name",
            )


def _refs(problems: Problems, where: str, refs: list[str], names: set[str]) -> None:
    if problems.many(where, list(refs), 32):
        for index, name in enumerate(refs):
            _ref(problems, f"{where}[{index}]", name, names)
        problems.unique(where, refs)


def _ref(problems: Problems, where: str, name: str, names: set[str]) -> None:
    if name not in names:
        problems.invalid(where, name, _REF)


def _consumer(problems: Problems, where: str, consumer: Manifest) -> None:
    for name in ("resource", "name", "uid"):
        if not consumer.get(name):
            problems.required(f"{where}.{name}")


def _statuses(problems: Problems, status: Manifest) -> None:
    devices = items(status, "devices")
    results = items(status, "allocation", "devices", "results")
    allocated = {_identity(result) for result in results}
    for index, device in enumerate(devices):
        where = f"status.devices[{index}]"
        _device_status(problems, where, device)
        if _identity(device) not in allocated:
            problems.invalid(
                where,
                "/".join(map(str, _identity(device)[:3])),
                "must be an allocated device in the claim",
            )
    problems.unique("status.devices", map(_identity, devices))


def _identity(device: Manifest) -> tuple[str, ...]:
    return tuple(device.get(name) or "" for name in ("driver", "pool", "device", "shareID"))


def _device_status(problems: Problems, where: str, device: Manifest) -> None:
    rules.driver(problems, f"{where}.driver", device.get("driver") or "")
    rules.pool(problems, f"{where}.pool", device.get("pool") or "")
    rules.label(problems, f"{where}.device", device.get("device") or "")
    conditions = items(device, "conditions")
    problems.each(f"{where}.conditions", conditions, 8, rules.condition)
    problems.unique(f"{where}.conditions", (c.get("type") for c in conditions))
    if device.get("data") is not None:
        rules.opaque(problems, f"{where}.data", device["data"])
    network, where = device.get("networkData") or {}, f"{where}.networkData"
    problems.length(f"{where}.interfaceName", network.get("interfaceName") or "", 256)
    problems.length(f"{where}.hardwareAddress", network.get("hardwareAddress") or "", 128)
    ips = items(network, "ips")
    if problems.many(f"{where}.ips", ips, 16):
        for index, text in enumerate(ips):
            rules.interface_address(problems, f"{where}.ips[{index}]", text)
        problems.unique(f"{where}.ips", ips)


def _allocation(problems: Problems, allocation: Manifest, names: set[str]) -> None:
    where, devices = "status.allocation.devices", allocation.get("devices") or {}
    results = items(devices, "results")
    if problems.many(f"{where}.results", results, 32):
        for index, result in enumerate(results):
            _result(problems, f"{where}.results[{index}]", result, names)
    config = items(devices, "config")
    if problems.many(f"{where}.config", config, 64):
        for index, entry in enumerate(config):
            place = f"{where}.config[{index}]"
            if entry.get("source") not in ("FromClass", "FromClaim"):
                problems.unsupported(
                    f"{place}.source", entry.get("source"), ("FromClaim", "FromClass")
                )
            _refs(problems, f"{place}.requests", items(entry, "requests"), names)
            configuration(problems, place, entry)


def _result(problems: Problems, where: str, result: Manifest, names: set[str]) -> None:
    _ref(problems, f"{where}.request", result.get("request") or "", names)
    rules.driver(problems, f"{where}.driver", result.get("driver") or "")
    rules.pool(problems, f"{where}.pool", result.get("pool") or "")
    rules.label(problems, f"{where}.device", result.get("device") or "")
    slicerules.binding(problems, where, result)
    problems.each(f"{where}.tolerations", items(result, "tolerations"), 16, toleration)
