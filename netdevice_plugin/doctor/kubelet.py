"""The kubelet: where its directory is, whether it can be met there, and what it knows.

It may be a process of its own, or a part of k3s or of microk8s's kubelite. Its
directory is what its command line says, and the agent has to be told the same.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Iterator, Mapping

from cdi import syntax
from cdi.errors import SpecError
from netdevice_plugin.config import Config
from netdevice_plugin.doctor.finding import Finding, fail, ok, some, warn
from netdevice_plugin.doctor.host import Host, Process
from netdevice_plugin.doctor.programs import Program, Programs
from netdevice_plugin.doctor.settings import Table, table
from netdevice_plugin.doctor.versions import Version
from netdevice_plugin.model import Frontend, Registration

DEFAULT = "/var/lib/kubelet"

_GATE = "DevicePluginCDIDevices"
_DRA = "DynamicResourceAllocation"
_SNAP_COMMON = "/var/snap/microk8s/common"
_PATH_LIMIT = 107  # bytes of a socket's path; sockaddr_un has 108 with the final NUL
_LONGEST = len("/device-plugins/.netdevice-0123456789abcdef.sock")  # what the agent makes at worst
_START = "start the kubelet, and see its log"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kubelet:
    """A kubelet, or a directory of one."""

    directory: str  # its --root-dir, as its command line says, or the configured one
    configured: str
    agrees: bool = True  # the two are the same directory
    process: Process | None = None
    program: Program | None = None
    gates: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    endpoint: str = ""  # of its container runtime; empty is not known
    faults: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by socket; "" is good
    plugins: Mapping[str, str] = dataclasses.field(default_factory=dict)  # likewise, our own
    registry: bool = True  # there is a directory plugins_registry
    node: str = ""  # --hostname-override, or what k3s calls --node-name

    @property
    def title(self) -> str:
        """How it is called in findings."""
        return str(self.program or "kubelet")


def read(host: Host, programs: Programs, config: Config) -> Kubelet | None:
    """Find the kubelet; None where there is neither one that runs nor a directory of one."""
    process = _process(programs)
    configured = os.fspath(config.kubelet_dir)
    if process is None and not host.is_dir(f"{configured}/device-plugins"):
        return None
    argv = _arguments(host, process) if process else Process(0, ("kubelet",))
    directory = argv.option("--root-dir") or (DEFAULT if process else configured)
    file = _config_file(host, argv.option("--config"))
    sockets = [
        f"{directory}/device-plugins/kubelet.sock",
        f"{directory}/pod-resources/kubelet.sock",
    ]
    ours = _our_sockets(host, directory, config)
    return Kubelet(
        directory=directory,
        configured=configured,
        agrees=host.real(directory) == host.real(configured),
        process=process,
        program=_program(programs, process),
        gates={**_gates_of_file(file), **_gates(argv)},
        endpoint=_endpoint(process, argv, file),
        faults={path: host.listens(path) for path in sockets},
        plugins={path: host.listens(path) for path in ours},
        registry=host.is_dir(f"{directory}/plugins_registry"),
        node=argv.option("--hostname-override")
        or (process.option("--node-name") if process else ""),
    )


def _process(programs: Programs) -> Process | None:
    """Find the process that is the kubelet, or has it in it."""
    for process in programs.named("kubelet", "kubelite", "k3s", "k3s-server", "k3s-agent"):
        words = " ".join(process.argv).split()
        if not process.name.startswith("k3s") or {"server", "agent"} & {
            *words,
            *words[0].split("-"),
        }:
            return process
    return None


def _arguments(host: Host, process: Process) -> Process:
    """Give a kubelet inside of another program its arguments, as if it ran by itself."""
    argv = ["kubelet"]
    if process.name == "kubelite":
        try:
            text = host.text(process.option("--kubelet-args-file"))
        except OSError:
            return Process(0, ("kubelet",))
        common = text.replace("${SNAP_COMMON}", _SNAP_COMMON).replace("$SNAP_COMMON", _SNAP_COMMON)
        argv += [line for line in common.splitlines() if line.startswith("-")]
    elif process.name.startswith("k3s"):
        argv += [f"--{value}" for value in process.options("--kubelet-arg")]
    else:
        return process
    return dataclasses.replace(process, argv=tuple(argv))


def _endpoint(process: Process | None, argv: Process, file: Table) -> str:
    """Say which runtime it talks to; of one that is not seen that is not known."""
    told = argv.option("--container-runtime-endpoint") or file.get("containerRuntimeEndpoint")
    if (isinstance(told, str) and told) or process is None:
        return str(told or "")
    return f"/run/{'k3s/' if process.name.startswith('k3s') else ''}containerd/containerd.sock"


def _program(programs: Programs, process: Process | None) -> Program | None:
    if process and process.name.startswith("k3s"):
        return programs.find("k3s", process=process)
    if process and process.name == "kubelite":
        return programs.find("kubelet", places=["/snap/microk8s/current/kubelite"])
    return programs.find("kubelet", process=process, packages=("kubelet",))


def _config_file(host: Host, path: str) -> Table:
    """Read a KubeletConfiguration; an empty one stands for what cannot be read."""
    if not path:
        return {}
    try:
        data = host.read(path)
        return table(syntax.parse(data, source=path, format=syntax.sniff(data)))
    except (OSError, SpecError):
        return {}


def _gates_of_file(file: Table) -> dict[str, bool]:
    gates = table(file, "featureGates").items()
    return {name: value for name, value in gates if isinstance(value, bool)}


def _gates(process: Process) -> dict[str, bool]:
    pairs = (one.partition("=") for one in process.option("--feature-gates").split(","))
    return {name: value.lower() in ("true", "1", "t") for name, equals, value in pairs if equals}


def _our_sockets(host: Host, directory: str, config: Config) -> list[str]:
    where = f"{directory}/{'device-plugins' if _calls(config) else 'plugins_registry'}"
    try:
        names = host.names(where)
    except OSError:
        return []
    return [
        f"{where}/{name}"
        for name in names
        if name.endswith(".sock") and name.startswith((f"{config.prefix}-", "netdevice-"))
    ]


def _calls(config: Config) -> bool:
    return config.registration is Registration.SOCKET


def check(facts: Kubelet | None, config: Config, *, given: bool) -> Iterator[Finding]:
    """Judge the kubelet. `given` is whether there is a configuration file that could name it."""
    if facts is None:
        text = f"there is none, and no {config.kubelet_dir}/device-plugins: no pod can ask here"
        yield ok("kubelet/found", "kubelet", text)
        return
    yield from _found(facts)
    yield from _directory(facts, given=given)
    yield from _version(facts)
    yield from _sockets(facts, config)
    yield from _served(facts)
    if config.registration is Registration.WATCHER and not facts.registry:
        text = "is not there, and by the configuration the kubelet is to find us in it"
        path = f"{facts.directory}/plugins_registry"
        yield fail("kubelet/registry", path, text, f"{_START}; or registration: kubelet.sock")
    if any(pool.frontend is Frontend.DRA for pool in config.pools):
        yield from _dra(facts)


def _found(facts: Kubelet) -> Iterator[Finding]:
    if facts.process:
        text = f"runs (pid {facts.process.pid}) in {facts.directory}"
        yield ok("kubelet/found", facts.title, text)
    else:
        text = "no kubelet is seen that uses it; from a pod that takes hostPID, or the host's /proc"
        yield warn("kubelet/found", facts.directory, text, _START)


def _directory(facts: Kubelet, *, given: bool) -> Iterator[Finding]:
    directory, configured = facts.directory, facts.configured
    if not facts.agrees:
        text = f"has its directory in {directory}, and the agent looks in {configured}"
        remedy = f"kubeletDir: {directory} in the agent's configuration"
        level = fail if given else warn
        yield level("kubelet/directory", facts.title, text, remedy)
    if len(os.fsencode(directory)) + _LONGEST > _PATH_LIMIT:
        text = f"is too long for a socket's path, which has {_PATH_LIMIT} bytes at most"
        remedy = "a shorter --root-dir; or kubeletDir: a symbolic link to it"
        yield fail("kubelet/directory", directory, text, remedy)


def _version(facts: Kubelet) -> Iterator[Finding]:
    version = facts.program.version if facts.program else None
    gate = facts.gates.get(_GATE)
    if version is None:
        why = facts.program.unknown if facts.program else "its program cannot be found"
        remedy = "see with kubectl get nodes that it is 1.29 or later"
        yield warn("kubelet/version", facts.title, f"its version is not known: {why}", remedy)
    elif version < Version(1, 28):
        text = "cannot ask a runtime for CDI devices of device plugins"
        yield fail("kubelet/version", facts.title, text, "upgrade to Kubernetes 1.29 or later")
    elif version < Version(1, 31) and gate is False:
        text = f"its feature gate {_GATE} is off"
        yield fail("kubelet/version", facts.title, text, f"featureGates: {{{_GATE}: true}}")
    elif version < Version(1, 29) and gate is not True:
        text = f"asks a runtime for CDI devices of device plugins only with the gate {_GATE}"
        yield fail("kubelet/version", facts.title, text, f"featureGates: {{{_GATE}: true}}")
    else:
        text = "asks its runtime for the CDI devices of device plugins"
        yield ok("kubelet/version", facts.title, text)


def _sockets(facts: Kubelet, config: Config) -> Iterator[Finding]:
    first, second = facts.faults
    if not facts.faults[first]:
        yield ok("kubelet/socket", first, "somebody listens")
    elif _calls(config):
        yield fail("kubelet/socket", first, facts.faults[first], _START)
    if facts.faults[second]:
        text = f"{facts.faults[second]}; who has which device is read from its checkpoint instead"
        remedy = f"{_START}; the agent's pod needs the directory mounted"
        yield warn("kubelet/pod-resources", second, text, remedy)
    else:
        yield ok("kubelet/pod-resources", second, "somebody listens")


def _served(facts: Kubelet) -> Iterator[Finding]:
    served = [path for path, fault in facts.plugins.items() if not fault]
    if served:
        names = some(posixpath.basename(path) for path in served)
        yield ok("kubelet/plugins", "sockets of ours", f"served: {names}")
    for path, fault in facts.plugins.items():
        if fault:
            remedy = "start the agent, which makes it anew: netdevice-plugin run"
            yield warn("kubelet/plugins", path, fault, remedy)


def _dra(facts: Kubelet) -> Iterator[Finding]:
    version = facts.program.version if facts.program else None
    gate = facts.gates.get(_DRA)
    on = f"featureGates: {{{_DRA}: true}}"
    if version and version < Version(1, 32):
        text = "has no DRA that a pool with frontend: dra could be served by"
        yield fail("kubelet/dra", facts.title, text, "upgrade to Kubernetes 1.34 or later")
    elif gate is False:
        yield fail("kubelet/dra", facts.title, f"its feature gate {_DRA} is off", on)
    elif version and version < Version(1, 34):
        seen = "is on" if gate else "is not seen to be on"
        text = f"has DRA of version v1beta1, if the feature gate {_DRA} is on; here it {seen}"
        remedy = (
            f"{on} for every component, and the API server's runtime-config "
            "resource.k8s.io/v1beta1=true; or Kubernetes 1.34"
        )
        yield warn("kubelet/dra", facts.title, text, remedy)
    elif version:
        yield ok("kubelet/dra", facts.title, "has DRA of version v1")
