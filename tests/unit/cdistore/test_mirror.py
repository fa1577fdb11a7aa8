"""One call brings a real directory to what is wanted, and harms nothing else there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import cdi
from netdevice_plugin.cdifiles import Delivery
from netdevice_plugin.cdistore import on_disk
from netdevice_plugin.cdistore.mirror import Mirror, Outcome
from netdevice_plugin.cdistore.rendering import Content, Renderer
from netdevice_plugin.model import Device, Pool
from tests.unit.cdistore.devices import (
    CONFIG,
    FILE,
    OTHER,
    OTHER_FILE,
    POOL,
    TWIN,
    devices,
    names,
    no_file_larger_than,
)

KIND = POOL.kind


def content(pool: Pool, listed: Sequence[Device]) -> Content:
    return Renderer().render(pool, listed, Delivery.of(pool, CONFIG))


ETH1 = content(POOL, devices("eth1"))
BOTH = content(POOL, devices("eth1", "eth2"))
NONE = content(POOL, ())
FAST = content(OTHER, devices("eth9"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "cdi"


@pytest.fixture
def mirror(directory: Path) -> Mirror:
    return Mirror(directory)


def bring(mirror: Mirror, *contents: Content) -> Outcome:
    return mirror.bring(contents, CONFIG.prefix)


def clean(outcome: Outcome) -> bool:
    return not (outcome.failed or outcome.problems or outcome.repaired or outcome.removed)


def foreign(*device_names: str, kind: str = KIND) -> cdi.Spec:
    edits = cdi.ContainerEdits(env=("A=1",))
    return cdi.Spec(kind=kind, devices=tuple(cdi.Device(name=n, edits=edits) for n in device_names))


def test_each_pool_has_its_file_and_the_directory_is_made(mirror: Mirror, directory: Path) -> None:
    outcome = bring(mirror, BOTH, FAST, content(Pool(name="empty"), ()))
    assert clean(outcome)
    assert outcome.known == {
        KIND: {"eth1", "eth2"},
        OTHER.kind: {"eth9"},
        "networking.k8s.io/empty": frozenset(),
    }
    assert names(directory) == [OTHER_FILE, FILE]
    assert (directory / FILE).read_bytes() == BOTH.data
    assert stat.S_IMODE((directory / FILE).stat().st_mode) == 0o644


def test_no_device_makes_no_directory(mirror: Mirror, directory: Path) -> None:
    assert clean(bring(mirror, NONE))
    assert not directory.exists()


def test_what_is_there_already_is_not_written(mirror: Mirror, directory: Path) -> None:
    bring(mirror, ETH1)
    before = (directory / FILE).stat().st_ino
    for again in (mirror, Mirror(directory)):
        assert clean(bring(again, ETH1))
    assert (directory / FILE).stat().st_ino == before
    assert clean(bring(mirror, BOTH))
    assert (directory / FILE).stat().st_ino != before


def test_a_pool_whose_last_device_goes_loses_its_file(mirror: Mirror, directory: Path) -> None:
    bring(mirror, ETH1, FAST)
    outcome = bring(mirror, NONE, FAST)
    assert outcome.removed == [directory / FILE]
    assert outcome.known[KIND] == frozenset()
    assert names(directory) == [OTHER_FILE]


def test_an_earlier_agents_file_of_a_pool_without_devices_goes_and_anothers_stays(
    mirror: Mirror, directory: Path
) -> None:
    bring(Mirror(directory), ETH1)
    cdi.write(foreign("a", kind="vendor.com/other"), directory, name=OTHER_FILE)
    outcome = bring(mirror, NONE, content(OTHER, ()))
    assert outcome.removed == [directory / FILE]
    assert names(directory) == [OTHER_FILE]


@pytest.mark.parametrize("wanted", [ETH1, NONE], ids=["in use", "without device"])
def test_the_same_devices_in_yaml_would_be_defined_twice_and_go(
    mirror: Mirror, directory: Path, wanted: Content
) -> None:
    cdi.write(cdi.loads(ETH1.data), directory, format="yaml")
    outcome = bring(mirror, wanted)
    assert outcome.removed == [directory / TWIN]
    assert not outcome.problems
    assert outcome.known[KIND] == set(wanted.devices)


def test_our_file_of_a_pool_that_is_gone_goes(mirror: Mirror, directory: Path) -> None:
    bring(Mirror(directory), FAST)
    assert bring(mirror, ETH1).removed == [directory / OTHER_FILE]
    bring(mirror, ETH1, FAST)
    assert names(directory) == [OTHER_FILE, FILE]
    outcome = bring(mirror, ETH1)
    assert outcome.removed == [directory / OTHER_FILE]
    assert outcome.known == {KIND: {"eth1"}}


def test_a_file_of_ours_under_a_prefix_that_is_gone_goes(mirror: Mirror, directory: Path) -> None:
    before = content(dataclasses.replace(POOL, prefix="example.com"), devices("eth1"))
    mirror.bring([before], "example.com")
    assert bring(mirror, ETH1).removed == [directory / "example.com-netdevice.json"]


def test_what_others_put_there_stays_whatever_it_is(mirror: Mirror, directory: Path) -> None:
    directory.mkdir(parents=True)
    cdi.write(foreign("a", kind="vendor.com/other"), directory)
    cdi.write(foreign("a", kind=OTHER.kind), directory)  # our name, not our edits
    cdi.write(cdi.loads(FAST.data), directory, transient_id="claim")
    (directory / "broken.json").write_bytes(b"{" * 1000)
    (directory / "networking.k8s.io-gone.yaml").write_bytes(b"\0" * 1000)
    (directory / ".cdi-0123456789abcdef.tmp.json").write_text("{}")
    (directory / "dangling.json").symlink_to("nowhere")
    (directory / "directory.json").mkdir()
    os.mkfifo(directory / "fifo.json")
    before = names(directory)
    for contents in ([ETH1], [NONE], []):
        assert not mirror.bring(contents, CONFIG.prefix).problems
    assert names(directory) == before


def test_what_is_generated_by_hand_stays_until_the_pools_change(
    mirror: Mirror, directory: Path
) -> None:
    bring(mirror, ETH1)
    cdi.write(cdi.loads(FAST.data), directory)
    assert clean(bring(mirror, BOTH))
    assert names(directory) == [OTHER_FILE, FILE]
    assert bring(mirror, ETH1, content(Pool(name="new"), ())).removed == [directory / OTHER_FILE]


@pytest.mark.parametrize("name", ["claim.json", "a.yaml", ".hidden.json"])
def test_a_device_that_another_file_defines_too_is_lost(
    mirror: Mirror, directory: Path, name: str
) -> None:
    cdi.write(foreign("eth2", "x"), directory, name=name)
    outcome = bring(mirror, BOTH)
    assert outcome.known[KIND] == {"eth1"}
    assert outcome.problems == [
        f"{directory / name}: defines {KIND}=eth2 too, so that no runtime finds any of them;"
        " remove it from there"
    ]
    assert cdi.Registry.load([directory]).devices.keys() == {f"{KIND}=eth1", f"{KIND}=x"}
    cdi.write(foreign("x"), directory, name=name)
    assert bring(mirror, BOTH).known[KIND] == {"eth1", "eth2"}


def test_many_devices_that_another_file_defines_are_one_line(
    mirror: Mirror, directory: Path
) -> None:
    wanted = content(POOL, devices(*(f"eth{number}" for number in range(9))))
    cdi.write(foreign(*wanted.devices), directory, name="other.json")
    (problem,) = bring(mirror, wanted).problems
    assert "eth0, eth1, eth2 and 6 more too" in problem


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b" ")


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="removed"),
        pytest.param(lambda path: path.write_bytes(b""), id="truncated"),
        pytest.param(edit, id="edited"),
        pytest.param(lambda path: path.chmod(0o600), id="hidden"),
        pytest.param(make_fifo, id="a FIFO"),
        pytest.param(make_link, id="a link"),
        pytest.param(lambda path: shutil.rmtree(path.parent), id="all removed"),
    ],
)
def test_what_others_did_to_a_file_is_undone_and_told(
    mirror: Mirror, directory: Path, damage: Callable[[Path], object]
) -> None:
    bring(mirror, ETH1, FAST)
    damage(directory / FILE)
    outcome = bring(mirror, ETH1, FAST)
    assert directory / FILE in outcome.repaired
    assert outcome.known == {KIND: {"eth1"}, OTHER.kind: {"eth9"}}
    assert (directory / FILE).read_bytes() == ETH1.data
    assert clean(bring(mirror, ETH1, FAST))


def test_a_directory_in_place_of_a_file_is_told_and_the_other_files_are_written(
    mirror: Mirror, directory: Path
) -> None:
    (directory / FILE).mkdir(parents=True)
    outcome = bring(mirror, ETH1, FAST)
    assert outcome.failed
    assert outcome.problems == [
        f"cannot write {directory / FILE}: Is a directory; remove what is in its place"
    ]
    assert outcome.known == {KIND: frozenset(), OTHER.kind: {"eth9"}}
    assert names(directory) == [OTHER_FILE, FILE]
    (directory / FILE).rmdir()
    assert clean(bring(mirror, ETH1, FAST))


def test_a_file_in_place_of_the_directory_is_told(mirror: Mirror, directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("")
    outcome = bring(mirror, ETH1)
    assert outcome.failed
    assert f"cannot write {directory / FILE}: Not a directory" in outcome.problems[0]
    assert outcome.problems[0].endswith("; remove what is in its place")
    assert outcome.known[KIND] == frozenset()


def test_a_write_that_fails_leaves_the_old_file_and_its_devices(
    mirror: Mirror, directory: Path
) -> None:
    bring(mirror, BOTH)
    changed = content(POOL, (*devices("eth1", "eth3"), *devices("eth2", ifindex=99)))
    for agent in (mirror, Mirror(directory)):  # that wrote it, and one that finds it
        for _ in range(2):
            with no_file_larger_than(len(changed.data) // 2):
                outcome = bring(agent, changed)
            assert outcome.failed
            assert outcome.problems == [f"cannot write {directory / FILE}: File too large"]
            assert outcome.known[KIND] == {"eth1"}  # eth2 is another link by now
            assert (directory / FILE).read_bytes() == BOTH.data
            assert names(directory) == [FILE]
    assert clean(bring(mirror, changed))


def test_devices_of_a_file_with_edits_for_all_are_not_as_they_should_be(
    mirror: Mirror, directory: Path
) -> None:
    spec = dataclasses.replace(
        cdi.loads(ETH1.data), edits=cdi.ContainerEdits(env=("LD_PRELOAD=/x",))
    )
    cdi.write(spec, directory)
    with no_file_larger_than(100):
        assert bring(mirror, ETH1).known[KIND] == frozenset()


def test_what_an_earlier_agent_listed_is_read_from_its_files(directory: Path) -> None:
    assert on_disk(directory, [CONFIG.prefix]) == {}
    bring(Mirror(directory), BOTH, FAST)
    cdi.write(foreign("a", kind="networking.k8s.io/not-ours"), directory)
    cdi.write(cdi.loads(FAST.data), directory, transient_id="claim")
    (directory / "networking.k8s.io-cut.json").write_bytes(BOTH.data[:500])
    assert on_disk(directory, [CONFIG.prefix]) == {KIND: {"eth1", "eth2"}, OTHER.kind: {"eth9"}}
    assert on_disk(directory, ["example.com"]) == {}
    with pytest.raises(cdi.StoreError, match=r"cannot read .*: Not a directory"):
        on_disk(directory / FILE, [CONFIG.prefix])
