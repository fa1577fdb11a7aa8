"""Records that are read again only where they changed."""

from __future__ import annotations

from pathlib import Path

from netdevice_plugin.records import Records

TEXT = "format=1\ndevice={0}\nphase=attached\nlink.name={0}\nlink.ifindex=7\n"


def write(run_dir: Path, device: str, text: str = TEXT) -> None:
    path = run_dir / "attachments" / device
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{device}.new")
    partial.write_text(text.format(device))
    partial.rename(path)


def devices(records: Records) -> list[str]:
    return [one.device for one in records.attachments]


def test_no_directory_is_nothing_lent(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert not records.read()
    assert not records.attachments
    assert not records.problems


def test_records_come_change_and_go(tmp_path: Path) -> None:
    records = Records(tmp_path)
    write(tmp_path, "eth0")
    write(tmp_path, "eth1")
    assert records.read()
    assert devices(records) == ["eth0", "eth1"]
    assert not records.read()
    write(tmp_path, "eth1", TEXT.replace("attached", "lost"))
    assert records.read()
    assert records.attachments[1].phase.value == "lost"
    (tmp_path / "attachments/eth0").unlink()
    assert records.read()
    assert devices(records) == ["eth1"]


def test_a_record_that_did_not_change_is_the_same_object(tmp_path: Path) -> None:
    records = Records(tmp_path)
    write(tmp_path, "eth0")
    records.read()
    (before,) = records.attachments
    write(tmp_path, "eth1")
    records.read()
    assert records.attachments[0] is before


def test_a_broken_record_is_a_problem_of_its_device_and_harms_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path)
    write(tmp_path, "eth0", "format=1\ndevice=eth0\npha")
    write(tmp_path, "eth1")
    assert records.read()
    assert devices(records) == ["eth1"]
    assert [problem.device for problem in records.problems] == ["eth0"]
    assert not records.read()
    write(tmp_path, "eth0")
    assert records.read()
    assert records.problems == ()


def test_a_directory_that_cannot_be_listed_takes_nothing_away(tmp_path: Path) -> None:
    records = Records(tmp_path)
    write(tmp_path, "eth0")
    records.read()
    (tmp_path / "attachments").rename(tmp_path / "aside")
    (tmp_path / "attachments").touch()
    assert records.read()
    assert devices(records) == ["eth0"]
    assert [problem.device for problem in records.problems] == [""]
    assert not records.read()
    (tmp_path / "attachments").unlink()
    assert records.read()
    assert not records.attachments
    assert not records.problems
