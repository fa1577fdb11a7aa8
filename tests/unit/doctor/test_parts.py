"""Versions, mounts, ELF, settings of others, findings: what all themes stand on."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin import mover
from netdevice_plugin.doctor import elf, finding, mounts, versions
from netdevice_plugin.doctor.finding import Level, some
from netdevice_plugin.doctor.host import Host
from netdevice_plugin.doctor.settings import File, read_json, read_toml, table, texts
from netdevice_plugin.doctor.versions import Version
from tests.unit.doctor.roots import Root

SAID = {
    "containerd github.com/containerd/containerd 1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182": (
        1,
        7,
        24,
    ),
    "containerd github.com/containerd/containerd/v2 v2.1.9 a1b2c3": (2, 1, 9),
    "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1": (1, 6, 20),
    "containerd github.com/k3s-io/containerd v2.0.4-k3s2 5d41402": (2, 0, 4),
    "crio version 1.28.4\nVersion:        1.28.4\nGoVersion: go1.20": (1, 28, 4),
    "Docker version 28.2.2, build e6534b4": (28, 2, 2),
    "podman version 5.5.0-dev": (5, 5, 0),
    "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev": (1, 1, 5),
    "Kubernetes v1.31.2": (1, 31, 2),
    "k3s version v1.31.2+k3s1 (6da20424)\ngo version go1.22.8": (1, 31, 2),
    "6.18.44-fc-v595": (6, 18, 44),
    "5.4": (5, 4, 0),
}


@pytest.mark.parametrize("text", SAID, ids=[text.split()[0] + text[-9:] for text in SAID])
def test_programs_tell_their_versions(text: str) -> None:
    assert versions.parse(text) == Version(*SAID[text])


@pytest.mark.parametrize("text", ["", "unknown", "version dev", "go1.2x", "1", "v2 only"])
def test_what_tells_no_version_has_none(text: str) -> None:
    assert versions.parse(text) is None


@pytest.mark.parametrize(
    ("program", "version", "newest"),
    [
        ("containerd", Version(1, 6, 30), ""),
        ("containerd", Version(1, 7, 24), "0.7.0"),
        ("containerd", Version(2, 1, 9), "1.0.0"),
        ("containerd", Version(2, 2, 1), "1.1.0"),
        ("CRI-O", Version(1, 34, 2), "1.0.0"),
        ("podman", Version(4, 3, 1), "0.5.0"),
        ("docker", Version(29, 7, 2), "1.1.0"),
        ("nerdctl", None, ""),
        ("rkt", Version(1, 0, 0), ""),
    ],
)
def test_the_newest_cdi_version_goes_with_the_release(
    program: str, version: Version | None, newest: str
) -> None:
    assert versions.newest_cdi(program, version) == newest


MOUNTINFO = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
25 22 0:21 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,mode=755
26 22 259:2 / /opt ro,noexec - xfs /dev/sdb rw
27 26 259:2 / /opt rw,relatime - btrfs /dev/sdc rw
28 22 0:22 / /a\\040b rw master:1 propagate_from:2 - tmpfs none rw
garbage
29 22 0:22 /
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc", "ext4"),
        ("/run", "tmpfs"),
        ("/run/cdi", "tmpfs"),
        ("/runner", "ext4"),
        ("/opt/bin/x", "btrfs"),
        ("/a b/c", "tmpfs"),
    ],
)
def test_a_path_is_on_the_last_of_the_longest_mounts(path: str, kind: str) -> None:
    table = mounts.parse(MOUNTINFO)
    assert len(table) == 5
    found = mounts.mount_of(table, path)
    assert found
    assert found.kind == kind


def test_without_mounts_there_is_none() -> None:
    assert mounts.mount_of(mounts.parse(""), "/etc") is None


@given(st.text())
def test_any_mount_table_is_read(text: str) -> None:
    mounts.mount_of(mounts.parse(text), "/etc")


def program(machine: int, *kinds: int) -> bytes:
    """An ELF file with such program headers."""
    head = struct.pack(
        "<16sHHIQQQIHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        2,
        machine,
        1,
        0,
        64,
        0,
        0,
        64,
        56,
        len(kinds),
    )
    return head.ljust(64, b"\0") + b"".join(struct.pack("<I52x", kind) for kind in kinds)


def test_the_mover_is_a_static_program_of_this_machine() -> None:
    found = elf.parse(mover.BUNDLED.read_bytes())
    assert found
    assert found.static


@pytest.mark.parametrize(
    ("machine", "name", "runs"),
    [(62, "x86_64", True), (183, "x86_64", False), (183, "aarch64", True), (243, "riscv64", True)],
)
def test_a_program_runs_on_its_own_machine(machine: int, name: str, *, runs: bool) -> None:
    found = elf.parse(program(machine, 1, 1))
    assert found
    assert elf.runs_on(found, name) is runs


def test_a_program_with_an_interpreter_needs_libraries() -> None:
    found = elf.parse(program(62, 1, 3, 1))
    assert found
    assert not found.static


@given(st.binary() | st.binary().map(lambda tail: program(62)[:58] + tail))
def test_any_file_is_a_program_or_none(data: bytes) -> None:
    elf.parse(data)


HOSTILE = {
    "empty list": (b"[1, 2]", "is not"),
    "binary": (bytes(range(256)), "is not"),
    "nested": (b"[" * 50_000, "is not"),
    "nested tables": (b"a = " + b"[" * 50_000, "is not"),
    "number": (b"a = " + b"9" * 10_000, "is not"),
    "large": (b"# \n" * (4 << 20), "cannot be read: it is larger than"),
    "half": (b'[plugins."io.contain', "is not"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read", [read_toml, read_json])
def test_a_file_of_anything_has_a_fault_in_one_line(
    root: Root, name: str, read: Callable[[Host, str], File]
) -> None:
    content, fault = HOSTILE[name]
    root.write("/etc/x", content)
    found = read(root.host(), "/etc/x")
    assert found.fault.startswith(fault)
    assert found.data == {}


def test_a_fault_names_the_place(root: Root) -> None:
    root.write("/etc/x.toml", "version = 2\n[plugins\n")
    assert "line 2" in read_toml(root.host(), "/etc/x.toml").fault
    assert read_toml(root.host(), "/etc/none.toml").fault == (
        "cannot be read: No such file or directory"
    )


def test_tables_are_walked_whatever_is_in_them() -> None:
    data = {"a": {"b": {"c": 1}}, "list": ["x", 1], "names": ["x", "y"]}
    assert table(data, "a", "b") == {"c": 1}
    assert table(data, "a", "b", "c") == table(data, "list", "x") == table(None, "a") == {}
    assert texts(data["list"]) is None
    assert texts(data["names"]) == ("x", "y")


def test_the_worst_finding_counts() -> None:
    good = finding.ok("a/b", "", "is fine")
    bad = finding.fail("a/b", "file", "is not", "do")
    assert finding.worst([]) is Level.OK
    assert finding.worst([good, bad, finding.warn("a/b", "", "x", "y")]) is Level.FAIL
    assert len(set(finding.EXIT_CODES.values()) - {1, 2}) == len(Level)
    assert (str(good), str(bad)) == ("is fine", "file: is not")


def test_a_long_list_is_cut() -> None:
    assert some(map(str, range(3))) == "0 1 2"
    assert some(map(str, range(30)), 2) == "0 1 and 28 more"
