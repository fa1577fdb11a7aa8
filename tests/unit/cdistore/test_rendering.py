"""Files made of what changed are the files made of everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.cdistore.rendering import Renderer
from netdevice_plugin.config import Config
from netdevice_plugin.model import Device, Injection, Interface, PciDevice, Pool
from tests.unit.cdistore.devices import CONFIG, OTHER, POOL, device, devices, link

GOLDEN = Path(__file__).parent.parent / "golden" / "cdi"
HOOK = Delivery.of(POOL, CONFIG)


def whole(pool: Pool, found: Sequence[Device], config: Config) -> bytes:
    spec = cdifiles.build(
        pool,
        found,
        mover=config.mover_path,
        run_dir=config.run_dir,
        timeout=config.hook_timeout,
    )
    return cdi.dumps(spec) if spec else b""


interfaces = st.builds(
    Interface,
    ifindex=st.sampled_from((0, 4, 5)),
    name=st.sampled_from(("eth0", "eth1", "1st", "Odd.1", "é")),
    kind=st.sampled_from(("", "veth")),
    mac=st.sampled_from(("", "02:00:00:00:00:01", "02:00:00:00:00:02")),
    permanent_mac=st.sampled_from(("", "02:00:00:00:00:02")),
    pci=st.none() | st.builds(PciDevice, address=st.sampled_from(("0000:03:00.0", "0000:03:00.1"))),
    mtu=st.sampled_from((1500, 9000)),
)
inventories = st.lists(interfaces, max_size=5, unique_by=lambda one: one.name)
pools = st.builds(
    dataclasses.replace, st.just(POOL), injection=st.sampled_from(Injection)
) | st.just(OTHER)
configs = st.sampled_from((CONFIG, Config(hook_timeout=9), Config(run_dir=Path("/run/other"))))


@given(st.lists(st.tuples(pools, inventories, configs), max_size=8))
def test_whatever_came_before_the_file_is_the_one_made_of_everything(
    rounds: list[tuple[Pool, list[Interface], Config]],
) -> None:
    renderer = Renderer()
    for pool, found, config in rounds:
        listed = [device(interface, pool) for interface in found]
        content = renderer.render(pool, listed, Delivery.of(pool, config))
        assert content.data == whole(pool, listed, config)
        assert set(content.devices) == {one.name for one in listed}
        assert all(data in content.data for data in content.devices.values())


def test_the_file_is_as_it_was_agreed_on() -> None:
    veth = link("eth1")
    card = Interface(
        ifindex=6,
        name="ens1f0",
        mac="02:00:00:00:00:99",
        permanent_mac="02:00:00:00:00:06",
        pci=PciDevice(address="0000:03:00.0"),
    )
    odd = Interface(ifindex=7, name="Data.7", kind="tun")
    content = Renderer().render(POOL, [device(one) for one in (veth, card, odd)], HOOK)
    assert content.data == (GOLDEN / "hook.json").read_bytes()


def test_what_did_not_change_is_not_made_again() -> None:
    renderer = Renderer()
    content = renderer.render(POOL, devices("eth1", "eth2"), HOOK)
    assert renderer.render(POOL, devices("eth1", "eth2"), HOOK) is content
    taller = [device(dataclasses.replace(link(name), mtu=9000)) for name in ("eth2", "eth1")]
    assert renderer.render(POOL, taller, HOOK) is content
    changed = renderer.render(POOL, [*devices("eth1"), *devices("eth2", ifindex=9)], HOOK)
    assert changed.data != content.data
    assert changed.devices["eth1"] is content.devices["eth1"]


def test_pools_do_not_mix_and_one_that_is_forgotten_is_made_anew() -> None:
    renderer = Renderer()
    first = renderer.render(POOL, devices("eth1"), HOOK)
    assert renderer.render(OTHER, devices("eth1"), HOOK).kind == OTHER.kind
    assert renderer.render(POOL, devices("eth1"), HOOK) is first
    renderer.forget({OTHER.kind})
    again = renderer.render(POOL, devices("eth1"), HOOK)
    assert again is not first
    assert again == first


def test_a_device_that_no_file_can_have_is_left_out_for_the_others_sake() -> None:
    renderer = Renderer()
    odd = Device(name="odd", pool=POOL.name, interface=link("a\udc80"))
    content = renderer.render(POOL, [*devices("eth1"), odd], HOOK)
    assert content.data == whole(POOL, devices("eth1"), CONFIG)
    assert list(content.devices) == ["eth1"]
    (problem,) = content.problems
    assert problem.startswith("networking.k8s.io/netdevice=odd: cannot be in a CDI file: ")
    assert renderer.render(POOL, [*devices("eth1"), odd], HOOK) is content
    alone = renderer.render(POOL, [odd], HOOK)
    assert (alone.data, alone.problems) == (b"", content.problems)
    cured = dataclasses.replace(odd, interface=link("a"))
    assert renderer.render(POOL, [cured], HOOK).problems == ()
