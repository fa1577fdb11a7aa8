"""The command line in a namespace that plays the host, with the mover that is shipped."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from netdevice_plugin import mover as program
from tests.kernel.mover.harness import Container, Containers, Mover, Result, unmount
from tests.kernel.scratch import Netns

ROOT = pathlib.Path(__file__).parents[3]
KIND = "networking.k8s.io/netdevice"


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """A node: links in a namespace, and directories of this test's own."""

    netns: Netns
    mover: Mover
    cdi_dir: pathlib.Path

    @property
    def file(self) -> pathlib.Path:
        """Where `generate` writes the pool of --interfaces."""
        return self.cdi_dir / "networking.k8s.io-netdevice.json"

    def command(self, *arguments: object) -> list[str]:
        """The command line of `netdevice-plugin`."""
        run_dir = f"--run-dir={self.mover.run_dir}"
        return [sys.executable, "-m", "netdevice_plugin", run_dir, *map(str, arguments)]

    def run(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `netdevice-plugin`; fails unless it ends with that code."""
        result = self.netns.run(*self.command(*arguments), check=False)
        assert result.returncode == code, result
        assert "Traceback" not in result.stderr
        return result

    def generate(
        self, *interfaces: str, options: tuple[object, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `cdi generate` into this test's directory."""
        names = ("--interfaces", ",".join(interfaces))
        places = ("--output", self.cdi_dir, "--mover-path", self.mover.binary)
        return self.run("cdi", "generate", *names, *places, *options)

    def json(self, *arguments: object, code: int = 0) -> Any:
        """Read what a command prints with -o json."""
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def hook(self, device: str, name: str, container: Container) -> Result:
        """Run a hook of the generated file as a container runtime does."""
        spec = json.loads(self.file.read_text())
        (entry,) = (one for one in spec["devices"] if one["name"] == device)
        (hook,) = (one for one in entry["containerEdits"]["hooks"] if one["hookName"] == name)
        assert hook["path"] == str(self.mover.binary)
        state = container.state() if name == "createRuntime" else container.stopped()
        return self.mover.run(*hook["args"][1:], stdin=state)

    def lend(self, device: str, container: Container) -> None:
        """Start a container with the device."""
        self.hook(device, "createRuntime", container).ok()


@pytest.fixture
def node(host: Netns, tmp_path: pathlib.Path) -> Iterator[Host]:
    """A host with the links eth1, eth2 and up0, which has the default route."""
    host.batch(
        [
            "link add up0 type veth peer name up1",
            "link set up0 up",
            "link set up1 up",
            "addr add 192.0.2.1/24 dev up0",
            "route add default via 192.0.2.254",
            "link add eth1 address 02:00:00:00:00:01 type veth peer name peer1",
            "link set eth1 mtu 1400 alias uplink-to-lab",
            "addr add 192.168.8.8/32 dev eth1",
            "link add eth2 address 02:00:00:00:00:02 type ifb",
            "link property add dev eth2 altname second",
        ]
    )
    run_dir = tmp_path / "run"
    yield Host(host, Mover(program.binary(), host, run_dir), tmp_path / "cdi")
    unmount(tmp_path)
    shutil.rmtree(run_dir, ignore_errors=True)


@pytest.fixture
def containers() -> Iterator[Containers]:
    """Starts processes that play containers, and ends them all."""
    started = Containers()
    yield started
    started.end()
