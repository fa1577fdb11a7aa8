from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdi
from netdevice_plugin import cdifiles, pools
from netdevice_plugin.config import Config
from netdevice_plugin.model import (
    Device,
    Injection,
    Interface,
    Made,
    PciDevice,
    Pool,
    Selector,
    Snapshot,
    VirtualFunction,
    device_name,
)
from netdevice_plugin.provisioning import (
    CreatedKind,
    Creation,
    LinkState,
    Node,
    VfSettings,
)

GOLDEN = Path(__file__).parent / "golden" / "cdi"
MOVER = Path("/opt/netdevice-plugin/bin/netdevice-mover")
RUN_DIR = Path("/run/netdevice-plugin")
POOL = Pool(name="netdevice", selectors=(Selector(if_names=("*",)),))
NATIVE = dataclasses.replace(POOL, injection=Injection.NATIVE)
VETH = Interface(ifindex=5, name="eth1", kind="veth", mac="02:00:00:00:00:05")
CARD = Interface(
    ifindex=6,
    name="ens1f0",
    mac="02:00:00:00:00:99",
    permanent_mac="02:00:00:00:00:06",
    pci=PciDevice(address="0000:03:00.0"),
)
ODD = Interface(ifindex=7, name="Data.7", kind="tun")  # no MAC: a tun is no Ethernet


MACVLAN = Creation(kind=CreatedKind.MACVLAN, parent="ens1f0", mode="bridge", count=4)
TAGGED = Creation(kind=CreatedKind.VLAN, parent="ens1f0", vlans=((100, 107),))


def device(interface: Interface) -> Device:
    name = device_name(interface.name)
    return Device(name=name, pool=POOL.name, interface=interface, lent=interface.lent)


def build(*interfaces: Interface, pool: Pool = POOL, run_dir: Path = RUN_DIR) -> cdi.Spec:
    devices = map(device, interfaces)
    spec = cdifiles.build(pool, devices, mover=MOVER, run_dir=run_dir, timeout=30)
    assert spec is not None
    return spec


VF = dataclasses.replace(
    CARD, name="ens1f0v3", vf=VirtualFunction(number=3, pf_address="0000:03:00.0"), rdma="mlx5_3"
)
SETTINGS = VfSettings(
    mac="02:00:00:00:00:01",
    vlan=100,
    qos=3,
    protocol="802.1ad",
    spoof_check=True,
    trust=False,
    link_state=LinkState.ENABLE,
    min_tx_rate=0,
    max_tx_rate=1000,
)
FUNCTION = Device(
    name="pci-0000-03-00-0",
    pool=POOL.name,
    interface=CARD,
    driver="vfio-pci",
    nodes=(Node("/dev/vfio/vfio"), Node("/dev/vfio/12")),
)


def made(creation: Creation, number: int = 0, parent: Interface = CARD) -> Device:
    name = f"shared-{number}"
    link = Interface(ifindex=0, name=name, kind=creation.kind.value)
    of = Made(creation=creation, number=number, parent=parent)
    return Device(name=name, pool=POOL.name, interface=link, made=of)


def options(one: Device, pool: Pool = POOL, **more: Any) -> tuple[str, ...]:
    """What follows the identity on the mover's command line."""
    edits = cdifiles.edits(one, cdifiles.Delivery.of(pool, Config()), **more)
    attach, _ = (hook.args for hook in edits.hooks)
    identity = [word for word in attach if word.startswith("--link")]
    return attach[attach.index(identity[-1]) + 2 :]


def arguments(spec: cdi.Spec) -> list[tuple[str, ...]]:
    return [hook.args for hook in spec.devices[0].edits.hooks]


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        pytest.param("hook.json", build(VETH, CARD, ODD), id="hook"),
        pytest.param("native.json", build(VETH, CARD, ODD, pool=NATIVE), id="native"),
        pytest.param("run-dir.json", build(VETH, run_dir=Path("/run/other")), id="run-dir"),
    ],
)
def test_the_file_is_as_it_was_agreed_on(name: str, spec: cdi.Spec) -> None:
    data = cdi.dumps(spec)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(data)
    assert data.decode() == (GOLDEN / name).read_text()
    assert cdi.loads(data, source=name) == spec


def test_the_version_is_the_lowest_that_will_do() -> None:
    assert build(VETH).version == "0.3.0"
    assert build(Interface(ifindex=3, name="1st")).version == "0.5.0"
    assert build(VETH, pool=NATIVE).version == "1.1.0"


