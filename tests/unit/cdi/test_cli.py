"""The commands, run as somebody runs them."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner, Result

import cdi
from cdi.cli import main
from tests.unit.cdi import specs

NET = "vendor.com/net"


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "cdi"
    cdi.write(specs.hook_spec(NET, "eth1", "longer-name"), path)
    return path


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def spoil(directory: pathlib.Path) -> pathlib.Path:
    path = directory / "broken.json"
    path.write_text('{"kind": "v/c", "devices": []}')
    return path


def test_list_prints_an_aligned_table(directory: pathlib.Path) -> None:
    result = run("list", "--spec-dir", directory)
    path = directory / "vendor.com-net.json"
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "DEVICE                      FILE",
        f"vendor.com/net=eth1         {path}",
        f"vendor.com/net=longer-name  {path}",
    ]


def test_a_wide_list_says_what_devices_do_too(directory: pathlib.Path) -> None:
    cdi.write(specs.EVERYTHING, directory)
    lines = run("list", "--spec-dir", directory, "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["DEVICE", "VERSION", "EDITS", "FILE"]
    assert lines[3].startswith("vendor.com/net=eth1                1.1.0"[:27])
    assert "hooks=1" in lines[-1]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_list_for_scripts_has_everything(directory: pathlib.Path, output: str) -> None:
    spoil(directory)
    result = run("list", "--spec-dir", directory, "-o", output)
    found = json.loads(result.stdout) if output == "json" else yaml.safe_load(result.stdout)
    assert [entry["name"] for entry in found] == [f"{NET}=eth1", f"{NET}=longer-name"]
    assert found[0] == {
        "name": f"{NET}=eth1",
        "kind": NET,
        "device": "eth1",
        "file": str(directory / "vendor.com-net.json"),
        "cdiVersion": "0.3.0",
        "annotations": {},
        "containerEdits": cdi.encode(specs.hook_spec())["devices"][0]["containerEdits"],  # type: ignore[index,call-overload]
    }


def test_list_warns_of_files_that_are_wrong_and_goes_on(directory: pathlib.Path) -> None:
    path = spoil(directory)
    result = run("list", "--spec-dir", directory)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert f"warning: {path}: cdiVersion: is missing" in result.stderr.splitlines()


def test_a_list_of_nothing_says_where_it_looked(tmp_path: pathlib.Path) -> None:
    result = run("list", "--spec-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no CDI devices in {tmp_path}\n"
    assert run("list", "--spec-dir", tmp_path, "-o", "json").stdout == "[]\n"


def test_of_several_directories_the_later_wins(
    directory: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    cdi.write(specs.hook_spec(NET, "eth1"), tmp_path / "later")
    result = run("list", "--spec-dir", directory, "--spec-dir", tmp_path / "later")
    assert str(tmp_path / "later") in result.stdout.splitlines()[1]
    assert str(directory) in result.stdout.splitlines()[2]


def test_a_directory_that_is_missing_is_a_usage_error(tmp_path: pathlib.Path) -> None:
    result = run("list", "--spec-dir", tmp_path / "missing")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_validate_counts_what_is_valid(directory: pathlib.Path) -> None:
    result = run("validate", "--spec-dir", directory)
    assert (result.exit_code, result.stdout) == (0, "1 CDI file valid\n")
    path = directory / "vendor.com-net.json"
    result = run("validate", path, path, "-", stdin=cdi.dumps(specs.EVERYTHING, "yaml"))
    assert (result.exit_code, result.stdout) == (0, "3 CDI files valid\n")


def test_validate_shows_every_problem_of_every_file(directory: pathlib.Path) -> None:
    path = spoil(directory)
    missing = directory / "missing.json"
    result = run("validate", path, directory / "vendor.com-net.json", missing, "-", stdin=b"{")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: 5 problems:",
        f"  {path}: cdiVersion: is missing",
        f"  {path}: kind: vendor 'v' has one letter only, which crashes runtimes"
        " with a CDI library up to 1.1.0",
        f"  {path}: devices: is empty: a Spec has at least one device",
        f"  {missing}: cannot be read: No such file or directory",
        "  <stdin>: line 1, column 2: is not JSON:"
        " Expecting property name enclosed in double quotes",
    ]


def test_validate_finds_conflicts_between_the_files_of_a_directory(
    directory: pathlib.Path,
) -> None:
    cdi.write(specs.hook_spec(NET, "eth1"), directory, name="other.yaml")
    result = run("validate", "--spec-dir", directory)
    assert result.exit_code == 1
    assert result.stderr.count(f"device {NET}=eth1 is also defined by") == 2


def test_validate_takes_files_or_directories(directory: pathlib.Path) -> None:
    result = run("validate", "--spec-dir", directory, directory / "vendor.com-net.json")
    assert result.exit_code == 2


CONFIG = {"ociVersion": "1.0.2", "hooks": {"poststop": [{"path": "/x"}]}}
INJECTED = CONFIG | {
    "hooks": {
        "poststop": [{"path": "/x"}],
        "createRuntime": [{"path": "/opt/mover", "args": ["mover", "eth1"]}],
    }
}


def test_inject_prints_the_configuration_with_the_devices(directory: pathlib.Path) -> None:
    arguments = ("inject", "-", f"{NET}=eth1", "--spec-dir", directory)
    result = run(*arguments, stdin=json.dumps(CONFIG).encode())
    assert result.exit_code == 0
    assert json.loads(result.stdout) == INJECTED


def test_inject_in_place_keeps_mode_owner_and_link(
    directory: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    real, link = tmp_path / "real.json", tmp_path / "config.json"
    real.write_text(json.dumps(CONFIG))
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1234, 5678)
    before = real.stat()
    link.symlink_to("real.json")
    result = run("inject", "--in-place", link, f"{NET}=eth1", "--spec-dir", directory)
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(real.read_text()) == INJECTED
    after = real.stat()
    assert link.is_symlink()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cdi", "config.json", "real.json"]


def test_inject_gives_all_devices_or_none(directory: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    devices = [f"{NET}=eth1", f"{NET}=eth8", "other.com/net=x"]
    result = run("inject", "--in-place", config, *devices, "--spec-dir", directory)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"error: cannot resolve CDI devices {NET}=eth8 (no such device of {NET}),"
        " other.com/net=x (no file defines other.com/net)",
        f"hint: looked in {directory}",
    ]
    assert json.loads(config.read_text()) == CONFIG


DEEP = b'{"a":' * 950 + b"1" + b"}" * 950


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"", "line 1, column 1: is not JSON"),
        (b"[]", "<stdin>: must be an object"),
        (b"{" * 5000, "<stdin>: line 1, column 2: is not JSON"),
        (b"[" * 100_000, "<stdin>: is nested too deeply"),
        (DEEP, "<stdin>: is nested too deeply"),
        (b'{"a": 1e999}', "a number that JSON does not have"),
        (b'{"hooks": 5}', "<stdin>: hooks: must be an object"),
        (b'{"a": "\xff"}', "<stdin>: is not UTF-8 text"),
        (b"\0" * 10, "<stdin>: line 1, column 1: is not JSON"),
        (b" " * 10_000_000, "<stdin>: is larger than 8 MiB"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:12]),
)
def test_a_bad_configuration_is_one_line_and_exit_code_2(
    config: bytes, message: str, directory: pathlib.Path
) -> None:
    result = run("inject", "-", f"{NET}=eth1", "--spec-dir", directory, stdin=config)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: <stdin>: ")
    assert message in line


def test_a_configuration_that_is_missing_is_exit_code_2(directory: pathlib.Path) -> None:
    result = run("inject", directory / "none", f"{NET}=eth1", "--spec-dir", directory)
    assert result.exit_code == 2
    assert result.stderr.endswith("none: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments",
    [("inject", "-"), ("inject", "-", "eth1"), ("inject", "--in-place", "-", f"{NET}=eth1")],
    ids=["no device", "no qualified name", "standard input in place"],
)
def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_device_is_completed_from_the_directories(directory: pathlib.Path) -> None:
    words = f"cdi inject --spec-dir {directory} config.json {NET}=l"
    environment = {
        "PATH": os.environ["PATH"],
        "_CDI_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": "5",
    }
    command = [sys.executable, "-m", "cdi"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == f"plain,{NET}=longer-name\n"


def test_the_library_runs_as_a_program_of_its_own() -> None:
    command = [sys.executable, "-m", "cdi", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "CDI up to 1.1.0\n"
