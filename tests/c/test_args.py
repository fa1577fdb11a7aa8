"""The mover's command line, exactly that of docs/reference/mover.md."""

from __future__ import annotations

import errno
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.c.build import ROOT, Answer, Driver

ATTACH = ("attach", "--device", "eth1", "--link", "eth1")
DETACH = ("detach", "--device", "eth1")
RECLAIM = ("reclaim", "--device", "eth1")
COMMANDS = {"attach": 1, "detach": 2, "reclaim": 3, "--help": 4, "--version": 5}
VALUES = {  # every option with a value that is right
    "device": "eth1",
    "run-dir": "/run/x",
    "link": "eth1",
    "link-ifindex": "7",
    "link-mac": "02:00:00:00:00:01",
    "link-pci": "0000:03:00.1",
    "link-kind": "veth",
    "as": "net1",
    "mtu": "1400",
    "mac": "02:00:00:00:00:02",
    "address": "192.0.2.1/24",
    "no-addresses": None,
    "route": "default via 192.0.2.254",
    "gateway": None,
    "rule": "from 192.0.2.1 iif self table 7",
    "neighbour": "192.0.2.9 lladdr 02:00:00:00:00:09",
    "vrf": "blue table 10",
    "vlan": "5 name net1.5",
    "create": "macvlan mode bridge",
    "vf": "vlan 7 trust on",
    "rdma": "mlx5_0",
    "sysctl": "ipv4/conf/rp_filter=2",
    "feature": "rx-gro=on",
    "ring": "rx=512",
    "channels": "combined=2",
    "keep-down": None,
    "wait": "10",
    "force": None,
    "forget": None,
}
EVERY_COMMAND = {"device", "run-dir"}
RECLAIM_ALONE = {"force", "forget"}
REPEATED = {"address", "route", "rule", "neighbour"}
# By an option that means nothing alone.
NEEDED = {"gateway": ("--route", "default"), "create": ("--as", "net1")}
SETTINGS = {"sysctl", "feature", "ring", "channels"}  # each name once


def good(answer: Answer) -> Answer:
    """The answer, which must be an accepted command line."""
    assert (answer.number("rc"), answer.text("error")) == (0, b"")
    return answer


def refusal(answer: Answer) -> str:
    """What the refusal says."""
    assert answer.number("rc") == -errno.EINVAL
    line = answer.text("error").decode()
    assert line
    assert line.isprintable()
    return line


def test_what_is_not_given_has_its_default(mover: Driver) -> None:
    answer = good(mover.options(*ATTACH))
    assert answer.number("command") == COMMANDS["attach"]
    assert answer.text("device") == answer.text("link") == answer.text("as") == b"eth1"
    assert answer.text("run_dir") == b"/run/netdevice-plugin"
    assert answer.number("wait_ms") == 2000
    for text in ("link_mac", "link_pci", "link_kind", "mac"):
        assert answer.text(text) == b""
    for number in ("link_ifindex", "mtu", "no_addresses", "keep_down", "force", "forget"):
        assert answer.number(number) == 0
    assert answer.texts("address") == answer.texts("route.text") == []
    assert [answer.number(key) for key in ("gateway", "vrf.table", "vlan.id")] == [0, 0, 0]
    for text in ("vrf.name", "vlan.name", "create.kind"):
        assert answer.text(text) == b""


@pytest.mark.parametrize("joined", [False, True])
def test_every_option_of_attach_arrives(mover: Driver, joined: bool) -> None:
    argv = ["attach"]
    for name, value in VALUES.items():
        if name in RECLAIM_ALONE | {"no-addresses", "vf", "rdma"}:
            continue
        words = [f"--{name}"] if value is None else [f"--{name}", value]
        argv += ["=".join(words)] if joined else words
    answer = good(mover.options(*argv))
    assert answer.text("run_dir") == b"/run/x"
    assert answer.number("link_ifindex") == 7
    assert answer.text("link_mac") == b"02:00:00:00:00:01"
    assert answer.text("link_pci") == b"0000:03:00.1"
    assert answer.text("link_kind") == b"veth"
    assert answer.text("as") == b"net1"
    assert answer.number("mtu") == 1400
    assert answer.text("mac") == b"02:00:00:00:00:02"
    assert answer.texts("address") == ["192.0.2.1/24"]
    assert answer.texts("route.text") == ["default via 192.0.2.254"]
    assert answer.number("gateway") == 1
    assert answer.texts("rule.from") == ["192.0.2.1/32"]
    assert answer.texts("neighbour.ip") == ["192.0.2.9/32"]
    assert (answer.text("vrf.name"), answer.number("vrf.table")) == (b"blue", 10)
    assert (answer.text("vlan.name"), answer.number("vlan.id")) == (b"net1.5", 5)
    assert (answer.text("create.kind"), answer.number("create.number")) == (b"macvlan", 4)
    assert answer.number("keep_down") == 1
    assert answer.number("wait_ms") == 10


