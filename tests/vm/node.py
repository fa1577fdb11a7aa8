"""The guest as a node: the command line that offers a link, and the mover that lends it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner

from netdevice_plugin.cli import main
from tests.kernel.mover.harness import DEVICE, Container, Mover, Result
from tests.vm.nics import HOST
from tests.vm.relay import MOVER, STEPS


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """What a CDI file says of a link, for as long as the file stays as it is."""

    mover: Mover
    arguments: tuple[str, ...]

    def attach(
        self, container: Container, *overrides: str, env: Mapping[str, str] | None = None
    ) -> Result:
        """Run its createRuntime hook."""
        return self.mover.run(*self.arguments, *overrides, stdin=container.state(), env=env)


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """Run in the guest alone: its first namespace is the host."""

    run_dir: pathlib.Path

    @property
    def mover(self) -> Mover:
        """As it is shipped."""
        return Mover(MOVER, HOST, self.run_dir)

    @property
    def stepped(self) -> Mover:
        """The one that can be killed at each step."""
        return Mover(STEPS, HOST, self.run_dir)

    def command(self, *arguments: str) -> Any:
        """What `netdevice-plugin` prints, which is JSON."""
        result = CliRunner().invoke(main, [f"--run-dir={self.run_dir}", *arguments])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def offer(self, link: str = DEVICE, *, mover: Mover | None = None) -> Offer:
        """Run `cdi generate` for a link."""
        run = mover or self.mover
        wanted = ("--interfaces", link, "--output", "-", "--mover-path", str(run.binary))
        (device,) = self.command("cdi", "generate", *wanted)["devices"]
        (hook,) = (
            hook
            for hook in device["containerEdits"]["hooks"]
            if hook["hookName"] == "createRuntime"
        )
        return Offer(run, tuple(hook["args"][1:]))
