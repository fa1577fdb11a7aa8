"""With NDP_REQUIRE_ALL=1 a run in which something was skipped fails."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SKIPS = {
    "in the test": "import pytest\ndef test_it(): pytest.skip('no podman')",
    "marker": "import pytest\n@pytest.mark.skip(reason='no podman')\ndef test_it(): pass",
    "module": "import pytest\npytest.skip('no podman', allow_module_level=True)",
    "missing import": "import pytest\npytest.importorskip('no_such_module', reason='no podman')",
}


def outcome(directory: pathlib.Path, body: str, *, required: bool) -> tuple[int, str]:
    """Exit code and output of a run of one test file, with the hooks of tests/conftest.py."""
    (directory / "test_sample.py").write_text(body)
    environment = {**os.environ, "NDP_REQUIRE_ALL": "1" if required else "0", "NDP_FAILED": ""}
    command = (sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "tests.conftest")
    result = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--rootdir={directory}", str(directory)],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.mark.parametrize("body", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_fails_where_everything_is_required(tmp_path: pathlib.Path, body: str) -> None:
    code, said = outcome(tmp_path, body, required=True)
    assert code in {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
    assert "no podman" in said


@pytest.mark.parametrize("body", SKIPS.values(), ids=SKIPS.keys())
def test_a_skip_is_a_skip_elsewhere(tmp_path: pathlib.Path, body: str) -> None:
    code, said = outcome(tmp_path, body, required=False)
    assert "1 skipped" in said
    assert code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}


def test_what_the_kernel_lacks_is_excused(tmp_path: pathlib.Path) -> None:
    body = "import pytest\ndef test_it(): pytest.skip('kernel: no vrf')"
    code, said = outcome(tmp_path, body, required=True)
    assert code == pytest.ExitCode.OK
    assert "1 skipped" in said


def test_an_expected_failure_is_no_skip(tmp_path: pathlib.Path) -> None:
    body = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False"
    code, said = outcome(tmp_path, body, required=True)
    assert code == pytest.ExitCode.OK
    assert "1 xfailed" in said
