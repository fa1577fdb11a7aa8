"""containerd: does the one that a kubelet talks to take CDI devices, and from where.

How its configuration is put together is from its source (server/config/config.go):
imports are read one after the other, breadth first. Up to 1.7 a plugin's section in
a later file replaces the whole one of an earlier; from 2.0 on key by key.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterator, Sequence

from netdevice_plugin.doctor import runtime
from netdevice_plugin.doctor.finding import Finding, fail, ok, warn
from netdevice_plugin.doctor.host import Host, Process
from netdevice_plugin.doctor.programs import Program, Programs
from netdevice_plugin.doctor.runtime import Needs, Runtime
from netdevice_plugin.doctor.settings import File, Table, read_toml, table, texts
from netdevice_plugin.doctor.versions import Version

_MAX_FILES = 200  # that import each other
_PACKAGES = ("containerd.io", "containerd")
_FIRST_WITH_FIELD = Version(1, 7, 2)  # before, only annotations are read
_FIRST_WITH_NATIVE = Version(2, 2, 1)

# The plugin's section by layout, which is the file's `version`.
_SECTIONS = {1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}
_CRI = {"cri", *_SECTIONS.values()}


@dataclasses.dataclass(frozen=True, slots=True)
class Flavour:
    """Somebody's way to install containerd."""

    name: str
    mark: str  # in the path of its configuration, when it runs
    config: str
    socket: str
    where: str  # what to edit; {} is the path of its configuration
    restart: str
    program: str = ""

    def remedy(self, setting: str, file: str) -> str:
        """Say how to have a setting there."""
        return f"{setting} {self.where.format(file)}; {self.restart}"


_RANCHER = (
    "in config.toml.tmpl beside {}, which is made from it (config-v3.toml.tmpl for containerd 2)"
)

FLAVOURS = (
    Flavour(
        "k3s",
        "/k3s/",
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "/run/k3s/containerd/containerd.sock",
        _RANCHER,
        "restart k3s",
        "/var/lib/rancher/k3s/data/current/bin/containerd",
    ),
    Flavour(
        "rke2",
        "/rke2/",
        "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        "/run/k3s/containerd/containerd.sock",
        _RANCHER,
        "restart rke2",
        "/var/lib/rancher/rke2/bin/containerd",
    ),
    Flavour(
        "microk8s",
        "/microk8s/",
        "/var/snap/microk8s/current/args/containerd.toml",
        "/var/snap/microk8s/common/run/containerd.sock",
        "in containerd-template.toml beside {}, which is made from it",
        "microk8s stop; microk8s start",
        "/snap/microk8s/current/bin/containerd",
    ),
    Flavour(
        "k0s",
        "/k0s/",
        "/etc/k0s/containerd.toml",
        "/run/k0s/containerd.sock",
        "in a file of its own in /etc/k0s/containerd.d, which {} imports",
        "restart k0s",
        "/var/lib/k0s/bin/containerd",
    ),
    Flavour(
        "",
        "",
        "/etc/containerd/config.toml",
        "/run/containerd/containerd.sock",
        "in {}",
        "systemctl restart containerd",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Containerd:
    """One containerd: its configuration files in the order that it reads them."""

    flavour: Flavour
    config: str
    socket: str
    files: tuple[File, ...] = ()  # none: built-in defaults
    program: Program | None = None
    process: Process | None = None

    @property
    def title(self) -> str:
        """How it is called in findings: containerd 1.7.24 of k3s."""
        of = f" of {self.flavour.name}" if self.flavour.name else ""
        return f"{self.program or 'containerd'}{of}"

    @property
    def version(self) -> Version | None:
        """Its version, if that is known."""
        return self.program.version if self.program else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What the files, taken together, say of CDI."""

    enabled: bool | None = None  # None: nothing
    place: str = ""  # the file that says it
    directories: tuple[str, ...] = runtime.DIRECTORIES
    cri: bool = True  # the CRI plugin is not disabled
    remarks: tuple[str, ...] = ()  # what is said in vain


def read(host: Host, programs: Programs) -> tuple[Containerd, ...]:
    """Find each containerd that runs; if none does, each that is installed.

    Docker's own, which it starts for itself, is nobody's else.
    """
    running = []
    for process in programs.named("containerd"):
        config = process.option("--config", "-c")
        if "/docker/" not in config and "/snap.docker/" not in config:
            running.append(_running(host, programs, process, config))
    return tuple(running) or tuple(_installed(host, programs))


def _running(host: Host, programs: Programs, process: Process, config: str) -> Containerd:
    path = config or FLAVOURS[-1].config
    flavour = next(one for one in FLAVOURS if one.mark in path)
    files = read_files(host, path) if config or host.exists(path) else ()
    told = [text_of(file.data, "grpc", "address") for file in files]
    socket = process.option("--address", "-a") or next(filter(None, told), flavour.socket)
    return Containerd(
        flavour=flavour,
        config=path,
        socket=socket,
        files=files,
        program=_program(programs, flavour, process),
        process=process,
    )


def _installed(host: Host, programs: Programs) -> Iterator[Containerd]:
    for flavour in FLAVOURS:
        there = host.exists(flavour.config)
        program = _program(programs, flavour)
        if there if flavour.name else program:
            files = read_files(host, flavour.config) if there else ()
            yield Containerd(
                flavour=flavour,
                config=flavour.config,
                socket=flavour.socket,
                files=files,
                program=program,
            )


def _program(
    programs: Programs, flavour: Flavour, process: Process | None = None
) -> Program | None:
    places = [flavour.program] if flavour.program else None
    return programs.find("containerd", process=process, places=places, packages=_PACKAGES)


def text_of(data: Table, *keys: str) -> str:
    """Take a text out of nested tables; empty if there is none."""
    value = table(data, *keys[:-1]).get(keys[-1])
    return value if isinstance(value, str) else ""


def read_files(host: Host, path: str) -> tuple[File, ...]:
    """Read a configuration and all that it imports, in containerd's order."""
    found: dict[str, File] = {}
    pending = [path]
    while pending and len(found) < _MAX_FILES:
        path = pending.pop(0)
        if path not in found:
            found[path] = read_toml(host, path)
            pending += _imports(host, found[path])
    return tuple(found.values())


def _imports(host: Host, file: File) -> Iterator[str]:
    """Resolve imports: below the file that has them, and with a star whatever matches."""
    for pattern in texts(file.data.get("imports")) or ():
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), pattern))
        if "*" in path:
            yield from host.glob(path)
        else:
            yield path


