"""Devices whose NICs are attached for the claims that get them, in pools and in what is listed."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import pools
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.model import (
    VIA_DRA,
    Frontend,
    Interface,
    PciDevice,
    Pool,
    Protection,
    Selector,
    Snapshot,
)
from netdevice_plugin.offering import InUse, Listing, Offering, Present, offer
from netdevice_plugin.provisioning import PortProvider, Ports, Userspace

ON_DEMAND = Pool(
    name="fast",
    frontend=Frontend.DRA,
    selectors=(Selector(drivers=("virtio_net",)),),
    ports=Ports(provider=PortProvider(command=("/x",)), spare=0, max=2, on_demand=True),
)
STOCK = dataclasses.replace(ON_DEMAND, ports=Ports(provider=PortProvider(command=("/x",))))
OTHER = Pool(name="other", selectors=ON_DEMAND.selectors)
MAC = "02:00:00:00:00:07"


def nic(number: int = 7, *, away: bool = False) -> Interface:
    return Interface(
        ifindex=number,
        name=f"ens{number}",
        mac=f"02:00:00:00:00:{number:02x}".upper(),
        driver="virtio_net",
        pci=PciDevice(address=f"0000:00:{number:02x}.0"),
        carrier=True,
        lent=away,
    )


def devices(
    *links: Interface, wanted: tuple[Pool, ...] = (ON_DEMAND,), **asked: str
) -> dict[str, Interface]:
    """What is offered, with `asked` by name of the link."""
    macs = {one.mac.lower(): asked[one.name] for one in links if one.name in asked}
    found = pools.assign(Snapshot(interfaces=links), wanted, macs)
    assert len({one.interface.mac for one in found.devices} - {""}) == sum(
        bool(one.interface.mac) for one in found.devices
    )
    return {one.name: one.interface for one in found.devices}


def test_there_are_as_many_as_there_may_be_ports() -> None:
    found = pools.assign(Snapshot(), (ON_DEMAND,))
    assert [one.name for one in found.devices] == ["fast-0", "fast-1"]
    assert all(one.on_demand and not one.interface.mac for one in found.devices)


def test_a_nic_that_no_claim_has_asked_for_is_nobodys() -> None:
    found = pools.assign(Snapshot(interfaces=(nic(),)), (ON_DEMAND, OTHER))
    assert [one.name for one in found.devices] == ["fast-0", "fast-1"]
    [refusal] = found.refusals
    assert refusal.reason == "is no port that a claim has asked for"


def test_a_nic_that_a_claim_asked_for_is_its_device() -> None:
    found = devices(nic(), nic(8), ens7="fast-1")
    assert found["fast-1"] == nic()
    assert found["fast-0"].mac == ""
    assert "ens8" not in found
    assert devices(nic(away=True), ens7="fast-1")["fast-1"].lent


def test_it_is_that_and_no_other_whatever_the_pools_are_by_now() -> None:
    userspace = dataclasses.replace(OTHER, userspace=Userspace(driver="vfio-pci"))
    for wanted in (STOCK, OTHER, userspace):
        assert devices(nic(), wanted=(wanted,), ens7="fast-1") == {"fast-1": nic()}


def test_a_nic_that_the_node_needs_is_not_even_the_claims() -> None:
    why = Protection(ifindex=7, reason="carries the default route")
    snapshot = Snapshot(interfaces=(nic(),), protected=(why,))
    found = pools.assign(snapshot, (ON_DEMAND,), {MAC: "fast-0"})
    assert not any(one.interface.mac for one in found.devices)


def test_a_nic_with_the_name_of_a_lent_one_is_itself_all_the_same() -> None:
    lent, newcomer = nic(away=True), dataclasses.replace(nic(8), name="ens7")
    why = Protection(ifindex=8, reason="has the name of ens7, which is in a pod", namesake=True)
    for asked in ({MAC: "fast-0"}, {MAC: "fast-0", "02:00:00:00:00:08": "fast-1"}):
        snapshot = Snapshot(interfaces=(lent, newcomer), protected=(why,))
        found = pools.assign(snapshot, (ON_DEMAND,), asked)
        here = {one.name: one.interface for one in found.devices if one.interface.mac}
        assert here.get("fast-1") == (newcomer if len(asked) == 2 else None)
        assert here["fast-0"] == lent


def test_a_link_with_a_devices_name_is_not_both() -> None:
    namesake = dataclasses.replace(nic(8), name="fast-0")
    found = pools.assign(Snapshot(interfaces=(namesake,)), (OTHER, ON_DEMAND))
    assert [(one.name, one.pool) for one in found.devices] == [
        ("fast-0", "fast"),
        ("fast-1", "fast"),
    ]


def test_who_asks_is_known_though_the_links_are_the_same_objects() -> None:
    snapshot = Snapshot(interfaces=(nic(),))
    before = pools.assign(snapshot, (ON_DEMAND,))
    now = pools.assign(snapshot, (ON_DEMAND,), {MAC: "fast-0"})
    after = pools.assign(snapshot, (ON_DEMAND,))
    assert now.devices[0].interface is snapshot.interfaces[0]
    assert before == after
    assert after.devices[0].interface.mac == ""


@given(
    numbers=st.sets(st.integers(1, 9)),
    asked=st.dictionaries(st.integers(1, 9), st.sampled_from(["fast-0", "fast-1", "fast-9"])),
    stock=st.booleans(),
)
def test_no_nic_is_two_devices(numbers: set[int], asked: dict[int, str], *, stock: bool) -> None:
    wanted = (STOCK if stock else ON_DEMAND, OTHER)
    names = {f"ens{number}": device for number, device in asked.items()}
    found = devices(*(nic(number) for number in numbers), wanted=wanted, **names)
    for name, link in found.items():
        if link.mac:
            assert name == names.get(link.name, link.name if stock else "")


def present(*links: Interface, asked: dict[str, str], pool: Pool | None = ON_DEMAND) -> Present:
    attachments = tuple(
        Attachment(
            device=asked[one.mac.lower()],
            phase=Phase.ATTACHED,
            link=HostLink(name=one.name, ifindex=one.ifindex),
        )
        for one in links
        if one.lent
    )
    held = {ON_DEMAND.key: frozenset(asked.values())}
    return Present(
        snapshot=Snapshot(interfaces=links),
        attachments=attachments,
        pools=(pool,) if pool else (),
        in_use=InUse(devices=held, serial=1, known=True),
        asked=asked,
    )


def listing(found: Offering) -> Listing:
    return found.listings[ON_DEMAND.key]


def test_a_device_stays_one_from_the_first_claim_to_the_next() -> None:
    found = Offering()
    steps: list[tuple[tuple[Interface, ...], dict[str, str]]] = [
        ((), {}),
        ((nic(),), {}),
        ((nic(),), {MAC: "fast-0"}),
        ((nic(away=True),), {MAC: "fast-0"}),
        ((), {MAC: "fast-0"}),  # on its way home
        ((nic(),), {MAC: "fast-0"}),
        ((nic(),), {}),
        ((), {}),
    ]
    for links, asked in steps:
        found = offer(present(*links, asked=asked), found)
        assert [one.device.name for one in listing(found).devices] == ["fast-0", "fast-1"]
        assert not any(one.fault for one in listing(found).devices)
        mine = listing(found).devices[0].device.interface
        assert bool(mine.mac) == (bool(links) and bool(asked))


def test_a_claim_keeps_it_though_its_pool_is_gone() -> None:
    before = offer(present(nic(), asked={MAC: "fast-0"}), Offering())
    for links in ((nic(),), (nic(away=True),)):
        found = offer(present(*links, asked={MAC: "fast-0"}, pool=None), before)
        assert found.listings.keys() == {f"networking.k8s.io/fast{VIA_DRA}"}
        assert listing(found).retired
        [one] = listing(found).devices
        assert (one.device.name, one.device.interface) == ("fast-0", links[0])
