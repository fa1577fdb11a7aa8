"""A cloud, a machine, its pods and a kubelet, for what is decided about ports to be tried in."""

from __future__ import annotations

import dataclasses

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import keeping
from netdevice_plugin.ports.errors import UnansweredError
from netdevice_plugin.ports.keeping import Memory, Plan, Scene, Use
from netdevice_plugin.ports.provider import Port
from netdevice_plugin.provisioning import PortProvider, Ports


def settings(spare: int = 1, most: int = 3) -> Ports:
    return Ports(provider=PortProvider(command=("/bin/provide",)), spare=spare, max=most)


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


@dataclasses.dataclass(slots=True)
class Plugged:
    """A port as the cloud has it; its NIC is on the machine from `nic` on."""

    port: Port
    nic: float | None


class World:
    """Everything true; `memory` and `scene` are what the deciding side knows of it."""

    def __init__(self, wanted: Ports) -> None:
        self.settings = wanted
        self.now = 1000.0
        self.cloud: dict[str, Plugged] = {}
        self.late: list[float] = []  # when attaches happen that were not answered
        self.held: set[str] = set()  # MACs that pods have
        self.promised: dict[str, float] = {}  # MACs that claims were given, prepared then
        self.answered: set[str] = set()  # what the kubelet has said that pods have
        self.asked: set[str] | None = None  # the same, on its way
        self.serial = 0
        self.published: dict[str, Use] = {}
        self.memory = Memory()
        self.kept: frozenset[str] = frozenset()
        self.made = 0
        self.publish()

    def here(self) -> set[str]:
        ports = self.cloud.values()
        return {one.port.mac for one in ports if one.nic is not None and one.nic <= self.now}

    def retiring(self) -> frozenset[str]:
        return frozenset(one.port.mac for one in self.memory.leaving.values())

    def publish(self) -> None:
        """Take a turn of the agent's: what is listed now, and why."""
        self.kept = self.retiring()
        self.published = {one: self.use(one) for one in self.here()}

    def use(self, one: str) -> Use:
        if one in self.answered:
            return Use.HELD
        return Use.FAULTY if one in self.kept else Use.FREE

    def scene(self) -> Scene:
        return Scene(
            uses=dict(self.published),
            free=sum(use is Use.FREE for use in self.published.values()),
            here=frozenset(self.here()),
            kept=self.kept,
            serial=self.serial,
            known=True,
        )

    def ask(self) -> None:
        """The kubelet is asked, and looks."""
        self.asked = set(self.held)

    def answer(self) -> None:
        """Its answer is here, whatever happened since it looked."""
        if self.asked is not None:
            self.answered, self.asked = self.asked, None
            self.serial += 1
            self.publish()

    def pass_time(self, seconds: float) -> None:
        """Let time go by; what was to happen happens."""
        self.now += seconds
        for due in [due for due in self.late if due <= self.now]:
            self.late.remove(due)
            self.plug(self.now)
        for one in [one for one, due in self.promised.items() if due <= self.now]:
            del self.promised[one]
            assert one in self.here(), "a claim was given a device that is gone"
            self.held.add(one)
            self.answered.add(one)  # of claims the agent knows by itself
            self.publish()

    def plug(self, nic: float | None, *, leftover: bool = False) -> Port:
        self.made += 1
        port = Port(id=f"port-{self.made}", mac=mac(self.made), leftover=leftover)
        self.cloud[port.id] = Plugged(port, nic)
        return port

    def decide(self) -> Plan:
        self.memory, plan = keeping.decide(self.settings, self.scene(), self.memory, self.now)
        return plan

    def listed(self) -> None:
        ports = (one.port for one in self.cloud.values())
        self.memory = keeping.seen(self.memory, ports, self.now)

    def step(self, failure: str = "", nic: float | None = 1.0) -> Plan:
        """Do one thing as the keeper does, which goes wrong if `failure` says how."""
        self.listed()
        plan = self.decide()
        if plan.attach:
            self.attach(failure, nic)
        elif plan.detach:
            self.detach(plan.detach.port, failure)
        return plan

    def attach(self, failure: str, nic: float | None) -> None:
        if not failure:
            port = self.plug(None if nic is None else self.now + nic)
            self.memory = keeping.attached(self.memory, port, self.now)
            return
        error = PortError("no") if failure == "failed" else UnansweredError("none")
        if failure == "lost":
            self.late.append(self.now + keeping.SETTLE / 2)
        if failure == "halfway":
            self.plug(None, leftover=True)
        self.memory = keeping.attach_failed(self.memory, error, self.now, 0.5)

    def detach(self, port: Port, failure: str) -> None:
        assert port.mac not in self.held, "a port was detached that a pod has"
        assert port.mac not in self.promised, "a port was detached that a claim was given"
        self.memory = keeping.detach_begins(self.memory, port.id)
        if failure:
            if failure == "lost":
                del self.cloud[port.id]
            if failure == "halfway":
                leftover = dataclasses.replace(port, leftover=True)
                self.cloud[port.id] = Plugged(leftover, None)
            error = PortError("no")
            self.memory = keeping.detach_failed(self.memory, port.id, error, self.now, 0.5)
            return
        del self.cloud[port.id]
        self.memory = keeping.detached(self.memory, port.id, self.now)

    def settle(self, seconds: float = 1500.0, step: float = 5.0) -> None:
        """Let everything go well for long enough."""
        end = self.now + seconds
        while self.now < end:
            self.pass_time(step)
            self.publish()
            self.ask()
            self.answer()
            self.step()
