"""docker, podman and nerdctl: would `--device networking.k8s.io/netdevice=eth1` work with them.

They are not the kubelet's, and a host may have one that nobody means to use: what
keeps one of them from it is a warning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from netdevice_plugin.doctor import runtime
from netdevice_plugin.doctor.finding import Finding, Level, ok, warn
from netdevice_plugin.doctor.host import Host, Process
from netdevice_plugin.doctor.programs import Program, Programs
from netdevice_plugin.doctor.runtime import Needs, Runtime
from netdevice_plugin.doctor.settings import File, Value, read_json, read_toml, table, texts
from netdevice_plugin.doctor.versions import Version

_DOCKER_FILES = ("/etc/docker/daemon.json", "/var/snap/docker/current/config/daemon.json")
_DOCKER_PACKAGES = ("docker-ce", "docker.io", "moby-engine")
_PODMAN_FILES = (
    "/usr/share/containers/containers.conf",
    "/usr/share/containers/containers.conf.d/*.conf",
    "/etc/containers/containers.conf",
    "/etc/containers/containers.conf.d/*.conf",
)
_NERDCTL_FILE = "/etc/nerdctl/nerdctl.toml"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine that was found, and what its files and command line say of CDI."""

    name: str
    program: Program
    directories: tuple[str, ...] = runtime.DIRECTORIES
    enabled: bool | None = None  # None: nothing says
    files: tuple[File, ...] = ()
    process: Process | None = None

    @property
    def version(self) -> Version | None:
        """Its version, if that is known."""
        return self.program.version


def read(host: Host, programs: Programs) -> tuple[Engine, ...]:
    """Find all three."""
    finders: tuple[Callable[[Host, Programs], Engine | None], ...] = (_docker, _podman, _nerdctl)
    return tuple(engine for find in finders if (engine := find(host, programs)))


def _docker(host: Host, programs: Programs) -> Engine | None:
    """The daemon; the client alone is none. `features` in its file, `--feature` behind it."""
    process = next(programs.named("dockerd"), None)
    program = programs.find("docker", file="dockerd", packages=_DOCKER_PACKAGES, process=process)
    if program is None:
        return None
    told = process.option("--config-file") if process else ""
    paths = [told] if told else [path for path in _DOCKER_FILES if host.exists(path)][:1]
    files = tuple(read_json(host, path) for path in paths)
    data = files[0].data if files else {}
    enabled = table(data, "features").get("cdi")
    if process and (flags := dict(_pair(one) for one in process.options("--feature"))):
        enabled = flags.get("cdi", "") in ("", "true", "1") if "cdi" in flags else enabled
    named = tuple(process.options("--cdi-spec-dir")) if process else ()
    directories = named or texts(data.get("cdi-spec-dirs")) or runtime.DIRECTORIES
    return Engine(
        name="docker",
        program=program,
        directories=tuple(filter(None, directories)),
        enabled=enabled if isinstance(enabled, bool) else None,
        files=files,
        process=process,
    )


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _podman(host: Host, programs: Programs) -> Engine | None:
    program = programs.find("podman", packages=("podman",))
    if program is None:
        return None
    files = tuple(read_toml(host, path) for one in _PODMAN_FILES for path in host.glob(one))
    version = program.version
    broken = version is not None and Version(5, 5) <= version <= Version(5, 5, 2)
    directories = ("/etc/cdi",) if broken else runtime.DIRECTORIES
    if version is None or version >= Version(5, 5):  # those before have no setting
        for file in files:
            value = table(file.data, "engine").get("cdi_spec_dirs")
            directories = _appended(directories, value)
    return Engine(name="podman", program=program, directories=directories, files=files)


def _appended(before: tuple[str, ...], value: Value) -> tuple[str, ...]:
    """Read a list of containers.conf: with {append=true} in it, it adds to the one before."""
    if not isinstance(value, list):
        return before
    more = tuple(one for one in value if isinstance(one, str))
    appends = any(isinstance(one, dict) and one.get("append") is True for one in value)
    return (*before, *more) if appends else more


def _nerdctl(host: Host, programs: Programs) -> Engine | None:
    program = programs.find("nerdctl")
    if program is None:
        return None
    files = (read_toml(host, _NERDCTL_FILE),) if host.exists(_NERDCTL_FILE) else ()
    value = texts(files[0].data.get("cdi_spec_dirs")) if files else None
    directories = runtime.DIRECTORIES if value is None else value
    return Engine(name="nerdctl", program=program, directories=directories, files=files)


