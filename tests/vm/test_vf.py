"""Settings of a VF that its PF makes: there while it is lent, and as they were afterwards."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import Containers, Result
from tests.kernel.scratch import netns
from tests.vm.nics import HOST, PCI, Nic, Nics
from tests.vm.node import Node

MAC = "02:11:22:33:44:00"
ALL = f"mac {MAC} vlan 100 qos 3 max-tx-rate 100 spoofchk off trust on"
SHOWN = {
    "address": MAC,
    "vlan_list": [{"vlan": 100, "qos": 3}],
    "rate": {"max_tx": 100, "min_tx": 0},
    "spoofchk": False,
    "trust": True,
}
PLAIN = "mac 00:00:00:00:00:00 vlan 0 max-tx-rate 0 spoofchk on trust off"


@dataclasses.dataclass(frozen=True, slots=True)
class Vf:
    """The first VF, seen from its PF."""

    nics: Nics
    number: int = 0

    @property
    def nic(self) -> Nic:
        """Its own link."""
        return self.nics.vf0

    def all(self) -> list[dict[str, Any]]:
        """What the PF shows of each of its VFs, less what nobody sets."""
        (pf,) = HOST.json("link", "show", "dev", self.nics.pf1.link)
        for vf in pf["vfinfo_list"]:  # in which a zero is left out
            vf["vlan_list"] = [{"vlan": 0, "qos": 0, **vlan} for vlan in vf["vlan_list"]]
        return list(pf["vfinfo_list"])

    def shown(self) -> dict[str, Any]:
        """Of this one what there is to set."""
        return {key: value for key, value in self.all()[self.number].items() if key in SHOWN}

    def set(self, words: str) -> None:
        """As an administrator does, in iproute2's words."""
        pf, number = self.nics.pf1.link, str(self.number)
        for old, new in (("max-tx-rate", "max_tx_rate"), ("link-state", "state")):
            words = words.replace(old, new)
        HOST.ip("link", "set", pf, "vf", number, *words.split(" "))

    def rebind(self) -> None:
        """Its driver finds what MAC the PF has set."""
        function = (PCI / self.nics.pf1.pci / f"virtfn{self.number}").resolve()
        driver = (function / "driver").resolve()
        for action in ("unbind", "bind"):
            (driver / action).write_text(function.name)
        self.nic.rename()

    def may_choose_its_mac(self) -> bool:
        """Whether the PF leaves it to the VF."""
        result = HOST.run(
            "ip", "link", "set", self.nic.link, "address", "02:00:00:00:00:55", check=False
        )
        return result.returncode == 0


@pytest.fixture
def vf(all_nics: Nics) -> Iterator[Vf]:
    """With nothing set, and down."""
    found = Vf(all_nics)
    HOST.ip(
        "link", "set", "vf0", "up"
    )  # so that the PF hears of the VF's MAC when it is down again
    HOST.ip("link", "set", "vf0", "down")
    yield found
    found.set(PLAIN)
    found.nic.reset()


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """The host before a loan."""

    vf: Vf
    links: Any
    vfs: Any

    @classmethod
    def of(cls, vf: Vf) -> Scene:
        """As it is now."""
        return cls(vf, settled(HOST), vf.all())

    def assert_restored(self, node: Node) -> None:
        """All of it is as it was, and nothing is left behind."""
        assert self.vf.all() == self.vfs
        assert_same(HOST, self.links)
        assert node.mover.leftovers() == []


@pytest.mark.parametrize("state", ["up", "down"])
def test_a_vf_has_what_is_asked_for_and_comes_back_as_it_was(
    state: str, vf: Vf, node: Node, containers: Containers
) -> None:
    HOST.ip("link", "set", "vf0", state)
    scene = Scene.of(vf)
    container = containers.alone()
    node.offer("vf0").attach(container, "--vf", ALL, "--as", "net1").ok()
    assert vf.shown() == SHOWN
    assert vf.all()[1] == scene.vfs[1]
    assert container.netns.links()["net1"]["address"] == MAC
    assert not list((PCI / vf.nic.pci / "net").iterdir())  # so the VF is known by PCI address alone
    assert node.mover.record("vf0").one("link.vf") == (
        "mac 00:00:00:00:00:00 vlan 0 qos 0 protocol 802.1q max-tx-rate 0 spoofchk on trust off"
    )
    container.end()
    node.mover.detach(container, "vf0").ok()
    scene.assert_restored(node)
    assert vf.may_choose_its_mac()


