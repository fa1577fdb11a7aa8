"""What `claim check` finds: claims and classes in manifests, and what their parameters come to.

The parameters are read as Prepare reads them. Of the rest no more is looked at
than is needed to find them: what Kubernetes takes, Kubernetes tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from netdevice_plugin.cli.manifests import (
    DEVICES,
    Asked,
    Manifest,
    below,
    members,
    objects,
    requests_of,
    text_of,
)
from netdevice_plugin.config import decode
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.parameters import (
    KIND,
    InvalidParametersError,
    Parameters,
    check_all,
    mover_options,
)
from netdevice_plugin.dra.parameters.merging import Entry, applies, merge, read_entry
from netdevice_plugin.model import Interface
from netdevice_plugin.sections import near
from netdevice_plugin.yamlnode import Node, Problem, YamlError, join, shorten
from netdevice_plugin.yamltree import parse_all

_MAX_COUNT = 32  # results of a claim (k8s.io/api/resource/v1)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A problem or a warning, and the file that it is in."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(
            part for part in (f"{self.file}:{self.line}", self.path, self.text) if part
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """An entry of ours, the requests that it is for, and whether it is right by itself."""

    file: str
    entry: Entry
    requests: tuple[tuple[str, Node, str], ...]  # name, and where it stands
    right: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The requests by name; none is all."""
        return tuple(name for name, _, _ in self.requests)


@dataclasses.dataclass(slots=True)
class Checked:
    """A claim, template or class, and what the mover would be told for each request of ours."""

    file: str
    line: int
    kind: str
    name: str
    options: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Report:
    """All that was found."""

    objects: list[Checked] = dataclasses.field(default_factory=list)
    problems: list[Finding] = dataclasses.field(default_factory=list)
    warnings: list[Finding] = dataclasses.field(default_factory=list)

    def complain(self, file: str, problems: Iterable[Problem]) -> None:
        """Add problems of a file, each once."""
        for problem in problems:
            found = Finding(file, problem.line, problem.path, problem.text)
            if found not in self.problems:
                self.problems.append(found)

    def warn(self, file: str, node: Node, path: str, text: str) -> None:
        """Add a warning."""
        self.warnings.append(Finding(file, node.line, path, text))


def check(files: Mapping[str, bytes], driver: str) -> Report:
    """Check every file; a class in one of them counts for the claims in all."""
    report = Report()
    manifests = [found for file, data in files.items() for found in _manifests(file, data, report)]
    classes: dict[str, list[Config]] = {}
    for manifest in manifests:
        if manifest.kind == "DeviceClass":
            classes[manifest.name] = _configs(manifest, driver, report)
            report.objects.append(_checked(manifest))
    for manifest in manifests:
        if manifest.kind != "DeviceClass":
            _claim(manifest, driver, classes, report)
    report.problems.sort()
    report.warnings.sort()
    return report


def _manifests(file: str, data: bytes, report: Report) -> list[Manifest]:
    problems: list[Problem] = []
    nodes: list[Node] = []
    try:
        nodes = [node for node in parse_all(decode(data), problems) if node.value is not None]
        if not nodes:
            problems.append(Problem(1, "", "has no object in it"))
    except YamlError as error:
        problems.append(Problem(error.line, "", str(error)))
    found = [manifest for node in nodes for manifest in objects(file, node, problems)]
    report.complain(file, problems)
    if nodes and not found and not problems:
        report.warn(file, nodes[0], "", f"has none of {', '.join(DEVICES)}: nothing to check")
    return found


def _claim(
    manifest: Manifest, driver: str, classes: Mapping[str, list[Config]], report: Report
) -> None:
    own = _configs(manifest, driver, report)
    asked = list(requests_of(manifest))
    _warn_of_requests(manifest, own, asked, report)
    checked = _checked(manifest)
    report.objects.append(checked)
    found: list[tuple[Asked, Parameters]] = []
    for request in asked:
        mine = [config for config in own if applies(config.names, _result(request))]
        configs = [*classes.get(request.device_class, ()), *mine]
        if request.admin:
            _warn_of_admin(manifest, request, mine, report)
        elif configs and all(config.right for config in configs):
            parameters = _merge(manifest, request, configs, report)
            found += [(request, parameters)] if parameters else []
    for request, parameters in found:
        checked.options[request.name] = mover_options(parameters)
    _check_pods(manifest, found, report)


