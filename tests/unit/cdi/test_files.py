"""Spec files on a real file system."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import re
import stat
import threading
from collections.abc import Iterator

import pytest

import cdi
from cdi import files, syntax
from tests.unit.cdi import specs


@pytest.fixture(autouse=True)
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: pathlib.Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "vendor.com-net.json"),
        ({"format": "yaml"}, "vendor.com-net.yaml"),
        ({"transient_id": "3f/a1"}, "vendor.com-net_3f_a1.json"),
        ({"name": ".mine.yaml"}, ".mine.yaml"),
    ],
)
def test_a_file_is_named_after_its_kind(
    options: dict[str, str], name: str, tmp_path: pathlib.Path
) -> None:
    assert cdi.write(specs.hook_spec(), tmp_path, **options)  # type: ignore[arg-type]
    assert names(tmp_path) == [name]
    assert cdi.load(tmp_path / name) == specs.hook_spec()


@pytest.mark.parametrize(
    "options",
    [
        *({"name": "a.txt"}, {"name": "json"}, {"name": "../a.json"}, {"name": "a\0.json"}),
        *({"name": "a.json.tmp"}, {"name": "x" * 251 + ".json"}, {"transient_id": "x" * 250}),
        {"name": "a.json", "transient_id": "b"},
        {"name": "a.yaml", "format": "json"},
    ],
)
def test_a_name_that_runtimes_would_not_load_is_refused(
    options: dict[str, str], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(cdi.InvalidNameError):
        cdi.write(specs.hook_spec(), tmp_path / "new", **options)  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_the_directory_is_made_and_both_are_readable_whatever_the_umask(
    tmp_path: pathlib.Path,
) -> None:
    directory = tmp_path / "run" / "cdi"
    cdi.write(specs.hook_spec(), directory)
    assert mode(directory) == 0o755
    assert mode(directory / "vendor.com-net.json") == 0o644


def test_the_same_bytes_are_not_written_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vendor.com-net.json"
    assert cdi.write(specs.hook_spec(), tmp_path)
    before = path.stat()
    assert not cdi.write(specs.hook_spec(), tmp_path)
    assert path.stat().st_ino == before.st_ino
    assert cdi.write(specs.hook_spec("vendor.com/net", "eth2"), tmp_path)
    assert path.stat().st_ino != before.st_ino


def test_another_mode_is_put_right(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vendor.com-net.json"
    cdi.write(specs.hook_spec(), tmp_path)
    path.chmod(0o600)
    assert cdi.write(specs.hook_spec(), tmp_path)
    assert mode(path) == 0o644


def test_a_link_is_replaced_and_what_it_points_to_is_not(tmp_path: pathlib.Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "vendor.com-net.json"
    path.symlink_to(victim)
    assert cdi.write(specs.hook_spec(), tmp_path)
    assert not path.is_symlink()
    assert victim.read_text() == "precious"


def test_a_spec_that_is_wrong_touches_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(cdi.SpecError, match="one letter only") as caught:
        cdi.write(specs.hook_spec("vendor.com/n"), tmp_path / "new", name="a.json")
    assert caught.value.problems[0].source == str(tmp_path / "new" / "a.json")
    assert names(tmp_path) == []


def test_a_write_that_fails_leaves_no_temporary_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vendor.com-net.json").mkdir()
    with pytest.raises(cdi.StoreError, match=r"cannot write .*vendor.com-net.json: Is a directory"):
        cdi.write(specs.hook_spec(), tmp_path)
    assert names(tmp_path) == ["vendor.com-net.json"]


def test_a_directory_that_is_a_file_is_our_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cdi").write_text("")
    with pytest.raises(cdi.StoreError, match=r"cannot write .*: Not a directory"):
        cdi.write(specs.hook_spec(), tmp_path / "cdi")
    with pytest.raises(cdi.StoreError, match=r"cannot write .*: File exists"):
        cdi.write(specs.hook_spec(), tmp_path / "cdi" / "below")


def test_what_a_crashed_writer_left_is_swept_and_what_a_live_one_has_is_not(
    tmp_path: pathlib.Path,
) -> None:
    dead, live = (tmp_path / f".cdi-{digit * 16}.tmp" for digit in "01")
    others = [tmp_path / ".cdi-zz.tmp", tmp_path / "notes.tmp"]
    for path in (dead, live, *others):
        path.write_text("half")
    (tmp_path / f".cdi-{'2' * 16}.tmp").symlink_to(others[1])
    with live.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        cdi.write(specs.hook_spec(), tmp_path)
    assert not dead.exists()
    assert all(path.exists() for path in (live, *others))


def test_two_writers_at_once_never_show_half_a_file(tmp_path: pathlib.Path) -> None:
    """Each writes its own content over and over, while a reader looks."""
    versions = [specs.hook_spec("vendor.com/net", *(f"d{i}" for i in range(n))) for n in (5, 300)]
    allowed = {cdi.dumps(spec) for spec in versions}
    cdi.write(versions[0], tmp_path)
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_writing(spec: cdi.Spec) -> None:
        try:
            while not stop.is_set():
                cdi.write(spec, tmp_path)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=keep_writing, args=(spec,)) for spec in versions]
    for writer in writers:
        writer.start()
    seen = {files.read_bytes(tmp_path / "vendor.com-net.json") for _ in range(500)}
    registries = [cdi.Registry.load([tmp_path]) for _ in range(20)]
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    assert seen <= allowed
    assert all(not registry.problems for registry in registries)
    assert {len(registry.devices) for registry in registries} <= {5, 300}
    assert names(tmp_path) == ["vendor.com-net.json"]


def test_the_temporary_file_is_in_the_same_directory_under_a_name_that_no_runtime_loads(
    tmp_path: pathlib.Path,
) -> None:
    with files._temporary(tmp_path) as (path, _):
        assert names(tmp_path) == [path.name]
        assert re.fullmatch(r"\.cdi-[0-9a-f]{16}\.tmp", path.name)
        assert cdi.Registry.load([tmp_path]) == cdi.Registry(directories=(tmp_path,))
        path.unlink()


def test_a_temporary_file_that_is_swept_before_it_is_locked_is_made_anew(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one moment when another writer can take it for a dead one's."""
    made: list[pathlib.Path] = []
    create = files._create

    def create_and_lose(directory: pathlib.Path) -> tuple[pathlib.Path, int]:
        path, descriptor = create(directory)
        made.append(path)
        if len(made) < 3:
            path.unlink()
        return path, descriptor

    monkeypatch.setattr(files, "_create", create_and_lose)
    assert cdi.write(specs.hook_spec(), tmp_path)
    assert len(made) == 3
    assert names(tmp_path) == ["vendor.com-net.json"]


