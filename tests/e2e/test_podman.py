"""A host link into a podman container and home, on runc and on crun."""

from __future__ import annotations

import pytest

from tests.e2e.lender import Lender, assert_inside, look
from tests.e2e.links import MADE_KINDS
from tests.e2e.podman import Podman


@pytest.mark.parametrize("kind", MADE_KINDS)
def test_a_link_of_each_kind_goes_in_with_its_settings_and_comes_home(
    podman: Podman, lender: Lender, kind: str
) -> None:
    link = lender.lend(kind)
    result = podman.run(f"--device={lender.device(link)}", command=("sh", "-c", look(link)))
    assert_inside(link, result.stdout)
    lender.returned(link)


def test_a_container_that_is_removed_at_its_end_gives_the_link_back(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    podman.run("--rm", f"--device={lender.device(link)}", command=("true",))
    lender.returned(link)


def test_the_hosts_network_is_refused_and_the_host_untouched(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    result = podman.run(
        f"--device={lender.device(link)}", command=("true",), network="host", check=False
    )
    assert result.returncode != 0
    assert "network namespace" in lender.last_error(link)
    if podman.runtime == "runc":  # crun keeps what a hook says to itself
        assert f"netdevice-mover: {link.name}: " in result.stderr
    lender.untouched()


def test_two_devices_go_into_one_container(podman: Podman, lender: Lender) -> None:
    first, second = lender.lend("veth"), lender.lend("tap")
    devices = [f"--device={lender.device(link)}" for link in (first, second)]
    script = f"{look(first)} && {look(second)}"
    result = podman.run(*devices, command=("sh", "-c", script))
    for link in (first, second):
        assert_inside(link, result.stdout)
    lender.returned(first, second)


def test_one_absent_device_fails_the_container_and_the_other_comes_home(
    podman: Podman, lender: Lender
) -> None:
    present, absent = lender.lend(), lender.lend()
    lender.take_away(absent)
    devices = [f"--device={lender.device(link)}" for link in (present, absent)]
    result = podman.run(*devices, command=("true",), check=False)
    assert result.returncode != 0
    assert absent.name in lender.last_error(absent)
    if podman.runtime == "crun":
        lender.reclaim(present)  # its poststop is not run for what never started
    lender.returned(present)


def test_a_command_that_cannot_be_executed_gives_the_link_back(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    device = f"--device={lender.device(link)}"
    result = podman.run("--rm", device, command=("/no/such/program",), check=False)
    assert result.returncode == 127
    if podman.runtime == "crun":
        lender.reclaim(link)  # its poststop is not run for what never started
    lender.returned(link)


def test_a_restarted_container_has_the_link_again(podman: Podman, lender: Lender) -> None:
    link = lender.lend()
    container = podman.start(f"--device={lender.device(link)}")
    podman("restart", "--time=0", container)
    assert_inside(link, podman.sh(container, look(link)))
    podman("stop", "--time=0", container)
    lender.returned(link)
    podman("start", container)
    assert_inside(link, podman.sh(container, look(link)))
    podman("rm", "--force", "--time=0", container)
    lender.returned(link)


def test_a_container_that_podman_starts_again_by_itself_has_the_link_again(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    container = podman.start("--restart=always", f"--device={lender.device(link)}")
    before = lender.record(link).read_text()
    podman.node.kill(podman.pid(container))
    lender.lent(link, unlike=before)
    podman("wait", "--condition=running", container)
    assert_inside(link, podman.sh(container, look(link)))
    podman("rm", "--force", "--time=0", container)
    lender.returned(link)


def test_a_container_with_a_user_namespace_of_its_own_has_the_link(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    options = ("--rm", "--uidmap=0:100000:65536", f"--device={lender.device(link)}")
    result = podman.run(*options, command=("sh", "-c", look(link)))
    assert_inside(link, result.stdout)
    lender.returned(link)


def test_a_killed_container_gives_the_link_back(podman: Podman, lender: Lender) -> None:
    link = lender.lend()
    container = podman.start(f"--device={lender.device(link)}")
    podman.node.kill(podman.pid(container))
    lender.returned(link)


def test_a_killed_podman_leaves_the_link_in_the_container_that_lives_on(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    device = f"--device={lender.device(link)}"
    arguments = podman.run_args("--name=orphan", device, command=("sleep", "infinity"))
    with podman.node.background(*podman.command(*arguments)) as client:
        lender.lent(link)
        podman("wait", "--condition=running", "orphan")
        (pid,) = podman.node.pids("podman")
        podman.node.kill(pid)
        client.wait()
    assert_inside(link, podman.sh("orphan", look(link)))
    podman.node.kill(podman.pid("orphan"))
    lender.returned(link)


def test_a_device_whose_conmon_was_killed_heals_at_its_next_use(
    podman: Podman, lender: Lender
) -> None:
    """Nobody runs poststop then, before `podman rm` (with podman 4, not even that)."""
    link = lender.lend()
    device = f"--device={lender.device(link)}"
    container = podman.start(device)
    pid = podman.pid(container)
    podman.node.kill(podman.pid(container, "ConmonPid"))
    assert_inside(link, podman.sh(container, look(link)))
    podman.node.kill(pid)
    assert lender.record(link).exists()
    result = podman.run(device, command=("sh", "-c", look(link)))
    assert_inside(link, result.stdout)
    lender.returned(link)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="plain"),
        # podman runs the hooks of such a one in a mount namespace that dies with the container.
        pytest.param(("--uidmap=0:100000:65536",), id="user namespace"),
    ],
)
def test_reclaim_waits_for_the_death_of_a_container_without_conmon(
    options: tuple[str, ...], podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    container = podman.start(*options, f"--device={lender.device(link)}")
    pid = podman.pid(container)
    podman.node.kill(podman.pid(container, "ConmonPid"))
    assert lender.reclaim(link, check=False).returncode == 3
    assert_inside(link, podman.sh(container, look(link)))
    podman.node.kill(pid)
    lender.reclaim(link)
    lender.returned(link)


def test_the_containers_of_a_pod_share_the_link_and_the_last_one_returns_it(
    podman: Podman, lender: Lender
) -> None:
    link = lender.lend()
    infra = (podman.cgroup, "--infra-image", podman.image, "--infra-command", "sleep infinity")
    podman("pod", "create", "--name=pair", "--network=none", *infra)
    in_pod = ("--pod=pair", f"--device={lender.device(link)}")
    first = podman.start(*in_pod, network="")
    second = podman.start(*in_pod, network="")
    podman("rm", "--force", "--time=0", first)
    assert_inside(link, podman.sh(second, look(link)))
    podman("rm", "--force", "--time=0", second)
    lender.returned(link)


def test_a_live_holder_in_another_container_is_named(podman: Podman, lender: Lender) -> None:
    link = lender.lend()
    device = f"--device={lender.device(link)}"
    holder = podman.start(device)
    result = podman.run(device, command=("true",), check=False)
    assert result.returncode != 0
    assert holder[:12] in lender.last_error(link)
    assert_inside(link, podman.sh(holder, look(link)))
