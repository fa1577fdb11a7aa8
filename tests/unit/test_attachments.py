from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import attachments
from netdevice_plugin.attachments import Attachment, Holder, HostLink, Identity, Phase
from netdevice_plugin.errors import AttachmentError

MINIMAL = b"format=1\ndevice=eth1\nphase=attached\nlink.name=eth1\nlink.ifindex=7\n"
PATH = Path("/run/netdevice-plugin/attachments/eth1")


def escape(value: str) -> bytes:
    """Write a value as docs/reference/mover.md says that the mover does."""
    out = b""
    for byte in value.encode("utf-8", "surrogateescape"):
        plain = byte >= 0x20 and byte not in (0x7F, 0x5C)
        out += bytes((byte,)) if plain else b"\\x%02x" % byte
    return out


def word(text: str) -> bytes:
    """Write one of a holder's words: what would end it, or mean nothing, is escaped too."""
    if text in ("", "-"):
        return rb"\x2d" if text else b"-"
    return escape(text).replace(b" ", rb"\x20").replace(b"/", rb"\x2f")


def holder_line(holder: Holder) -> bytes:
    numbers = (holder.pid, holder.start_time, holder.since)
    texts = ("" if number is None else str(number) for number in numbers)
    pod = word(holder.namespace) + b"/" + word(holder.pod)
    first, last = (holder.container, *texts), (holder.pod_uid, holder.container_name)
    return b" ".join((*map(word, first), pod, *map(word, last)))


def link_lines(link: HostLink) -> list[tuple[str, object]]:
    return [
        ("link.name", link.name),
        ("link.ifindex", link.ifindex),
        ("link.kind", link.kind),
        ("link.type", link.type),
        ("link.mac", link.mac),
        ("link.permanent-mac", link.permanent_mac),
        ("link.pci", link.pci),
        ("link.mtu", link.mtu),
        ("link.txqlen", link.txqlen),
        ("link.group", link.group),
        ("link.flags", link.flags),
        ("link.alias", link.alias),
        *(("link.altname", name) for name in link.altnames),
        ("link.conf4", link.conf4),
        ("link.conf6", link.conf6),
        ("link.token", link.token),
        ("link.secret", link.secret),
        *(("link.sysctl", text) for text in link.sysctls),
        ("link.rdma", link.rdma and f"3 {link.rdma}"),
    ]


def born_lines(link: HostLink) -> list[tuple[str, object]]:
    return [
        ("born", link.kind),
        ("pod.mac", link.mac),
        ("link.name", link.name),
        ("link.ifindex", 0),
        ("link.type", 0),
        ("link.mtu", 0),
    ]


def encode(attachment: Attachment) -> bytes:
    netns = attachment.netns
    lines: list[tuple[str, object]] = [
        ("format", 1),
        ("device", attachment.device),
        ("phase", attachment.phase.value),
        ("netns", netns and f"{netns[0]}:{netns[1]}"),
        ("pin", attachment.pin),
        ("pidns", attachment.pidns and ":".join(map(str, attachment.pidns))),
        ("recorded", attachment.recorded),
        ("pod.name", attachment.pod_name),
        ("pod.ifindex", attachment.pod_ifindex),
        ("pod.vlan", attachment.pod_vlan),
        ("pod.vrf", attachment.pod_vrf),
        ("spec.link", attachment.spec.link),
        ("spec.ifindex", attachment.spec.ifindex),
        ("spec.mac", attachment.spec.mac),
        ("spec.pci", attachment.spec.pci),
        ("spec.kind", attachment.spec.kind),
        *(born_lines if attachment.born else link_lines)(attachment.link),
        *(("address", message) for message in attachment.addresses),
        *(("route", message) for message in attachment.routes),
        *(("nexthop", message) for message in attachment.nexthops),
        *(("neighbour", message) for message in attachment.neighbours),
        ("error", attachment.error),
    ]
    out = b""
    for key, value in lines:
        if value is not None and value not in ("", b""):
            text = value.hex() if isinstance(value, bytes) else str(value)
            out += key.encode() + b"=" + escape(text) + b"\n"
    for holder in attachment.holders:
        out += b"holder=" + holder_line(holder) + b"\n"
    return out


