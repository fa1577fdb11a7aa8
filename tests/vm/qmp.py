"""In the guest: QEMU's own monitor, by which a test plugs and pulls the NICs of its machine.

The protocol is docs/interop/qmp-spec.rst in QEMU's sources: a JSON object a line, answers by
id, and events in between.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import pathlib
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.vm.hardware import QMP

PATIENCE = 20.0  # seconds; a pulled NIC goes when its driver has let it go

Message = dict[str, Any]


class QmpError(Exception):
    """QEMU did not do what it was asked, or did not say so in time."""


class Qmp:
    """The connection, which lasts as long as QEMU does: one for all tests."""

    def __init__(self) -> None:
        self._port = os.open(_port(), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        self._lines: collections.deque[Message] = collections.deque()
        self._events: list[Message] = []
        self._ids = itertools.count(1)
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Have QEMU do something, and return what it answers."""
        number = next(self._ids)
        request = {"execute": command, "arguments": arguments, "id": number}
        os.write(self._port, json.dumps(request).encode() + b"\n")
        answer = self._find(lambda message: message.get("id") == number, command)
        if "error" in answer:
            raise QmpError(f"{command} {arguments}: {answer['error']['desc']}")
        return answer["return"]

    def plug(self, name: str, slot: str, mac: str, hub: int, **properties: object) -> None:
        """Attach a virtio NIC to a hub, in a free slot; the guest sees it later."""
        self.execute("netdev_add", type="hubport", id=f"net-{name}", hubid=hub)
        nic = {"driver": "virtio-net-pci", "id": name, "bus": slot, "netdev": f"net-{name}"}
        wanted = {"mac": mac, "disable-legacy": "on", "romfile": "", **properties}
        self.execute("device_add", **nic, **wanted)

    def ask_back(self, name: str) -> None:
        """Ask the guest for a NIC; it goes when its driver lets it go."""
        self.execute("device_del", id=name)

    def await_gone(self, name: str, patience: float = PATIENCE) -> None:
        """Return when a NIC that was asked back is gone."""
        self._event("DEVICE_DELETED", name, patience)
        self.execute("netdev_del", id=f"net-{name}")

    def pull(self, name: str) -> None:
        """Ask a NIC back, and return when it is gone."""
        self.ask_back(name)
        self.await_gone(name)

    def cable(self, name: str, *, on: bool) -> None:
        """Plug a NIC's cable in, or pull it out."""
        self.execute("set_link", name=name, up=on)

    def _event(self, event: str, device: str, patience: float) -> None:
        def meant(message: Message) -> bool:
            return message.get("event") == event and message["data"].get("device") == device

        for message in self._events:
            if meant(message):
                self._events.remove(message)
                return
        self._find(meant, f"{event} of {device}", patience)

    def _find(
        self, wanted: Callable[[Message], bool], what: str, patience: float = PATIENCE
    ) -> Message:
        """The first message that is wanted; events are kept for whoever waits for them next."""
        for message in self._messages(time.monotonic() + patience):
            if wanted(message):
                return message
            if "event" in message:
                self._events.append(message)
        raise QmpError(f"{what}: QEMU said nothing of it for {patience:.0f} s")

    def _messages(self, deadline: float) -> Iterator[Message]:
        while True:
            while self._lines:
                yield self._lines.popleft()
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                return
            *lines, self._rest = (self._rest + os.read(self._port, 65536)).split(b"\n")
            self._lines.extend(json.loads(line) for line in lines if line.strip())


def _port() -> pathlib.Path:
    """The device node of the port of that name; there is no udev to link it."""
    for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == QMP:
            return pathlib.Path("/dev", name.parent.name)
    raise QmpError(f"the guest has no virtio port {QMP}")