def test_a_link_is_known_by_its_permanent_address_and_by_what_else_it_has() -> None:
    attach, detach = arguments(build(CARD))
    assert " ".join(attach) == (
        "netdevice-mover attach --device ens1f0 --link ens1f0 --link-ifindex 6"
        " --link-mac 02:00:00:00:00:06 --link-pci 0000:03:00.0"
    )
    assert " ".join(detach) == "netdevice-mover detach --device ens1f0"


def test_a_link_without_an_address_gives_none() -> None:
    attach, _ = arguments(build(ODD))
    assert "--link-mac" not in attach
    assert attach[-2:] == ("--link-kind", "tun")


def test_no_device_makes_no_file() -> None:
    assert cdifiles.build(POOL, (), mover=MOVER, run_dir=RUN_DIR, timeout=30) is None


def test_a_lent_link_is_described_as_it_was_when_it_left() -> None:
    assert build(dataclasses.replace(VETH, lent=True)) == build(VETH)


def test_a_native_device_has_no_hook() -> None:
    assert build(VETH, pool=NATIVE).devices[0].edits.hooks == ()


def test_hooks_do_not_inherit_what_the_caller_exported() -> None:
    assert all(hook.env for hook in build(VETH).devices[0].edits.hooks)


def test_each_pool_has_its_file_and_an_empty_one_has_none() -> None:
    config = Config(
        mover_path=Path("/x/mover"),
        run_dir=Path("/run/other"),
        hook_timeout=9,
        pools=(
            Pool(name="virtual", selectors=(Selector(kinds=("veth",)),)),
            Pool(name="gone", selectors=(Selector(kinds=("vxlan",)),)),
            POOL,
        ),
    )
    assignment = pools.assign(Snapshot(interfaces=(VETH, CARD)), config.pools)
    files = cdifiles.build_all(assignment, config)
    assert list(files) == [
        "networking.k8s.io-virtual.json",
        "networking.k8s.io-gone.json",
        "networking.k8s.io-netdevice.json",
    ]
    virtual, gone, rest = files.values()
    assert gone is None
    assert virtual is not None
    assert rest is not None
    assert [one.name for one in virtual.devices] == ["eth1"]
    assert [one.name for one in rest.devices] == ["ens1f0"]
    (hook, _) = virtual.devices[0].edits.hooks
    assert (hook.path, hook.timeout) == ("/x/mover", 9)
    assert hook.args[4:6] == ("--run-dir", "/run/other")


FOREIGN = cdi.ContainerEdits(hooks=(cdi.Hook(hook_name="poststop", path="/x", args=("x",)),))


@pytest.mark.parametrize(
    ("name", "made", "ours"),
    [
        pytest.param("networking.k8s.io-netdevice.json", build(VETH, ODD), True, id="hooks"),
        pytest.param("networking.k8s.io-netdevice.yaml", build(VETH), True, id="yaml"),
        pytest.param(
            "networking.k8s.io-netdevice.json",
            build(VETH, pool=NATIVE),
            True,
            id="native",
        ),
        pytest.param("networking.k8s.io-other.json", build(VETH), False, id="another name"),
        pytest.param(
            "networking.k8s.io-netdevice_claim.json", build(VETH), False, id="of one claim"
        ),
        pytest.param(
            "v.com-netdevice.json",
            dataclasses.replace(build(VETH), kind="v.com/netdevice"),
            False,
            id="another prefix",
        ),
        pytest.param(
            "networking.k8s.io-netdevice.json",
            dataclasses.replace(build(VETH), edits=FOREIGN),
            False,
            id="edits for all",
        ),
        pytest.param(
            "networking.k8s.io-netdevice.json",
            dataclasses.replace(build(VETH), devices=(cdi.Device(name="a", edits=FOREIGN),)),
            False,
            id="another's hook",
        ),
        pytest.param(
            "networking.k8s.io-netdevice.json",
            dataclasses.replace(
                build(VETH),
                devices=(cdi.Device(name="a", edits=cdi.ContainerEdits(env=("A=b",))),),
            ),
            False,
            id="no hook",
        ),
    ],
)
def test_ours_is_what_we_would_have_written(name: str, made: cdi.Spec, ours: bool) -> None:
    assert cdifiles.is_ours(Path("/etc/cdi", name), made, POOL.prefix) is ours


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/: \t\n"), min_size=1, max_size=15
)
links = st.builds(
    Interface,
    ifindex=st.integers(1, 2**31 - 1),
    name=names,
    kind=st.sampled_from(("", "veth", "macvlan")),
    mac=st.sampled_from(("", "02:00:00:00:00:01")),
)


