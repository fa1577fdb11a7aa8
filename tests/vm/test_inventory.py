"""What the command line says of NICs, read from a real sysfs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vm.nics import HOST, PCI, Nics
from tests.vm.node import Node

IGB = {"vendor": "8086", "device": "10c9", "driver": "igb"}
VF = {"vendor": "8086", "device": "10ca", "driver": "igbvf"}
VIRTIO = {"vendor": "1af4", "device": "1041", "driver": "virtio-pci"}
HERE = {"numaNode": None, "root": "pci0000:00"}  # q35's own bus says no node
STATE = {"pfState": "up"}
THERE = {"numaNode": 1, "root": "pci0000:80"}


@pytest.fixture(scope="module")
def offering(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A node where nothing is lent."""
    return Node(tmp_path_factory.mktemp("inventory"))


@pytest.fixture(scope="module")
def seen(all_nics: Nics, offering: Node) -> dict[str, dict[str, Any]]:
    """`netdevice-plugin devices`, by name."""
    return {link["name"]: link for link in offering.command("devices", "-o", "json")["links"]}


@pytest.mark.parametrize(
    ("name", "driver", "pci"),
    [
        ("pf0", "igb", {"address": "0000:01:00.0", **IGB, **HERE}),
        ("pf1", "igb", {"address": "0000:81:00.0", **IGB, **THERE}),
        ("vf0", "igbvf", {"address": "0000:81:10.0", **VF, **THERE}),
        ("vf1", "igbvf", {"address": "0000:81:10.2", **VF, **THERE}),
        ("virtio", "virtio_net", {"address": "0000:02:00.0", **VIRTIO, **HERE}),
    ],
)
def test_a_nic_is_shown_with_the_pci_function_under_it(
    name: str, driver: str, pci: dict[str, object], seen: dict[str, dict[str, Any]]
) -> None:
    link = seen[name]
    group = (PCI / str(pci["address"]) / "iommu_group").readlink().name
    assert link["pci"] == {**pci, "iommuGroup": int(group)}
    device = None if name == "pf1" else name  # it has VFs, and no pool names it
    assert (link["device"], link["driver"], link["kind"]) == (device, driver, None)


def test_a_pf_and_its_vfs_are_shown_as_such(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["pf0"]["pf"] == {"totalVfs": 7, "numVfs": 0, "eswitchMode": None}
    assert seen["pf1"]["pf"] == {"totalVfs": 7, "numVfs": 2, "eswitchMode": None}
    for number in range(2):
        vf = seen[f"vf{number}"]["vf"]
        assert vf == {"pf": "pf1", "pfAddress": "0000:81:00.0", "number": number, **STATE}
    assert [seen[name]["vf"] for name in ("pf0", "pf1", "virtio")] == [None] * 3


def test_a_bond_is_not_offered(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["bond0"]["device"] is None
    assert "bond" in seen["bond0"]["reason"]


@pytest.mark.parametrize("name", ["pf0", "vf0", "virtio"])
def test_a_cdi_file_names_the_pci_function(name: str, all_nics: Nics, offering: Node) -> None:
    link = HOST.links()[name]
    mac = link.get("permaddr", link["address"])
    run_dir = ("--run-dir", str(offering.run_dir))
    assert offering.offer(name).arguments == (
        *("attach", "--device", name, *run_dir, "--link", name),
        *("--link-ifindex", str(link["ifindex"]), "--link-mac", mac),
        *("--link-pci", getattr(all_nics, name).pci),
    )