def _merge(
    manifest: Manifest, request: Asked, configs: Sequence[Config], report: Report
) -> Parameters | None:
    problems: list[Problem] = []
    parameters = merge([config.entry for config in configs], problems)
    for problem in problems:
        blamed = next(c for c in configs if problem.path.startswith(c.entry.place))
        text = f"{problem.text} (request {request.name} of {manifest.kind} {manifest.name})"
        report.complain(blamed.file, [dataclasses.replace(problem, text=text)])
    return None if problems else parameters


def _warn_of_admin(
    manifest: Manifest, request: Asked, configs: Sequence[Config], report: Report
) -> None:
    if configs:
        text = "has adminAccess, with which no link is moved: its parameters have no effect"
        report.warn(manifest.file, request.node, request.path, text)


def _check_pods(
    manifest: Manifest, found: Sequence[tuple[Asked, Parameters]], report: Report
) -> None:
    """Check what all the claim's devices are to be in one pod, of alternatives the first."""
    first: dict[str, tuple[Asked, Parameters]] = {}
    for request, parameters in found:
        first.setdefault(request.name.partition("/")[0], (request, parameters))
    given = [
        (_result(request, f"#{n}"), parameters, Interface(ifindex=1, name=f"{request.name} {n}"))
        for request, parameters in first.values()
        for n in range(1, min(request.count, _MAX_COUNT) + 1)
    ]
    node, path = manifest.devices
    try:
        check_all(given)
    except InvalidParametersError as error:
        report.complain(manifest.file, [Problem(node.line, path, text) for text in error.problems])


def _configs(manifest: Manifest, driver: str, report: Report) -> list[Config]:
    """Find our entries, and check each by itself: others may add what it lacks."""
    devices, path = manifest.devices
    found = []
    for node, place in members(devices, path, "config"):
        entry = _entry(manifest.file, node, join(place, "opaque"), driver, report)
        if entry is None:
            continue
        requests = members(node, place, "requests")
        names = tuple((text_of(member), member, where) for member, where in requests)
        problems: list[Problem] = []
        read_entry(entry, problems)
        report.complain(manifest.file, problems)
        found.append(Config(manifest.file, entry, names, right=not problems))
    return found


def _entry(file: str, node: Node, path: str, driver: str, report: Report) -> Entry | None:
    opaque = below(node, "opaque")
    if opaque is None:
        return None
    parameters = below(opaque, "parameters")
    whose = text_of(below(opaque, "driver"))
    if whose != driver:
        if parameters and text_of(below(parameters, "kind")) == KIND:
            text = f"is for {driver}, and this is for {shorten(whose)}; is --driver meant?"
            report.warn(file, opaque, path, f"{KIND} {text}")
        return None
    if parameters is None:
        text = "is missing: without parameters the entry says nothing"
        report.complain(file, [Problem(opaque.line, f"{path}.parameters", text)])
        return None
    return Entry(parameters, join(path, "parameters"))


def _warn_of_requests(
    manifest: Manifest, configs: Sequence[Config], asked: Sequence[Asked], report: Report
) -> None:
    names = {request.name for request in asked}
    known = sorted(names | {name.partition("/")[0] for name in names})
    for config in configs:
        for name, node, path in config.requests:
            if name not in known:
                text = f"{shorten(name)} is no request of this claim{near(name, known)}"
                report.warn(manifest.file, node, path, text)


def _result(request: Asked, device: str = "") -> Result:
    return Result(request=request.name, pool="", device=device)


def _checked(manifest: Manifest) -> Checked:
    return Checked(manifest.file, manifest.node.line, manifest.kind, manifest.name)