def test_reclaim_has_its_flags(mover: Driver) -> None:
    answer = good(mover.options(*RECLAIM, "--force", "--forget"))
    assert (answer.number("force"), answer.number("forget")) == (1, 1)


def test_no_addresses_is_a_flag(mover: Driver) -> None:
    assert good(mover.options(*ATTACH, "--no-addresses")).number("no_addresses") == 1


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_and_version_need_nothing_and_take_nothing(mover: Driver, command: str) -> None:
    assert good(mover.options(command)).number("command") == COMMANDS[command]
    assert refusal(mover.options(command, "x")) == "'x' is too much: nothing follows it"


@pytest.mark.parametrize("command", [ATTACH, DETACH, RECLAIM], ids=lambda argv: argv[0])
@pytest.mark.parametrize("name", sorted(VALUES))
def test_an_option_of_another_command_is_refused(
    mover: Driver, command: tuple[str, ...], name: str
) -> None:
    value = VALUES[name]
    allowed = name in EVERY_COMMAND or (
        name in RECLAIM_ALONE if command is RECLAIM else command is ATTACH
    )
    if name in RECLAIM_ALONE:
        allowed = command is RECLAIM
    given_already = f"--{name}" in command
    needed = NEEDED.get(name, ()) if command is ATTACH else ()
    answer = mover.options(*command, *needed, f"--{name}", *([] if value is None else [value]))
    if given_already:
        assert refusal(answer) == f"--{name}: given twice"
    elif allowed:
        good(answer)
    else:
        assert refusal(answer) == f"--{name}: not an option of {command[0]}"


@pytest.mark.parametrize("name", sorted(VALUES.keys() - SETTINGS))
def test_only_what_a_link_has_several_of_may_be_repeated(mover: Driver, name: str) -> None:
    value = VALUES[name]
    words = [f"--{name}"] if value is None else [f"--{name}", value]
    command = RECLAIM if name in RECLAIM_ALONE else ATTACH
    answer = mover.options(*command, *words, *words)
    if name in REPEATED:
        good(answer)
    else:
        assert refusal(answer) == f"--{name}: given twice"


@pytest.mark.parametrize("name", sorted(name for name, value in VALUES.items() if value))
def test_a_value_may_not_be_missing(mover: Driver, name: str) -> None:
    assert refusal(mover.options("attach", f"--{name}")) == f"--{name}: has no value"


@pytest.mark.parametrize("name", sorted(name for name, value in VALUES.items() if value is None))
def test_a_flag_takes_no_value(mover: Driver, name: str) -> None:
    command = RECLAIM if name in RECLAIM_ALONE else ATTACH
    assert refusal(mover.options(*command, f"--{name}=1")) == f"--{name}: takes no value"


NAMES = "the link, its VLAN and its VRF need a name each"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ((), "no command; there are attach, detach, reclaim"),
        (("",), "'' is not a command; there are attach, detach, reclaim"),
        (("move",), "'move' is not a command; there are attach, detach, reclaim"),
        ((*DETACH, "a\nb"), r"'a\x0ab' is not an option"),
        (("attach",), "--device is missing"),
        (("detach",), "--device is missing"),
        (("attach", "--device=a"), "--link is missing"),
        ((*DETACH, "eth2"), "'eth2' is not an option"),
        ((*DETACH, ""), "'' is not an option"),
        ((*DETACH, "-r"), "'-r' is not an option"),
        ((*DETACH, "--"), "'--' is not an option"),
        ((*DETACH, "--run"), "'--run' is not an option"),
        ((*DETACH, "--run=/x"), "'--run=/x' is not an option"),
        ((*DETACH, "--="), "'--=' is not an option"),
        ((*ATTACH, "--no-addresses", "--address", "192.0.2.1/24"),
         "--no-addresses and --address exclude each other"),
        ((*ATTACH, "--gateway"), "--gateway: no --route is a default route"),
        ((*ATTACH, "--gateway", "--route", "10.0.0.0/8"),
         "--gateway: no --route is a default route"),
        ((*ATTACH, "--as", "a" * 14, "--vlan", "7"),
         "--vlan: LINK.ID is too long for a name; give one"),
        ((*ATTACH, "--create", "vlan id 7"), "--create: --as is missing"),
        ((*ATTACH, "--vlan", "7 name eth1"), NAMES),
        ((*ATTACH, "--vrf", "eth1 table 7"), NAMES),
        ((*ATTACH, "--vrf", "net1 table 7", "--as", "net1"), NAMES),
        ((*ATTACH, "--vlan", "7", "--vrf", "eth1.7 table 7"), NAMES),
    ],
)  # fmt: skip
def test_a_command_line_that_is_wrong_says_so(
    mover: Driver, argv: tuple[str, ...], line: str
) -> None:
    assert refusal(mover.options(*argv)) == line


