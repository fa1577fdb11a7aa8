from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import cdi
from netdevice_plugin.cli import specs
from netdevice_plugin.cli.specs import Request
from netdevice_plugin.config import Config, InvalidConfigError, default
from netdevice_plugin.errors import AttachmentError, ConfigError
from netdevice_plugin.look import View
from netdevice_plugin.model import Injection, Interface, Pool, Protection, Selector, Snapshot

KIND = "networking.k8s.io/netdevice"
LO = Interface(ifindex=1, name="lo", flags=9, link_type="loopback")
UPLINK = Interface(ifindex=2, name="eth0", altnames=("wan",))
ETH1 = Interface(ifindex=3, name="eth1", mac="02:00:00:00:00:03", altnames=("lan", "data1"))
ETH2 = Interface(ifindex=4, name="eth2", mac="02:00:00:00:00:04")
OTHERS = Interface(ifindex=5, name="cni0", mac="02:00:00:00:00:05")
ODD = Interface(ifindex=6, name="\udcff", mac="02:00:00:00:00:06")
VIEW = View(
    snapshot=Snapshot(
        interfaces=(LO, UPLINK, ETH1, ETH2, OTHERS, ODD),
        protected=(
            Protection(ifindex=1, reason="is the loopback device"),
            Protection(ifindex=2, reason="carries the IPv4 default route"),
            Protection(ifindex=5, reason="has another's name", hard=False),
        ),
    )
)
NONE = View(snapshot=Snapshot())


def plan(
    *names: str, view: View = VIEW, output: Path | str = "", pool: str = "", form: str | None = None
) -> tuple[specs.Target, ...]:
    request = Request(names, pool, str(output), form)  # type: ignore[arg-type]
    return specs.plan(view, specs.adjust(default(names), request), request)


def devices(target: specs.Target) -> list[str]:
    return [device.name for device in target.spec.devices] if target.spec else []


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("eth1",), ["eth1"]),
        (("eth*",), ["eth1", "eth2"]),
        (("eth2", "eth1", "eth1"), ["eth1", "eth2"]),
        (("lan",), ["eth1"]),
        (("data[0-9]",), ["eth1"]),
        (("cni0",), ["cni0"]),
        (("cni*",), []),
        (("none*",), []),
    ],
)
def test_names_and_globs_choose_links(names: tuple[str, ...], found: list[str]) -> None:
    (target,) = plan(*names)
    assert devices(target) == found


def test_every_name_that_cannot_be_had_is_a_problem_with_its_reason() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        plan("eth1", "lo", "wan", "eth9", "\udcff")
    assert caught.value.problems == (
        "--interfaces: lo cannot be offered: it is the loopback device",
        "--interfaces: wan cannot be offered: it carries the IPv4 default route",
        "--interfaces: eth9 is not the name of a link",
        "--interfaces: \udcff cannot be offered:"
        " it has a name that is not UTF-8, as all that is in a CDI file must be",
    )
    assert caught.value.exit_code == 2
    assert "netdevice-plugin devices" in caught.value.hint


def test_a_newcomer_with_the_name_of_a_lent_link_is_no_mistake() -> None:
    lent = dataclasses.replace(ETH1, ifindex=9, lent=True)
    view = View(
        snapshot=Snapshot(
            interfaces=(ETH1, lent),
            protected=(Protection(ifindex=3, reason="has the name of eth1, which is in a pod"),),
        )
    )
    (target,) = plan("eth1", view=view)
    assert devices(target) == ["eth1"]


def test_a_pool_that_names_an_uplink_is_an_error() -> None:
    pool = Pool(name="fast", selectors=(Selector(if_names=("eth0",)),))
    with pytest.raises(InvalidConfigError) as caught:
        specs.plan(VIEW, Config(pools=(pool,)), Request())
    assert caught.value.problems == (
        "pool fast: eth0 cannot be offered: it carries the IPv4 default route",
    )


def test_a_record_that_cannot_be_read_is_an_error_for_its_device_would_be_gone() -> None:
    broken = AttachmentError("/run/x/attachments/eth7:1: is broken")
    with pytest.raises(AttachmentError):
        plan("eth1", view=dataclasses.replace(VIEW, problems=(broken,)))


TWO = Config(
    pools=(
        Pool(name="fast", selectors=(Selector(if_names=("eth1",)),)),
        Pool(name="rest", selectors=(Selector(if_names=("eth*",)),)),
    )
)


def test_one_pool_of_several_gets_what_the_others_leave() -> None:
    (target,) = specs.plan(VIEW, TWO, Request(pool="rest"))
    assert target.path == Path("/var/run/cdi/networking.k8s.io-rest.json")
    assert devices(target) == ["eth2"]


def test_a_pool_that_is_not_configured_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no pool is named 'x'") as caught:
        specs.plan(VIEW, TWO, Request(pool="x"))
    assert caught.value.hint == "pools: fast, rest"


def test_the_pool_of_interfaces_can_have_another_name() -> None:
    (target,) = plan("eth1", pool="fast")
    assert target.kind == "networking.k8s.io/fast"
    for name in ("x", "-x", "a b", "\0"):
        with pytest.raises(ConfigError, match="--pool"):
            plan("eth1", pool=name)


