"""What the command line says and does while real containers have links."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cri import Cri, refusal
from tests.e2e.lender import KIND, Lender, assert_inside, look
from tests.e2e.podman import Podman


def test_status_names_the_container_and_the_pod_that_have_a_link(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    pod = cri.run_pod()
    container = cri.run(pod, lender.device(link))
    (lent,) = document(lender, "status")["lent"]
    assert (lent["device"], lent["phase"]) == (link.name, "attached")
    (holder,) = lent["holders"]
    metadata = pod.config.metadata
    assert holder["container"] == container
    assert (holder["namespace"], holder["pod"]) == (metadata.namespace, metadata.name)
    assert (holder["podUid"], holder["alive"]) == (metadata.uid, True)
    cri.stop(container)
    assert document(lender, "status")["lent"] == []


def test_status_repeats_what_the_mover_said_when_it_refused(cri: Cri, lender: Lender) -> None:
    link = lender.lend()
    container = cri.create(cri.run_pod(host_network=True), lender.device(link))
    with refusal():
        cri.start(container)
    (failure,) = document(lender, "status")["failures"]
    assert failure["device"] == link.name
    assert "network namespace" in failure["message"]


def test_a_lent_device_stays_in_its_file_for_the_next_container_of_the_pod(
    cri: Cri, lender: Lender
) -> None:
    link, idle = lender.lend(), lender.lend()
    pod = cri.run_pod()
    first = cri.run(pod, lender.device(link))
    (file,) = lender.node.path("/run/cdi").iterdir()
    before = file.read_bytes()
    lender.generate()
    assert file.read_bytes() == before
    listed = lender.cli("cdi", "list").stdout
    assert all(f"{KIND}={each.name} " in listed for each in (link, idle))
    second = cri.run(pod, lender.device(link))
    cri.stop(first)
    assert_inside(link, cri.sh(second, look(link)))


def test_devices_shows_which_pod_has_a_link(cri: Cri, lender: Lender) -> None:
    link = lender.lend("veth")
    pod = cri.run_pod()
    cri.run(pod, lender.device(link))
    output = lender.cli("devices", "--interfaces", link.name).stdout
    (row,) = (line for line in output.splitlines() if line.startswith(f"{link.name} "))
    assert f" default/{pod.config.metadata.name} " in row


def test_reclaim_all_brings_home_what_the_dead_had_and_leaves_the_living_alone(
    podman: Podman, lender: Lender
) -> None:
    dead, alive = lender.lend("macvlan"), lender.lend("tap")
    doomed, survivor = (podman.start(f"--device={lender.device(link)}") for link in (dead, alive))
    pid = podman.pid(doomed)
    podman.node.kill(podman.pid(doomed, "ConmonPid"))
    podman.node.kill(pid)
    lender.cli("reclaim", "--all")
    assert not lender.record(dead).exists()
    assert_inside(alive, podman.sh(survivor, look(alive)))
    podman("rm", "--force", "--time=0", survivor)
    lender.returned(dead, alive)


def document(lender: Lender, *arguments: str) -> dict[str, Any]:
    """Parse what a command says to programs."""
    parsed: dict[str, Any] = json.loads(lender.cli(*arguments, "--output", "json").stdout)
    return parsed