LINK = "is not a link's name (1 to 15 bytes, no white space, '/', ':' or '%')"
MAC = "is not a MAC address (as 02:00:00:00:00:01, at most 32 bytes)"
CIDR = "is not an address with its prefix length (as 192.0.2.1/24)"
DEVICE = "is not a device name (a DNS label: a-z, 0-9, '-', at most 63)"
RUN_DIR = "is not the absolute path of a directory below /"
MTU = "is not a number from 68 to 65535"
WAIT = "is not a number from 0 to 60000"
KERNELS = "cannot name a link: the kernel's settings have it"
ONE_HOST = "is not the address of one host"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        *(("device", bad, DEVICE) for bad in ("", "Eth1", "a.b", "-a", "a-", "a/b", "..")),
        *(("run-dir", bad, RUN_DIR) for bad in ("", "run", "./run", "/", "//")),
        *(("link", bad, LINK) for bad in ("", "ns:1", "a/b", "a b", "..", "sixteen-bytes-xx")),
        *(("as", bad, LINK) for bad in ("", "eth%d", "a\tb", ".")),
        *(("as", bad, KERNELS) for bad in ("all", "default")),
        *(("link-ifindex", bad, "is not a number from 1 to 2147483647")
          for bad in ("", "0", "-1", "2147483648", "0x1")),
        *((option, bad, MAC) for option in ("mac", "link-mac") for bad in ("", "02:0")),
        *(("mac", bad, ONE_HOST + " (multicast or zero)")
          for bad in ("01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00")),
        ("link-pci", "03:00.1", "is not a PCI address (as 0000:03:00.1)"),
        *(("link-kind", bad, "is not a kind of link (as veth or macvlan)")
          for bad in ("", "a b", "x" * 32, "\x7f")),
        *(("mtu", bad, MTU) for bad in ("", "67", "65536", "70000000000", "1e3", "1400 ", "01400")),
        *(("wait", bad, WAIT) for bad in ("", "60001", "-1", "2s", "9" * 50)),
        *(("address", bad, CIDR)
          for bad in ("", "192.0.2.1", "192.0.2.1/33", "fe80::1%eth0/64", "demo/24", "::1/129")),
        *(("address", bad, "is not an address that a link can have")
          for bad in ("0.0.0.0/0", "::/64", "224.0.0.1/4", "ff02::1/128")),
    ],
)  # fmt: skip
def test_a_value_that_is_wrong_is_named_with_what_is_right(
    mover: Driver, name: str, value: str, why: str
) -> None:
    argv = {"device": ("attach",), "link": ("attach", "--device=a")}.get(name, ATTACH)
    shown = value.replace("\t", "\\x09").replace("\x7f", "\\x7f")
    assert refusal(mover.options(*argv, f"--{name}", value)) == f"--{name}: '{shown}' {why}"


@pytest.mark.parametrize(("name", "least", "most"), [("mtu", 68, 65535), ("wait", 0, 60000)])
def test_a_number_may_be_its_least_and_its_most(
    mover: Driver, name: str, least: int, most: int
) -> None:
    field = "wait_ms" if name == "wait" else name
    for number in (least, most):
        assert good(mover.options(*ATTACH, f"--{name}={number}")).number(field) == number


def test_a_mac_may_be_infinibands(mover: Driver) -> None:
    mac = bytes(range(20)).hex(":")
    answer = good(mover.options(*ATTACH, "--link-mac", mac.upper(), "--mac", mac))
    assert answer.text("link_mac").decode() == answer.text("mac").decode() == mac


