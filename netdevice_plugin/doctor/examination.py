"""All checks, in the order in which one leads to the next."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cdi.errors import Error
from netdevice_plugin import config as configuration
from netdevice_plugin import pools
from netdevice_plugin.config import Config, InvalidConfigError
from netdevice_plugin.doctor import (
    attaching,
    cdidirs,
    claims,
    containerd,
    created,
    crio,
    dra,
    engines,
    functions,
    installed,
    kernel,
    kubelet,
    memory,
    mounts,
    node,
    privileges,
    vfs,
)
from netdevice_plugin.doctor.finding import Finding, fail, ok
from netdevice_plugin.doctor.host import Host, reason
from netdevice_plugin.doctor.kubelet import Kubelet
from netdevice_plugin.doctor.modules import Modules
from netdevice_plugin.doctor.mounts import Mount
from netdevice_plugin.doctor.node import Look
from netdevice_plugin.doctor.programs import Programs
from netdevice_plugin.doctor.runtime import Needs, Runtime
from netdevice_plugin.errors import ConfigError, NetdevError
from netdevice_plugin.model import Frontend, Injection


def read_config(path: Path | None) -> tuple[Config, list[Finding]]:
    """Read the configuration file, if one is given; the defaults stand for one that is wrong."""
    if path is None:
        return Config(), []
    try:
        found = configuration.load(path)
    except InvalidConfigError as error:
        findings = [fail("config/file", "", text, error.hint) for text in error.problems]
    except ConfigError as error:
        findings = [fail("config/file", "", str(error), "give another --config, or none")]
    else:
        pools = ", ".join(pool.kind for pool in found.pools) or "no pool"
        return found, [ok("config/file", str(path), f"is valid; {pools}")]
    return Config(), findings


def examine(host: Host, config: Config, look: Look, *, given: bool) -> Iterator[Finding]:
    """Look at everything. `given` is whether the configuration is somebody's, and no default.

    What cannot be read at all is a finding as well: only a bug raises.
    """
    programs = Programs(host)
    look = functools.cache(look)  # links are read once, for two themes
    yield from _guarded("kernel", lambda: kernel.check(kernel.read(host)))
    met = None
    findings: list[Finding] = []
    try:
        met = kubelet.read(host, programs, config)
    except OSError as error:
        findings.append(_unreadable("kubelet", error))
    needs = Needs(
        kubelet=met is not None,
        endpoint=met.endpoint if met else "",
        cdi_dir=str(config.cdi_dir),
        native=any(pool.injection is Injection.NATIVE for pool in config.pools),
    )
    runtimes: list[Runtime] = []
    yield from _guarded("runtime", lambda: _runtimes(host, programs, needs, runtimes))
    yield from findings
    yield from _guarded("kubelet", lambda: kubelet.check(met, config, given=given))
    yield from _guarded("dra", lambda: _dra(host, config, met))
    table = _mounts(host)
    yield from _guarded("cdi", lambda: _cdi(host, config, runtimes, table))
    yield from _guarded("node", lambda: _node(host, config, look, kubelet=met is not None))
    yield from _guarded("functions", lambda: _functions(host, programs, config, look, table))


def _guarded(theme: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Make a finding of what stops a theme as a whole."""
    try:
        yield from check()
    except (OSError, NetdevError, Error) as error:
        yield _unreadable(theme, error)


def _unreadable(theme: str, error: Exception) -> Finding:
    text = reason(error) if isinstance(error, OSError) else str(error)
    return fail(f"{theme}/unreadable", theme, f"cannot be looked at: {text}", "be root")


def _mounts(host: Host) -> tuple[Mount, ...]:
    try:
        return mounts.parse(host.mountinfo())
    except OSError:
        return ()


def _runtimes(
    host: Host, programs: Programs, needs: Needs, found: list[Runtime]
) -> Iterator[Finding]:
    """Judge all runtimes, and note them for those who want to know what they read."""
    results = [containerd.check(one, needs) for one in containerd.read(host, programs)]
    if one := crio.read(host, programs):
        results.append(crio.check(one, needs))
    results += [engines.check(engine, needs) for engine in engines.read(host, programs)]
    for summary, findings in results:
        found.append(summary)
        yield from findings
    yield from engines.check_low_level(engines.read_low_level(programs), needs)
    if not any(summary.works for summary in found):
        names = ", ".join(summary.name for summary in found)
        text = f"none of those found would do ({names})" if names else "none was found"
        remedy = "containerd 2, CRI-O 1.28, podman 4.1, docker 28.2 or nerdctl 2.1, or later"
        yield fail("runtime/none", "container runtimes", text, remedy)


def _dra(host: Host, config: Config, met: Kubelet | None) -> Iterator[Finding]:
    """Judge the front end if a pool has it, and what claims have of whatever pool."""
    if met and any(pool.frontend is Frontend.DRA for pool in config.pools):
        yield from dra.check(dra.read(host, config, met, node.in_charge(host, config)))
    yield from claims.check(claims.read(host, config))


def _cdi(
    host: Host, config: Config, runtimes: list[Runtime], table: tuple[Mount, ...]
) -> Iterator[Finding]:
    facts = cdidirs.read(host, config, runtimes, table)
    yield from cdidirs.check(facts, config, runtimes)
    for one in installed.read_movers(host, config, facts.files, table):
        yield from installed.check_mover(one)
    yield from installed.check_run_dir(installed.read_run_dir(host, config, facts.files, table))


def _node(host: Host, config: Config, look: Look, *, kubelet: bool) -> Iterator[Finding]:
    yield from node.check(node.read(host, config, look), config, kubelet=kubelet)


def _functions(
    host: Host, programs: Programs, config: Config, look: Look, table: tuple[Mount, ...]
) -> Iterator[Finding]:
    """Judge what pools ask for beyond links that are there; nothing of it is most often asked."""
    chosen = config.pools
    if not config.sriov and not any(one.userspace or one.create or one.ports for one in chosen):
        return
    snapshot = node.see(host, config, look)[0].snapshot
    modules = Modules(host)
    agent = node.in_charge(host, config)
    if agent is not None and privileges.writes(config):
        yield from privileges.check(privileges.read(host, agent), config)
    for asked in config.sriov:
        yield from vfs.check(vfs.read(host, asked, snapshot))
    assignment = pools.assign(snapshot, chosen)
    if userspace := [pool for pool in chosen if pool.userspace]:
        yield from functions.check_iommu(functions.read_iommu(host), userspace)
        for pool in userspace:
            devices = assignment.of(pool)
            yield from functions.check(functions.read(host, pool, devices, modules))
        offered = [one for pool in userspace for one in assignment.of(pool)]
        yield from memory.check(memory.read(host, programs, offered, table))
    for parent in created.read(chosen, assignment, snapshot, modules):
        yield from created.check(parent)
    for pool in chosen:
        if pool.ports:
            read = attaching.read(host, pool.kind, pool.ports.provider, agent)
            yield from attaching.check(read)
