"""Wrong arguments and wrong OCI states end in one line and exit 2, with nothing touched."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.kernel.mover.dump import assert_same, glance, settled
from tests.kernel.mover.harness import (
    DEVICE,
    Container,
    Containers,
    Mover,
    Result,
    finish,
    identity,
)
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns

ATTACH = ("attach", "--device", DEVICE, "--link", DEVICE)
ARGUMENTS = {
    "none": (),
    "unknown command": ("lend",),
    "option before the command": ("--device", DEVICE, "attach"),
    "unknown option": (*ATTACH, "--fast"),
    "stray argument": (*ATTACH, "stray"),
    "option without its value": (*ATTACH, "--mtu"),
    "repeated option": (*ATTACH, "--mtu", "1400", "--mtu", "1400"),
    "attach without a device": ("attach", "--link", DEVICE),
    "attach without a link": ("attach", "--device", DEVICE),
    "detach without a device": ("detach",),
    "attach's option at detach": ("detach", "--device", DEVICE, "--mtu", "1400"),
    "reclaim's option at attach": (*ATTACH, "--force"),
    "device that leaves the directory": ("attach", "--device", "../x", "--link", DEVICE),
    "empty device": ("attach", "--device", "", "--link", DEVICE),
    "device in upper case": ("attach", "--device", "Ndp0", "--link", DEVICE),
    "device of 64 characters": ("attach", "--device", "d" * 64, "--link", DEVICE),
    "device that ends in a dash": ("attach", "--device", "d-", "--link", DEVICE),
    "link of 16 characters": ("attach", "--device", DEVICE, "--link", "l" * 16),
    "link with a slash": ("attach", "--device", DEVICE, "--link", "a/b"),
    "link with a space": ("attach", "--device", DEVICE, "--link", "a b"),
    "link named dot": ("attach", "--device", DEVICE, "--link", "."),
    "empty link": ("attach", "--device", DEVICE, "--link", ""),
    "name in the pod of 16 characters": (*ATTACH, "--as", "n" * 16),
    "name in the pod with a slash": (*ATTACH, "--as", "a/b"),
    "name in the pod with a percent sign": (*ATTACH, "--as", "eth%d"),
    "empty name in the pod": (*ATTACH, "--as="),
    "ifindex zero": (*ATTACH, "--link-ifindex", "0"),
    "ifindex too large": (*ATTACH, "--link-ifindex", "2147483648"),
    "ifindex in hex": (*ATTACH, "--link-ifindex", "0x10"),
    "half a MAC": (*ATTACH, "--link-mac", "02:00:00:0"),
    "MAC of words": (*ATTACH, "--link-mac", "gg:00:00:00:00:00"),
    "PCI address without a function": (*ATTACH, "--link-pci", "0000:03:00"),
    "MTU zero": (*ATTACH, "--mtu", "0"),
    "negative MTU": (*ATTACH, "--mtu", "-1"),
    "MTU with a unit": (*ATTACH, "--mtu", "9k"),
    "MTU beyond 32 bits": (*ATTACH, "--mtu", "4294967296"),
    "MTU below IPv4's": (*ATTACH, "--mtu", "67"),
    "multicast MAC": (*ATTACH, "--mac", "01:00:5e:00:00:01"),
    "MAC of zeros": (*ATTACH, "--mac", "00:00:00:00:00:00"),
    "multicast address": (*ATTACH, "--address", "ff02::1/64"),
    "address without a prefix length": (*ATTACH, "--address", "10.0.0.1"),
    "address with a prefix too long": (*ATTACH, "--address", "10.0.0.1/33"),
    "IPv6 address with a prefix too long": (*ATTACH, "--address", "2001:db8::1/129"),
    "address of words": (*ATTACH, "--address", "here/24"),
    "address and no addresses": (*ATTACH, "--address", "10.0.0.1/24", "--no-addresses"),
    "empty route": (*ATTACH, "--route", ""),
    "route to words": (*ATTACH, "--route", "there via 10.0.0.1"),
    "route without its gateway": (*ATTACH, "--route", "10.0.0.0/8 via"),
    "route with an unknown word": (*ATTACH, "--route", "10.0.0.0/8 fast"),
    "route of two families": (*ATTACH, "--route", "10.0.0.0/8 via 2001:db8::1"),
    "route with host bits": (*ATTACH, "--route", "10.0.0.1/8"),
    "route with a metric of words": (*ATTACH, "--route", "10.0.0.0/8 metric low"),
    "route with its gateway twice": (*ATTACH, "--route", "10.0.0.0/8 via 10.0.0.1 via 10.0.0.2"),
    "route of an unknown scope": (*ATTACH, "--route", "10.0.0.0/8 scope site"),
    "gateway without a default route": (*ATTACH, "--gateway"),
    "rule without a table": (*ATTACH, "--rule", "from 10.0.0.1"),
    "rule of another link": (*ATTACH, "--rule", "iif eth0 table 7"),
    "rule of two families": (*ATTACH, "--rule", "from 10.0.0.1 to ::1 table 7"),
    "neighbour without its MAC": (*ATTACH, "--neighbour", "10.0.0.1"),
    "VRF without a table": (*ATTACH, "--vrf", "blue"),
    "VRF of the link's name": (*ATTACH, "--vrf", f"{DEVICE} table 7"),
    "VLAN beyond 4094": (*ATTACH, "--vlan", "4095"),
    "VLAN twice": (*ATTACH, "--vlan", "5", "--vlan", "6"),
    "wait too long": (*ATTACH, "--wait", "60001"),
    "negative wait": (*ATTACH, "--wait", "-1"),
    "wait of words": (*ATTACH, "--wait", "long"),
    "relative run directory": (*ATTACH, "--run-dir", "run"),
    "run directory beyond PATH_MAX": (*ATTACH, "--run-dir", "/" + "d" * 5000),
    "value of a flag": (*ATTACH, "--no-addresses=yes"),
    "10 MB": (*ATTACH, *("--route=" + "1" * 100_000,) * 15),
}


def state(**changes: object) -> Callable[[Container], bytes]:
    """A good state with some members changed; None takes one out."""

    def make(container: Container) -> bytes:
        members = {**json.loads(container.state()), **changes}
        return json.dumps({k: v for k, v in members.items() if v is not None}).encode()

    return make


def text(old: str, new: str) -> Callable[[Container], bytes]:
    """A good state with its text changed."""

    def make(container: Container) -> bytes:
        good = container.state()
        assert old in good
        return good.replace(old, new, 1).encode("utf-8", "surrogateescape")

    return make


STATES: dict[str, Callable[[Container], bytes]] = {
    "empty": lambda _: b"",
    "white space": lambda _: b" \n",
    "words": lambda _: b"hello",
    "an array": lambda _: b"[]",
    "an empty object": lambda _: b"{}",
    "null": lambda _: b"null",
    "truncated": lambda container: container.state().encode()[:-1],
    "truncated in a string": lambda container: container.state().encode()[:30],
    "two of them": lambda container: container.state().encode() * 2,
    "something after it": lambda container: container.state().encode() + b"x",
    "a NUL byte after it": lambda container: container.state().encode() + b"\0",
    "a NUL byte in it": text('"status"', '"sta\0tus"'),
    "an escaped NUL in the id": text('"id": "', '"id": "\\u0000'),
    "a byte order mark": lambda container: b"\xef\xbb\xbf" + container.state().encode(),
    "UTF-16": lambda container: container.state().encode("utf-16"),
    "bytes that are not UTF-8": text('"status": "', '"status": "\udcff'),
    "no id": state(id=None),
    "an empty id": state(id=""),
    "an id that is a number": state(id=7),
    "an id with a slash": state(id="../../etc"),
    "an id with a line break": state(id="a\nphase=lost"),
    "an id of 10 kB": state(id="a" * 10_000),
    "a negative pid": state(pid=-1),
    "a pid that is a string": state(pid="1"),
    "a pid that is null": text('"pid": ', '"pid": null, "x": '),
    "a fractional pid": state(pid=1.5),
    "a pid with an exponent": text('"pid": ', '"pid": 1e3, "x": '),
    "a pid with leading zeros": text('"pid": ', '"pid": 0'),
    "a pid beyond 32 bits": state(pid=2**32 + 1),
    "a pid beyond 64 bits": text('"pid": ', '"pid": 1' + "0" * 40 + ', "x": '),
    "two pids": text('"pid": ', '"pid": 1, "pid": '),
    "two ids": text('"id": ', '"id": "a", "id": '),
    "a bundle that is a number": state(bundle=7),
    "annotations that are a list": state(annotations=[]),
    "an annotation that is a number": state(annotations={"io.kubernetes.cri.sandbox-name": 1}),
    "deep nesting": text('"status": ', '"x": ' + "[" * 100_000 + "]" * 100_000 + ', "status": '),
    "unclosed deep nesting": lambda _: b'{"x":' + b"[" * 1_000_000,
    "10 MB": state(annotations={"x": "y" * 10_000_000}),
    "10 MB of white space": lambda container: b" " * 10_000_000 + container.state().encode(),
    "a comment": text("{", "{ // a state\n"),
    "a trailing comma": lambda container: container.state().encode()[:-1] + b",}",
    "single quotes": lambda container: container.state().replace('"', "'").encode(),
    "a bad escape": text('"status": "', '"status": "\\x'),
    "half a surrogate pair": text('"status": "', '"status": "\\ud800'),
    "a line break in a string": text('"status": "', '"status": "\n'),
    "NaN": text('"status": ', '"x": NaN, "status": '),
}


def assert_refused(mover: Mover, result: Result) -> None:
    """One line, exit 2, and nothing under the run directory."""
    assert result.code == 2, result
    assert result.stdout == ""
    assert len(result.reason) < 1000
    assert mover.leftovers() == []


@pytest.mark.parametrize("args", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_wrong_arguments_touch_nothing(
    args: tuple[str, ...], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    where = () if "--run-dir" in args or not args else ("--run-dir", str(mover.run_dir))
    result = mover.run(*args, *where, stdin=containers.of(pod).state())
    assert_refused(mover, result)
    assert not mover.run_dir.exists()
    assert_same(mover.host, before, glance)


@pytest.mark.parametrize("make", STATES.values(), ids=STATES.keys())
def test_a_wrong_state_touches_nothing(
    make: Callable[[Container], bytes], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    given = make(containers.of(pod)).decode("utf-8", "surrogateescape")
    result = mover.run(*mover.arguments("attach"), *identity(mover.host), stdin=given)
    assert_refused(mover, result)
    assert_same(mover.host, before, glance)


@pytest.mark.parametrize("given", ["", "{}", "[" * 1000, '{"id": 7}', '{"id": "a\\u0000"}'])
def test_a_wrong_state_detaches_nothing(
    given: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    mover.attach(containers.of(pod), *identity(mover.host)).ok()
    record = mover.record()
    result = mover.run(*mover.arguments("detach"), stdin=given)
    assert result.code == 2, result
    assert result.reason
    assert mover.record() == record
    assert DEVICE in pod.links()


def test_a_closed_stdin_touches_nothing(mover: Mover) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    binary, *args = (mover.binary, *mover.arguments("attach"), *identity(mover.host))
    done = mover.host.run("sh", "-c", '"$0" "$@" <&-', binary, *args, check=False)
    assert_refused(mover, Result(done.returncode, done.stdout, done.stderr))
    assert_same(mover.host, before, glance)


def pretty(container: Container) -> str:
    """As crun 1.28 writes it."""
    good = {**json.loads(container.state()), "root": "/", "ociVersion": "1.0"}
    return json.dumps(good, indent=4).replace("/", "\\/") + "\n"


def escaped(container: Container) -> str:
    """Every character of every string as an escape."""
    plain = json.dumps({"id": container.id, "pid": container.pid})
    for letter in set(container.id + "idp"):
        plain = plain.replace(letter, letter if letter.isdigit() else f"\\u{ord(letter):04x}")
    return plain


def padded(container: Container) -> str:
    """With members that nobody asked for."""
    extra = {"x": [{"id": "no", "pid": 1}], "y": {"pid": 1, "z": None}, "n": -1.5e-7, "t": True}
    return json.dumps({**extra, **json.loads(container.state()), "last": extra})


def foreign(container: Container) -> str:
    """With annotations that are not ASCII, or have our keys' names inside strings."""
    notes = {"note": 'ü \U0001f980 \\ " \n', "pid": "1", "id": '"id": "no"'}
    return json.dumps({**json.loads(container.state()), "annotations": notes}, ensure_ascii=False)


