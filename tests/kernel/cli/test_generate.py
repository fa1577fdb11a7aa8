from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

import cdi
from cdi.syntax import Format
from tests.kernel.cli.conftest import KIND, Host
from tests.kernel.mover.harness import Containers
from tests.kernel.scratch import Netns


def written(path: pathlib.Path) -> tuple[int, int]:
    """Which file it is, and when it was written; that it was read does not matter."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def described(node: Host, name: str, kind: str) -> dict[str, object]:
    """A device of the file as it was agreed on."""
    link = node.netns.links()[name]
    run_dir = ["--run-dir", str(node.mover.run_dir)]

    def hook(point: str, command: str, *more: str) -> dict[str, object]:
        return {
            "hookName": point,
            "path": str(node.mover.binary),
            "args": ["netdevice-mover", command, "--device", name, *run_dir, *more],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "timeout": 30,
        }

    identity = ["--link", name, "--link-ifindex", str(link["ifindex"])]
    identity += ["--link-mac", link["address"], "--link-kind", kind]
    hooks = [hook("createRuntime", "attach", *identity), hook("poststop", "detach")]
    return {"name": name, "containerEdits": {"hooks": hooks}}


def test_the_file_says_what_was_agreed_on(node: Host) -> None:
    result = node.generate("eth1", "second")
    assert result.stdout == f"wrote {node.file} (2 devices: +eth1 +eth2)\n"
    assert result.stderr == ""
    assert json.loads(node.file.read_text()) == {
        "cdiVersion": "0.3.0",
        "kind": KIND,
        "devices": [described(node, "eth1", "veth"), described(node, "eth2", "ifb")],
    }
    assert node.file.stat().st_mode & 0o777 == 0o644
    assert list(node.cdi_dir.iterdir()) == [node.file]


def test_what_is_right_already_is_not_touched(node: Host) -> None:
    node.generate("eth*")
    before = written(node.file)
    assert node.generate("eth*").stdout == f"unchanged {node.file}\n"
    assert written(node.file) == before


def test_a_link_that_came_or_went_is_named(node: Host) -> None:
    node.generate("eth*")
    node.netns.ip("link", "del", "eth1")
    node.netns.ip("link", "add", "eth3", "type", "ifb")
    result = node.generate("eth*")
    assert result.stdout == f"wrote {node.file} (2 devices: +eth3 -eth1)\n"


def test_a_lent_link_changes_no_byte(node: Host, containers: Containers) -> None:
    node.generate("eth1", "eth2")
    before = node.file.read_bytes()
    container = containers.alone()
    node.lend("eth1", container)
    assert "eth1" not in node.netns.links()
    assert node.generate("eth1", "eth2").stdout == f"unchanged {node.file}\n"
    node.file.unlink()
    node.generate("eth*")
    assert node.file.read_bytes() == before
    container.end()
    node.hook("eth1", "poststop", container).ok()
    assert node.generate("eth1", "eth2").stdout == f"unchanged {node.file}\n"


def test_a_link_that_was_renamed_before_it_was_lent_stays_its_device(
    node: Host, containers: Containers
) -> None:
    node.generate("eth1")
    before = node.file.read_bytes()
    node.netns.ip("link", "set", "eth1", "name", "wan7")
    node.lend("eth1", containers.alone())
    assert node.generate("eth1").stdout == f"unchanged {node.file}\n"
    assert node.file.read_bytes() == before


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (("eth9",), ["eth9 is not the name of a link"]),
        (("lo",), ["lo cannot be offered: it is the loopback device"]),
        (
            ("eth1", "up0", "eth8"),
            [
                "up0 cannot be offered: it carries the IPv4 default route",
                "eth8 is not the name of a link",
            ],
        ),
    ],
)
def test_a_name_that_cannot_be_had_is_an_error_and_nothing_is_written(
    node: Host, names: tuple[str, ...], lines: list[str]
) -> None:
    options = ("--interfaces", ",".join(names), "--output", node.cdi_dir)
    result = node.run("cdi", "generate", *options, code=2)
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        *(f"error: --interfaces: {line}" for line in lines),
        "hint: netdevice-plugin devices shows every link, and why it is not offered",
    ]
    assert not node.cdi_dir.exists()


def test_a_broken_record_is_an_error_and_the_file_stays(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    before = written(node.file)
    node.lend("eth1", containers.alone())
    record = node.mover.run_dir / "attachments" / "eth1"
    text = record.read_text()
    record.write_text(text[:100])
    options = ("--interfaces", "eth*", "--output", node.cdi_dir)
    result = node.run("cdi", "generate", *options, code=1)
    assert result.stderr.startswith(f"error: {record}:")
    assert written(node.file) == before
    record.write_text(text)


def test_standard_output_gets_the_spec_and_nothing_else(node: Host) -> None:
    forms: tuple[Format, ...] = ("json", "yaml")
    for form in forms:
        options = ("--interfaces", "eth1", "--output", "-", "--format", form)
        text = node.run("cdi", "generate", *options).stdout
        spec = cdi.loads(text, source="stdout", format=form)
        assert [device.name for device in spec.devices] == ["eth1"]


def test_a_configuration_makes_a_file_for_each_pool(node: Host, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "netdevice.yaml"
    config.write_text(
        f"""