@given(st.lists(links, min_size=1, max_size=6, unique_by=lambda one: one.name))
def test_any_name_of_a_link_makes_a_file_that_runtimes_read_and_order_does_not_matter(
    found: list[Interface],
) -> None:
    for pool in (POOL, NATIVE):
        data = cdi.dumps(build(*found, pool=pool))
        assert cdi.loads(data, source="f") == build(*reversed(found), pool=pool)
        assert cdi.dumps(build(*reversed(found), pool=pool)) == data


@given(links, links)
def test_links_of_which_the_same_is_told_have_the_same_description(
    one: Interface, other: Interface
) -> None:
    told = {field: getattr(one, field) for field in ("ifindex", "name", "kind", "mac", "pci")}
    for like in (other, dataclasses.replace(other, mtu=9000, lent=True, **told)):
        named = dataclasses.replace(device(like), name="d")
        same = cdifiles.told(device(one)) == cdifiles.told(named)
        for pool in (POOL, NATIVE):
            delivery = cdifiles.Delivery.of(pool, Config())
            described = cdifiles.describe(dataclasses.replace(device(one), name="d"), delivery)
            if same:
                assert cdifiles.describe(named, delivery) == described
            elif pool is POOL:
                assert cdifiles.describe(named, delivery) != described


def test_a_link_that_is_nowhere_to_be_seen_has_no_number() -> None:
    attach, _ = arguments(build(Interface(ifindex=0, name="eth1")))
    assert attach[2:] == ("--device", "eth1", "--link", "eth1")


def test_a_virtual_function_is_set_up_as_the_pool_says() -> None:
    pool = dataclasses.replace(POOL, vf=SETTINGS)
    assert options(device(VF), pool) == (
        "--vf",
        "mac 02:00:00:00:00:01 vlan 100 qos 3 protocol 802.1ad spoofchk on trust off "
        "link-state enable min-tx-rate 0 max-tx-rate 1000",
    )


def test_nothing_of_a_virtual_function_is_done_to_another_link() -> None:
    assert options(device(CARD), dataclasses.replace(POOL, vf=SETTINGS)) == ()


def test_what_is_asked_of_a_virtual_function_stands_in_the_pools_place() -> None:
    pool = dataclasses.replace(POOL, vf=SETTINGS)
    assert options(device(VF), pool, vf=VfSettings(trust=True)) == ("--vf", "trust on")
    assert options(device(VF), pool, vf=VfSettings()) == ()
    assert options(device(VF), vf=VfSettings(vlan=0, qos=3)) == ("--vf", "vlan 0")


def test_an_rdma_device_goes_with_its_link_where_the_pool_says_so() -> None:
    pool = dataclasses.replace(POOL, rdma=True)
    nodes = ("/dev/infiniband/rdma_cm", "/dev/infiniband/uverbs3")
    one = device(dataclasses.replace(VF, rdma_nodes=nodes))
    assert options(one, pool) == ("--rdma", "mlx5_3")
    edits = cdifiles.edits(one, cdifiles.Delivery.of(pool, Config()))
    assert [(node.path, node.permissions) for node in edits.device_nodes] == [
        (path, "rw") for path in nodes
    ]
    assert cdifiles.edits(one, cdifiles.Delivery.of(POOL, Config())).device_nodes == ()
    assert options(one) == ()


def test_a_userspace_device_has_its_nodes_and_no_hook() -> None:
    described = cdifiles.describe(FUNCTION, cdifiles.Delivery.of(POOL, Config()))
    assert described.edits == cdi.ContainerEdits(
        env=("NETDEVICE_PCI_0000_03_00_0=0000:03:00.0",),
        device_nodes=(
            cdi.DeviceNode(path="/dev/vfio/vfio", permissions="rw"),
            cdi.DeviceNode(path="/dev/vfio/12", permissions="rw"),
        ),
    )


def test_a_userspace_device_is_in_the_file_before_its_nodes_are_known() -> None:
    bare = dataclasses.replace(FUNCTION, nodes=())
    spec = cdifiles.build(POOL, [bare], mover=MOVER, run_dir=RUN_DIR, timeout=30)
    assert spec is not None
    assert cdi.loads(cdi.dumps(spec), source="f") == spec
    assert cdifiles.told(bare) != cdifiles.told(FUNCTION)


