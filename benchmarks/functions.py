"""Virtual functions found in sysfs, beside a bare walk through the same files."""

from __future__ import annotations

import functools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.numbers import Samples, Table, ratio
from netdevice_plugin import pools
from netdevice_plugin.inventory.decode import Link
from netdevice_plugin.inventory.pfs import name_pfs
from netdevice_plugin.inventory.sysfs import Sysfs
from netdevice_plugin.model import Interface, PfRange, Pool, Selector, Snapshot
from netdevice_plugin.provisioning import Userspace
from tests.unit.inventory.trees import ROOT, Tree, vf_address

_PF = "0000:03:00.0"
_POOL = Pool(
    name="dpdk",
    selectors=(Selector(pf_names=(PfRange(name="pf0"),)),),
    userspace=Userspace(driver="vfio-pci"),
)


def discovery(counts: Sequence[int], repeats: int) -> Table:
    """Time what it takes to find, describe and offer the VFs of one PF."""
    rows: list[tuple[str, ...]] = []
    for count in counts:
        for driver in ("igbvf", "vfio-pci"):
            with tempfile.TemporaryDirectory() as directory:
                links = _build(Tree(Path(directory)), count, driver)
                work = functools.partial(_discover, Path(directory), links, count)
                found = _times(work, repeats)
                walked = _times(functools.partial(_walk, directory), repeats)
            rows.append((f"{count} {driver}", str(found), str(walked), ratio(found.over(walked))))
    return Table(
        title="Virtual functions",
        columns=("VFs", "discovery, ms", "walk, ms", "discovery / walk"),
        rows=tuple(rows),
        notes=(
            f"Medians of {repeats}. The VFs of one PF, in a tree like sysfs on a file system of "
            "this machine, with their links, or behind vfio-pci. Discovery: all are found, "
            "described, told the name of their PF, and devices of a pool. The walk lists "
            "each directory once with os.scandir, reads every file and every symbolic link.",
        ),
    )


def _build(tree: Tree, count: int, driver: str) -> list[Link]:
    """Make the tree; returns the links that there are."""
    tree.pf_with_vfs(count)
    links = [Link(Interface(ifindex=2, name="pf0"), "pci", _PF)]
    for number in range(count):
        where = f"{ROOT}/0000:00:1c.0/{vf_address(number)}"
        tree.file(f"{where}/class", "0x020000")
        tree.file(f"kernel/iommu_groups/{number}/type", "DMA-FQ")
        tree.link(f"{where}/iommu_group", f"kernel/iommu_groups/{number}")
        if driver == "igbvf":
            own = Interface(ifindex=number + 3, name=f"vf{number}")
            tree.netdev(where, own.name, own.ifindex, "02:00:00:00:00:01")
            links.append(Link(own, "pci", vf_address(number)))
        else:
            (tree.path / where / "driver").unlink()
            tree.link(f"{where}/driver", f"bus/pci/drivers/{driver}")
    return links


def _discover(root: Path, links: Sequence[Link], count: int) -> None:
    reading = Sysfs(root)
    described = [reading.describe(link) for link in links]
    named = name_pfs((*described, *reading.functions()))
    snapshot = Snapshot(
        interfaces=tuple(one for one in named if one.ifindex),
        functions=tuple(one for one in named if not one.ifindex),
    )
    assert len(pools.assign(snapshot, [_POOL]).devices) == count


def _walk(path: str) -> None:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_symlink():
                os.readlink(entry.path)  # noqa: PTH115 - it is to be bare
            elif entry.is_dir():
                _walk(entry.path)
            else:
                with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 - likewise
                    file.read(4096)


def _times(work: Callable[[], object], repeats: int) -> Samples:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return Samples(tuple(seconds))
