"""Compile the mover: the only native code, and the only reason for a wheel to name a machine.

setup.cfg names the two setuptools commands, so that `pip install .` needs no
compiler but the pinned ziglang wheel. By hand, from the top of the checkout:

    python -m hack.build_mover                 into the source tree, as an editable install does
    python -m hack.build_mover OUT             elsewhere; --target aarch64 for another machine
    python -m hack.build_mover --steps OUT     can be killed at every step (docs/reference/mover.md)
    python -m hack.build_mover --test OUT      the same, under ASan and UBSan, by cc
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import re
import struct
import subprocess
import sys
from collections.abc import Sequence

from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = pathlib.Path("netdevice_plugin/mover/src")  # relative: no path of the builder's gets in
BINARY = pathlib.Path("netdevice_plugin/mover/bin/netdevice-mover")
TARGETS = ("x86_64", "aarch64")

WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes")
COMMON = ("-std=gnu11", *WARNINGS)
# -Werror is safe here alone: this compiler is pinned. Static PIE costs 2 KB and some 5 us at start
# and makes a root process's addresses random. zig turns UBSan traps on unless told otherwise.
RELEASE = (
    *COMMON,
    *("-Werror", "-Os", "-static", "-pie", "-fPIE", "-s", "-fno-sanitize=undefined"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),  # 15 KB for C++ exceptions
    *("-Xclang", "-Oz", "-fomit-frame-pointer"),  # 5.6 KB; zig takes -Oz itself for -Os
    "-flto",  # 1 KB, and 7 KB on aarch64; all three make the start no slower
    *("-fstack-protector-strong", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"),
    *("-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack", "-Wl,--build-id=none"),
)
SANITIZED = (
    *COMMON,
    *("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined"),
    *("-fno-sanitize-recover=all", "-DNDM_STEPS"),
)


class BuildPy(build_py):
    """Build the mover beside the Python modules, or into the source tree when editable."""

    def run(self) -> None:
        """Copy the modules, then compile."""
        super().run()
        build(self._output())

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name the binary too, for who asks what was installed."""
        return [*super().get_outputs(include_bytecode), str(self._output())]

    def _output(self) -> pathlib.Path:
        return pathlib.Path("." if self.editable_mode else self.build_lib, BINARY)


class BdistWheel(bdist_wheel):
    """Tag the wheel with the mover's machine: any Python, any C library."""

    def finalize_options(self) -> None:
        """Install to platlib, as setuptools does by itself for extension modules alone."""
        self.distribution.has_ext_modules = lambda: True  # type: ignore[method-assign]
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        """The oldest tag of each family that registries and pip know.

        A static binary runs on any C library, so that the wheel fits Debian and
        Alpine alike; a plain linux_x86_64 would be refused by registries.
        """
        machine = default_target()
        return "py3", "none", f"manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def default_target() -> str:
    """NETDEVICE_MOVER_TARGET, or else this machine; refuses what we do not build for."""
    machine = os.environ.get("NETDEVICE_MOVER_TARGET") or platform.machine()
    if machine not in TARGETS:
        known = " or ".join(TARGETS)
        raise SystemExit(
            f"error: no mover for {machine}\nhint: set NETDEVICE_MOVER_TARGET to {known}"
        )
    return machine


def build(out: pathlib.Path, *, target: str = "", steps: bool = False) -> None:
    """Compile the shipped mover, or with `steps` one that is alike but can be killed at each.

    The same sources give the same bytes, wherever and whenever they are built.
    Downloads nothing; the first build for a target compiles musl too (half a
    minute), into build/zig unless ZIG_GLOBAL_CACHE_DIR says where.
    """
    triple = f"{target or default_target()}-linux-musl"
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", triple)
    _compile((*zig, *RELEASE, *(["-DNDM_STEPS"] if steps else [])), out)


def build_sanitized(out: pathlib.Path) -> None:
    """Compile the test build with the machine's own compiler (CC, or else cc)."""
    _compile((os.environ.get("CC", "cc"), *SANITIZED), out)


def _compile(command: Sequence[str], out: pathlib.Path) -> None:
    """Compile into a temporary file and rename it: the old binary may be running."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / SOURCES).glob("*.c"))
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    version = f'-DNDM_VERSION="{_version()}"'
    argv = (*command, version, *sources, "-o", str(partial))
    try:
        subprocess.run(argv, cwd=ROOT, env=_environment(), check=True)
        if "-s" in command:
            _drop_sections(partial)
        partial.replace(out)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"error: cannot compile {out.name}: see above") from error
    except FileNotFoundError as error:
        raise SystemExit(f"error: cannot run {argv[0]}\nhint: install gcc, or set CC") from error
    finally:
        partial.unlink(missing_ok=True)


def _drop_sections(path: pathlib.Path) -> None:
    """Cut off an ELF file's table of sections, and what only that leads to.

    1.2 KB for debuggers, which find nothing in a stripped binary; a program is
    loaded by its segments. The linker could do it, but zig does not let it.
    """
    data = bytearray(path.read_bytes())
    (segments,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    ends = (struct.unpack_from("<8xQ16xQ", data, segments + n * size) for n in range(count))
    del data[max(offset + length for offset, length in ends) :]
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HHH", data, 58, 0, 0, 0)
    path.write_bytes(data)


def _version() -> str:
    """The package's, read as setup.cfg's `attr:` does: importing it may need its dependencies."""
    text = (ROOT / "netdevice_plugin" / "__init__.py").read_text()
    match = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    assert match, "netdevice_plugin/__init__.py states no __version__"
    return match[1]


def _environment() -> dict[str, str]:
    """Keep zig's caches out of the home directory, unless the user has said where they go."""
    cache = str(ROOT / "build" / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **os.environ}


def main() -> None:
    """Build as the arguments say, and print where."""
    parser = argparse.ArgumentParser(prog="python -m hack.build_mover")
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=ROOT / BINARY)
    parser.add_argument("--target", choices=TARGETS, default="")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--steps", action="store_true", help="can be killed at every step")
    kind.add_argument("--test", action="store_true", help="the same, under ASan and UBSan")
    options = parser.parse_args()
    if (options.steps or options.test) and options.out == ROOT / BINARY:
        parser.error("a test build does not go where the shipped one belongs: name OUT")
    if options.test:
        build_sanitized(options.out)
    else:
        build(options.out, target=options.target, steps=options.steps)
    print(options.out)


if __name__ == "__main__":
    main()
