"""The configuration file: strict YAML in, one frozen `Config` out, or every problem at once.

Keys, types and defaults are documented in docs/reference/configuration.md. The
file is read by hand and not by a schema library, which would take a quarter of
what `cdi generate` may take at all and knows no line numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netdevice_plugin import fields, provisions
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import (
    Frontend,
    Injection,
    Pool,
    Registration,
    Selector,
    SlicesAtShutdown,
)
from netdevice_plugin.provisioning import PfCount
from netdevice_plugin.sections import Section
from netdevice_plugin.yamlnode import Problem, YamlError, join, shorten

if TYPE_CHECKING:
    from cdi import syntax

MAX_SIZE = 2**20  # bytes
MAX_PROBLEMS = 100  # that are shown; a file that is none at all may have one in every line
TIMEOUTS = (5, 600)  # seconds: the mover alone waits 2 for a holder that is about to end

_NOTHING_SELECTED = "is missing or empty: without a selector the pool has no device"
_NO_VALUES = "is empty and would select nothing; leave it out, or name something"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings, each with its default. Paths are those of the host."""

    prefix: str = "networking.k8s.io"
    cdi_dir: Path = Path("/var/run/cdi")
    run_dir: Path = Path("/run/netdevice-plugin")
    mover_path: Path = Path("/opt/netdevice-plugin/bin/netdevice-mover")
    node_addresses: tuple[str, ...] = ()
    hook_timeout: int = 30  # seconds
    kubelet_dir: Path = Path("/var/lib/kubelet")  # its --root-dir
    registration: Registration = Registration.SOCKET
    slices_at_shutdown: SlicesAtShutdown = SlicesAtShutdown.KEEP
    sriov: tuple[PfCount, ...] = ()
    pools: tuple[Pool, ...] = ()


class InvalidConfigError(ConfigError):
    """A configuration has problems; `problems` has a line for each, in the file's order."""

    def __init__(
        self, problems: Sequence[str], *, hint: str = "see docs/reference/configuration.md"
    ) -> None:
        self.problems = tuple(problems)
        lines = list(self.problems)
        if len(lines) != 1:
            lines.insert(0, f"{len(lines)} problems:")
        super().__init__("\n  ".join(lines), hint=hint)


def load(path: Path) -> Config:
    """Read a configuration file; raises ConfigError if it cannot be read or is not valid."""
    return loads(read(path), str(path))


