"""What the kernel tells, and what has to be read as it does not. tests/kernel asks a real one."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.inventory.mirror import Found, Hardware, Listing, Mirror, Wants
from netdevice_plugin.inventory.sysfs import Sysfs
from netdevice_plugin.model import Interface, Snapshot
from tests.unit.inventory.messages import (
    address,
    attributes,
    framed,
    hop,
    ip,
    link,
    nexthop,
    route,
    u32,
)
from tests.unit.inventory.trees import Tree, vf_address

NEWLINK, DELLINK = 16, 17
NEWADDR, DELADDR = 20, 21
NEWROUTE, DELROUTE = 24, 25
NEWNEXTHOP = 104
UP, RUNNING = 0x11043, 0x11003
IFB, VETH, MACVLAN = "ifb", "veth", "macvlan"
NOTHING = Wants()
NO_HARDWARE = Hardware()


def one(
    ifindex: int, name: str, *more: tuple[int, bytes], kind: str = IFB, flags: int = UP
) -> bytes:
    """A link with what a whole message never lacks."""
    info = (18, attributes((1, f"{kind}\0".encode()))) if kind else (18, b"")
    return link(ifindex, (3, f"{name}\0".encode()), (4, u32(1500)), info, *more, flags=flags)


def on(ifindex: int) -> tuple[int, bytes]:
    return (5, u32(ifindex))


def elsewhere(number: int) -> tuple[int, bytes]:
    return (37, u32(number))


def own(ifindex: int, text: str, *, prefix: int = 24) -> bytes:
    family = 10 if ":" in text else 2
    return address(ifindex, (1, ip(text)), (2, ip(text)), family=family, prefix=prefix)


def out(ifindex: int, *more: tuple[int, bytes]) -> bytes:
    return route((4, u32(ifindex)), *more)


def mirror(*links: bytes, **lists: list[bytes]) -> Mirror:
    """A mirror that wants nothing."""
    made = examined(Mirror(Listing(links=links, **lists)))
    assert made.wants() == NOTHING
    return made


def examined(made: Mirror, hardware: Hardware = NO_HARDWARE) -> Mirror:
    """A mirror that knows of the hardware that is under no link."""
    assert made.wants().hardware
    made.accept(Wants(hardware=True), Found(hardware=hardware))
    return made


def hear(made: Mirror, kind: int, *bodies: bytes, flags: int = 0) -> None:
    made.hear([framed(kind, body, flags=flags) for body in bodies])


def names(snapshot: Snapshot) -> dict[int, str]:
    return {interface.ifindex: interface.name for interface in snapshot.interfaces}


def shown(made: Mirror, name: str) -> Interface:
    found = made.snapshot().named(name)
    assert found is not None
    return found


def addresses(made: Mirror, name: str) -> list[str]:
    return [str(address) for address in shown(made, name).addresses]


def test_links_come_change_and_go() -> None:
    made = mirror(one(9, "eth9"), one(2, "eth2"))
    hear(made, NEWLINK, one(5, "eth5"))
    hear(made, NEWLINK, one(9, "wan0"))
    assert names(made.snapshot()) == {2: "eth2", 5: "eth5", 9: "wan0"}
    hear(made, DELLINK, one(2, "eth2"))
    assert list(names(made.snapshot())) == [5, 9]
    assert made.wants() == NOTHING


def test_what_a_bridge_says_of_its_port_is_not_about_the_link() -> None:
    made = mirror(one(2, "eth2"))
    port = b"\7" + one(2, "port")[1:]
    hear(made, NEWLINK, port)
    hear(made, DELLINK, port)
    assert names(made.snapshot()) == {2: "eth2"}
    assert made.wants() == NOTHING


def test_a_message_that_is_not_whole_is_followed_by_a_question() -> None:
    made = mirror(one(2, "eth2"))
    hear(made, NEWLINK, link(2, (3, b"eth2\0"), (11, b"news of the radio")))
    assert made.wants() == Wants(links=(2,))
    assert shown(made, "eth2").mtu == 1500
    made.accept(Wants(links=(2,)), Found(links=[one(2, "wlan0")]))
    assert names(made.snapshot()) == {2: "wlan0"}
    assert made.wants() == NOTHING


def test_a_whole_message_answers_the_question() -> None:
    made = mirror(one(2, "eth2"))
    hear(made, NEWLINK, link(2, (3, b"eth2\0")), one(2, "eth2"))
    assert made.wants() == NOTHING


def test_a_link_that_is_gone_before_it_was_read_is_not_asked_for_again() -> None:
    made = mirror(one(2, "eth2"))
    hear(made, NEWLINK, link(2, (3, b"eth2\0")))
    wants = made.wants()
    made.accept(wants, Found())
    assert made.wants() == NOTHING


@pytest.mark.parametrize(
    "data",
    [b"\1\2\3", framed(99), framed(NEWLINK, b"short"), framed(NEWROUTE), framed(NEWNEXTHOP, b"x")],
    ids=["no-message", "of-no-type-we-know", "link", "route", "nexthop"],
)
def test_what_makes_no_sense_breaks_it(data: bytes) -> None:
    made = mirror()
    made.hear([data])
    assert made.broken


def test_addresses_come_change_and_go() -> None:
    made = mirror(one(2, "eth2"), addresses=[own(2, "192.0.2.1")])
    hear(made, NEWADDR, own(2, "2001:db8::1", prefix=64), own(2, "192.0.2.1", prefix=25))
    assert addresses(made, "eth2") == ["192.0.2.1/24", "192.0.2.1/25", "2001:db8::1/64"]
    hear(made, NEWADDR, address(2, (1, ip("2001:db8::1")), family=10, prefix=64, flags=0x20))
    assert [a.flags for a in shown(made, "eth2").addresses] == [0, 0, 0x20]
    hear(made, DELADDR, own(2, "192.0.2.1"), own(2, "192.0.2.7"))
    assert addresses(made, "eth2") == ["192.0.2.1/25", "2001:db8::1/64"]


def test_addresses_are_in_an_order_of_their_own() -> None:
    secondary = address(2, (2, ip("192.0.2.1")), flags=1)
    several = [own(2, "2001:db8::1"), secondary, own(2, "192.0.2.9")]
    one_way = mirror(one(2, "eth2"), addresses=several)
    other = mirror(one(2, "eth2"))
    hear(other, NEWADDR, *reversed(several))
    assert one_way.snapshot() == other.snapshot()
    assert addresses(other, "eth2") == ["192.0.2.9/24", "192.0.2.1/24", "2001:db8::1/24"]


def test_an_address_that_was_listed_before_its_link_is_the_links() -> None:
    made = mirror(addresses=[own(2, "192.0.2.1")], routes=[out(2)])
    hear(made, NEWLINK, one(2, "eth2"))
    assert addresses(made, "eth2") == ["192.0.2.1/24"]
    assert len(shown(made, "eth2").routes) == 1


def test_what_a_link_had_is_not_its_successors() -> None:
    made = mirror(one(2, "eth2"), addresses=[own(2, "192.0.2.1")], routes=[out(2)])
    hear(made, DELLINK, one(2, "eth2"))
    hear(made, NEWLINK, one(2, "other"))
    assert (shown(made, "other").addresses, shown(made, "other").routes) == ((), ())


def test_routes_come_and_go() -> None:
    made = mirror(one(2, "eth2"))
    hear(made, NEWROUTE, out(2))
    assert [r.destination for r in shown(made, "eth2").routes] == ["default"]
    assert made.snapshot().reason(2) == "carries the IPv4 default route"
    hear(made, DELROUTE, out(2))
    assert shown(made, "eth2").routes == ()
    assert made.snapshot().reason(2) == ""


def test_routes_that_are_not_certain_are_read_anew() -> None:
    made = mirror(one(2, "eth2"), one(3, "eth3"), routes=[out(2)])
    hear(made, NEWROUTE, out(3), flags=0x100)
    assert made.wants() == Wants(routes=True)
    made.accept(Wants(routes=True), Found(routes=([out(3)], [])))
    assert [made.snapshot().reason(i) for i in (2, 3)] == ["", "carries the IPv4 default route"]
    assert made.wants() == NOTHING


def test_nexthop_objects_that_routes_go_by_are_listened_for() -> None:
    objects = [nexthop(1, (5, u32(2)))]
    made = mirror(one(2, "eth2"), routes=[route((30, u32(1)))], nexthops=objects)
    hear(made, NEWNEXTHOP, nexthop(7, (5, u32(2))))
    assert made.wants() == NOTHING
    hear(made, NEWNEXTHOP, nexthop(1, (5, u32(2))))
    assert made.wants() == Wants(routes=True)


def test_ipv4_routes_go_with_the_last_ipv4_address_and_not_before() -> None:
    several = [own(2, "192.0.2.1"), own(2, "192.0.2.2"), own(2, "2001:db8::1")]
    made = mirror(one(2, "eth2"), addresses=several, routes=[out(2)])
    hear(made, DELADDR, own(2, "192.0.2.1"))
    assert len(shown(made, "eth2").routes) == 1
    hear(made, DELADDR, own(2, "192.0.2.2"))
    assert shown(made, "eth2").routes == ()


def test_routes_go_with_a_link_that_is_set_down() -> None:
    made = mirror(one(2, "eth2"), routes=[out(2)])
    hear(made, NEWLINK, one(2, "eth2", flags=0x1002))
    assert shown(made, "eth2").routes == ()
    assert made.wants() == NOTHING


def test_an_ipv6_route_that_took_the_place_of_another_is_not_certain() -> None:
    made = mirror(one(2, "eth2"), one(3, "eth3"), routes=[route((4, u32(2)), family=10)])
    hear(made, NEWROUTE, route((4, u32(3)), family=10))
    assert made.wants() == NOTHING
    hear(made, NEWROUTE, route((4, u32(4)), family=10), flags=0x100)
    assert made.wants() == Wants(routes=True)


def test_a_link_that_was_listed_as_down_may_have_come_up_before_its_routes_were_listed() -> None:
    """Or it would not be known for the uplink that it is."""
    made = mirror(one(2, "eth2", flags=0x1002), routes=[out(2)])
    assert made.snapshot().reason(2) == "carries the IPv4 default route"


@pytest.mark.parametrize("gone", [DELADDR, DELLINK])
def test_routes_with_a_source_that_is_gone_are_read_anew_unless_they_went_as_well(
    gone: int,
) -> None:
    source = (7, ip("192.0.2.1"))
    made = mirror(
        one(2, "eth2"),
        one(3, "eth3"),
        addresses=[own(3, "192.0.2.1"), own(3, "192.0.2.2")],
        routes=[out(2, source)],
    )
    hear(made, DELADDR, own(3, "192.0.2.1"))
    hear(made, DELROUTE, out(2, source))
    assert made.wants() == NOTHING
    hear(made, NEWROUTE, out(2, (7, ip("192.0.2.2"))))
    hear(made, gone, one(3, "eth3") if gone == DELLINK else own(3, "192.0.2.2"))
    assert made.wants() == Wants(routes=True)


@pytest.mark.parametrize("flags", [0x1043, 0x1003, 0x1002])
def test_multipath_routes_may_go_with_the_carrier_of_a_link(flags: int) -> None:
    made = mirror(one(2, "eth2"), one(3, "eth3"), routes=[route((9, hop(2) + hop(3)))])
    hear(made, NEWLINK, one(2, "eth2"))
    assert made.wants() == NOTHING
    hear(made, NEWLINK, one(2, "eth2", flags=flags))
    assert made.wants().routes


def test_a_veth_is_told_of_before_it_has_its_peer() -> None:
    made = mirror()
    hear(made, NEWLINK, one(2, "b", kind=VETH), one(3, "a", on(2), kind=VETH))
    assert made.wants() == Wants(links=(2,))
    made.accept(made.wants(), Found(links=[one(2, "b", on(3), kind=VETH)]))
    assert shown(made, "b").lower == 3
    assert made.wants() == NOTHING


def test_who_stays_when_a_link_goes_is_read_again() -> None:
    made = mirror(
        one(2, "eth2", on(3), kind=VETH),
        one(3, "peer", on(2), kind=VETH),
        one(4, "upper", on(2), kind=MACVLAN),
        one(5, "port", (10, u32(2))),
        one(6, "other"),
    )
    hear(made, DELLINK, one(2, "eth2"))
    assert made.wants().links == (3, 4, 5)
    hear(made, DELLINK, one(3, "peer"), one(4, "upper"))
    assert made.wants().links == (5,)


def test_what_stood_on_a_link_and_no_longer_does_is_left_alone() -> None:
    made = mirror(one(2, "eth2"), one(5, "port", (10, u32(2))))
    hear(made, NEWLINK, one(5, "port"))
    hear(made, DELLINK, one(2, "eth2"))
    assert made.wants() == NOTHING


def test_a_link_that_comes_may_be_what_others_stood_on_elsewhere() -> None:
    made = mirror(
        one(3, "upper", on(2), elsewhere(0), kind=MACVLAN),
        one(4, "peer", on(2), elsewhere(0), kind=VETH),  # of this one the newcomer tells
    )
    hear(made, NEWLINK, one(2, "eth2"))
    assert made.wants() == Wants(links=(3,))
    hear(made, DELLINK, one(3, "upper"))
    hear(made, NEWLINK, one(5, "other", on(2), elsewhere(0), kind=MACVLAN))
    assert made.wants() == NOTHING


PHYSICAL = ((57, b"pci\0"), (56, b"0000:03:00.0\0"))


def described(made: Mirror, tree: Tree) -> None:
    """Read what is wanted from that tree."""
    wants = made.wants()
    sysfs = Sysfs(tree.path)
    made.accept(wants, Found(devices=[sysfs.describe(one) for one in wants.devices]))


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    found = Tree(tmp_path)
    found.pf_with_vfs(2)
    return found


def test_hardware_is_not_shown_before_its_device_has_been_looked_up(tree: Tree) -> None:
    made = mirror()
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""))
    assert names(made.snapshot()) == {}
    described(made, tree)
    assert shown(made, "eth2").driver == "igb"
    assert made.wants() == NOTHING


def test_hardware_that_changes_is_shown_as_it_was_until_it_has_been_looked_up(tree: Tree) -> None:
    made = mirror()
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""))
    described(made, tree)
    hear(made, NEWLINK, one(2, "wan0", *PHYSICAL, kind=""))
    hear(made, NEWADDR, own(2, "192.0.2.1"))
    assert names(made.snapshot()) == {2: "eth2"}
    assert addresses(made, "eth2") == ["192.0.2.1/24"]
    described(made, tree)
    assert addresses(made, "wan0") == ["192.0.2.1/24"]


def test_addresses_of_hardware_need_no_look_at_its_device(tree: Tree) -> None:
    made = mirror()
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""))
    described(made, tree)
    hear(made, NEWADDR, own(2, "192.0.2.1"))
    assert made.wants() == NOTHING
    assert (addresses(made, "eth2"), shown(made, "eth2").driver) == (["192.0.2.1/24"], "igb")


def test_a_device_that_was_looked_up_for_a_link_as_it_was_is_looked_up_again(tree: Tree) -> None:
    made = mirror()
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""))
    described(made, tree)
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""), link(2, (3, b"eth2\0")))
    wants = made.wants()
    assert (wants.links, len(wants.devices)) == ((2,), 1)
    before = [Sysfs(tree.path).describe(wants.devices[0])]
    made.accept(wants, Found([one(2, "wan0", *PHYSICAL, kind="")], before))
    described(made, tree)
    assert names(made.snapshot()) == {2: "wan0"}


def test_all_devices_are_looked_up_again_when_one_changed(tree: Tree) -> None:
    made = mirror(one(3, "ifb3"))
    hear(made, NEWLINK, one(2, "eth2", *PHYSICAL, kind=""))
    described(made, tree)
    before = made.snapshot()
    made.devices_changed()
    assert [link.interface.ifindex for link in made.wants().devices] == [2]
    (tree.path / "devices/pci0000:00/0000:00:1c.0/0000:03:00.0/virtfn0").unlink()
    described(made, tree)
    after = made.snapshot()
    assert after.reading != before.reading
    assert [i.pf.num_vfs for s in (before, after) for i in s.interfaces if i.pf] == [2, 1]


def test_a_vf_is_told_the_names_of_its_pf_whenever_they_change(tree: Tree) -> None:
    virtual = ((57, b"pci\0"), (56, f"{vf_address(1)}\0".encode()))
    made = mirror()
    hear(made, NEWLINK, one(5, "v1", *virtual, kind=""))
    described(made, tree)
    found = []
    other = (52, attributes((53, b"wan0\0")))
    for news in (
        (NEWLINK, one(2, "eth2", *PHYSICAL, kind="")),
        (NEWLINK, one(2, "eth2", *PHYSICAL, other, kind="")),
        (DELLINK, one(2, "eth2")),
    ):
        hear(made, news[0], news[1])
        described(made, tree)
        found.append(shown(made, "v1").vf)
    names = [(vf.pf_name, *vf.pf_altnames) for vf in found if vf]
    assert names == [("eth2",), ("eth2", "wan0"), ("",)]


def test_what_did_not_change_is_the_very_same_object(tree: Tree) -> None:
    virtual = ((57, b"pci\0"), (56, f"{vf_address(1)}\0".encode()))
    links = [one(2, "eth2", *PHYSICAL, kind=""), one(5, "v1", *virtual, kind=""), one(7, "ifb7")]
    made, again = Mirror(Listing(links)), Mirror(Listing([*links[:2], one(7, "ifb8")]))
    for each in (made, again):
        described(each, tree)
    first = made.snapshot()
    hear(made, NEWLINK, one(7, "ifb9"))
    again.resemble(made)
    for later in (made.snapshot(), again.snapshot()):
        assert [a is b for a, b in zip(first.interfaces, later.interfaces, strict=True)] == [
            True,
            True,
            False,
        ]
    assert again.snapshot().named("ifb8") is not None


def test_only_links_touch_it() -> None:
    made = mirror(one(2, "eth2"))
    hear(made, NEWADDR, own(2, "192.0.2.1"))
    assert not made.touched
    hear(made, NEWLINK, one(2, "eth2"))
    assert made.touched


ifindexes = st.integers(1, 4)
ips = st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"])
steps = st.one_of(
    st.tuples(st.just("link"), ifindexes, st.sampled_from(["a", "b", "c"])),
    st.tuples(st.just("gone"), ifindexes, st.just("")),
    st.tuples(st.just("address"), ifindexes, ips),
    st.tuples(st.just("removed"), ifindexes, ips),
)


@given(st.lists(steps, max_size=40), st.integers(0, 40))
def test_what_was_told_is_as_if_it_had_been_listed(
    several: list[tuple[str, int, str]], before: int
) -> None:
    """Whatever of it has been told before the list is made, and is told again after."""
    links: dict[int, bytes] = {}
    held: dict[tuple[int, str], bytes] = {}
    told: list[tuple[int, bytes]] = []
    made = mirror()
    for at, (what, ifindex, text) in enumerate(several):
        if what == "link":
            links[ifindex] = one(ifindex, text)
            told.append((NEWLINK, links[ifindex]))
        elif what == "gone" and ifindex in links:
            held = {key: body for key, body in held.items() if key[0] != ifindex}
            told.append((DELLINK, links.pop(ifindex)))
        elif what == "address" and ifindex in links:
            held[ifindex, text] = own(ifindex, text)
            told.append((NEWADDR, held[ifindex, text]))
        elif what == "removed" and (ifindex, text) in held:
            told.append((DELADDR, held.pop((ifindex, text))))
        if at == before:
            made = mirror(*links.values(), addresses=list(held.values()))
            made.hear([framed(kind, body) for kind, body in told[-5:]])
        elif told:
            hear(made, told[-1][0], told[-1][1])
    fresh = mirror(*links.values(), addresses=list(held.values()))
    assert made.wants() == NOTHING
    assert made.snapshot() == fresh.snapshot()


@given(
    st.lists(
        st.builds(
            framed,
            st.sampled_from([NEWLINK, DELLINK, NEWADDR, DELADDR, NEWROUTE, DELROUTE, NEWNEXTHOP]),
            st.one_of(st.binary(max_size=60), st.just(one(2, "eth2")), st.just(out(2))),
            flags=st.sampled_from([0, 0x100]),
        ),
        max_size=6,
    )
)
def test_whatever_the_bytes_it_goes_on_or_is_broken(data: list[bytes]) -> None:
    made = mirror(one(2, "eth2"))
    made.hear(data)
    made.wants()
    made.snapshot()
