"""The systemd unit, as systemd reads it, and as the program and the documents need it."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest

from netdevice_plugin import config
from tests.manifests import ROOT
from tests.unit.test_docs import check

UNITS = ROOT / "deploy" / "systemd"
SERVICE = UNITS / "netdevice-plugin.service"
DROP_INS = [UNITS / "reclaim.conf", UNITS / "functions.conf"]
PROGRAM = "/opt/netdevice-plugin/bin/netdevice-plugin"
EXPOSED = 20  # tenths: 0 is shut in, 100 is everything; what systemd calls OK ends at 5.0


def settings(path: pathlib.Path) -> dict[str, list[str]]:
    """All values of each key; an empty value makes systemd forget those before."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def analyze(*argv: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which asks no running systemd for this."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze: install systemd")
    command = [tool, *map(str, argv)]
    return subprocess.run(command, text=True, capture_output=True, check=False)


def installed(tmp_path: pathlib.Path, *drop_ins: pathlib.Path, text: str = "") -> pathlib.Path:
    """The unit where it finds its program, with drop-ins or without."""
    unit = tmp_path / SERVICE.name
    unit.write_text((text or SERVICE.read_text()).replace(PROGRAM, "/bin/true"))
    directory = tmp_path / f"{SERVICE.name}.d"
    directory.mkdir()
    for path in drop_ins:
        (directory / path.name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    return unit


@pytest.mark.parametrize("drop_ins", [[], *([one] for one in DROP_INS), DROP_INS])
def test_systemd_understands_every_line(
    tmp_path: pathlib.Path, drop_ins: list[pathlib.Path]
) -> None:
    result = analyze("verify", installed(tmp_path, *drop_ins))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_line_that_systemd_does_not_understand_is_found(tmp_path: pathlib.Path) -> None:
    text = SERVICE.read_text().replace("ProtectHome=yes", "ProtectHouse=yes")
    result = analyze("verify", installed(tmp_path, text=text))
    assert "ProtectHouse" in result.stderr


def test_the_service_is_shut_in(tmp_path: pathlib.Path) -> None:
    unit = installed(tmp_path)
    result = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSED}", unit)
    assert result.returncode == 0, result.stdout


def test_a_service_that_is_not_shut_in_is_found(tmp_path: pathlib.Path) -> None:
    text = SERVICE.read_text().replace("SystemCallFilter=@system-service", "")
    unit = installed(tmp_path, text=text)
    result = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSED}", unit)
    assert result.returncode == 1


@pytest.mark.parametrize("path", [SERVICE, DROP_INS[0]], ids=lambda path: path.name)
def test_what_it_starts_are_commands_of_ours(path: pathlib.Path) -> None:
    found = settings(path)
    lines = [line for key in ("ExecStartPre", "ExecStart") for line in found.get(key, []) if line]
    assert lines
    for line in lines:
        program, *words = line.removeprefix("+").split()
        assert program == PROGRAM
        check(words)


def test_what_containers_need_outlives_the_service() -> None:
    found = settings(SERVICE)
    assert found["RuntimeDirectoryPreserve"] == ["yes"]
    defaults = config.default(["eth1"])
    kept = {f"/run/{name}" for name in found["RuntimeDirectory"][0].split()}
    assert kept == {str(defaults.run_dir), str(defaults.cdi_dir).removeprefix("/var")}


def test_it_sees_what_it_watches() -> None:
    found = settings(SERVICE)
    assert {"AF_NETLINK", "AF_UNIX"} <= set(found["RestrictAddressFamilies"][0].split())
    # A network of its own has no links of the host, and a process that is hidden seems dead.
    assert not {"PrivateNetwork", "ProtectProc", "ProcSubset", "PrivateUsers"} & set(found)


@pytest.mark.parametrize("path", DROP_INS, ids=lambda path: path.name)
def test_a_drop_in_grants_what_the_component_does(path: pathlib.Path) -> None:
    component = ROOT / "deploy" / "components" / path.stem / "daemonset.yaml"
    wanted = re.findall(r"^ +- ([A-Z_]+) #", component.read_text(), re.MULTILINE)
    granted = settings(path)["CapabilityBoundingSet"][0].split()
    assert set(granted) == {f"CAP_{name}" for name in wanted}