def test_a_name_may_hold_bytes_that_are_no_text(mover: Driver) -> None:
    answer = good(mover.options("attach", "--device=a", b"--link=\xff\x01"))
    assert answer.text("link") == answer.text("as") == b"\xff\x01"


def test_a_value_is_cut_where_the_first_equals_sign_is(mover: Driver) -> None:
    assert good(mover.options(*ATTACH, "--as=a=b")).text("as") == b"a=b"


def test_a_run_directory_loses_the_slash_at_its_end(mover: Driver) -> None:
    assert good(mover.options(*DETACH, "--run-dir=/a/b//")).text("run_dir") == b"/a/b"


def test_a_run_directory_has_at_most_1024_bytes(mover: Driver) -> None:
    path = "/" + "x" * 1023
    assert good(mover.options(*DETACH, "--run-dir", path)).text("run_dir").decode() == path
    assert refusal(mover.options(*DETACH, "--run-dir", path + "x")).endswith("than 1024 bytes")


FIELDS = {"address": "address", "route": "route.text"} | {
    "rule": "rule.table",
    "neighbour": "neighbour.ip",
}


@pytest.mark.parametrize(("name", "field"), FIELDS.items())
def test_repeats_are_bounded(mover: Driver, name: str, field: str) -> None:
    words = [f"--{name}", VALUES[name] or ""] * 65
    assert len(good(mover.options(*ATTACH, *words[2:])).all(field)) == 64
    assert refusal(mover.options(*ATTACH, *words)) == f"--{name}: more than 64"


# ---- routes ----


def route(mover: Driver, text: str) -> dict[str, str | int]:
    """The route as it was understood."""
    answer = good(mover.options(*ATTACH, "--route", text))
    texts = ("destination", "gateway", "source")
    numbers = ("metric", "table", "scope", "onlink")
    return {key: answer.texts(f"route.{key}")[0] for key in texts} | {
        key: answer.number(f"route.{key}") for key in numbers
    }


UNSCOPED = 255  # RT_SCOPE_NOWHERE
PLAIN = {"gateway": "", "source": "", "metric": 0, "table": 254, "scope": UNSCOPED, "onlink": 0}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("198.51.100.0/24", {"destination": "198.51.100.0/24"}),
        ("198.51.100.7", {"destination": "198.51.100.7/32"}),
        ("2001:db8::/32", {"destination": "2001:db8::/32"}),
        ("2001:db8::7", {"destination": "2001:db8::7/128"}),
        ("0.0.0.0/0", {"destination": "0.0.0.0/0"}),
        ("default", {"destination": "0.0.0.0/0"}),
        ("default via 192.0.2.1", {"destination": "0.0.0.0/0", "gateway": "192.0.2.1/32"}),
        ("default via fe80::1", {"destination": "::/0", "gateway": "fe80::1/128"}),
        ("default src 2001:db8::1", {"destination": "::/0", "source": "2001:db8::1/128"}),
        ("  default   metric  4294967295 ", {"destination": "0.0.0.0/0", "metric": 2**32 - 1}),
        ("default table 1", {"destination": "0.0.0.0/0", "table": 1}),
        ("224.0.0.0/4", {"destination": "224.0.0.0/4"}),
        ("10.0.0.0/8 scope global", {"destination": "10.0.0.0/8", "scope": 0}),
        ("10.0.0.0/8 scope link", {"destination": "10.0.0.0/8", "scope": 253}),
        ("10.0.0.0/8 scope host", {"destination": "10.0.0.0/8", "scope": 254}),
        ("::/0 scope global", {"destination": "::/0", "scope": 0}),
        (
            "10.0.0.0/8 onlink table 100 metric 5 via 192.0.2.1",
            {"destination": "10.0.0.0/8", "gateway": "192.0.2.1/32"}
            | {"metric": 5, "table": 100, "onlink": 1},
        ),
    ],
)
def test_a_route_is_understood(mover: Driver, text: str, meant: dict[str, str | int]) -> None:
    assert route(mover, text) == PLAIN | meant