def test_removing_says_whether_there_was_something(tmp_path: pathlib.Path) -> None:
    cdi.write(specs.hook_spec(), tmp_path)
    assert cdi.remove(tmp_path, "vendor.com-net.json")
    assert not cdi.remove(tmp_path, "vendor.com-net.json")
    assert not cdi.remove(tmp_path / "missing", "vendor.com-net.json")


def test_removing_what_cannot_be_is_our_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(cdi.StoreError, match=r"cannot remove .*a.json"):
        cdi.remove(tmp_path, "a.json")
    with pytest.raises(cdi.InvalidNameError):
        cdi.remove(tmp_path, "../a.json")


@pytest.mark.parametrize("format", specs.FORMATS)
def test_a_file_without_an_extension_is_read_by_its_content(
    format: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "spec"
    path.write_bytes(cdi.dumps(specs.EVERYTHING, format))  # type: ignore[arg-type]
    assert cdi.load(path) == specs.EVERYTHING


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "directory.json").mkdir()
    for name in ("fifo", "zero", "directory"):
        with pytest.raises(cdi.SpecError, match=r"cannot be read: (it|Is) "):
            cdi.load(tmp_path / f"{name}.json")
    with pytest.raises(cdi.SpecError, match=r"missing.json: cannot be read: No such file"):
        cdi.load(tmp_path / "missing.json")


def test_a_file_that_is_too_large_is_refused_without_reading_on(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(cdi.SpecError, match="larger than 8 MiB"):
        cdi.load(path)
    assert len(files.read_bytes(path)) == syntax.MAX_BYTES + 1


def test_a_pool_of_4000_devices_fits(tmp_path: pathlib.Path) -> None:
    arguments = ("netdevice-mover", "attach", "--device", "x" * 31, "--link-mac", "x" * 17) * 2
    hooks = tuple(
        cdi.Hook(hook_name=name, path="/opt/mover", args=arguments)
        for name in ("createRuntime", "poststop")
    )
    devices = tuple(
        cdi.Device(name=f"d{number}", edits=cdi.ContainerEdits(hooks=hooks))
        for number in range(4000)
    )
    cdi.write(cdi.Spec(kind="vendor.com/net", devices=devices), tmp_path)
    assert len(cdi.load(tmp_path / "vendor.com-net.json").devices) == 4000


def test_json_on_disk_is_for_people_too(tmp_path: pathlib.Path) -> None:
    cdi.write(specs.hook_spec(), tmp_path)
    text = (tmp_path / "vendor.com-net.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2) + "\n"