def numbers(bits: int, least: int = 0) -> st.SearchStrategy[int]:
    return st.integers(least, 2**bits - 1)


names = st.text("abcdXYZ019._:-é", max_size=7)
texts = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
blobs = st.binary(min_size=1, max_size=40)
words = st.sampled_from(("-", "/", "a b", "abc", "\\", "\n")) | texts
holders = st.builds(
    Holder,
    container=words.filter(bool),
    pid=st.none() | numbers(31),
    start_time=st.none() | numbers(64),
    since=st.none() | numbers(40),
    namespace=words,
    pod=words,
    pod_uid=words,
    container_name=words,
)
links = st.builds(
    HostLink,
    name=names.filter(bool),
    ifindex=numbers(31, 1),
    kind=names,
    type=st.none() | numbers(16),
    mac=st.sampled_from(("", "02:00:00:00:00:01")),
    mtu=st.none() | numbers(32),
    flags=numbers(32),
    alias=texts,
    altnames=st.lists(texts.filter(bool)).map(tuple),
    conf4=st.binary(),
    sysctls=st.lists(texts.filter(bool)).map(tuple),
    rdma=texts,
)
born_links = st.builds(
    HostLink,
    name=names.filter(bool),
    ifindex=st.just(0),
    kind=names.filter(bool),
    mac=st.sampled_from(("", "02:00:00:00:00:01")),
)


def records_of(*, born: bool) -> st.SearchStrategy[Attachment]:
    return st.builds(
        Attachment,
        device=st.just("eth1"),
        phase=st.sampled_from(Phase),
        link=born_links if born else links,
        born=st.just(born),
        netns=st.none() | st.tuples(numbers(32), numbers(64)),
        pidns=st.none() | st.tuples(numbers(32), numbers(64)),
        pin=texts,
        holders=st.lists(holders, max_size=3).map(tuple),
        recorded=st.none() | numbers(40),
        pod_name=names,
        pod_ifindex=st.none() | numbers(31, 1),
        pod_vlan=names,
        pod_vrf=names,
        spec=st.builds(Identity, link=names, ifindex=st.none() | numbers(31, 1), kind=names),
        addresses=st.lists(blobs).map(tuple),
        routes=st.lists(blobs).map(tuple),
        error=texts,
    )


records = st.booleans().flatmap(lambda born: records_of(born=born))


@given(records)
def test_what_the_contract_writes_is_read_back_unchanged(record: Attachment) -> None:
    assert attachments.parse(encode(record), PATH) == record


@given(st.binary() | st.binary().map(lambda tail: MINIMAL + tail))
def test_arbitrary_bytes_give_a_record_or_our_error(data: bytes) -> None:
    caught: AttachmentError | None = None
    try:
        attachments.parse(data, PATH)
    except AttachmentError as error:
        caught = error
    if caught:
        assert str(PATH) in str(caught)
        assert "\n" not in str(caught)
        assert caught.hint


@given(st.data())
def test_a_truncated_record_is_refused_or_misses_only_whole_lines(data: st.DataObject) -> None:
    whole = encode(data.draw(records))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        attachments.parse(cut, PATH)
    except AttachmentError:
        return
    assert cut.endswith(b"\n")