ONE: dict[str, tuple[str, dict[str, Any]]] = {
    "mac": (f"mac {MAC}", {"address": MAC}),
    "vlan": ("vlan 7", {"vlan_list": [{"vlan": 7, "qos": 0}]}),
    "qos": ("vlan 7 qos 5 protocol 802.1q", {"vlan_list": [{"vlan": 7, "qos": 5}]}),
    "no vlan": ("vlan 0", {"vlan_list": [{"vlan": 0, "qos": 0}]}),
    "rate": ("max-tx-rate 50", {"rate": {"max_tx": 50, "min_tx": 0}}),
    "spoofchk": ("spoofchk on", {"spoofchk": True}),
    "trust": ("trust off", {"trust": False}),
    "as it is": ("link-state auto trust on", {"trust": True}),
}


def test_each_setting_alone_comes_back_as_it_was(
    vf: Vf, node: Node, containers: Containers
) -> None:
    vf.set("vlan 100 qos 3")
    vf.set("max-tx-rate 100")
    vf.set("spoofchk off")
    vf.set("trust on")
    before = vf.all()
    container = containers.alone()
    offer = node.offer("vf0")
    for asked, shown in ONE.values():
        offer.attach(container, "--vf", asked).ok()
        for key, value in shown.items():
            assert vf.shown()[key] == value, asked
        assert {key for key in SHOWN if vf.shown()[key] != before[0][key]} <= set(shown), asked
        node.mover.detach(container, "vf0").ok()
        assert vf.all() == before, asked


def test_a_mac_that_the_administrator_set_is_in_force_again(
    vf: Vf, node: Node, containers: Containers
) -> None:
    vf.set("mac 02:11:22:33:44:99")
    vf.rebind()
    try:
        scene = Scene.of(vf)
        container = containers.alone()
        node.offer("vf0").attach(container, "--vf", f"mac {MAC}").ok()
        assert container.netns.links()["vf0"]["address"] == MAC
        node.mover.detach(container, "vf0").ok()
        scene.assert_restored(node)
        assert vf.shown()["address"] == "02:11:22:33:44:99"
        assert not vf.may_choose_its_mac()
    finally:
        vf.set("mac 00:00:00:00:00:00")
        vf.rebind()


REFUSED = {
    "link state": ("link-state enable", "change the VF's settings: link-state enable: "),
    "protocol": ("vlan 5 protocol 802.1ad", "vlan 5 qos 0 protocol 802.1ad: Protocol not"),
    "minimum": ("min-tx-rate 5 max-tx-rate 10", "min-tx-rate 5 max-tx-rate 10: Invalid argument"),
    "beyond the link": ("max-tx-rate 5000", "max-tx-rate 5000: Invalid argument"),
}


def test_what_the_driver_does_not_have_is_named_and_all_is_undone(
    vf: Vf, node: Node, containers: Containers
) -> None:
    scene = Scene.of(vf)
    offer = node.offer("vf0")
    container = containers.alone()
    for asked, reason in REFUSED.values():
        also = f"mac {MAC} spoofchk off trust on" + ("" if "vlan" in asked else " vlan 9")
        result = offer.attach(container, "--vf", f"{also} {asked}")
        assert result.code == 1
        assert reason in result.reason
        assert vf.all() == scene.vfs
    (node.run_dir / "errors" / "vf0").unlink()
    scene.assert_restored(node)


@pytest.mark.parametrize("name", ["pf0", "virtio"])
def test_a_link_that_is_no_vf_is_refused_before_anything_is_touched(
    name: str, all_nics: Nics, node: Node, containers: Containers
) -> None:
    before = settled(HOST)
    result = node.offer(name).attach(containers.alone(), "--vf", "trust on")
    assert result.code == 1
    assert "look at the VF's settings: it is no virtual function (VF) of a NIC" in result.reason
    assert_same(HOST, before)


def steps(node: Node, run: Any) -> list[tuple[int, str]]:
    """Which a run has."""
    log = node.run_dir.parent / "steps"
    run({"NDM_STEP_LOG": str(log)}).ok()
    lines = [line.partition(" ") for line in log.read_text().splitlines()]
    log.unlink()
    return [(int(number), name) for number, _, name in lines]


