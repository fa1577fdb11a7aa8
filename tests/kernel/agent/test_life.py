"""Starts and ends of the agent: configurations, signals, ports, two at once, systemd."""

from __future__ import annotations

import pathlib
import signal
import socket
import time

import pytest

from tests.kernel.agent.process import (
    HEALTHY,
    KIND,
    LISTEN,
    Agent,
    Node,
    mounted,
)
from tests.kernel.mover.harness import Containers

pytestmark = pytest.mark.timeout(90)


def errors(agent: Agent) -> list[str]:
    return [line for line in agent.plain if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "config.yaml"),
        ("pools:\n- nme: x\n", "pools[0].nme"),
        ("pools: 7\n", "pools"),
        ("pools: []\nkubeletDir: relative\n", "kubeletDir"),
        ("\0", "config.yaml"),
        ("[" * 100_000, "config.yaml"),
        ("#" * 10_000_000, "config.yaml"),
    ],
    ids=["empty", "unknown-key", "type", "path", "nul", "deep", "10-mb"],
)
def test_a_configuration_that_is_wrong_is_refused_with_its_place(
    node: Node, text: str, place: str
) -> None:
    node.put(text)
    agent = node.start()
    agent.end(code=2)
    assert any(place in line for line in errors(agent))
    assert not node.mover.run_dir.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--listen=nowhere",), "cannot listen on 'nowhere'"),
        (("--interfaces=eth1",), "one of --interfaces and --config must be given"),
        (("--kubelet-dir=here",), "here"),
        (("--host-proc=here",), "here"),
    ],
)
def test_an_option_that_is_wrong_is_refused(
    node: Node, options: tuple[str, ...], said: str
) -> None:
    agent = node.start(*options)
    agent.end(code=2)
    (line,) = errors(agent)
    assert said in line.lower()


def test_a_configuration_that_cannot_be_read_is_refused(node: Node) -> None:
    node.config.unlink()
    agent = node.start()
    agent.end(code=2)
    (line,) = errors(agent)
    assert str(node.config) in line


def test_a_run_directory_that_cannot_be_written_is_refused(node: Node) -> None:
    node.mover.run_dir.mkdir()
    with mounted(node.mover.run_dir, "-o", "ro"):
        agent = node.start()
        agent.end(code=1)
        (line,) = errors(agent)
        assert f"cannot lock {node.mover.run_dir / 'agent.lock'}: Read-only file system" in line


def test_a_port_that_can_never_be_had_is_refused(node: Node) -> None:
    """What waiting does not mend: here an address of the wrong family."""
    agent = node.start("--listen=[ff02::1]:9479")
    agent.end(code=1)
    (line,) = errors(agent)
    assert "cannot listen on [ff02::1]:9479" in line


def test_a_configuration_is_followed(cluster: Node) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.configure("eth1")
    agent.said("Configuration applied")
    cluster.listed(eth1=HEALTHY)
    cluster.put("pools: [{")
    agent.said("Configuration refused; the one before stays in effect", reason="config.yaml")
    cluster.until_metric("config_reloads_total", 1, outcome="refused")
    assert cluster.metric("config_last_reload_successful") == 0
    cluster.listed(eth1=HEALTHY)
    cluster.configure("eth*")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.until_metric("config_last_reload_successful", 1)
    agent.stop()


def test_a_configuration_that_goes_away_and_comes_back_is_well_again(cluster: Node) -> None:
    cluster.run()
    aside = cluster.config.with_name("aside")
    cluster.config.rename(aside)
    cluster.until_metric("config_last_reload_successful", 0)
    aside.rename(cluster.config)
    cluster.until_metric("config_last_reload_successful", 1)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_sighup_has_the_file_read_where_nothing_tells_of_it(cluster: Node) -> None:
    """A link to a file elsewhere: there is no event in the directory that is watched."""
    elsewhere = cluster.root / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / "config.yaml"
    cluster.config.rename(target)
    cluster.config.symlink_to(target)
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    target.write_text(target.read_text().replace("eth*", "eth2"))
    agent.send(signal.SIGHUP)
    cluster.listed(eth2=HEALTHY)
    agent.stop()


