"""Random changes of all kinds to the links of a namespace, the same for the same seed.

Many are refused, as much of what one picks at random makes no sense; that is how the
rest comes about in unforeseen orders.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence

from tests.kernel.scratch import Netns

NAMES = tuple(f"l{number}" for number in range(9))
NETS = ("10.0.0", "10.1.0")
NETS6 = ("2001:db8:0:", "2001:db8:1:")
TABLES = ("main", "main", "70000")
NEXTHOPS = {"-4": ("1", "2"), "-6": ("5", "6")}
GROUPS = {"-4": "4", "-6": "8"}


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """For ip(8): its words, where to run it, and with which -4 or -6."""

    words: str
    away: bool = False
    family: str = "-4"


class Chaos:
    """Changes in two namespaces, between which links move."""

    def __init__(self, seed: int, host: Netns, pod: Netns) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same again for the same seed
        self._host = host
        self._pod = pod

    def stir(self, count: int) -> None:
        """Run so many commands, whether they work or not."""
        commands = self.commands(count)
        for (away, family), several in itertools.groupby(commands, lambda c: (c.away, c.family)):
            batch = "".join(f"{command.words}\n" for command in several)
            space = self._pod if away else self._host
            space.run("ip", family, "-force", "-batch", "-", stdin=batch, check=False)

    def commands(self, count: int) -> list[Command]:
        """Make so many."""
        kinds: tuple[tuple[Callable[[], Command], int], ...] = (
            (self._add, 6),
            (self._change, 12),
            (self._address, 6),
            (self._address6, 5),
            (self._route, 10),
            (self._route6, 10),
            (self._nexthop, 5),
            (self._delete, 1),
            (self._move, 1),
        )
        makers, weights = zip(*kinds, strict=True)
        return [maker() for maker in self._random.choices(makers, weights, k=count)]

    def _pick(self, *several: str) -> str:
        return self._random.choice(several)

    def _link(self) -> str:
        return self._pick(*NAMES)

    def _number(self, most: int) -> int:
        return self._random.randint(1, most)

    def _add(self) -> Command:
        name, other = self._link(), self._link()
        return Command(
            self._pick(
                f"link add {name} type veth peer name {other}",
                f"link add {name} type veth peer name {other} netns {self._pod.name}",
                f"link add {name} up type ifb",
                f"link add {name} up type ifb",
                f"link add {name} up type bridge",
                f"link add {name} link {other} type macvlan mode bridge",
                f"link add {name} link {other} type macvtap mode bridge",
                f"link add {name} type vxlan id {self._number(99)} dstport 4789 dev {other}",
                f"tuntap add {name} mode {self._pick('tun', 'tap')}",
            )
        )

    def _change(self) -> Command:
        name, other = self._link(), self._link()
        verb = self._pick("add", "add", "del")
        what = self._pick(
            *("up",) * 12,
            *("down",) * 3,
            f"name {other}",
            f"mtu {self._pick('1280', '1400', '1500', '576')}",
            f"address 02:00:00:00:00:{self._number(99):02d}",
            *(f"master {other}",) * 2,
            "nomaster",
            f"alias word{self._number(9)}",
            f"txqueuelen {self._number(9)}",
            f"arp {self._pick('on', 'off')}",
            f"promisc {self._pick('on', 'off')}",
            f"addrgenmode {self._pick('eui64', 'none')}",
            f"altname {verb}",
        )
        if what.startswith("altname"):
            return Command(f"link property {verb} dev {name} altname alt-{self._number(4)}")
        return Command(f"link set {name} {what}")

    def _address(self) -> Command:
        verb = self._pick("add", "add", "replace", "del")
        if self._number(12) == 1:
            return Command(f"addr flush dev {self._link()}")
        own = f"{self._pick(*NETS)}.{self._number(2)}"
        where = self._pick(*(f"{own}/24",) * 3, f"{own}/25", f"{own} peer {self._pick(*NETS)}.9/32")
        lasting = self._pick("", "", "noprefixroute", "valid_lft 900 preferred_lft 800", "metric 5")
        rest = "" if verb == "del" else lasting
        return Command(f"addr {verb} {where} dev {self._link()} {rest}")

    def _address6(self) -> Command:
        verb = self._pick("add", "add", "replace", "del")
        own = f"{self._pick(*NETS6)}:{self._number(2)}"
        where = self._pick(*(f"{own}/64",) * 3, f"{own} peer {self._pick(*NETS6)}:9/128")
        lasting = self._pick("", "nodad", "noprefixroute", "valid_lft 900 preferred_lft 0")
        rest = "" if verb == "del" else lasting
        return Command(f"addr {verb} {where} dev {self._link()} {rest}", family="-6")

    def _route(self) -> Command:
        gateway = f"{self._pick(*NETS)}.{self._number(9)}"
        to = self._pick("default", "203.0.113.0/24", "192.0.2.1")
        more = (
            self._pick("", "", "", "tos 0x10"),
            self._pick(*("",) * 4, "scope link", "scope host"),
            f"proto {self._pick('static', 'boot', 'static', 'bgp')}",
        )
        return self._any_route("-4", to, (gateway, f"{NETS[0]}.{self._number(3)}"), more)

    def _route6(self) -> Command:
        gateway = self._pick(f"{self._pick(*NETS6)}:{self._number(9)}", f"fe80::{self._number(4)}")
        to = self._pick("default", "2001:db8:f::/48", "2001:db8:e::1")
        return self._any_route("-6", to, (gateway, f"{NETS6[0]}:{self._number(3)}"), ())

    def _any_route(
        self, family: str, to: str, ips: tuple[str, str], more: Sequence[str]
    ) -> Command:
        verb = self._pick(
            *("add",) * 6, "append", "append", "prepend", "replace", "replace", "change", "del"
        )
        table = f"table {self._pick(*TABLES)}"
        metric = self._pick("", "metric 1")
        kind = self._pick(*("",) * 7, "blackhole", "unreachable")
        words: tuple[str, ...] = (kind, to, table, metric, *more)
        if verb == "del":
            words = (to, table, self._pick("", metric), self._pick("", f"dev {self._link()}"))
        elif self._number(40) == 1:
            verb, words = "flush", (table,)
        elif not kind:
            words = (*words, self._way(family, *ips))
        return Command(" ".join(("route", verb, *words)), family=family)

    def _way(self, family: str, gateway: str, source: str) -> str:
        return self._pick(
            *(self._hop(gateway),) * 5,
            f"src {source} {self._hop(gateway)}",
            f"nexthop via {gateway} dev {self._link()} onlink nexthop {self._hop(gateway)}",
            *(f"nhid {self._pick(*NEXTHOPS[family], GROUPS[family])}",) * 2,
        )

    def _hop(self, gateway: str) -> str:
        link = self._link()
        return self._pick(f"via {gateway}", f"via {gateway} dev {link} onlink", f"dev {link}")

    def _nexthop(self) -> Command:
        verb = self._pick("add", "add", "replace", "del")
        family = self._pick("-4", "-6")
        gateway = {"-4": f"{self._pick(*NETS)}.7", "-6": f"fe80::{self._number(4)}"}[family]
        number, link = self._pick(*NEXTHOPS[family]), self._link()
        way = self._pick(f"dev {link}", f"via {gateway} dev {link} onlink")
        if self._number(3) == 1:
            number = GROUPS[family]
            way = "group " + "/".join(self._random.sample(NEXTHOPS[family], self._number(2)))
        return Command(f"nexthop {verb} id {number} {'' if verb == 'del' else way}", family=family)

    def _delete(self) -> Command:
        return Command(f"link del {self._link()}")

    def _move(self) -> Command:
        name = self._link()
        if self._number(4) == 1:
            return Command(f"link set {name} netns {self._pod.name}")
        home = f"netns {self._host.name}"
        what = self._pick(home, home, "up", "down", f"name {self._link()}")
        return Command(f"link set {name} {what}", away=True)
