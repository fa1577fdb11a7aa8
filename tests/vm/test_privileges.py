"""What deploy/components/functions grants the agent is enough, and no more than it takes."""

from __future__ import annotations

import ctypes
import os
import pathlib
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.lending import Functions
from tests.manifests import ROOT, parse, pod_spec
from tests.vm.nics import Nic, Nics
from tests.vm.test_functions import BUS, NOTHING, SETTINGS, VFIO, device, lends, outline, vf_info

NUMBERS = {"NET_ADMIN": 12}  # capability.h
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3


def granted() -> list[str]:
    """The capabilities of the component."""
    path = ROOT / "deploy" / "components" / "functions" / "daemonset.yaml"
    (container,) = pod_spec(parse(path.read_text()))["containers"]
    added: list[str] = container["securityContext"]["capabilities"]["add"]
    return added


def limit(mask: int) -> None:
    """Leave this thread, and those that it starts, root with these capabilities alone."""
    header = struct.pack("=Ii", _VERSION, 0)
    data = struct.pack("=6I", *(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0), *(mask >> 32,) * 2, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def limited(
    names: list[str], path: pathlib.Path, work: Callable[[Functions], Awaitable[None]]
) -> None:
    """An agent that has these capabilities does this."""
    mask = sum(1 << NUMBERS[name] for name in names)
    with ThreadPoolExecutor(1, initializer=limit, initargs=(mask,)) as thread:
        thread.submit(lends, path, work).result()


@pytest.fixture
def vf(all_nics: Nics) -> Iterator[Nic]:
    """The first VF."""
    yield all_nics.vf0
    all_nics.vf0.reset()


def state(vf: Nic, pf: Nic) -> object:
    """What is to be as before, but for the MAC that a VF has told its PF of, or not yet."""
    told = {key: value for key, value in vf_info(pf, 0).items() if key != "address"}
    return told, outline(vf)


def test_with_what_it_is_granted_a_vf_is_set_up_bound_and_brought_home(
    vf: Nic, all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    before = state(vf, all_nics.pf1)
    one = device(vf)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, SETTINGS)
        assert BUS.driver(vf.pci) == "vfio-pci"
        assert vf_info(all_nics.pf1, 0)["address"] == SETTINGS.mac
        await functions.release(one.name)
        assert functions.records == {}

    limited(granted(), tmp_path, work)
    assert state(vf, all_nics.pf1) == before


def test_without_any_capability_it_binds_and_sets_nothing_up(
    vf: Nic, all_nics: Nics, tmp_path: pathlib.Path
) -> None:
    before = vf_info(all_nics.pf1, 0)

    async def work(functions: Functions) -> None:
        with pytest.raises(FunctionError, match="Operation not permitted"):
            await functions.lend(device(vf), VFIO, SETTINGS)
        assert BUS.driver(vf.pci) == "igbvf"
        await functions.lend(device(vf), VFIO, NOTHING)
        assert BUS.driver(vf.pci) == "vfio-pci"
        await functions.release(device(vf).name)

    limited([], tmp_path, work)
    assert BUS.driver(vf.pci) == "igbvf"  # its link has the name and MAC that the kernel gave it
    assert vf_info(all_nics.pf1, 0)["vlan_list"] == before["vlan_list"]
