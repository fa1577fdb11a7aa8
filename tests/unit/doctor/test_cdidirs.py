from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

import cdi
from netdevice_plugin import cdifiles
from netdevice_plugin.doctor import cdidirs, mounts
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.doctor.runtime import Runtime
from netdevice_plugin.doctor.versions import Version
from netdevice_plugin.model import Device, Injection, Interface, Pool
from tests.unit.doctor.roots import CONFIG, Root, checks, lines, only

GOOD = {
    "cdiVersion": "0.5.0",
    "kind": "vendor.com/net",
    "devices": [{"name": "a", "containerEdits": {"env": ["A=b"]}}],
}
OLD = Runtime(
    name="containerd", version=Version(1, 7, 24), newest_cdi="0.7.0",
    directories=("/etc/cdi", "/var/run/cdi"), works=True,
)  # fmt: skip
OURS = "/var/run/cdi/networking.k8s.io-netdevice.json"


def ours(injection: Injection = Injection.HOOK) -> bytes:
    """A file as `cdi generate` makes it."""
    link = Interface(ifindex=7, name="eth1", mac="02:00:00:00:00:07")
    device = Device(name="eth1", pool="netdevice", interface=link)
    spec = cdifiles.build(
        Pool(name="netdevice", injection=injection),
        [device],
        mover=CONFIG.mover_path,
        run_dir=CONFIG.run_dir,
        timeout=30,
    )
    assert spec
    return cdi.dumps(spec, "json")


def judge(root: Root, *runtimes: Runtime) -> list[Finding]:
    host = root.host()
    table = mounts.parse(
        root.at("/proc/1/mountinfo").read_text() if root.at("/proc").exists() else ""
    )
    facts = cdidirs.read(host, CONFIG, runtimes, table)
    return list(cdidirs.check(facts, CONFIG, runtimes))


def test_no_directory_is_no_fault(root: Root) -> None:
    assert lines(judge(root)) == [
        "cdi/directory /etc/cdi: is not there, which is no fault",
        "cdi/directory /var/run/cdi: is not there, which is no fault",
        "cdi/files CDI files: 0 devices in 0 of them",
    ]


def test_files_as_they_should_be(root: Root) -> None:
    root.json("/etc/cdi/vendor.json", GOOD)
    root.write("/etc/cdi/vendor2.yaml", "cdiVersion: 0.5.0\nkind: vendor.com/two\ndevices:\n"
               "- name: b\n  containerEdits:\n    env: [A=b]\n")  # fmt: skip
    root.link("/var/run", "/run")
    root.write("/run/cdi/networking.k8s.io-netdevice.json", ours())
    root.link("/etc/cdi/linked.json", "/srv/linked.json")
    root.json("/srv/linked.json", GOOD | {"kind": "vendor.com/linked"})
    root.write("/etc/cdi/notes.txt", "nobody reads this")
    root.directory("/etc/cdi/old.json")
    assert lines(judge(root)) == [
        "cdi/directory /etc/cdi: can be read",
        "cdi/directory /var/run/cdi: can be read",
        "cdi/files CDI files: 4 devices in 4 of them",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "line 1, column 2: is not JSON"),
        (b"\xff\x00", "is not UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b" " * (9 << 20), "cannot be read: it is larger than"),
        (json.dumps(GOOD | {"devices": []}).encode(), "devices: is empty"),
        (json.dumps(GOOD | {"cdiVersion": "9.0"}).encode(), "cdiVersion: unknown version"),
        (json.dumps(GOOD | {"more": 1}).encode(), "more: unknown key"),
    ],
    ids=["cut", "bytes", "deep", "large", "no device", "version", "key"],
)
def test_a_bad_file_is_named_with_the_place(root: Root, content: bytes, problem: str) -> None:
    root.write("/etc/cdi/vendor.json", content)
    root.write(OURS, content)
    theirs, own = (one for one in judge(root) if one.check == "cdi/bad-file")
    assert (theirs.level, theirs.subject) == (Level.WARN, "/etc/cdi/vendor.json")
    assert (own.level, own.subject) == (Level.FAIL, OURS)
    assert theirs.text.startswith(problem)
    assert "makes it anew" in own.remedy


def test_a_fifo_a_loop_and_a_dangling_link_are_bad_files(root: Root) -> None:
    root.directory("/etc/cdi")
    os.mkfifo(root.at("/etc/cdi/a.json"))
    root.link("/etc/cdi/b.json", "b.json")
    root.link("/etc/cdi/c.json", "/none")
    assert checks(judge(root)).count(("warn", "cdi/bad-file")) == 3


@pytest.mark.parametrize("kind", ["v/net", "vendor.com/c", "x/y"])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_one_letter_kills_runtimes(root: Root, kind: str, form: str) -> None:
    root.json(f"/etc/cdi/deadly.{form}", GOOD | {"kind": kind})
    found = only(judge(root), "cdi/one-letter")
    assert (found.level, found.subject) == (Level.FAIL, f"/etc/cdi/deadly.{form}")
    assert kind in found.text


