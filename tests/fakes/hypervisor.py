"""A provider of ports, run as a program: what it has attached is in a directory, and in links.

    hypervisor.py DIRECTORY [--links]

With `--links` a NIC is a link of the namespace that it runs in: a veth, called nic0 or as the
kernel counts on, by which names that are free come again.
While DIRECTORY/hold is there, an attach waits: `before` it does anything, or `after` all but
its answer; DIRECTORY/held says that it does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Hypervisor:
    """Either side of it: the program, and the test that looks what it did."""

    def __init__(self, directory: Path, *, links: bool = False) -> None:
        self.directory = directory
        self.links = links
        directory.mkdir(exist_ok=True)

    @property
    def command(self) -> tuple[str, ...]:
        """How it is run."""
        links = ("--links",) if self.links else ()
        return sys.executable, str(Path(__file__)), str(self.directory), *links

    @property
    def ports(self) -> list[Json]:
        """What is attached, with the parameters that it was asked for with."""
        with self._locked() as state:
            return list(state["ports"])

    def hold(self, when: str) -> None:
        """Have the next attach wait."""
        (self.directory / "held").unlink(missing_ok=True)
        (self.directory / "hold").write_text(when)

    @property
    def held(self) -> bool:
        """Whether one does."""
        return (self.directory / "held").exists()

    def go(self) -> None:
        """Let it go on."""
        (self.directory / "hold").unlink()

    def answer(self, request: Json) -> Json:
        """Do what is asked."""
        call = request["call"]
        if call == "attach":
            return {"port": self._attach(request)}
        if call == "detach":
            self._detach(request["port"])
            return {}
        return {"ports": [_shown(one) for one in self.ports]}

    def _attach(self, request: Json) -> Json:
        self._wait("before")
        with self._locked() as state:
            state["made"] += 1
            number = state["made"]
            port = {
                "id": f"port{number}",
                "mac": f"02:00:00:00:02:{number:02x}",
                "request": request.get("request", ""),
                "parameters": request["parameters"],
            }
            state["ports"].append(port)
        if self.links:
            mac = ("address", port["mac"])
            _ip("link", "add", "nic%d", *mac, "type", "veth", "peer", "name", f"x{number}")
        self._wait("after")
        return _shown(port)

    def _detach(self, port: str) -> None:
        if self.links and any(one["id"] == port for one in self.ports):
            _ip("link", "del", port.replace("port", "x"))
        with self._locked() as state:
            state["ports"] = [one for one in state["ports"] if one["id"] != port]

    def _wait(self, when: str) -> None:
        hold = self.directory / "hold"
        while hold.exists() and hold.read_text() == when:
            (self.directory / "held").touch()
            time.sleep(0.005)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Json]:
        with (self.directory / "ports.json").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            state = json.loads(file.read() or '{"made": 0, "ports": []}')
            yield state
            file.seek(0)
            file.truncate()
            json.dump(state, file)


def _shown(port: Json) -> Json:
    return {key: port[key] for key in ("id", "mac", "request")}


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


if __name__ == "__main__":
    hypervisor = Hypervisor(Path(sys.argv[1]), links="--links" in sys.argv)
    json.dump(hypervisor.answer(json.load(sys.stdin)), sys.stdout)
