"""`make demo` is what a newcomer sees first: it works, twice in a row, and leaves nothing."""

from __future__ import annotations

import os
import pathlib
import subprocess

from tests.e2e.fetch import ROOT
from tests.e2e.node import CGROUPS

DEMO = ROOT / "hack" / "demo.sh"


def test_the_demo_shows_the_link_before_inside_and_after() -> None:
    before = machine()
    result = subprocess.run([DEMO], text=True, capture_output=True, check=False, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("inet 192.168.8.8/32") == 3
    assert result.stdout.count("inet6 2001:db8:8::8/64") == 3
    assert 'Device "demo0" does not exist.' in result.stdout
    assert "ok: demo0 is as it was" in result.stdout
    assert "\x1b" not in result.stdout, "colours in a file"
    assert machine() == before


def test_the_demo_is_in_colour_on_a_terminal() -> None:
    terminal, slave = os.openpty()
    with subprocess.Popen([DEMO], stdin=slave, stdout=slave, stderr=slave) as demo:
        os.close(slave)
        said = read_all(terminal)
    assert demo.returncode == 0, said
    assert "\x1b[1;32mok:\x1b[0m demo0 is as it was" in said


def machine() -> dict[str, set[str]]:
    """What the demo might leave on this machine."""
    return {
        "links": {path.name for path in pathlib.Path("/sys/class/net").iterdir()},
        "cgroups": {path.name for path in CGROUPS.glob("**/*libpod*")},
        "mover": {str(path) for path in pathlib.Path("/opt").glob("netdevice-plugin/**")},
    }


def read_all(terminal: int) -> str:
    """What a terminal shows until its last user has closed it."""
    said = b""
    try:
        while chunk := os.read(terminal, 65536):
            said += chunk
    except OSError:  # EIO: nobody has it open any more
        pass
    finally:
        os.close(terminal)
    return said.decode()
