"""The guest's NICs, found by PCI address as everything else about them may change."""

from __future__ import annotations

import dataclasses
import pathlib

from tests.kernel.mover.dump import eventually
from tests.kernel.mover.harness import DEVICE, At
from tests.kernel.mover.links import RICH
from tests.kernel.scratch import Netns

HOST: Netns = At("/proc/1/ns/net")  # the first namespace: NICs fall back to no other
PCI = pathlib.Path("/sys/bus/pci/devices")

_CARRIER = 20.0  # seconds; an emulated igb takes some 3


@dataclasses.dataclass(frozen=True, slots=True)
class Nic:
    """A PCI function with a netdev, and that netdev's name when no test has it."""

    name: str
    pci: str
    mac: str = ""

    @property
    def link(self) -> str:
        """What its netdev is called now; empty when it is not in the host's namespace."""
        function = PCI / self.pci
        found = [*function.glob("net/*"), *function.glob("virtio*/net/*")]
        return found[0].name if found else ""

    def reset(self) -> None:
        """As it was after boot, but for the IPv6 addresses of duplicates: those are not awaited."""
        link = self.link
        HOST.batch(
            [
                f"link set {link} down",
                *(f"link property del dev {link} altname {name}" for name in self._altnames()),
                f"link set {link} name {self.name} mtu 1500 txqueuelen 1000 group 0 alias '' "
                f"promisc off allmulticast off arp on multicast on address {self.mac}",
                f"addr flush dev {self.name}",
            ]
        )
        HOST.sysctl(f"ipv6/conf/{self.name}/accept_dad", "0")

    def _altnames(self) -> list[str]:
        names: list[str] = HOST.links()[self.link].get("altnames", [])
        return names

    def rename(self) -> None:
        """Give it its own name; a driver that is bound anew calls it eth0 or the like."""
        HOST.ip("link", "set", self.link, "name", self.name)

    def up(self, name: str) -> None:
        """Under that name, up, and with carrier."""
        HOST.batch([f"link set {self.link} name {name}", f"link set {name} up"])
        wait_for_carrier(name)


@dataclasses.dataclass(frozen=True, slots=True)
class Nics:
    """All of them; `pf1` is up and has the two VFs."""

    pf0: Nic
    pf1: Nic
    vf0: Nic
    vf1: Nic
    virtio: Nic

    @classmethod
    def found(cls) -> Nics:
        """Look for them by driver, make the VFs and give all of them their names."""
        HOST.sysctl("ipv6/conf/default/accept_dad", "0")
        pf0, pf1 = sorted(path.name for path in _bound("igb"))
        (PCI / pf1 / "sriov_numvfs").write_text("2")
        vf0, vf1 = ((PCI / pf1 / f"virtfn{number}").readlink().name for number in range(2))
        (virtio,) = (path.parent for path in PCI.glob("*/virtio*/net"))
        places = {"pf0": pf0, "pf1": pf1, "vf0": vf0, "vf1": vf1, "virtio": virtio.parent.name}
        result = cls(**{name: _known(name, pci) for name, pci in places.items()})
        result.pf1.up("pf1")
        return result


def _bound(driver: str) -> list[pathlib.Path]:
    return list(pathlib.Path("/sys/bus/pci/drivers", driver).glob("0000:*"))


def _known(name: str, pci: str) -> Nic:
    nic = Nic(name, pci)
    nic = dataclasses.replace(nic, mac=HOST.links()[nic.link]["address"])
    nic.reset()
    return nic


def wait_for_carrier(name: str) -> None:
    """NICs take seconds to find it, and addresses and routes depend on it."""
    assert eventually(HOST, lambda: "LOWER_UP" in HOST.links()[name]["flags"], _CARRIER), name


def dress() -> None:
    """Put a bit of everything onto the link `ndp0`, which is there."""
    HOST.batch(
        [
            f"link set {DEVICE} mtu 1400 up",
            f"addr add 10.1.0.5/24 dev {DEVICE}",
            f"addr add 2001:db8:1::5/64 dev {DEVICE}",
            f"route add 10.9.0.0/16 via 10.1.0.1 dev {DEVICE}",
            *RICH,
        ]
    )
    HOST.sysctl(f"ipv4/conf/{DEVICE}/rp_filter", "2")
    HOST.sysctl(f"ipv6/conf/{DEVICE}/hop_limit", "9")
    wait_for_carrier(DEVICE)