def test_a_mounted_configmap_is_followed(cluster: Node) -> None:
    """As the kubelet does it: config.yaml -> ..data/config.yaml, ..data -> ..one, swapped."""
    text = cluster.config.read_text()
    volume = cluster.root / "volume"
    for name, names in (("..one", "eth*"), ("..two", "eth1")):
        (volume / name).mkdir(parents=True)
        (volume / name / "config.yaml").write_text(text.replace("eth*", names))
    (volume / "..data").symlink_to("..one")
    (volume / "config.yaml").symlink_to("..data/config.yaml")
    agent = cluster.start(f"--config={volume / 'config.yaml'}")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    (volume / "..data_tmp").symlink_to("..two")
    (volume / "..data_tmp").rename(volume / "..data")
    agent.said("Configuration applied")
    cluster.listed(eth1=HEALTHY)


def test_what_is_fixed_at_the_start_waits_for_the_next(cluster: Node) -> None:
    agent = cluster.run()
    pool = {"name": "netdevice", "selectors": [{"ifNames": ["eth1"]}]}
    cluster.write({"cdiDir": str(cluster.root / "other"), "pools": [pool]})
    agent.said("Takes effect at the next start only", keys="cdiDir")
    cluster.listed(eth1=HEALTHY)
    assert set(cluster.spec()) == {"eth1"}
    assert not (cluster.root / "other").exists()


def pool(name: str, *names: str) -> dict[str, object]:
    return {"name": name, "selectors": [{"ifNames": list(names)}]}


def test_a_pool_that_is_renamed_keeps_what_is_lent_under_the_old_name(
    cluster: Node, containers: Containers
) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    agent.said("Device is lent", device="eth1")
    cluster.write({"pools": [pool("other", "eth*")]})
    other = "networking.k8s.io/other"
    cluster.kubelet.await_devices(other, {"eth2": HEALTHY})
    cluster.listed(eth1=HEALTHY)
    cluster.bring_home("eth1", container)
    cluster.kubelet.await_devices(other, {"eth1": HEALTHY, "eth2": HEALTHY})
    agent.said("Resource is no longer served", resource=KIND)
    agent.stop()


def test_no_pool_at_all_is_ready_and_ends_well(cluster: Node) -> None:
    cluster.configure()
    agent = cluster.start()
    cluster.until("/readyz", lambda status, _: status == 200)
    assert agent.stop() < 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_time_and_says_so(cluster: Node, number: signal.Signals) -> None:
    agent = cluster.run()
    agent.send(number)
    assert agent.end() < 2
    agent.said("Ended")
    assert not agent.plain
    assert set(cluster.spec()) == {"eth1", "eth2"}


def test_who_comes_later_takes_over(cluster: Node, containers: Containers) -> None:
    first = cluster.run("--instance=first")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    first.said("Device is lent")
    second = cluster.start("--instance=second")
    second.said("Asking the other agent to end", other="first")
    assert first.end() < 5
    first.said("Another agent takes over", other="second")
    cluster.kubelet.await_registered(KIND)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.until_metric("in_charge", 1)  # and it has the port
    again = cluster.start("--instance=first")
    again.said("Another agent has taken over; waiting", other="second")
    again.said("Waiting to listen")
    cluster.netns.ip("link", "add", "eth3", "type", "ifb")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    second.kill()
    cluster.kubelet.await_registered(KIND)
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    cluster.until("/readyz", lambda status, _: status == 200)
    assert again.stop() < 2


def test_who_waits_for_its_turn_ends_in_time_too(cluster: Node) -> None:
    first = cluster.run("--instance=first")
    first.send(signal.SIGSTOP)  # it does not give way
    second = cluster.start("--instance=second")
    second.said("Asking the other agent to end")
    assert second.stop() < 2
    first.send(signal.SIGCONT)
    cluster.netns.ip("link", "add", "eth3", "type", "ifb")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY, eth3=HEALTHY)
    assert first.process.poll() is None


def test_a_port_that_somebody_has_is_waited_for(cluster: Node) -> None:
    def occupy() -> socket.socket:
        return socket.create_server(LISTEN)

    with cluster.netns.call(occupy):
        agent = cluster.run()
        agent.said("Waiting to listen")
        cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    cluster.until("/readyz", lambda status, _: status == 200)


def test_it_listens_nowhere_if_so_told(cluster: Node) -> None:
    agent = cluster.run("--listen=none")
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    with pytest.raises(OSError, match="refused"):
        cluster.get("/healthz")
    agent.stop()


