"""What is in the sdist and the wheels, and that the mover in them needs nothing of a host."""

from __future__ import annotations

import email.message
import email.parser
import pathlib
import tarfile
import tomllib
import zipfile

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

import netdevice_plugin
from tests.packaging import elf
from tests.packaging.conftest import MOVER, ROOT

BASE = {"click", "grpcio", "prometheus-client", "protobuf", "pyyaml", "rich", "watchdog"}
LIMIT = 100 * 1024  # bytes of the mover, from the issue


def metadata(wheel: pathlib.Path, name: str = "METADATA") -> email.message.Message:
    """One of the files of dist-info."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (info for info in archive.namelist() if info.endswith(f".dist-info/{name}"))
        return email.parser.Parser().parsestr(archive.read(path).decode())


def test_the_sdist_has_what_a_build_and_the_tests_need(sdist: pathlib.Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = (ROOT / "netdevice_plugin" / "mover" / "src").glob("*.[ch]")
    wanted = {str(path.relative_to(ROOT)) for path in sources}
    wanted |= {"hack/build_mover.py", "LICENSE", "Makefile", "pyproject.toml", "setup.cfg"}
    wanted |= {"tests/conftest.py", "tests/kernel/scratch.py", "docs/reference/mover.md"}
    assert wanted <= names
    assert MOVER not in names


def test_the_wheel_has_the_two_packages_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"cdi", "netdevice_plugin"}
    others = {name for name in names if not name.endswith((".py", ".pyi", "/py.typed", ".json"))}
    assert others == {MOVER}
    assert {"cdi/py.typed", "netdevice_plugin/py.typed", "netdevice_plugin/model.py"} <= set(names)


def test_the_mover_in_the_wheel_is_executable(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        mode = archive.getinfo(MOVER).external_attr >> 16
    assert mode & 0o777 == 0o755


def test_the_tag_fits_any_c_library_and_one_machine(wheel: pathlib.Path) -> None:
    *_, tags = parse_wheel_filename(wheel.name)
    families = sorted(tag.platform.split("_")[0] for tag in tags)
    assert families == ["manylinux", "musllinux"]
    assert sorted(metadata(wheel, "WHEEL").get_all("Tag", [])) == sorted(map(str, tags))


def test_the_mover_is_for_the_machine_of_the_tag(
    wheel: pathlib.Path, shipped: pathlib.Path
) -> None:
    program = elf.read(shipped)
    *_, tags = parse_wheel_filename(wheel.name)
    assert all(tag.platform.endswith(f"_{program.machine}") for tag in tags)


def test_the_mover_is_static_small_and_hardened(shipped: pathlib.Path) -> None:
    program = elf.read(shipped)
    assert shipped.stat().st_size < LIMIT
    assert program.segment(elf.PT_INTERP) is None
    assert program.needed == 0
    assert program.position_independent
    assert program.segment(elf.PT_GNU_RELRO)
    stack = program.segment(elf.PT_GNU_STACK)
    assert stack
    assert not stack.flags & elf.PF_X


def test_the_shipped_mover_has_no_test_steps(shipped: pathlib.Path) -> None:
    content = shipped.read_bytes()
    assert b"netdevice-mover " + netdevice_plugin.__version__.encode() in content
    assert b"NDM_STEP" not in content


def test_the_base_install_is_what_the_command_and_the_agent_need(wheel: pathlib.Path) -> None:
    fields = metadata(wheel)
    requirements = [Requirement(text) for text in fields.get_all("Requires-Dist", [])]
    assert {r.name for r in requirements if r.marker is None} == BASE
    assert fields["Name"] == "netdevice-plugin"
    assert fields["Version"] == netdevice_plugin.__version__
    assert fields["License-Expression"] == "Apache-2.0"


def test_the_compiler_is_pinned() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(content) == {"build-system"}
    pinned = [Requirement(text) for text in content["build-system"]["requires"]]
    assert [str(r.specifier)[:2] for r in pinned if r.name == "ziglang"] == ["=="]