def layout(file: File, default: int = 1) -> int:
    """Say by which layout a file is read, 1 to 3; a fourth has CRI where the third has it."""
    version = file.data.get("version", default)
    return min(3, max(1, version)) if isinstance(version, int) else 1


def switch(files: Sequence[File], version: Version | None) -> Switch:
    """Put the files together as that version of containerd would."""
    main = layout(files[0]) if files else 2
    replaces = version < Version(2, 0) if version else main < 3
    found = Switch()
    for file in files:
        found = _add(found, file, layout(file, main), replaces=replaces)
    return found


def _add(found: Switch, file: File, number: int, *, replaces: bool) -> Switch:
    plugins = table(file.data, "plugins")
    off = texts(file.data.get("disabled_plugins")) or ()
    found = dataclasses.replace(found, cri=found.cri and not _CRI & set(off))
    for other in _SECTIONS.values():
        if other != _SECTIONS[number] and "enable_cdi" in table(plugins, other):
            text = f"{file.path}: enable_cdi in [{_quoted(other)}] is not read there"
            found = dataclasses.replace(found, remarks=(*found.remarks, text))
    if _SECTIONS[number] not in plugins:
        return found
    section = table(plugins, _SECTIONS[number])
    if replaces and found.place and "enable_cdi" not in section:
        text = f"{file.path} replaces the section of {found.place}, and has no enable_cdi"
        found = dataclasses.replace(found, remarks=(*found.remarks, text))
    if replaces:
        found = Switch(cri=found.cri, remarks=found.remarks)
    value, directories = section.get("enable_cdi"), texts(section.get("cdi_spec_dirs"))
    if isinstance(value, bool):
        found = dataclasses.replace(found, enabled=value, place=file.path)
    return found if directories is None else dataclasses.replace(found, directories=directories)


def _quoted(section: str) -> str:
    return f'plugins."{section}"' if "." in section else f"plugins.{section}"