@pytest.mark.parametrize(
    ("output", "form", "path"),
    [
        ("", None, "/var/run/cdi/networking.k8s.io-netdevice.json"),
        ("", "yaml", "/var/run/cdi/networking.k8s.io-netdevice.yaml"),
        ("/tmp/missing", None, "/tmp/missing/networking.k8s.io-netdevice.json"),
        ("/tmp/missing.d/", None, "/tmp/missing.d/networking.k8s.io-netdevice.json"),
        ("x.yaml", None, "x.yaml"),
        ("/tmp/x.json", "json", "/tmp/x.json"),
    ],
)
def test_the_output_is_a_file_by_its_name_or_a_directory(
    output: str, form: str | None, path: str
) -> None:
    (target,) = plan("eth1", output=output, form=form)
    assert target.path == Path(path)
    assert target.form == path.rpartition(".")[2]


def test_a_directory_that_exists_is_one_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    (target,) = plan("eth1", output=tmp_path / "x.json")
    assert target.path.parent == tmp_path / "x.json"


@pytest.mark.parametrize(
    ("output", "form"), [("x.txt", None), ("x.yaml", "json"), ("x.json", "yaml"), (".x", None)]
)
def test_a_file_that_runtimes_would_not_read_is_an_error(output: str, form: str | None) -> None:
    with pytest.raises(ConfigError, match=r"--output: .* must end in"):
        plan("eth1", output=output, form=form)


@pytest.mark.parametrize("output", ["-", "x.json"])
def test_several_pools_do_not_go_into_one_file(output: str) -> None:
    with pytest.raises(ConfigError, match=r"takes one pool, not fast, rest") as caught:
        specs.plan(VIEW, TWO, Request(output=output))
    assert "--pool" in caught.value.hint
    assert specs.plan(VIEW, TWO, Request(output=output, pool="fast"))


def test_what_changed_is_said_and_nothing_is_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "networking.k8s.io-netdevice.json"
    assert list(specs.write(plan("eth1", output=tmp_path))) == [f"wrote {path} (1 device: +eth1)"]
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert list(specs.write(plan("eth1", output=tmp_path))) == [f"unchanged {path}"]
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert list(specs.write(plan("eth*", output=tmp_path))) == [f"wrote {path} (2 devices: +eth2)"]
    assert list(specs.write(plan("eth2", output=tmp_path))) == [f"wrote {path} (1 device: -eth1)"]
    assert list(specs.write(plan("none*", output=tmp_path))) == [f"removed {path}"]
    assert list(specs.write(plan("none*", output=tmp_path))) == [f"no device for {path}"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_broken_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "networking.k8s.io-netdevice.json"
    path.write_text("{")
    assert list(specs.write(plan("eth1", output=tmp_path))) == [f"wrote {path} (1 device: +eth1)"]


def test_the_other_format_goes_for_it_would_define_each_device_twice(tmp_path: Path) -> None:
    list(specs.write(plan("eth1", output=tmp_path)))
    lines = list(specs.write(plan("eth1", output=tmp_path, form="yaml")))
    stem = f"{tmp_path}/networking.k8s.io-netdevice"
    assert lines == [f"wrote {stem}.yaml (1 device: +eth1)", f"removed {stem}.json"]
    assert not cdi.Registry.load([tmp_path]).problems


def test_a_file_of_another_kind_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "networking.k8s.io-netdevice.yaml"
    edits = cdi.ContainerEdits(env=("A=b",))
    others = cdi.Spec(kind="v.com/net", devices=(cdi.Device(name="x", edits=edits),))
    cdi.write(others, tmp_path, name=path.name)
    list(specs.write(plan("eth1", output=tmp_path)))
    list(specs.write(plan("none*", output=tmp_path)))
    assert cdi.load(path) == others


def test_a_device_that_is_different_is_named_too() -> None:
    (target,) = plan("eth1")
    assert target.spec
    (device,) = target.spec.devices
    changed = dataclasses.replace(
        target.spec, devices=(dataclasses.replace(device, annotations=(("a", "b"),)),), version=""
    )
    assert specs.difference(target.spec, changed) == "1 device: ~eth1"


def test_a_long_list_of_changes_is_cut() -> None:
    links = tuple(Interface(ifindex=n, name=f"n{n}") for n in range(1, 100))
    (target,) = plan("n*", view=View(snapshot=Snapshot(interfaces=links)))
    assert target.spec
    text = specs.difference(None, target.spec)
    assert text.startswith("99 devices: +n1 +n10 ")
    assert text.endswith(" and 87 more")


def test_no_device_is_no_text() -> None:
    (target,) = plan("none*")
    with pytest.raises(ConfigError, match="netdevice has no device"):
        specs.text(target)


def test_all_is_made_before_anything_is_written(tmp_path: Path) -> None:
    good, bad = specs.plan(VIEW, TWO, Request(output=str(tmp_path)))
    wrong = dataclasses.replace(bad, spec=cdi.Spec(kind="bad"))
    with pytest.raises(cdi.SpecError):
        list(specs.write((good, wrong)))
    assert list(tmp_path.iterdir()) == []


def adjusted(config: Config, **options: object) -> Config:
    return specs.adjust(config, Request(**options))  # type: ignore[arg-type]


def test_the_command_line_has_its_way(tmp_path: Path) -> None:
    config = adjusted(TWO, injection="native", mover_path=tmp_path / "mover")
    assert {pool.injection for pool in config.pools} == {Injection.NATIVE}
    assert config.mover_path == tmp_path / "mover"
    assert [pool.name for pool in config.pools] == ["fast", "rest"]


def test_a_mover_that_hooks_cannot_run_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "mover"
    config = dataclasses.replace(TWO, mover_path=path)
    assert "no mover that can be executed" in specs.mover_problem(config)
    path.write_text("")
    path.chmod(0o644)
    assert specs.mover_problem(config)
    path.chmod(0o755)
    assert not specs.mover_problem(config)
    native = adjusted(config, injection="native", mover_path=tmp_path / "absent")
    assert not specs.mover_problem(native)
