"""The registry over real directories: who wins, who loses, who harms nobody."""

from __future__ import annotations

import os
import pathlib

import pytest

import cdi
from tests.unit.cdi import specs

KIND = "vendor.com/net"


@pytest.fixture
def low(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "low"
    path.mkdir()
    return path


@pytest.fixture
def high(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "high"
    path.mkdir()
    return path


def put(directory: pathlib.Path, name: str, *devices: str, env: str = "") -> pathlib.Path:
    spec = specs.hook_spec(KIND, *devices)
    if env:
        edits = cdi.ContainerEdits(env=(env,))
        spec = cdi.Spec(kind=KIND, devices=spec.devices, edits=edits)
    cdi.write(spec, directory, name=name)
    return directory / name


def sources(registry: cdi.Registry) -> list[str]:
    return [pathlib.Path(problem.source).name for problem in registry.problems]


def test_the_later_directory_wins(low: pathlib.Path, high: pathlib.Path) -> None:
    put(low, "a.json", "eth1", "eth2")
    winner = put(high, "b.json", "eth1")
    registry = cdi.Registry.load([low, high])
    assert list(registry.devices) == [f"{KIND}=eth1", f"{KIND}=eth2"]
    assert registry.devices[f"{KIND}=eth1"].file.path == winner
    assert registry.devices[f"{KIND}=eth1"].file.priority == 1
    assert registry.problems == ()
    backwards = cdi.Registry.load([high, low])
    assert backwards.devices[f"{KIND}=eth1"].file.path == low / "a.json"


def test_two_files_of_one_directory_lose_the_device_that_both_define(low: pathlib.Path) -> None:
    one, other = put(low, "a.json", "eth1", "eth2"), put(low, "b.yaml", "eth1", "eth3")
    registry = cdi.Registry.load([low])
    assert list(registry.devices) == [f"{KIND}=eth2", f"{KIND}=eth3"]
    assert registry.conflicts == {f"{KIND}=eth1": (one, other)}
    assert [str(problem) for problem in registry.problems] == [
        f"{one}: device {KIND}=eth1 is also defined by {other}",
        f"{other}: device {KIND}=eth1 is also defined by {one}",
    ]
    with pytest.raises(cdi.UnresolvedError, match=f"defined by {one} and {other}"):
        registry.resolve([f"{KIND}=eth1"])


@pytest.mark.parametrize("conflict_in_low", [True, False], ids=["low", "high"])
def test_a_conflict_loses_the_device_even_if_another_directory_has_it(
    low: pathlib.Path, high: pathlib.Path, conflict_in_low: bool
) -> None:
    twice, once = (low, high) if conflict_in_low else (high, low)
    put(twice, "a.json", "eth1")
    put(twice, "b.json", "eth1")
    put(once, "c.json", "eth1")
    registry = cdi.Registry.load([low, high])
    assert registry.devices == {}
    assert sources(registry) == ["a.json", "b.json"]


def test_a_file_that_is_wrong_harms_no_other(low: pathlib.Path) -> None:
    good = put(low, "good.json", "eth1")
    half = good.read_bytes()[:100]
    (low / "half.json").write_bytes(half)
    (low / "letter.json").write_bytes(good.read_bytes().replace(KIND.encode(), b"v/c"))
    (low / "dangling.json").symlink_to("nowhere")
    os.mkfifo(low / "fifo.json")
    registry = cdi.Registry.load([low])
    assert list(registry.devices) == [f"{KIND}=eth1"]
    assert sources(registry) == ["dangling.json", "fifo.json", "half.json", "letter.json"]


def test_files_that_runtimes_do_not_load_are_passed_over(low: pathlib.Path) -> None:
    good = put(low, "good.json", "eth1").read_bytes()
    for name in ("a.yml", "a.json.tmp", ".cdi-0123456789abcdef.tmp", "json", "a.JSON", "README"):
        (low / name).write_bytes(good)
    put(low / "directory.json", "inner.json", "eth2")
    put(low / "directory", "inner.json", "eth2")
    registry = cdi.Registry.load([low])
    assert [file.path.name for file in registry.files] == ["good.json"]
    assert registry.problems == ()


def test_dot_files_and_links_are_loaded_as_runtimes_load_them(
    low: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    put(low, ".hidden.json", "eth1")
    (low / "link.yaml").symlink_to(put(tmp_path / "elsewhere", "a.yaml", "eth2"))
    assert list(cdi.Registry.load([low]).devices) == [f"{KIND}=eth1", f"{KIND}=eth2"]


def test_a_file_name_that_is_no_text_shows_as_escapes(low: pathlib.Path) -> None:
    pathlib.Path(os.fsdecode(os.fsencode(low) + b"/\xff\n.json")).write_text("{")
    (problem,) = cdi.Registry.load([low]).problems
    assert r"\udcff\n.json" in str(problem)
    assert str(problem).isprintable()


def test_a_directory_may_be_missing_but_not_be_a_file(
    low: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = put(low, "a.json", "eth1")
    registry = cdi.Registry.load([tmp_path / "missing", file, low])
    assert list(registry.devices) == [f"{KIND}=eth1"]
    assert [str(problem) for problem in registry.problems] == [
        f"{file}: cannot be read: Not a directory"
    ]


def test_registries_are_equal_when_the_directories_held_the_same(low: pathlib.Path) -> None:
    put(low, "a.json", "eth1")
    first = cdi.Registry.load([low])
    assert cdi.Registry.load([low]) == first
    put(low, "a.json", "eth1", "eth2")
    assert cdi.Registry.load([low]) != first


def test_edits_of_a_file_come_once_before_those_of_its_first_device(low: pathlib.Path) -> None:
    put(low, "a.json", "eth1", "eth2", env="A=1")
    put(low, "b.json", "eth3", env="B=1")
    wanted = [f"{KIND}={name}" for name in ("eth3", "eth2", "eth1", "eth2")]
    edits = cdi.Registry.load([low]).resolve(wanted)
    assert edits.env == ("B=1", "A=1")
    assert [hook.args[1] for hook in edits.hooks] == ["eth3", "eth2", "eth1"]


def test_nothing_is_resolved_unless_all_is_and_every_device_missing_is_named(
    low: pathlib.Path,
) -> None:
    put(low, "a.json", "eth1")
    (low / "broken.json").write_text("{")
    wanted = [f"{KIND}=eth1", f"{KIND}=eth9", "other.com/net=a", "eth1"]
    with pytest.raises(cdi.UnresolvedError) as caught:
        cdi.Registry.load([low]).resolve(wanted)
    assert caught.value.reasons == {
        f"{KIND}=eth9": f"no such device of {KIND}",
        "other.com/net=a": "no file defines other.com/net",
        "eth1": "not a name like vendor/class=device",
    }
    assert caught.value.hint == f"these could not be used: {low / 'broken.json'}"


def test_asking_for_nothing_changes_nothing(low: pathlib.Path) -> None:
    assert cdi.Registry.load([low]).resolve([]) == cdi.ContainerEdits()