def check(facts: Engine, needs: Needs) -> tuple[Runtime, list[Finding]]:
    """Judge one of them."""
    theme, title = facts.name, str(facts.program)
    findings = [*runtime.unknown_version(theme, facts.program, facts.name), *_faults(facts)]
    fault, remedy = _SWITCHES[facts.name](facts)
    if fault:
        findings.append(warn(f"{theme}/cdi", title, fault, remedy))
    elif not runtime.has(facts.directories, needs.cdi_dir):
        listed = ", ".join(facts.directories) or "nowhere"
        text = f"looks for CDI files in {listed}, and ours are in {needs.cdi_dir}"
        remedy = f"{_DIRECTORIES[facts.name].format(needs.cdi_dir)}; or have cdiDir there"
        findings.append(warn(f"{theme}/directories", title, text, remedy))
    if all(finding.level is Level.OK for finding in findings):
        findings.append(ok(f"{theme}/cdi", title, f"reads {', '.join(facts.directories)}"))
    works = not fault and runtime.has(facts.directories, needs.cdi_dir)
    stale = runtime.older_than_its_files(theme, facts.process, facts.files, f"restart {theme}")
    summary = runtime.describe(theme, facts.program, facts.directories)
    return dataclasses.replace(summary, works=works), [*findings, *stale]


def _faults(facts: Engine) -> Iterator[Finding]:
    for file in facts.files:
        if file.fault:
            yield warn(f"{facts.name}/config", file.path, file.fault, "correct the file")


def _docker_switch(facts: Engine) -> tuple[str, str]:
    version = facts.version
    remedy = '{"features": {"cdi": true}} in /etc/docker/daemon.json; systemctl restart docker'
    if version and version < Version(25, 0):
        return "does not know CDI", "upgrade to docker 28.2 or later"
    if facts.enabled is False:
        return "CDI is switched off", remedy
    if facts.enabled is None and version and version < Version(28, 2):
        return "CDI is off, as nothing switches it on; from 28.2 on it is on by default", remedy
    return "", ""


def _podman_switch(facts: Engine) -> tuple[str, str]:
    if facts.version and facts.version < Version(4, 1):
        return "does not know CDI", "upgrade to podman 4.1 or later"
    return "", ""


def _nerdctl_switch(facts: Engine) -> tuple[str, str]:
    if facts.version and facts.version < Version(2, 1):
        return "does not know CDI", "upgrade to nerdctl 2.1 or later"
    return "", ""


_SWITCHES: dict[str, Callable[[Engine], tuple[str, str]]] = {
    "docker": _docker_switch,
    "podman": _podman_switch,
    "nerdctl": _nerdctl_switch,
}
_DIRECTORIES = {
    "docker": '{} in "cdi-spec-dirs" in /etc/docker/daemon.json; systemctl restart docker',
    "podman": "{} in cdi_spec_dirs below [engine] in /etc/containers/containers.conf (since 5.5)",
    "nerdctl": f"{{}} in cdi_spec_dirs in {_NERDCTL_FILE}",
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Native:
    name: str
    packages: tuple[str, ...]
    since: Version


_NATIVE = (
    _Native("runc", ("runc",), Version(1, 4)),
    _Native("crun", ("crun",), Version(1, 22)),
)


def read_low_level(programs: Programs) -> tuple[Program, ...]:
    """Find runc and crun, which run hooks, and move links for pools that say so."""
    found = (programs.find(one.name, packages=one.packages) for one in _NATIVE)
    return tuple(program for program in found if program)


def check_low_level(facts: Sequence[Program], needs: Needs) -> Iterator[Finding]:
    """Judge whether links of pools with `injection: native` would be moved."""
    since = {one.name: one.since for one in _NATIVE}
    good = [one for one in facts if one.version is None or one.version >= since[one.name]]
    for program in facts:
        if not needs.native:
            yield ok("oci/version", str(program), "runs hooks, as all versions do")
        elif program.version is None:
            why = f"its version is not known: {program.unknown}"
            remedy = f"{program.name} {since[program.name]} is the first that moves links"
            yield warn("oci/native", program.name, why, remedy)
        elif program.version < since[program.name]:
            text = "does not move links, and says nothing: a pod starts without its device"
            remedy = f"injection: hook in the pool, or {program.name} {since[program.name]}"
            level = Level.WARN if good else Level.FAIL  # nobody knows which one a runtime uses
            yield Finding(level, "oci/native", str(program), text, remedy)
        else:
            yield ok("oci/native", str(program), "moves links by itself")
    if needs.native and not facts:
        text = "neither was found, and a pool has its links moved by them"
        remedy = "see that the one that is used is runc 1.4 or crun 1.22, or later"
        yield warn("oci/native", "runc, crun", text, remedy)