def read(path: Path) -> bytes:
    """Read a file, but no more than shows that it is too large; raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot read {str(path)!r}: {reason}") from error


def loads(data: bytes, source: str) -> Config:
    """Read a configuration; `source` is what messages call it.

    Raises InvalidConfigError with every problem, as `source:line: path: what`.
    """
    from netdevice_plugin.yamltree import parse  # noqa: PLC0415 - PyYAML takes 10 ms

    problems: list[Problem] = []
    config = None
    try:
        config = _config(Section(parse(decode(data), problems), "", problems))
    except YamlError as error:
        problems.append(Problem(error.line, "", str(error)))
    if config is None or problems:
        raise InvalidConfigError(_lines(source, sorted(problems)))
    return config


def default(interfaces: Sequence[str]) -> Config:
    """Make the configuration that `--interfaces` stands for: the pool `netdevice` of these globs.

    Raises InvalidConfigError.
    """
    problems = [] if interfaces else ["--interfaces: names no interface"]
    for text in interfaces:
        try:
            fields.glob(text)
        except ValueError as error:
            problems.append(f"--interfaces: {shorten(text)} {error}")
    if problems:
        raise InvalidConfigError(problems)
    pool = Pool(name="netdevice", selectors=(Selector(if_names=tuple(interfaces)),))
    return Config(pools=(pool,))


def dump(config: Config, form: str = "yaml") -> str:
    """Write the effective configuration, defaults included, as `loads` reads it; or as JSON."""
    value: syntax.Plain = {
        "prefix": config.prefix,
        "cdiDir": str(config.cdi_dir),
        "runDir": str(config.run_dir),
        "moverPath": str(config.mover_path),
        "nodeAddresses": list(config.node_addresses),
        "hookTimeout": config.hook_timeout,
        "kubeletDir": str(config.kubelet_dir),
        "registration": config.registration.value,
        "slicesAtShutdown": config.slices_at_shutdown.value,
        "sriov": [provisions.count_plain(count) for count in config.sriov],
        "pools": [_pool_value(pool) for pool in config.pools],
    }
    if form == "json":
        return json.dumps(value, indent=2) + "\n"
    from cdi import syntax  # noqa: PLC0415 - only `config show` writes

    return syntax.dump(value, "yaml").decode()


def decode(data: bytes) -> str:
    """Take a file for UTF-8 text; raises YamlError, for one that is too large as well."""
    if len(data) > MAX_SIZE:
        raise YamlError(1, f"larger than {MAX_SIZE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlError(line, f"not UTF-8 text (byte {data[error.start]:#04x})") from None


def _lines(source: str, problems: Sequence[Problem]) -> list[str]:
    lines = [
        ": ".join(part for part in (f"{source}:{problem.line}", problem.path, problem.text) if part)
        for problem in problems[:MAX_PROBLEMS]
    ]
    more = len(problems) - len(lines)
    return [*lines, f"{source}: and {more} more"] if more else lines


_DEFAULTS = Config()


def _config(section: Section) -> Config:
    prefix = section.text("prefix", fields.prefix, _DEFAULTS.prefix)
    config = Config(
        prefix=prefix,
        cdi_dir=section.text("cdiDir", fields.path, _DEFAULTS.cdi_dir),
        run_dir=section.text("runDir", fields.path, _DEFAULTS.run_dir),
        mover_path=section.text("moverPath", fields.path, _DEFAULTS.mover_path),
        node_addresses=section.texts("nodeAddresses", fields.address),
        hook_timeout=section.number("hookTimeout", TIMEOUTS, _DEFAULTS.hook_timeout),
        kubelet_dir=section.text("kubeletDir", fields.path, _DEFAULTS.kubelet_dir),
        registration=section.text(
            "registration", lambda text: fields.choice(Registration, text), _DEFAULTS.registration
        ),
        slices_at_shutdown=section.text(
            "slicesAtShutdown",
            lambda text: fields.choice(SlicesAtShutdown, text),
            _DEFAULTS.slices_at_shutdown,
        ),
        sriov=provisions.pf_counts(section),
        pools=_pools(section, prefix),
    )
    section.finish()
    return config


def _pools(section: Section, prefix: str) -> tuple[Pool, ...]:
    section.require("pools", "is missing; pools: [] offers nothing")
    pools: list[Pool] = []
    paths: dict[str, tuple[str, str]] = {}
    for node, path in section.nodes("pools"):
        part = Section(node, path, section.problems)
        pool = _pool(part, prefix)
        pools.append(pool)
        if not pool.name:
            continue
        if pool.frontend is Frontend.DRA:
            _check_for_dra(part, pool)
        name, first = paths.setdefault(pool.variable, (pool.name, path))
        if first != path:
            same = "is the name of" if name == pool.name else f"makes one variable with {name!r} of"
            part.report(part.items["name"], f"{path}.name", f"{pool.name!r} {same} {first} too")
    return tuple(pools)


def _check_for_dra(section: Section, pool: Pool) -> None:
    """Check what becomes the name of a driver, and part of the name of a pool of slices."""
    node, path = section.take("frontend")
    name, _ = section.take("name")
    try:
        fields.dra_driver(pool.prefix)
    except ValueError as error:
        section.report(node or section.node, path, f"the prefix {pool.prefix!r} {error}")
    try:
        fields.dra_pool(pool.name)
    except ValueError as error:
        section.report(name or section.node, join(section.path, "name"), f"{pool.name!r} {error}")


def _pool(section: Section, prefix: str) -> Pool:
    section.require("name", "is missing")
    if "create" not in section.items:
        section.require("selectors", _NOTHING_SELECTED)
    pool = Pool(
        name=section.text("name", fields.pool_name, ""),
        prefix=prefix,
        frontend=section.text(
            "frontend", lambda text: fields.choice(Frontend, text), Frontend.DEVICE_PLUGIN
        ),
        injection=section.text(
            "injection", lambda text: fields.choice(Injection, text), Injection.HOOK
        ),
        selectors=tuple(
            _selector(Section(node, path, section.problems))
            for node, path in section.nodes("selectors", empty=_NOTHING_SELECTED)
        ),
        require_carrier=section.flag("requireCarrier", fallback=False),
        **provisions.read(section),
    )
    provisions.check(section, pool)
    section.finish()
    return pool


def _selector(section: Section) -> Selector:
    if section.node.value == {}:
        section.report(
            section.node, section.path, "selects every link; write ifNames: ['*'] if that is meant"
        )
    texts = functools.partial(section.texts, empty=_NO_VALUES)
    selector = Selector(
        if_names=texts("ifNames", fields.glob),
        pf_names=texts("pfNames", fields.pf_range),
        pci_addresses=texts("pciAddresses", fields.pci_address),
        vendors=texts("vendors", fields.pci_id),
        devices=texts("devices", fields.pci_id),
        drivers=texts("drivers", fields.word),
        kinds=texts("kinds", fields.word),
        link_types=texts("linkTypes", fields.word),
        macs=texts("macAddresses", fields.mac),
    )
    section.finish()
    return selector


def _pool_value(pool: Pool) -> syntax.Plain:
    return {
        "name": pool.name,
        "frontend": pool.frontend.value,
        "injection": pool.injection.value,
        "requireCarrier": pool.require_carrier,
        **provisions.plain(pool),
        **({} if pool.create else {"selectors": [_selector_value(s) for s in pool.selectors]}),
    }


def _selector_value(selector: Selector) -> syntax.Plain:
    values = {
        "ifNames": selector.if_names,
        "pfNames": tuple(fields.pf_text(pf) for pf in selector.pf_names),
        "pciAddresses": selector.pci_addresses,
        "vendors": selector.vendors,
        "devices": selector.devices,
        "drivers": selector.drivers,
        "kinds": selector.kinds,
        "linkTypes": selector.link_types,
        "macAddresses": selector.macs,
    }
    return {key: list(texts) for key, texts in values.items() if texts}
