"""A claim's CDI file: what it says, and that nobody takes it for a pool's."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.cdifiles import MOVER_RUN_DIR, Delivery
from netdevice_plugin.cdistore.mirror import Mirror
from netdevice_plugin.cdistore.others import on_disk
from netdevice_plugin.cdistore.rendering import Renderer
from netdevice_plugin.cli import main
from netdevice_plugin.dra import claimfiles
from netdevice_plugin.dra.claim import Result
from netdevice_plugin.dra.claimfiles import Given
from netdevice_plugin.dra.parameters import Parameters
from netdevice_plugin.model import (
    Device,
    Frontend,
    Injection,
    Interface,
    Made,
    Pool,
    VirtualFunction,
)
from netdevice_plugin.provisioning import CreatedKind, Creation, Node, VfSettings
from tests.unit.dra.claimed import DRIVER, MOVER, NODE, POOL, link, ref

UID = ref(1).uid
HOOKS = Delivery(injection=Injection.HOOK, mover=MOVER, run_dir=MOVER_RUN_DIR, timeout=30)
NATIVE = Delivery(injection=Injection.NATIVE, mover=MOVER, run_dir=MOVER_RUN_DIR, timeout=30)


def given(
    interface: Interface,
    request: str = "nic",
    *,
    admin: bool = False,
    delivery: Delivery = HOOKS,
    **parameters: object,
) -> Given:
    return Given(
        result=Result(request=request, pool=f"{NODE}/{POOL}", device=interface.name, admin=admin),
        device=Device(name=interface.name, pool=POOL, interface=interface),
        parameters=Parameters(**parameters),  # type: ignore[arg-type]
        delivery=delivery,
    )


def built(*several: Given) -> dict[str, cdi.ContainerEdits]:
    spec = claimfiles.build(DRIVER, UID, several)
    assert spec.kind == f"{DRIVER}/claim"
    return {device.name: device.edits for device in spec.devices}


def test_file_and_devices_are_named_after_the_claim() -> None:
    assert claimfiles.file_name(DRIVER, UID) == f"{DRIVER}-claim_{UID}.json"
    one = given(link("eth1")).result
    assert claimfiles.qualified_name(DRIVER, UID, one) == f"{DRIVER}/claim={UID}-eth1"
    assert cdi.is_qualified(claimfiles.qualified_name(DRIVER, UID, one))


def test_the_movers_device_is_the_pools_and_options_follow_the_identity() -> None:
    [edits] = built(given(link("eth1"), interface_name="net0", mtu=1400)).values()
    attach, detach = edits.hooks
    assert (attach.hook_name, detach.hook_name) == ("createRuntime", "poststop")
    assert attach.path == str(MOVER)
    assert attach.args == (
        "netdevice-mover",
        "attach",
        "--device",
        "eth1",
        "--link",
        "eth1",
        "--link-ifindex",
        "7",
        "--link-mac",
        "02:00:00:00:00:07",
        "--link-kind",
        "macvlan",
        "--as",
        "net0",
        "--mtu",
        "1400",
    )
    assert detach.args == ("netdevice-mover", "detach", "--device", "eth1")
    assert edits.env == ("NETDEVICE_NIC=net0",)


def test_without_parameters_a_claim_has_the_hooks_of_the_pools_file() -> None:
    device = Device(name="eth1", pool=POOL, interface=link("eth1"))
    [edits] = built(given(link("eth1"))).values()
    assert edits.hooks == cdifiles.describe(device, HOOKS).edits.hooks


def test_every_device_of_a_request_names_all_of_them() -> None:
    eth1, eth2 = link("eth1", 1, pci="0000:03:00.1"), link("eth2", 2, pci="0000:03:00.2")
    made = built(
        given(eth1, "fast-nics/a", interface_name="net1"),
        given(eth2, "fast-nics/b"),
        given(link("eth3", 3), "slow"),
    )
    fast = (
        "NETDEVICE_FAST_NICS=net1,eth2",
        "PCIDEVICE_FAST_NICS=0000:03:00.1,0000:03:00.2",
        'PCIDEVICE_FAST_NICS_INFO={"0000:03:00.1":{"generic":{"deviceID":"0000:03:00.1"}},'
        '"0000:03:00.2":{"generic":{"deviceID":"0000:03:00.2"}}}',
    )
    assert made[f"{UID}-eth1"].env == made[f"{UID}-eth2"].env == fast
    assert made[f"{UID}-eth3"].env == ("NETDEVICE_SLOW=eth3",)


def test_what_may_only_be_looked_at_has_a_name_of_its_own_and_no_hook() -> None:
    made = built(given(link("eth1")), given(link("eth1"), "look", admin=True))
    assert made.keys() == {f"{UID}-eth1", f"{UID}-eth1.admin"}
    assert made[f"{UID}-eth1.admin"] == cdi.ContainerEdits(env=("NETDEVICE_LOOK=eth1",))
    assert made[f"{UID}-eth1"].hooks


def test_two_requests_to_look_at_a_device_share_its_name() -> None:
    looks = [given(link("eth1"), request, admin=True) for request in ("b", "a")]
    assert built(*looks) == {
        f"{UID}-eth1.admin": cdi.ContainerEdits(env=("NETDEVICE_A=eth1", "NETDEVICE_B=eth1"))
    }


def test_the_runtime_is_told_the_name_where_it_moves_the_link() -> None:
    [edits] = built(given(link("eth1"), delivery=NATIVE, interface_name="net0")).values()
    assert edits.net_devices == (cdi.NetDevice(host_interface_name="eth1", name="net0"),)
    assert edits.env == ("NETDEVICE_NIC=net0",)
    assert not edits.hooks


def test_the_same_claim_gives_the_same_bytes_in_any_order() -> None:
    several = [given(link(f"eth{n}", n), f"r{n}") for n in range(3)]
    orders = (several, several[::-1])
    assert len({cdi.dumps(claimfiles.build(DRIVER, UID, order)) for order in orders}) == 1


NODES = (Node("/dev/vfio/vfio"), Node("/dev/vfio/12"))
FUNCTION = Device(
    name="pci-0000-03-10-1",
    pool=POOL,
    interface=dataclasses.replace(
        link("eth1", pci="0000:03:10.1"),
        vf=VirtualFunction(number=1, pf_address="0000:03:00.0"),
    ),
    driver="vfio-pci",
)


def asked(device: Device, delivery: Delivery = HOOKS, **parameters: Any) -> Given:
    return dataclasses.replace(
        given(link(device.name), delivery=delivery, **parameters), device=device
    )


def test_a_userspace_device_is_given_by_its_nodes_once_they_are_known() -> None:
    one = asked(FUNCTION)
    assert one.name == ""
    [edits] = built(one.with_nodes(NODES)).values()
    assert [node.path for node in edits.device_nodes] == [node.path for node in NODES]
    assert not edits.hooks
    assert edits.env[:2] == (
        "NETDEVICE_PCI_0000_03_10_1=0000:03:10.1",
        "PCIDEVICE_NIC=0000:03:10.1",
    )
    assert edits.env[2].startswith('PCIDEVICE_NIC_INFO={"0000:03:10.1":{')
    assert '"dev-mount":"/dev/vfio/12"' in edits.env[2]
    [bare] = built(one).values()
    assert not bare.device_nodes


def test_a_userspace_device_that_may_only_be_looked_at_has_no_nodes() -> None:
    one = asked(FUNCTION).with_nodes(NODES)
    look = dataclasses.replace(one, result=dataclasses.replace(one.result, admin=True))
    [edits] = built(look).values()
    assert edits == cdi.ContainerEdits(env=edits.env)
    assert not any("vfio" in line for line in edits.env)


def test_what_a_claim_asks_of_a_virtual_function_is_over_what_its_pool_sets() -> None:
    delivery = dataclasses.replace(HOOKS, vf=VfSettings(vlan=100, trust=True))
    one = asked(FUNCTION, delivery, vf=VfSettings(trust=False, mac="02:00:00:00:00:01"))
    assert one.vf == VfSettings(vlan=100, trust=False, mac="02:00:00:00:00:01")
    moved = dataclasses.replace(one, device=dataclasses.replace(FUNCTION, name="eth1"))
    [edits] = built(moved).values()
    at = edits.hooks[0].args.index("--vf")
    assert edits.hooks[0].args[at + 1] == "mac 02:00:00:00:00:01 vlan 100 trust off"


def test_a_link_that_is_made_has_the_name_that_the_claim_asks_for() -> None:
    creation = Creation(kind=CreatedKind.VLAN, parent="eth0", vlans=((100, 107),))
    device = Device(
        name="shared-100",
        pool=POOL,
        interface=Interface(ifindex=0, name="shared-100"),
        made=Made(creation=creation, number=100, parent=link("eth0")),
    )
    [edits] = built(asked(device, interface_name="net0", mtu=1400)).values()
    args = edits.hooks[0].args
    assert args[args.index("--create") :] == (
        *("--create", "vlan id 100", "--as", "net0", "--mtu", "1400"),
    )
    assert edits.env == ("NETDEVICE_NIC=net0",)
    [edits] = built(asked(device)).values()
    assert edits.hooks[0].args[-2:] == ("--as", "shared-100")


# Whoever keeps the pools' files true meets the claims' in the same directory.


@pytest.fixture
def there(tmp_path: Path) -> Path:
    spec = claimfiles.build(DRIVER, UID, [given(link("eth1")), given(link("eth2"), admin=True)])
    cdi.write(spec, tmp_path, transient_id=UID)
    [path] = tmp_path.iterdir()
    assert path.name == claimfiles.file_name(DRIVER, UID)
    return path


def test_a_claims_file_is_not_taken_for_a_pools(there: Path) -> None:
    assert not cdifiles.is_ours(there, cdi.load(there), DRIVER)
    assert on_disk(there.parent, [DRIVER]) == {}


@pytest.mark.parametrize("frontend", Frontend)
def test_keeping_the_pools_files_leaves_it_alone_and_says_nothing(
    there: Path, frontend: Frontend
) -> None:
    before = there.read_bytes(), there.stat().st_mtime_ns
    mirror, renderer = Mirror(there.parent), Renderer()
    pool = Pool(name=POOL, prefix=DRIVER, frontend=frontend)
    device = Device(name="eth1", pool=POOL, interface=link("eth1"))
    for devices in ((device,), ()):  # and when the pool's own file goes
        outcome = mirror.bring([renderer.render(pool, devices, HOOKS)], DRIVER)
        assert outcome.problems == []
        assert there not in (*outcome.removed, *outcome.repaired)
    assert mirror.bring([], DRIVER).removed == []
    assert (there.read_bytes(), there.stat().st_mtime_ns) == before


def test_both_files_devices_are_found_together(there: Path) -> None:
    pool = Pool(name=POOL, prefix=DRIVER)
    device = Device(name="eth1", pool=POOL, interface=link("eth1"))
    Mirror(there.parent).bring([Renderer().render(pool, (device,), HOOKS)], DRIVER)
    registry = cdi.Registry.load([there.parent])
    edits = registry.resolve([f"{DRIVER}/{POOL}=eth1", f"{DRIVER}/claim={UID}-eth1"])
    assert len(edits.hooks) == 4


def test_the_command_line_lists_its_devices_and_finds_nothing_wrong(there: Path) -> None:
    where = ["--spec-dir", str(there.parent)]
    listed = CliRunner().invoke(main, ["cdi", "list", *where])
    assert listed.exit_code == 0, listed.output
    for name in (f"{UID}-eth1", f"{UID}-eth2.admin"):
        assert f"{DRIVER}/claim={name}" in listed.output
    assert CliRunner().invoke(main, ["cdi", "validate", *where]).exit_code == 0