@pytest.mark.parametrize("kind", ["ab/cd", "1/net", "net", 7, None])
def test_other_kinds_do_not(root: Root, kind: object) -> None:
    root.json("/etc/cdi/odd.json", GOOD | {"kind": kind})
    assert "cdi/one-letter" not in [check for _, check in checks(judge(root))]


def test_a_hidden_file_counts(root: Root) -> None:
    root.json("/etc/cdi/.vendor.json", GOOD)
    assert only(judge(root), "cdi/hidden").level is Level.WARN


def test_a_conflict_takes_the_device_from_everybody(root: Root) -> None:
    two = [*GOOD["devices"], {"name": "b", "containerEdits": {"env": ["A=b"]}}]
    for name in ("one", "two"):
        root.json(f"/etc/cdi/{name}.json", GOOD | {"devices": two})
    found = only(judge(root), "cdi/conflict")
    assert found.level is Level.FAIL
    assert str(found) == (
        "/etc/cdi/one.json and /etc/cdi/two.json: each define vendor.com/net=a vendor.com/net=b: "
        "no runtime gives out any of these"
    )


def test_a_device_of_a_later_directory_counts(root: Root) -> None:
    root.json("/etc/cdi/one.json", GOOD)
    root.json("/var/run/cdi/two.json", GOOD)
    found = only(judge(root), "cdi/shadowed")
    assert str(found) == (
        "/etc/cdi/one.json: vendor.com/net=a: /var/run/cdi/two.json counts, "
        "as its directory comes later"
    )


def test_a_file_that_is_too_new_for_a_runtime(root: Root) -> None:
    root.json("/etc/cdi/vendor.json", GOOD | {"cdiVersion": "1.0.0"})
    root.write(OURS, ours(Injection.NATIVE))
    findings = [one for one in judge(root, OLD) if one.check == "cdi/too-new"]
    assert [(one.level, str(one)) for one in findings] == [
        (
            Level.WARN,
            "/etc/cdi/vendor.json: is of cdiVersion 1.0.0; containerd 1.7.24 reads 0.7.0",
        ),
        (Level.FAIL, f"{OURS}: is of cdiVersion 1.1.0; containerd 1.7.24 reads 0.7.0"),
    ]
    idle = dataclasses.replace(OLD, works=False)
    assert Level.FAIL not in {one.level for one in judge(root, idle)}
    unknown = dataclasses.replace(OLD, newest_cdi="")
    assert "cdi/too-new" not in [check for _, check in checks(judge(root, unknown))]


def test_the_directories_of_runtimes_count_too(root: Root) -> None:
    root.json("/srv/cdi/one.json", GOOD | {"kind": "v/net"})
    more = dataclasses.replace(OLD, directories=("/srv/cdi", "/run/cdi"))
    root.link("/var/run", "/run")
    findings = judge(root, more)
    assert [one.subject for one in findings if one.check == "cdi/directory"] == [
        "/etc/cdi",
        "/var/run/cdi",
        "/srv/cdi",
    ]
    assert only(findings, "cdi/one-letter").subject == "/srv/cdi/one.json"


def test_a_directory_that_is_none(root: Root) -> None:
    root.write("/etc/cdi", "a file")
    found = [one for one in judge(root) if one.check == "cdi/directory"]
    assert (found[0].level, found[0].text) == (Level.FAIL, "cannot be read: Not a directory")


def test_our_directory_must_not_be_read_only(root: Root) -> None:
    root.directory("/var/run/cdi")
    root.mounts(("/", "ext4", "rw"), ("/var/run/cdi", "tmpfs", "ro,nosuid"))
    assert ("fail", "cdi/directory") in checks(judge(root))


def test_it_is_known_which_files_and_hooks_are_ours(root: Root) -> None:
    root.write(OURS, ours())
    root.json("/etc/cdi/vendor.json", GOOD)
    facts = cdidirs.read(root.host(), CONFIG, (), ())
    theirs, own = facts.files
    assert (theirs.ours, own.ours) == (False, True)
    assert [hook.path for hook in own.hooks] == [str(CONFIG.mover_path)] * 2
    assert theirs.hooks == ()


def test_a_registry_is_put_together_as_the_library_does(tmp_path: Path) -> None:
    root = Root(tmp_path)
    for number in range(3):
        root.json(f"/etc/cdi/{number}.json", GOOD)
    root.json("/var/run/cdi/x.json", GOOD)
    facts = cdidirs.read(root.host(), CONFIG, (), ())
    theirs = cdi.Registry.load([root.at("/etc/cdi"), root.at("/var/run/cdi")])
    ours_too = facts.registry()
    assert ours_too.devices.keys() == theirs.devices.keys() == set()
    assert ours_too.conflicts.keys() == theirs.conflicts.keys() == {"vendor.com/net=a"}