def check(facts: Containerd, needs: Needs) -> tuple[Runtime, list[Finding]]:
    """Judge one containerd. What no kubelet asks is not held against it."""
    found = switch(facts.files, facts.version)
    summary = runtime.describe("containerd", facts.program, found.directories)
    if not needs.asks(facts.socket) or not (found.cri or needs.endpoint):
        text = "no kubelet talks to it" if found.cri else "its CRI plugin is disabled"
        text += ", so that its CDI switch does not matter; podman, docker and nerdctl do not ask it"
        return summary, [ok("containerd/cdi", facts.title, text)]
    findings = [
        *runtime.unknown_version("containerd", facts.program, "containerd"),
        *_faults(facts, found),
        *_switched(facts, found),
        *_directories(facts, found, needs),
        *_native(facts, needs),
    ]
    works = all(finding.level.value != "fail" for finding in findings)
    restart = facts.flavour.restart
    stale = runtime.older_than_its_files("containerd", facts.process, facts.files, restart)
    return dataclasses.replace(summary, works=works), [*findings, *stale]


def _faults(facts: Containerd, found: Switch) -> Iterator[Finding]:
    for file in facts.files:
        if file.fault:
            remedy = "containerd does not start with it; correct the file, and restart containerd"
            yield fail("containerd/config", file.path, file.fault, remedy)
    version = facts.version
    main = facts.files[0].data.get("version") if facts.files else None
    if version and version < Version(2, 0) and isinstance(main, int) and main > 2:
        text = f"has version = {main}, which containerd {version} does not read"
        remedy = facts.flavour.remedy("version = 2, and its sections,", facts.config)
        yield fail("containerd/config", facts.config, text, remedy)
    if not found.cri:
        text = "disabled_plugins switches off the CRI plugin, which the kubelet talks to"
        remedy = facts.flavour.remedy("disabled_plugins = []", facts.config)
        yield fail("containerd/cri", facts.config, text, remedy)


def _switched(facts: Containerd, found: Switch) -> Iterator[Finding]:
    version, place = facts.version, found.place or facts.config
    number = layout(facts.files[0]) if facts.files else (3 if version and version.major > 1 else 2)
    wanted = f"enable_cdi = true below [{_quoted(_SECTIONS[number])}]"
    remedy = facts.flavour.remedy(wanted, place)
    for remark in found.remarks:
        yield warn("containerd/cdi", facts.title, remark, remedy)
    if version and version < Version(1, 7):
        text = "does not know CDI"
        yield fail("containerd/cdi", facts.title, text, "upgrade to 1.7.2 or later; 2.0 has CDI on")
    elif version and version < _FIRST_WITH_FIELD:
        text = "reads no CDI device from CRI's field, which is how the kubelet asks"
        yield fail("containerd/cdi", facts.title, text, "upgrade to 1.7.2 or later")
    elif found.enabled is False:
        text = f"CDI is switched off in {place}: pods start without their device, or not at all"
        yield fail("containerd/cdi", facts.title, text, remedy)
    elif found.enabled is None and version and version < Version(2, 0):
        text = "CDI is off, as nothing switches it on: pods start without their device"
        yield fail("containerd/cdi", facts.title, text, remedy)
    elif found.enabled is None and version is None and number < 3:
        text = "nothing switches CDI on, and whether it is on by default depends on the version"
        yield warn("containerd/cdi", facts.title, text, remedy)
    else:
        how = f"is switched on in {place}" if found.enabled else "is on by default"
        yield ok("containerd/cdi", facts.title, f"CDI {how}")


def _directories(facts: Containerd, found: Switch, needs: Needs) -> Iterator[Finding]:
    if not runtime.has(found.directories, needs.cdi_dir):
        listed = ", ".join(found.directories) or "nowhere"
        text = f"looks for CDI files in {listed}, and ours are in {needs.cdi_dir}"
        remedy = facts.flavour.remedy(f"{needs.cdi_dir} among cdi_spec_dirs", facts.config)
        yield fail("containerd/directories", facts.title, text, remedy)


def _native(facts: Containerd, needs: Needs) -> Iterator[Finding]:
    if needs.native and facts.version and facts.version < _FIRST_WITH_NATIVE:
        text = f"cannot read CDI files with netDevices; {_FIRST_WITH_NATIVE} is the first that can"
        remedy = "injection: hook in the pool, or upgrade"
        yield fail("containerd/native", facts.title, text, remedy)