def test_metrics_tell_what_has_happened(cluster: Node, containers: Containers) -> None:
    agent = cluster.run()
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)
    container = containers.alone()
    cluster.lend("eth1", container)
    cluster.until_metric("devices", 1, resource=KIND, state="lent")
    assert cluster.metric("devices", resource=KIND, state="healthy") == 1
    assert cluster.metric("devices", resource=KIND, state="unhealthy") == 0
    assert cluster.metric("loans", phase="attached") == 1
    assert cluster.metric("in_charge") == 1
    assert cluster.metric("kubelet_registered", resource=KIND) == 1
    assert cluster.metric("kubelet_stream_open", resource=KIND) == 1
    assert cluster.metric("mover_runs_total", command="attach", outcome="moved") == 1
    assert cluster.metric("cdi_writes_total") >= 1
    assert cluster.metric("config_reloads_total", outcome="applied") == 1
    cluster.kubelet.kill()
    cluster.until_metric("kubelet_stream_open", 0, resource=KIND)
    agent.stop()


# Without a kubelet, under systemd.


def test_without_a_kubelet_the_files_are_true_and_systemd_hears_of_it(
    node: Node, containers: Containers, tmp_path: pathlib.Path
) -> None:
    where = node.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(where))
        manager.settimeout(20)
        agent = node.start("--no-kubelet", env={"NOTIFY_SOCKET": str(where)})
        assert manager.recv(4096) == b"READY=1\nSTATUS=2 devices"
        assert set(node.spec()) == {"eth1", "eth2"}
        node.until("/readyz", lambda status, _: status == 200)
        node.netns.ip("link", "add", "eth3", "type", "ifb")
        assert manager.recv(4096) == b"STATUS=3 devices"
        assert set(node.spec()) == {"eth1", "eth2", "eth3"}
        container = containers.alone()
        node.lend("eth1", container)
        agent.said("Device is lent", device="eth1")
        assert set(node.spec()) == {"eth1", "eth2", "eth3"}
        node.netns.ip("link", "del", "eth2")
        assert manager.recv(4096) == b"STATUS=2 devices"
        assert set(node.spec()) == {"eth1", "eth3"}
        assert agent.stop() < 2
        assert manager.recv(4096) == b"STOPPING=1"
    assert set(node.spec()) == {"eth1", "eth3"}
    assert not list(node.kubelet.place.root.iterdir())


def test_json_and_text_are_how_it_logs(node: Node) -> None:
    agent = node.start("--no-kubelet", "--log-format=text")
    node.until("/readyz", lambda status, _: status == 200)
    agent.stop()
    assert any('"Device is offered" device="eth1"' in line for line in agent.plain)
    assert not agent.log


def test_lists_stay_below_what_a_kubelet_takes(cluster: Node) -> None:
    """Many devices, made and removed in one go."""
    names = [f"eth{number}" for number in range(10, 210)]
    cluster.netns.batch([f"link add {name} type ifb" for name in names])
    cluster.run()
    cluster.listed(**dict.fromkeys(["eth1", "eth2", *names], HEALTHY))
    cluster.netns.batch([f"link del {name}" for name in names])
    cluster.listed(eth1=HEALTHY, eth2=HEALTHY)


def test_after_a_storm_everybody_agrees(cluster: Node) -> None:
    """Links renamed and carriers changed as fast as ip(8) can; the last word counts."""
    names = [f"eth{number}" for number in range(10, 30)]
    cluster.netns.batch([f"link add {name} type ifb" for name in names])
    cluster.run()
    cluster.listed(**dict.fromkeys(["eth1", "eth2", *names], HEALTHY))
    lines = []
    for number in range(100):
        for at, name in enumerate(names):
            names[at] = f"ethx{number}-{at}"
            lines += [f"link set {name} name {names[at]}"]
        lines += ["link set eth2 up", "link set eth2 down"]
    began = time.monotonic()
    cluster.netns.batch(lines)
    assert len(lines) / (time.monotonic() - began) > 500  # a second; or it was no storm
    cluster.listed(**dict.fromkeys(["eth1", "eth2", *names], HEALTHY))
    assert set(cluster.spec()) == {"eth1", "eth2", *names}
    assert cluster.metric("devices", resource=KIND, state="healthy") == len(names) + 2
    assert cluster.metric("devices", resource=KIND, state="unhealthy") == 0