@pytest.mark.parametrize(
    ("creation", "number", "words"),
    [
        pytest.param(MACVLAN, 3, "macvlan mode bridge", id="macvlan"),
        pytest.param(
            Creation(kind=CreatedKind.IPVLAN, parent="ens1f0", mode="l3s", count=4),
            0,
            "ipvlan mode l3s",
            id="ipvlan",
        ),
        pytest.param(TAGGED, 100, "vlan id 100", id="vlan"),
        pytest.param(
            dataclasses.replace(TAGGED, protocol="802.1ad"),
            107,
            "vlan id 107 protocol 802.1ad",
            id="service vlan",
        ),
    ],
)
def test_a_link_is_made_on_its_parent(creation: Creation, number: int, words: str) -> None:
    assert options(made(creation, number)) == ("--create", words, "--as", f"shared-{number}")


def test_a_link_that_is_made_is_known_by_its_parent() -> None:
    edits = cdifiles.edits(made(MACVLAN), cdifiles.Delivery.of(POOL, Config()))
    attach, detach = (hook.args for hook in edits.hooks)
    assert attach[2:4] == ("--device", "shared-0")
    assert attach[4:12] == (
        *("--link", "ens1f0", "--link-ifindex", "6"),
        *("--link-mac", "02:00:00:00:00:06", "--link-pci", "0000:03:00.0"),
    )
    assert detach[2:] == ("--device", "shared-0")


def test_a_link_that_is_made_has_the_name_that_is_asked_for() -> None:
    asked = ("--as", "net1", "--mtu", "1400")
    assert options(made(MACVLAN), options=asked) == ("--create", "macvlan mode bridge", *asked)


def test_what_is_told_of_a_link_that_is_made_is_its_parents_identity() -> None:
    told = cdifiles.told(made(MACVLAN))
    quieter = dataclasses.replace(CARD, carrier=True, mtu=9000)
    assert cdifiles.told(made(MACVLAN, parent=quieter)) == told
    for other in (
        made(MACVLAN, 1),
        made(dataclasses.replace(MACVLAN, mode="vepa")),
        made(MACVLAN, parent=dataclasses.replace(CARD, ifindex=9)),
    ):
        assert cdifiles.told(other) != told


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(FUNCTION, id="function"),
        pytest.param(dataclasses.replace(FUNCTION, nodes=()), id="function-without-nodes"),
        pytest.param(dataclasses.replace(FUNCTION, nodes=(Node("/dev/uio0"),)), id="uio"),
        pytest.param(made(MACVLAN), id="made"),
        pytest.param(
            device(dataclasses.replace(VF, rdma_nodes=("/dev/infiniband/uverbs0",))), id="rdma"
        ),
    ],
)
def test_files_of_every_kind_of_device_are_known_as_ours(one: Device) -> None:
    pool = dataclasses.replace(POOL, rdma=True, vf=SETTINGS)
    spec = cdifiles.build(pool, [one], mover=MOVER, run_dir=RUN_DIR, timeout=30)
    assert spec is not None
    name = Path(cdifiles.file_name(pool))
    assert cdifiles.is_ours(name, spec, pool.prefix)
    more = dataclasses.replace(spec.devices[0].edits, additional_gids=(7,))
    foreign = dataclasses.replace(spec, devices=(cdi.Device(name="a", edits=more),))
    assert not cdifiles.is_ours(name, foreign, pool.prefix)


@pytest.mark.parametrize(
    "edits",
    [
        cdi.ContainerEdits(device_nodes=(cdi.DeviceNode(path="/dev/vfio/1"),)),
        cdi.ContainerEdits(env=("NETDEVICE_X=1",)),
        cdi.ContainerEdits(
            env=("NETDEVICE_PCI_0000_03_00_0=x",), device_nodes=(cdi.DeviceNode(path="/dev/sda"),)
        ),
        cdi.ContainerEdits(env=("NETDEVICE_PCI_0000_03_00_0=x", "LD_PRELOAD=/x")),
    ],
)
def test_what_only_looks_like_a_userspace_device_is_not_ours(edits: cdi.ContainerEdits) -> None:
    spec = cdi.Spec(kind=POOL.kind, devices=(cdi.Device(name="a", edits=edits),))
    assert not cdifiles.is_ours(Path(cdifiles.file_name(POOL)), spec, POOL.prefix)