cdiDir: {node.cdi_dir}
moverPath: {node.mover.binary}
hookTimeout: 9
pools:
- name: virtual
  selectors: [{{kinds: [veth], ifNames: ["eth*"]}}]
- name: rest
  injection: native
  selectors: [{{ifNames: ["eth*", "up*"]}}]
- name: none
  selectors: [{{kinds: [vxlan]}}]
"""
    )
    stem = f"{node.cdi_dir}/networking.k8s.io"
    result = node.run("cdi", "generate", "--config", config)
    assert result.stdout.splitlines() == [
        f"wrote {stem}-virtual.json (1 device: +eth1)",
        f"wrote {stem}-rest.json (1 device: +eth2)",
        f"no device for {stem}-none.json",
    ]
    rest = cdi.load(f"{stem}-rest.json")
    assert rest.version == "1.1.0"
    assert node.run("cdi", "list", "--spec-dir", node.cdi_dir).stdout.count("=eth") == 2
    result = node.run("cdi", "validate", "--spec-dir", node.cdi_dir)
    assert result.stdout == "2 CDI files valid\n"


def test_a_pool_that_names_an_uplink_is_an_error(node: Host, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "netdevice.yaml"
    config.write_text("pools: [{name: fast, selectors: [{ifNames: [up0]}]}]\n")
    result = node.run("cdi", "generate", "--config", config, "--output", node.cdi_dir, code=2)
    assert result.stderr.splitlines()[0] == (
        "error: pool fast: up0 cannot be offered: it carries the IPv4 default route"
    )
    assert not node.cdi_dir.exists()


def test_a_mover_that_is_not_there_is_a_warning_with_a_remedy(node: Host) -> None:
    options = ("--interfaces", "eth1", "--output", node.cdi_dir, "--mover-path", "/missing/mover")
    result = node.run("cdi", "generate", *options)
    assert result.stderr.splitlines() == [
        "warning: /missing/mover: no mover that can be executed:"
        " containers with a device cannot start",
        "hint: netdevice-plugin mover install /missing",
    ]
    assert node.file.exists()


def test_a_directory_that_cannot_be_written_is_an_error(node: Host) -> None:
    options = ("--interfaces", "eth1", "--mover-path", node.mover.binary)
    result = node.run("cdi", "generate", *options, "--output", "/proc/x/y", code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: cannot write /proc/x/y/")
    assert len(result.stderr.splitlines()) == 1


def test_a_full_disk_leaves_the_file_as_it_was(node: Host, tmp_path: pathlib.Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=True)
    try:
        options = ("--interfaces", "eth1", "--mover-path", node.mover.binary, "--output", small)
        node.run("cdi", "generate", *options)
        (file,) = small.iterdir()
        before = file.read_bytes()
        with (small / "full").open("wb") as full:
            while True:
                try:
                    os.write(full.fileno(), bytes(4096))
                except OSError:
                    break
        node.netns.ip("link", "set", "eth1", "address", "02:00:00:00:00:99")
        result = node.run("cdi", "generate", *options, code=1)
        assert result.stderr == f"error: cannot write {file}: No space left on device\n"
        assert file.read_bytes() == before
        assert {path.name for path in small.iterdir()} == {file.name, "full"}
    finally:
        subprocess.run(["umount", small], check=True)


IMPORTED = """
import sys
from netdevice_plugin.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def test_only_what_is_used_is_imported(node: Host) -> None:
    options = ("--interfaces", "eth*", "--output", node.cdi_dir, "--mover-path", node.mover.binary)
    result = node.netns.run(sys.executable, "-c", IMPORTED, "cdi", "generate", *options)
    modules = set(result.stderr.split())
    unwanted = {"asyncio", "grpc", "pyroute2", "rich", "watchdog", "yaml"}
    unwanted |= {"cdi.cli", "cdi.edits", "cdi.store", "cdi.watch"}
    assert not modules & unwanted


def test_hooks_of_the_file_lend_the_link_and_bring_it_home(
    node: Host, containers: Containers, pod: Netns
) -> None:
    node.generate("eth1")
    before = node.netns.json("addr", "show", "dev", "eth1")
    container = containers.of(pod)
    node.lend("eth1", container)
    (inside,) = pod.json("addr", "show", "dev", "eth1")
    assert inside["addr_info"][0]["local"] == "192.168.8.8"
    node.hook("eth1", "poststop", container).ok()
    assert node.netns.json("addr", "show", "dev", "eth1") == before
