"""CRI-O: CDI is always on there; which version, and from where.

/etc/crio/crio.conf, then the files of crio.conf.d by name; the later wins, key by key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from netdevice_plugin.doctor import runtime
from netdevice_plugin.doctor.finding import Finding, Level, fail, ok
from netdevice_plugin.doctor.host import Host, Process
from netdevice_plugin.doctor.programs import Program, Programs
from netdevice_plugin.doctor.runtime import Needs, Runtime
from netdevice_plugin.doctor.settings import File, read_toml, table, texts
from netdevice_plugin.doctor.versions import Version

_CONFIG = "/etc/crio/crio.conf"
_DROP_INS = "/etc/crio/crio.conf.d"
_SOCKET = "/run/crio/crio.sock"
_RESTART = "systemctl restart crio"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Crio:
    """CRI-O and its configuration files, in the order that it reads them."""

    files: tuple[File, ...] = ()
    told: tuple[str, ...] = ()  # directories of its command line
    program: Program | None = None
    process: Process | None = None

    @property
    def title(self) -> str:
        """How it is called in findings."""
        return str(self.program or "CRI-O")

    @property
    def directories(self) -> tuple[str, ...]:
        """Where it looks for CDI files."""
        found = runtime.DIRECTORIES
        for file in self.files:
            value = texts(table(file.data, "crio", "runtime").get("cdi_spec_dirs"))
            found = found if value is None else value
        return self.told or found

    @property
    def socket(self) -> str:
        """Where it listens."""
        value = [table(file.data, "crio", "api").get("listen") for file in self.files]
        return str(next(filter(None, reversed(value)), _SOCKET))


def read(host: Host, programs: Programs) -> Crio | None:
    """Find CRI-O, if it runs or is installed."""
    process = next(programs.named("crio"), None)
    program = programs.find("CRI-O", file="crio", packages=("cri-o",), process=process)
    if program is None:
        return None
    config = (process.option("--config", "-c") if process else "") or _CONFIG
    drop_ins = (process.option("--config-dir", "-d") if process else "") or _DROP_INS
    paths = [config] if host.exists(config) else []
    paths += [path for path in host.glob(f"{drop_ins}/*") if not host.is_dir(path)]
    told = process.options("--cdi-spec-dirs") if process else []
    return Crio(
        files=tuple(read_toml(host, path) for path in paths),
        told=tuple(one for value in told for one in value.split(",") if one),
        program=program,
        process=process,
    )


def check(facts: Crio, needs: Needs) -> tuple[Runtime, list[Finding]]:
    """Judge CRI-O. What no kubelet asks is not held against it."""
    summary = runtime.describe("CRI-O", facts.program, facts.directories)
    if not needs.asks(facts.socket):
        return summary, [ok("crio/cdi", facts.title, "no kubelet talks to it")]
    findings = [
        *runtime.unknown_version("crio", facts.program, "crio"),
        *_faults(facts),
        *_version(facts),
        *_directories(facts, needs),
        *_native(facts, needs),
    ]
    works = all(finding.level is not Level.FAIL for finding in findings)
    stale = runtime.older_than_its_files("crio", facts.process, facts.files, _RESTART)
    return dataclasses.replace(summary, works=works), [*findings, *stale]


def _faults(facts: Crio) -> Iterator[Finding]:
    for file in facts.files:
        if file.fault:
            yield fail("crio/config", file.path, file.fault, f"correct the file; {_RESTART}")


def _version(facts: Crio) -> Iterator[Finding]:
    version = facts.program.version if facts.program else None
    if version is None:
        return
    if version < Version(1, 28):
        knows = "reads CDI devices from annotations alone" if version >= Version(1, 24) else ""
        text = f"{knows or 'does not know CDI'}; the kubelet asks in CRI's field"
        yield fail("crio/cdi", facts.title, text, "upgrade to CRI-O 1.28 or later")
    else:
        yield ok("crio/cdi", facts.title, "CDI is always on")


def _directories(facts: Crio, needs: Needs) -> Iterator[Finding]:
    if not runtime.has(facts.directories, needs.cdi_dir):
        listed = ", ".join(facts.directories) or "nowhere"
        text = f"looks for CDI files in {listed}, and ours are in {needs.cdi_dir}"
        remedy = f"{needs.cdi_dir} among cdi_spec_dirs below [crio.runtime] in {_DROP_INS}"
        yield fail("crio/directories", facts.title, text, f"{remedy}; {_RESTART}")


def _native(facts: Crio, needs: Needs) -> Iterator[Finding]:
    version = facts.program.version if facts.program else None
    if needs.native and version and version < Version(1, 35):
        text = "cannot read CDI files with netDevices; 1.35 is the first that can"
        yield fail("crio/native", facts.title, text, "injection: hook in the pool, or upgrade")