@pytest.mark.parametrize("write", [pretty, escaped, padded, foreign])
def test_an_odd_but_right_state_is_understood(
    write: Callable[[Container], str], mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    args = (*mover.arguments("attach"), *identity(mover.host))
    mover.run(*args, stdin=write(container)).ok()
    assert mover.record().holders == [container.id]


def test_a_state_may_come_in_pieces(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    process = mover.start(*mover.arguments("attach"), *identity(mover.host))
    assert process.stdin is not None
    for piece in container.state():
        process.stdin.write(piece)
        process.stdin.flush()
    finish(process).ok()
    assert DEVICE in pod.links()


def test_a_line_break_in_a_pods_name_does_not_reach_the_record(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    notes = {
        "io.kubernetes.cri.sandbox-name": "web\nphase=lost",
        "io.kubernetes.cri.sandbox-namespace": "a b",
        "io.kubernetes.cri.sandbox-uid": "",
    }
    args = (*mover.arguments("attach"), *identity(mover.host))
    mover.run(*args, stdin=container.state(annotations=notes)).ok()
    record = mover.record()
    assert record.one("phase") == "attached"
    assert len(record.one("holder").split(" ")) == 7


def test_a_space_in_an_id_does_not_shift_the_record(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.of(pod, id="a b")
    mover.attach(container, *identity(mover.host)).ok()
    assert len(mover.record().one("holder").split(" ")) == 7
    mover.detach(container).ok()
    assert mover.leftovers() == []


def test_options_may_hold_their_value(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    args = ("--as=net1", "--address=10.7.0.1/24", "--address=10.8.0.1/24", "--wait=0")
    mover.attach(containers.of(pod), *identity(mover.host), *args).ok()
    assert "net1" in pod.links()


@pytest.mark.parametrize("args", [("--version",), ("--help",)])
def test_help_and_version_go_to_stdout(args: tuple[str, ...], mover: Mover) -> None:
    result = mover.run(*args)
    assert (result.code, result.stderr) == (0, "")
    assert "netdevice-mover" in result.stdout


@pytest.mark.parametrize("command", ["attach", "detach", "reclaim"])
@pytest.mark.parametrize(
    "content",
    [
        "",
        "format=2\ndevice=ndp0\nphase=attached\n",
        "format=1\nphase=attached\n",
        "format=1\ndevice=other\nphase=attached\n",
        "format=1\ndevice=ndp0\nphase=gone\n",
        "format=1\ndevice=ndp0\nphase=attached\naddress=zz\n",
        "format=1\ndevice=ndp0\nphase=attached\nholder=only\n",
        "\0" * 4096,
        "x" * 10_000_000,
    ],
    ids=["empty", "newer", "nameless", "other", "phase", "hex", "holder", "NUL", "10 MB"],
)
def test_a_damaged_record_is_an_error_and_stays(
    command: str, content: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    path = mover.run_dir / "attachments" / DEVICE
    path.parent.mkdir(parents=True)
    path.write_text(content)
    container = containers.of(pod)
    if command == "attach":
        result = mover.attach(container, *identity(mover.host))
    elif command == "detach":
        result = mover.detach(container)
    else:
        result = mover.reclaim()
    assert result.code == (0 if command == "detach" else 1), result
    assert DEVICE in result.reason
    assert path.read_text() == content
    assert_same(mover.host, before, glance)
