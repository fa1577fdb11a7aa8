from __future__ import annotations

import dataclasses
import os
from pathlib import Path

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
    PciDevice,
    Pool,
    Selector,
    Snapshot,
    device_name,
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


def device(interface: Interface) -> Device:
    name = device_name(interface.name)
    return Device(name=name, pool=POOL.name, interface=interface, lent=interface.lent)


def build(*interfaces: Interface, pool: Pool = POOL, run_dir: Path = RUN_DIR) -> cdi.Spec:
    devices = map(device, interfaces)
    spec = cdifiles.build(pool, devices, mover=MOVER, run_dir=run_dir, timeout=30)
    assert spec is not None
    return spec


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