def test_unknown_keys_are_ignored_even_twice() -> None:
    known = attachments.parse(MINIMAL, PATH)
    assert attachments.parse(MINIMAL + b"colour=red\ncolour=\x80blue\n", PATH) == known


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", ":1: is not a record", id="empty"),
        pytest.param(b"device=eth1\n", ":1: is not a record", id="no-format"),
        pytest.param(MINIMAL.replace(b"=1", b"=2", 1), ":1: record format=2", id="newer"),
        pytest.param(MINIMAL[:-1], ":5: the last line is cut short", id="cut"),
        pytest.param(MINIMAL + b"what\n", ":6: is not key=value", id="no-equals"),
        pytest.param(MINIMAL + b"\n", ":6: is not key=value", id="blank-line"),
        pytest.param(MINIMAL + b"pin=a\0b\n", ":6: holds a control byte", id="nul"),
        pytest.param(MINIMAL + b"pin=a\\b\n", ":6: holds a control byte", id="bare-backslash"),
        pytest.param(MINIMAL + b"device=eth1\n", ":6: device: given more than once", id="twice"),
        pytest.param(MINIMAL.replace(b"ce=eth1", b"ce=eth2"), ":2: device: 'eth2'", id="other"),
        pytest.param(MINIMAL.replace(b"attached", b"flying"), ":3: phase: 'flying'", id="phase"),
        pytest.param(MINIMAL.replace(b"phase=attached\n", b""), "eth1: phase: is miss", id="none"),
        pytest.param(MINIMAL.replace(b"me=eth1", b"me="), ":4: link.name: is missing", id="name"),
        pytest.param(MINIMAL.replace(b"me=eth1", b"me=a/b"), ":4: link.name: 'a/b'", id="slash"),
        pytest.param(MINIMAL.replace(b"=7", b"=0"), ":5: link.ifindex: is missing", id="ifindex-0"),
        pytest.param(MINIMAL.replace(b"=7", b"=-7"), ":5: link.ifindex: '-7'", id="negative"),
        pytest.param(MINIMAL.replace(b"=7", b"=4294967296"), "not a number from", id="range"),
        pytest.param(MINIMAL.replace(b"=7", b"=" + b"9" * 9999), "not a number", id="huge"),
        pytest.param(MINIMAL.replace(b"link.ifindex=7\n", b""), "link.ifindex: is", id="no-index"),
        pytest.param(MINIMAL + b"netns=4\n", ":6: netns: '4'", id="netns"),
        pytest.param(MINIMAL + b"pidns=:4\n", ":6: pidns: ':4'", id="pidns"),
        pytest.param(MINIMAL + b"address=0\n", ":6: address: '0' is not hex", id="odd-hex"),
        pytest.param(MINIMAL.replace(b"ce=eth1", rb"ce=a\x0a"), r"'a\n' in the file", id="newline"),
        pytest.param(MINIMAL + b"route=00\nroute=0 0\n", ":7: route: '0 0'", id="hex-space"),
        pytest.param(MINIMAL + b"holder=a 1 2\n", ":6: holder: 'a 1 2'", id="short-holder"),
        pytest.param(MINIMAL + b"holder=a x 2 3 - - -\n", ":6: holder: 'x'", id="holder-pid"),
        pytest.param(MINIMAL + b"x=" + b"y" * 10_000_000 + b"\n", "is larger than", id="10MB"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(data: bytes, message: str) -> None:
    with pytest.raises(AttachmentError) as caught:
        attachments.parse(data, PATH)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250
    assert caught.value.hint


def test_the_mover_writes_zero_for_an_index_that_it_does_not_know() -> None:
    record = attachments.parse(MINIMAL + b"pod.ifindex=0\nspec.ifindex=0\n", PATH)
    assert (record.pod_ifindex, record.spec.ifindex) == (None, None)


def test_a_link_that_is_born_has_no_number_on_the_host() -> None:
    text = MINIMAL.replace(b"link.ifindex=7", b"link.ifindex=0") + b"born=macvlan\npod.mac=0A:01\n"
    record = attachments.parse(text + b"spec.link=eth0\nspec.ifindex=3\n", PATH)
    assert record.born
    assert record.link == HostLink(name="eth1", ifindex=0, kind="macvlan", mac="0a:01")
    assert record.spec == Identity(link="eth0", ifindex=3)


def test_a_holder_may_say_a_dash_for_all_that_is_unknown() -> None:
    record = attachments.parse(MINIMAL + b"holder=abc - - - - - -\n", PATH)
    assert record.holders == (Holder(container="abc"),)


def run_dir(tmp_path: Path, **files: bytes) -> Path:
    (tmp_path / "attachments").mkdir()
    for name, data in files.items():
        (tmp_path / "attachments" / name).write_bytes(data)
    return tmp_path


def test_no_run_directory_means_that_nothing_is_lent(tmp_path: Path) -> None:
    assert attachments.load(tmp_path / "absent") == ((), ())
    assert attachments.errors(tmp_path / "absent") == ()


def test_one_bad_record_harms_no_other(tmp_path: Path) -> None:
    good = MINIMAL.replace(b"device=eth1", b"device=eth2")
    directory = run_dir(tmp_path, eth1=b"\0", eth2=good, eth3=good)
    found, problems = attachments.load(directory)
    assert [record.device for record in found] == ["eth2"]
    assert [Path(str(problem).split(":")[0]).name for problem in problems] == ["eth1", "eth3"]


def test_half_written_files_are_not_records(tmp_path: Path) -> None:
    directory = run_dir(tmp_path, **{".eth1.x": b"for", "eth1.tmp": b"", "eth1": MINIMAL})
    assert [record.device for record in attachments.load(directory)[0]] == ["eth1"]
    assert attachments.load(directory)[1] == ()


def test_a_fifo_among_the_records_blocks_nobody(tmp_path: Path) -> None:
    directory = run_dir(tmp_path, eth1=MINIMAL)
    os.mkfifo(directory / "attachments" / "eth2")
    found, problems = attachments.load(directory)
    assert len(found) == 1
    assert "not a regular file" in str(problems[0])


def test_a_run_directory_that_is_a_file_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "attachments").write_bytes(b"")
    found, problems = attachments.load(tmp_path)
    assert found == ()
    assert "cannot list" in str(problems[0])