def test_all_settings_are_made_in_one_request(vf: Vf, node: Node, containers: Containers) -> None:
    offer = node.offer("vf0", mover=node.stepped)
    counts = []
    for asked in ((), ("--vf", ALL.removeprefix(f"mac {MAC} "))):
        container = containers.alone()
        taken = steps(node, lambda env, a=asked, c=container: offer.attach(c, *a, env=env))
        given = steps(node, lambda env, c=container: node.stepped.detach(c, "vf0", env=env))
        counts.append([sum(name == "netlink request" for _, name in s) for s in (taken, given)])
    (attach, detach), with_settings = counts
    assert with_settings == [attach + 1, detach + 1]


@pytest.mark.parametrize("command", ["attach", "detach"])
def test_a_mover_that_is_killed_after_any_request_leaves_no_setting(
    command: str, vf: Vf, node: Node, containers: Containers
) -> None:
    scene = Scene.of(vf)
    offer = node.offer("vf0", mover=node.stepped)

    def lend(env: dict[str, str]) -> Result:
        container = containers.alone()
        result = offer.attach(container, "--vf", ALL, env=env if command == "attach" else None)
        if command == "detach":
            result = node.stepped.detach(container, "vf0", env=env)
        container.end()
        return result

    taken = [number for number, name in steps(node, lend) if name == "netlink answer"]
    if command == "attach":
        node.mover.reclaim(device="vf0").ok()
    for number in taken:  # what is between two of them is in tests/kernel/mover/test_killed.py
        assert lend({"NDM_STEP_KILL": str(number)}).code == -signal.SIGKILL, number
        node.mover.reclaim(device="vf0").ok()
        assert vf.all() == scene.vfs, number
    scene.assert_restored(node)
    assert vf.may_choose_its_mac()


def test_settings_are_given_back_by_a_pf_of_another_name(
    vf: Vf, node: Node, containers: Containers
) -> None:
    container = containers.alone()
    before = vf.all()
    node.offer("vf0").attach(container, "--vf", ALL).ok()
    HOST.ip("link", "set", "pf1", "name", "other1")
    try:
        node.mover.detach(container, "vf0").ok()
        assert vf.all() == before
    finally:
        HOST.ip("link", "set", vf.nics.pf1.link, "name", "pf1")


def test_a_vf_whose_pf_is_away_is_stranded_until_it_is_back(
    vf: Vf, node: Node, containers: Containers
) -> None:
    before = vf.all()
    container = containers.alone()
    offer = node.offer("vf0")
    offer.attach(container, "--vf", "vlan 100 spoofchk off").ok()
    with netns("away") as away:
        HOST.ip("link", "set", "pf1", "netns", away.name)
        result = node.mover.detach(container, "vf0")
        gone = "no link here of its physical function 0000:81:00.0 knows it"
        assert f"give the VF its settings back: {gone}" in result.stderr
        assert node.mover.record("vf0").one("phase") == "stranded"
        assert "vf0" in HOST.links()
        refused = offer.attach(containers.alone(), "--vf", "trust on")
        assert refused.code == 1
        assert gone in refused.reason
        away.ip("link", "set", "pf1", "netns", "1")
    vf.nics.pf1.up("pf1")
    node.mover.reclaim(device="vf0").ok()
    assert vf.all() == before
    assert node.mover.leftovers() == []


def test_a_dead_holders_settings_are_undone_before_the_next_ones_are_made(
    vf: Vf, node: Node, containers: Containers
) -> None:
    scene = Scene.of(vf)
    offer = node.offer("vf0")
    dead, container = containers.alone(), containers.alone()
    offer.attach(dead, "--vf", ALL).ok()
    dead.end()
    offer.attach(container, "--vf", "vlan 5").ok()
    assert vf.shown() == {key: scene.vfs[0][key] for key in SHOWN} | {
        "vlan_list": [{"vlan": 5, "qos": 0}]
    }
    second = containers.of(container.netns)
    offer.attach(second, "--vf", "vlan 6").ok()  # it shares the link as it is
    assert vf.shown()["vlan_list"] == [{"vlan": 5, "qos": 0}]
    node.mover.detach(container, "vf0").ok()
    assert vf.shown()["vlan_list"] == [{"vlan": 5, "qos": 0}]
    node.mover.detach(second, "vf0").ok()
    scene.assert_restored(node)
