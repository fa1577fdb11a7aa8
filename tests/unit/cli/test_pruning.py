from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.cli import pruning
from netdevice_plugin.config import Config
from netdevice_plugin.look import View
from netdevice_plugin.model import (
    Device,
    Interface,
    PciDevice,
    Pool,
    Snapshot,
    device_name,
)

PREFIX = "networking.k8s.io"
POOL = Pool(name="netdevice")
ETH1 = Interface(ifindex=3, name="eth1", mac="02:00:00:00:00:03")
ODD = Interface(ifindex=4, name="Odd.1", pci=PciDevice(address="0000:03:00.1"))
EMPTY = View(snapshot=Snapshot())


def spec(*interfaces: Interface, pool: Pool = POOL) -> cdi.Spec:
    devices = [
        Device(name=device_name(one.name), pool=pool.name, interface=one) for one in interfaces
    ]
    made = cdifiles.build(pool, devices, mover=Path("/m"), run_dir=Path("/r"), timeout=30)
    assert made
    return made


@pytest.mark.parametrize(
    "present",
    [
        pytest.param(Interface(ifindex=9, name="eth1"), id="by name"),
        pytest.param(Interface(ifindex=9, name="x", altnames=("eth1",)), id="by altname"),
        pytest.param(Interface(ifindex=9, name="x", mac=ETH1.mac), id="renamed"),
        pytest.param(Interface(ifindex=9, name="Odd.1"), id="one of two"),
        pytest.param(
            Interface(ifindex=9, name="x", pci=PciDevice(address="0000:03:00.1")), id="by PCI"
        ),
        pytest.param(dataclasses.replace(ETH1, lent=True), id="lent"),
    ],
)
def test_a_file_stays_while_one_of_its_devices_exists(tmp_path: Path, present: Interface) -> None:
    view = View(snapshot=Snapshot(interfaces=(present,)))
    assert not pruning.is_stale(spec(ETH1, ODD), view, Config(run_dir=tmp_path))


def test_a_file_is_stale_when_none_exists(tmp_path: Path) -> None:
    other = Interface(ifindex=3, name="eth2", mac="02:00:00:00:00:09")
    for view in (EMPTY, View(snapshot=Snapshot(interfaces=(other,)))):
        assert pruning.is_stale(spec(ETH1, ODD), view, Config(run_dir=tmp_path))


def test_a_record_that_cannot_be_read_counts_as_lent(tmp_path: Path) -> None:
    (tmp_path / "attachments").mkdir()
    (tmp_path / "attachments" / "eth1").write_text("broken")
    assert not pruning.is_stale(spec(ETH1), EMPTY, Config(run_dir=tmp_path))


def test_a_device_with_a_name_that_we_never_make_is_compared_as_it_is(tmp_path: Path) -> None:
    made = dataclasses.replace(
        spec(ETH1), devices=(dataclasses.replace(spec(ETH1).devices[0], name="net-1"),)
    )
    assert pruning.is_stale(made, EMPTY, Config(run_dir=tmp_path))


def test_candidates_are_listed_once_however_the_directory_is_called(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    for name in (f"{PREFIX}-a.json", f"{PREFIX}-b.yaml", f"{PREFIX}-c.txt", "other-d.json"):
        (real / name).write_text("")
    (real / f"{PREFIX}-dir.json").mkdir()
    directories = [tmp_path / "missing", real, tmp_path / "link"]
    found = [path.name for path in pruning.candidates(directories, PREFIX)]
    assert found == [f"{PREFIX}-a.json", f"{PREFIX}-b.yaml"]
