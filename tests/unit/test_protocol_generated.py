"""What is committed below _pb is what protos/ generates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = Path("netdevice_plugin/_pb")


def generated(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted((root / PACKAGE).rglob("*"))
        if path.suffix in (".py", ".pyi")
    }


def test_the_code_is_what_the_protos_generate(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([ROOT / "hack/gen-protos.sh", tmp_path], check=True, env=environment)
    again = generated(tmp_path)
    assert len(again) == 7 * 3 + 14
    assert again == generated(ROOT), "run hack/gen-protos.sh"


def test_nothing_else_is_beside_what_is_generated(tmp_path: Path) -> None:
    bystander = tmp_path / "netdevice_plugin/model.py"
    bystander.parent.mkdir()
    bystander.write_text("# stays\n")
    stale = tmp_path / PACKAGE / "stale.py"
    stale.parent.mkdir()
    stale.write_text("# goes\n")
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([ROOT / "hack/gen-protos.sh", tmp_path], check=True, env=environment)
    assert bystander.exists()
    assert not stale.exists()


@pytest.mark.parametrize("package", ["grpcio", "protobuf"])
def test_the_lower_bounds_are_those_of_the_generated_code(package: str) -> None:
    code = "".join(generated(ROOT).values())
    gencode = {
        "grpcio": set(re.findall(r"GRPC_GENERATED_VERSION = '([\d.]+)'", code)),
        "protobuf": set(re.findall(r"# Protobuf Python Version: ([\d.]+)", code)),
    }
    (needed,) = gencode[package]
    declared = (ROOT / "setup.cfg").read_text()
    (bound,) = re.findall(rf"^    {package}>=([\d.]+)", declared, re.MULTILINE)
    assert needed.removesuffix(".0") == bound
