"""What rtnetlink is told: settings of virtual functions, and a link as it was before.

For the network namespace of the thread that calls. Needs CAP_NET_ADMIN there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator

from netdevice_plugin.errors import FunctionError, InventoryError
from netdevice_plugin.functions.record import Link
from netdevice_plugin.inventory import decode, rtnl, vfinfo, wire
from netdevice_plugin.model import Address, Interface
from netdevice_plugin.provisioning import VfSettings

RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_NEWLINKPROP = 108

_RTM_GETLINK = 18
_NLM_F_ACK = 0x4
_NLM_F_CREATE = 0x400
_NLM_F_EXCL = 0x200
_NLA_F_NESTED = 0x8000
_IFF_UP = 1
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_PROP_LIST = 52
_IFLA_ALT_IFNAME = 53
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_LABEL = 3
_IFA_BROADCAST = 4
_IFA_FLAGS = 8
_IFA_RT_PRIORITY = 9
_PRIVILEGE = "the agent needs CAP_NET_ADMIN for this"

_KEYS = {  # as the configuration has them, in the order in which the kernel sets them
    "mac": "mac",
    "vlan": "vlan",
    "qos": "qos",
    "protocol": "protocol",
    "min_tx_rate": "minTxRate",
    "max_tx_rate": "maxTxRate",
    "spoof_check": "spoofChk",
    "link_state": "linkState",
    "trust": "trust",
}


class RefusedError(FunctionError):
    """The kernel refused a request; `number` is its errno."""

    number = 0


class Links:
    """Asks and tells the kernel."""

    def __init__(self, connect: Callable[[], rtnl.Socket] = rtnl.connect) -> None:
        self._connect = connect

    def vf(self, pf: int, number: int) -> VfSettings:
        """What the PF with that link says of a VF. Raises FunctionError."""
        with _as_ours():
            found = vfinfo.ask(pf, connect=self._connect).get(number)
        if found is None:
            raise FunctionError(f"link {pf} has no virtual function {number}")
        return found

    def set_vf(self, pf: int, number: int, wanted: VfSettings) -> bool:
        """Have a VF as wanted, in one request; False if it was so already.

        Raises FunctionError that names the setting which the PF's driver did not take.
        Those before it may be set by then: whoever asked puts back what was.
        """
        current = self.vf(pf, number)
        body = vfinfo.encode(number, current, wanted)
        if not body:
            return False
        goal = vfinfo.target(current, wanted)
        try:
            self._change(RTM_SETLINK, _ifinfo(pf) + body)
        except RefusedError as error:
            missing = _missing(self.vf(pf, number), goal)
            what = missing[0] if missing else "a setting"
            raise _explained(error, f"VF {number}: the PF's driver does not set {what}") from error
        if missing := _missing(self.vf(pf, number), goal):
            raise FunctionError(f"VF {number}: the PF's driver ignored {', '.join(missing)}")
        return True

    def restore(self, ifindex: int, link: Link) -> list[str]:
        """Make a link what it was; returns what could not be done, in words each."""
        current = self.look(ifindex)
        problems: list[str] = []
        body = b""
        if current.name != link.name:
            if current.up:  # it takes no other name then, and it is set up below again
                self._try(problems, f"{current.name} down", ifindex, b"", up=False)
            body += wire.attribute(_IFLA_IFNAME, os.fsencode(link.name) + b"\0")
        if link.mac and current.mac != link.mac:
            mac = bytes.fromhex(link.mac.replace(":", ""))
            body += wire.attribute(_IFLA_ADDRESS, mac)
        if link.mtu and current.mtu != link.mtu:
            body += wire.attribute(_IFLA_MTU, struct.pack("=I", link.mtu))
        if body:
            self._try(problems, f"{current.name} to be {link.name} again", ifindex, body)
        for name in link.altnames:
            if name not in current.altnames:
                self._try_altname(problems, ifindex, name)
        if link.up or current.up:
            self._try(problems, f"{link.name} up", ifindex, b"", up=True)
        for address in link.addresses:
            self._try_address(problems, ifindex, address)
        return problems

    def look(self, ifindex: int) -> Interface:
        """How a link is, but for its addresses and routes. Raises FunctionError."""
        query = rtnl.Query(f"link {ifindex}", _RTM_GETLINK, _ifinfo(ifindex))
        with _as_ours():
            found = rtnl.ask([query], connect=self._connect)
            if not found:
                raise FunctionError(f"link {ifindex} has gone")
            return decode.link(found[0]).interface

    def _try(
        self,
        problems: list[str],
        what: str,
        ifindex: int,
        body: bytes,
        *,
        up: bool | None = None,
    ) -> None:
        try:
            self._change(RTM_SETLINK, _ifinfo(ifindex, up=up) + body)
        except RefusedError as error:
            problems.append(f"cannot set {what}: {error}")

    def _try_altname(self, problems: list[str], ifindex: int, name: str) -> None:
        one = wire.attribute(_IFLA_ALT_IFNAME, os.fsencode(name) + b"\0")
        body = _ifinfo(ifindex) + wire.attribute(_IFLA_PROP_LIST | _NLA_F_NESTED, one)
        try:
            self._change(RTM_NEWLINKPROP, body, _NLM_F_CREATE | _NLM_F_EXCL)
        except RefusedError as error:
            if error.number != errno.EEXIST:  # udev gives it, too
                problems.append(f"cannot add altname {name}: {error}")

    def _try_address(self, problems: list[str], ifindex: int, address: Address) -> None:
        try:
            self._change(RTM_NEWADDR, encode_address(ifindex, address), _NLM_F_CREATE | _NLM_F_EXCL)
        except RefusedError as error:
            if error.number != errno.EEXIST:
                problems.append(f"cannot add {address}: {error}")

    def _change(self, message: int, body: bytes, flags: int = 0) -> None:
        """Send one request and read what came of it; raises RefusedError."""
        try:
            with _as_ours(), self._connect() as sock:
                sock.send(wire.request(message, _NLM_F_ACK | flags, body))
                data, _, _, _ = sock.recvmsg(rtnl.BUFFER)
        except OSError as error:
            raise _refused(error.errno or 0, "") from error
        for answer in wire.messages(data):
            number, words = wire.error(answer)
            if number:
                raise _refused(number, words)


def encode_address(ifindex: int, address: Address) -> bytes:
    """Write an RTM_NEWADDR."""
    family = socket.AF_INET if address.family == 4 else socket.AF_INET6
    own = socket.inet_pton(family, address.address)
    far = socket.inet_pton(family, address.peer) if address.peer else own
    flags = address.flags
    body = struct.pack("=BBBBI", family, address.prefix, flags & 0xFF, address.scope, ifindex)
    body += wire.attribute(_IFA_LOCAL, own) + wire.attribute(_IFA_ADDRESS, far)
    if address.label:
        body += wire.attribute(_IFA_LABEL, os.fsencode(address.label) + b"\0")
    if address.broadcast:
        body += wire.attribute(_IFA_BROADCAST, socket.inet_pton(family, address.broadcast))
    if flags > 0xFF:
        body += wire.attribute(_IFA_FLAGS, struct.pack("=I", flags))
    if address.metric:
        body += wire.attribute(_IFA_RT_PRIORITY, struct.pack("=I", address.metric))
    return body


def _ifinfo(ifindex: int, *, up: bool | None = None) -> bytes:
    """Write a struct ifinfomsg; `up` None leaves that as it is."""
    change = 0 if up is None else _IFF_UP
    return struct.pack("=BxHiII", 0, 0, ifindex, _IFF_UP if up else 0, change)


def _missing(current: VfSettings, goal: VfSettings) -> list[str]:
    """Which settings are not as they should be; one that a driver does not tell counts as set."""
    found = []
    for field in dataclasses.fields(VfSettings):
        is_, ought = getattr(current, field.name), getattr(goal, field.name)
        if None not in (is_, ought) and is_ != ought:
            found.append(field.name)
    return [key for name, key in _KEYS.items() if name in found]


def _refused(number: int, words: str) -> RefusedError:
    text = ": ".join(filter(None, (os.strerror(number), words)))
    error = RefusedError(text, hint=_PRIVILEGE if number == errno.EPERM else "")
    error.number = number
    return error


def _explained(error: RefusedError, what: str) -> RefusedError:
    made = RefusedError(f"{what}: {error}", hint=error.hint)
    made.number = error.number
    return made


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    try:
        yield
    except InventoryError as error:
        raise FunctionError(str(error), hint=error.hint) from error