def test_failures_are_read_with_their_time(tmp_path: Path) -> None:
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "eth1").write_text("1700000000 netdevice-mover: eth1: move: no\n")
    (tmp_path / "errors" / "eth2").write_bytes(b"\xff without time")
    first, second = attachments.errors(tmp_path)
    assert (first.device, first.when) == ("eth1", 1700000000)
    assert first.message == "netdevice-mover: eth1: move: no"
    assert (second.device, second.when) == ("eth2", None)
    assert "without time" in second.message


def start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_this_process_lives_and_another_of_its_pid_does_not() -> None:
    holder = Holder(container="c", pid=os.getpid(), start_time=start_time(os.getpid()))
    assert attachments.alive(holder)
    assert holder.start_time is not None
    another = dataclasses.replace(holder, start_time=holder.start_time + 1)
    assert not attachments.alive(another)
    assert not attachments.alive(dataclasses.replace(holder, pid=None))
    assert not attachments.alive(dataclasses.replace(holder, start_time=None))


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["true"]) as child:
        holder = Holder(container="c", pid=child.pid, start_time=start_time(child.pid))
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not attachments.alive(holder)
    assert not attachments.alive(holder)


@given(st.text("ab ) (Z\n", max_size=15))
def test_a_command_with_parentheses_hides_nothing(command: str) -> None:
    holder = Holder(container="c", pid=42, start_time=77)
    with tempfile.TemporaryDirectory() as proc:
        stat = Path(proc) / "42" / "stat"
        stat.parent.mkdir()
        for state, expected in (("S", True), ("Z", False), ("X", False)):
            stat.write_text(f"42 ({command}) {state} " + "1 " * 18 + "77 5 6\n")
            assert attachments.alive(holder, Path(proc)) is expected
        stat.write_text("42 (cut")
        assert not attachments.alive(holder, Path(proc))
