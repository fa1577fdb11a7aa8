"""The command line, run as somebody runs it, and what a test puts before it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Phase
from netdevice_plugin.cli import main
from netdevice_plugin.dra import allocation, checkpoint
from netdevice_plugin.dra.claim import ClaimRef
from tests.unit.dra import claimed
from tests.unit.test_attachments import encode

ETH1 = HostLink(name="eth1", ifindex=7, kind="veth", mac="02:00:00:00:00:07")
# A process that lives for as long as the test does: this one.
LIVING = Holder(
    container="c" * 64,
    pid=os.getpid(),
    start_time=int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]),
    since=1_700_000_000,
    namespace="default",
    pod="web-0",
    pod_uid="3f0c1c9a",
    container_name="app",
)
DEAD = Holder(container="d" * 64, pid=os.getpid(), start_time=1, since=1_700_000_000)
ATTACHED = Attachment(
    device="eth1",
    phase=Phase.ATTACHED,
    link=ETH1,
    netns=(4, 4026532177),
    pin="/run/netdevice-plugin/netns/eth1",
    holders=(LIVING,),
    pod_name="net1",
)


def run(*arguments: object, stdin: bytes = b"") -> Result:
    """Run a command in this process; a bug in it is raised here."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(main, words, input=stdin, prog_name="netdevice-plugin")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, which has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def keep(run_dir: Path, *records: Attachment) -> None:
    """Write records as the mover does."""
    directory = run_dir / "attachments"
    directory.mkdir(parents=True, exist_ok=True)
    for record in records:
        (directory / record.device).write_bytes(encode(record))


def fails(run_dir: Path, device: str, text: str) -> None:
    """Write the last failure of a device."""
    directory = run_dir / "errors"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / device).write_text(text)


def prepare(
    kubelet_dir: Path,
    whose: ClaimRef,
    *devices: str,
    admin: bool = False,
    nics: Mapping[str, str] | None = None,
) -> Path:
    """Write a claim's checkpoint as the agent does; `nics` are attached for it, by device."""
    given = [claimed.result(device, adminAccess=admin) for device in devices]
    claim = claimed.claim(whose, given)
    driver = claimed.DRIVER
    made = allocation.decode(claim, whose, driver=driver, node=claimed.NODE)
    made = dataclasses.replace(made, macs=tuple(sorted((nics or {}).items())))
    path = kubelet_dir / "plugins" / driver / "claims" / f"{whose.uid}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(checkpoint.dumps(made, driver))
    return path