DESTINATION = "is no destination (as 198.51.100.0/24, or default)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", f"'' {DESTINATION}"),
        ("   ", f"'' {DESTINATION}"),
        ("via 192.0.2.1", f"'via' {DESTINATION}"),
        ("onlink", f"'onlink' {DESTINATION}"),
        ("Default", f"'Default' {DESTINATION}"),
        ("default\tvia", rf"'default\x09via' {DESTINATION}"),
        ("10.0.0.0/33", f"'10.0.0.0/33' {DESTINATION}"),
        ("10.0.0.1/8", "'10.0.0.1/8' is no network: it has bits beyond its prefix length"),
        ("2001:db8::1/64", "'2001:db8::1/64' is no network: it has bits beyond its prefix length"),
        ("default dev eth0", "'dev' is none of via, src, metric, table, scope, onlink"),
        ("default scope", "'scope' has nothing behind it"),
        ("default scope site", "'site' is none of global, link, host"),
        ("default scope link scope link", "'scope' is there twice"),
        ("::/0 scope link", "'::/0 scope link' has a scope that is IPv4's alone"),
        ("default via", "'via' has nothing behind it"),
        ("default via 192.0.2.1 metric", "'metric' has nothing behind it"),
        ("default via 192.0.2.1/24", "'192.0.2.1/24' is not an IP address"),
        ("default via inet6 fe80::1", "'inet6' is not an IP address"),
        ("default via 0.0.0.0", "'0.0.0.0' is not the address of one host"),
        ("default via ff02::1", "'ff02::1' is not the address of one host"),
        ("default src ::", "'::' is not the address of one host"),
        ("default via 192.0.2.1 via 192.0.2.2", "'via' is there twice"),
        ("default metric 1 metric 1", "'metric' is there twice"),
        ("default via 192.0.2.1 onlink onlink", "'onlink' is there twice"),
        ("default metric -1", "'-1' is not a number from 0 to 4294967295"),
        ("default table 0", "'0' is not a number from 1 to 4294967295"),
        ("default table main", "'main' is not a number from 1 to 4294967295"),
        ("default onlink", "'default onlink' says onlink without a gateway"),
        ("10.0.0.0/8 via fe80::1", "'10.0.0.0/8 via fe80::1' mixes IPv4 and IPv6"),
        ("2001:db8::/32 via 192.0.2.1", "'2001:db8::/32 via 192.0.2.1' mixes IPv4 and IPv6"),
        ("::/0 src 192.0.2.1", "'::/0 src 192.0.2.1' mixes IPv4 and IPv6"),
        ("default via ::1 src 192.0.2.1", "'default via ::1 src 192.0.2.1' mixes IPv4 and IPv6"),
    ],
)  # fmt: skip
def test_a_route_that_is_wrong_says_where(mover: Driver, text: str, line: str) -> None:
    assert refusal(mover.options(*ATTACH, "--route", text)) == f"--route: {line}"


NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
).map(lambda pair: ipaddress.ip_network(pair, strict=False))


@given(network=NETWORKS, metric=st.integers(0, 2**32 - 1), table=st.integers(1, 2**32 - 1))
def test_any_network_can_be_a_destination(
    mover: Driver,
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    metric: int,
    table: int,
) -> None:
    seen = route(mover, f"{network} table {table} metric {metric}")
    # Python writes an IPv4 address within an IPv6 one in another way.
    assert ipaddress.ip_network(seen.pop("destination")) == network
    assert seen == PLAIN | {"metric": metric, "table": table}


WORDS = (
    st.sampled_from([f"--{name}" for name in VALUES])
    | st.sampled_from([f"--{name}={value}" for name, value in VALUES.items()])
    | st.sampled_from([value for value in VALUES.values() if value])
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
)


@given(argv=st.lists(WORDS, max_size=8), command=st.sampled_from(sorted(COMMANDS)))
def test_any_command_line_is_taken_or_refused_in_one_line(
    mover: Driver, argv: list[str], command: str
) -> None:
    answer = mover.options(command, *argv)
    line = answer.text("error")
    assert bool(line) == (answer.number("rc") == -errno.EINVAL)
    assert not re.search(rb"[\x00-\x1f\x7f]", line)


# ---- the help, the page and the parser agree ----


def test_help_and_the_reference_page_know_the_same_options(mover: Driver) -> None:
    page = (ROOT / "docs" / "reference" / "mover.md").read_text()
    helped = mover("help", b"").text("text").decode()
    assert set(re.findall(r"^  --([a-z-]+)", helped, re.MULTILINE)) == set(VALUES)
    assert set(re.findall(r"^\| `--([a-z-]+)", page, re.MULTILINE)) == set(VALUES)


def test_help_fits_a_terminal(mover: Driver) -> None:
    helped = mover("help", b"").text("text").decode()
    assert max(map(len, helped.splitlines())) <= 80
    assert helped.endswith(".\n")
