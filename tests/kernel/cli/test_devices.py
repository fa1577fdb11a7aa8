from __future__ import annotations

import asyncio
import json
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netdevice_plugin.cli.watching import watch
from netdevice_plugin.config import Config
from netdevice_plugin.inventory.rtnl import InterruptedDumpError
from netdevice_plugin.look import View, look
from tests.kernel.cli.conftest import KIND, Host
from tests.kernel.mover.harness import Containers


def links(document: Any) -> dict[str, Any]:
    return {link["name"]: link for link in document["links"]}


def test_every_link_is_there_with_its_pool_or_a_reason(node: Host) -> None:
    found = links(node.json("devices"))
    assert set(found) == set(node.netns.links())
    eth1 = found["eth1"]
    assert (eth1["pool"], eth1["device"], eth1["reason"]) == (KIND, "eth1", None)
    assert (eth1["kind"], eth1["mtu"], eth1["alias"]) == ("veth", 1400, "uplink-to-lab")
    assert eth1["addresses"] == ["192.168.8.8/32"]
    assert found["eth2"]["altnames"] == ["second"]
    assert found["lo"]["reason"] == "is the loopback device"
    assert found["up0"]["reason"] == "carries the IPv4 default route"


def test_only_what_is_asked_for_is_offered(node: Host) -> None:
    found = links(node.json("devices", "--interfaces", "eth2"))
    assert found["eth1"]["reason"] == "no pool selects it"
    assert found["eth2"]["pool"] == KIND


def test_a_lent_link_stays_and_its_holder_is_named(node: Host, containers: Containers) -> None:
    node.generate("eth1")
    container = containers.alone()
    node.lend("eth1", container)
    eth1 = links(node.json("devices"))["eth1"]
    assert (eth1["state"], eth1["lent"], eth1["pool"]) == ("attached", True, KIND)
    assert eth1["holders"] == [{"container": container.id, "pod": "default/web-0"}]
    (row,) = (line for line in node.run("devices").stdout.splitlines() if line.startswith("eth1 "))
    assert row.split()[:3] == ["eth1", "veth", "attached"]
    assert "default/web-0" in row


def test_odd_bytes_of_the_kernel_reach_no_terminal(node: Host) -> None:
    node.netns.run("ip", "link", "set", "eth1", "alias", "\x1b[31mred")
    node.netns.run("ip", "link", "set", "eth1", "name", "\x1b[1m")
    text = node.run("devices", "-o", "wide").stdout
    assert text.replace("\n", "").isprintable()
    assert r"\x1b[1m" in text


@contextmanager
def watched(node: Host, *options: str) -> Iterator[Callable[[], str]]:
    """A function that awaits the next line of `devices --watch`."""
    process = node.netns.popen(
        *node.command("devices", "--watch", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline
        process.terminate()
        process.stdout.read()


@pytest.mark.timeout(60)
def test_a_change_of_a_link_or_a_record_is_shown_at_once(
    node: Host, containers: Containers
) -> None:
    node.generate("eth1")
    with watched(node, "-o", "json") as line:

        def until(check: Callable[[dict[str, Any]], bool]) -> None:
            while not check(links(json.loads(line()))):
                pass

        until(lambda found: found["eth1"]["mtu"] == 1400)
        node.netns.ip("link", "set", "eth1", "mtu", "1300")
        until(lambda found: found["eth1"]["mtu"] == 1300)
        container = containers.alone()
        node.lend("eth1", container)  # which makes the directory of records, too
        until(lambda found: found["eth1"]["state"] == "attached")
        node.hook("eth1", "poststop", container).ok()
        until(lambda found: found["eth1"]["state"] != "attached" and not found["eth1"]["lent"])
        node.lend("eth1", containers.alone())
        until(lambda found: found["eth1"]["state"] == "attached")
        record = node.mover.run_dir / "attachments" / "eth1"
        other = record.with_name(".other")  # no link changes with it
        other.write_text(record.read_text().replace("phase=attached", "phase=stranded"))
        other.rename(record)
        until(lambda found: found["eth1"]["state"] == "stranded")


@pytest.mark.timeout(60)
def test_a_table_is_shown_for_every_change(node: Host) -> None:
    with watched(node) as line:
        assert line().startswith("NAME ")
        node.netns.ip("link", "set", "eth2", "up")
        while not (text := line()).startswith("NAME "):
            assert text


class ShownError(Exception):
    """Ends what would go on for ever."""


@pytest.mark.timeout(60)
def test_a_kernel_that_is_too_busy_is_asked_again(node: Host, tmp_path: pathlib.Path) -> None:
    readings: list[Config] = []

    def read(config: Config) -> View:
        readings.append(config)
        if len(readings) < 3:
            raise InterruptedDumpError("busy")
        return look(config)

    def show(view: View) -> None:
        assert view.snapshot.named("eth1")
        raise ShownError

    with pytest.raises(ShownError):
        node.netns.call(lambda: asyncio.run(watch(Config(run_dir=tmp_path), show, read)))
    assert len(readings) == 3
