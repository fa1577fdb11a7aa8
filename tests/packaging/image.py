"""Building the image without a registry and without a network, and running it as its pod would.

The base is a Debian root unpacked from packages, with Python and nothing else; pip's wheels
are fetched beforehand, by this machine's own pip and whatever index that is set up with.
"""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import json
import pathlib
import platform
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from typing import Any

from tests import debian
from tests.e2e.node import Node
from tests.e2e.podman import LIMITS, Podman
from tests.manifests import ROOT, Object

NAME = "localhost/netdevice-plugin"
BASE = "localhost/debian-python"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names, and Debian's and Go's
MACHINE = platform.machine()
FOREIGN = next(machine for machine in ARCHITECTURES if machine != MACHINE)
HOME = "/usr/local/lib/netdevice-plugin"  # where the Dockerfile puts all that is ours

_CACHE = ROOT / ".cache" / "image"
_PYTHON = "3.13"  # of debian.RELEASE
_PACKAGES = (
    "base-files",  # first: its symbolic links are where the others' files go
    *("ca-certificates", "coreutils", "dash", "libstdc++6", "python3", "python3-venv"),
)
_INDEX = "[global]\nno-index = true\nfind-links = /wheels-of-test\n"


def base(machine: str, *more: str) -> pathlib.Path:
    """A root file system with Python for that machine, and with more packages."""
    architecture = ARCHITECTURES[machine]
    names = (*_PACKAGES, *more)

    def fill(work: pathlib.Path, made: pathlib.Path) -> None:
        packages = debian.Apt(work, architecture).download_all(*names)
        for package in sorted(packages, key=lambda path: not path.name.startswith(_PACKAGES[0])):
            debian.unpack(package, made)
        # What the packages' scripts would have done, as far as Python asks for it.
        certificates = sorted((made / "usr/share/ca-certificates").rglob("*.crt"))
        bundle = made / "etc/ssl/certs/ca-certificates.crt"
        bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
        (made / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        made.chmod(0o755)

    return debian.cached(_CACHE, ("base", names, architecture), fill)


def wheels() -> pathlib.Path:
    """All wheels that the build asks pip for, of both machines."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extra = setup["options.extras_require"]["dra"]  # the image can do all that there is
    runtime = [*setup["options"]["install_requires"].split(), *extra.split()]
    build: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"][
        "requires"
    ]
    constraints = ROOT / "hack" / "constraints.txt"

    def fill(_work: pathlib.Path, made: pathlib.Path) -> None:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(made))
        common = (*pip, "--only-binary=:all:", f"--constraint={constraints}")
        debian.run(*common, *build)
        for machine in ARCHITECTURES:
            tags = [f"manylinux{age}_{machine}" for age in ("_2_28", "_2_17", "2014")]
            platforms = [f"--platform={tag}" for tag in tags]
            debian.run(*common, f"--python-version={_PYTHON}", *platforms, *runtime)

    recipe = ("wheels", MACHINE, _PYTHON, runtime, build, constraints.read_text())
    return debian.cached(_CACHE, recipe, fill)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Builder(Podman):
    """podman in a node, whose images lie on a disk: a build takes a gigabyte for a moment."""

    home: pathlib.Path
    runtime: str = "crun"
    image: str = NAME

    def command(self, *args: str) -> tuple[str, ...]:
        """A podman command line."""
        kind = debian.run("stat", "--file-system", "--format=%T", str(self.home)).strip()
        driver = "vfs" if kind == "overlayfs" else "overlay"  # none goes on top of its like
        state = (f"--root={self.home}", "--runroot=/run/image", "--tmpdir=/run/image-tmp")
        drivers = (f"--storage-driver={driver}", "--cgroup-manager=cgroupfs")
        return ("podman", *state, *drivers, "--events-backend=none", "--runtime=crun", *args)

    def load_base(self, archive: pathlib.Path) -> None:
        """Make the base image."""
        with tarfile.open(archive, "w") as tar:
            tar.add(base(MACHINE), arcname=".")
        self("import", "--quiet", str(archive), BASE)
        archive.unlink()

    def build(self, context: pathlib.Path, *options: str, **arguments: str) -> str:
        """Build the Dockerfile of a checkout; returns all that was said.

        chroot isolation is what works without cgroups. Older versions than 4.4 do not
        know BUILDPLATFORM by themselves.
        """
        index = self.home / "pip.conf"
        index.write_text(_INDEX)
        arguments = {
            "BASE": BASE,
            "BUILDPLATFORM": f"linux/{ARCHITECTURES[MACHINE]}",
            **arguments,
        }
        command = self.command(
            *("build", "--isolation=chroot", "--layers=false", "--pull=never"),
            "--ulimit=nofile=4096:4096",
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            f"--secret=id=pip,src={index}",
            f"--volume={wheels()}:/wheels-of-test:ro",
            f"--volume={zig_cache()}:/src/build/zig",
            *options,
            str(context),
        )
        result = self.node.run(*command, check=False, timeout=240)
        said = f"{result.stdout}{result.stderr}"
        if result.returncode:
            raise BuildError(said)
        return said

    def inspect(self, image: str) -> dict[str, Any]:
        """What podman knows of an image."""
        (found,) = json.loads(self("image", "inspect", image).stdout)
        known: dict[str, Any] = found
        return known

    @contextlib.contextmanager
    def mounted(self, image: str) -> Iterator[pathlib.Path]:
        """The files of an image, while they are looked at."""
        path = self("image", "mount", image).stdout.strip()
        yield self.node.path(path)
        self("image", "unmount", image)

    def as_pod(
        self, pod: Object, container: Object, *arguments: str, name: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a container of the pod with these arguments; in the background if it has a name."""
        how = ("--detach", f"--name={name}") if name else ("--rm",)
        options = (*how, self.cgroup, *LIMITS, *pod_options(pod, container))
        return self("run", *options, NAME, *arguments, check=check)


class BuildError(Exception):
    """The build failed; all that it said."""


def zig_cache() -> pathlib.Path:
    """What of musl was compiled already, here or in a build of the tests before."""
    path = ROOT / "build" / "zig"
    path.mkdir(parents=True, exist_ok=True)
    return path


def pod_options(pod: Object, container: Object) -> list[str]:
    """What of a pod's specification podman can do too, as its options."""
    security = container["securityContext"]
    capabilities = security["capabilities"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}  # podman's too
    options = [
        f"--user={pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}",
        *(f"--cap-drop={name}" for name in capabilities["drop"]),
        *(f"--cap-add={name}" for name in capabilities.get("add", ())),
        *(
            f"--env={one['name']}={one.get('value', 'of-a-test')}"
            for one in container.get("env", ())
        ),
    ]
    if security["readOnlyRootFilesystem"]:
        options += ["--read-only", "--read-only-tmpfs=false"]
    if not security["allowPrivilegeEscalation"]:
        options.append("--security-opt=no-new-privileges")
    options += [f"--{name}=host" for name in _shared(pod)]
    paths = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one}
    for mount in container["volumeMounts"]:
        source = paths.get(mount["name"], f"/run/test-{mount['name']}")
        flag = ":ro" if mount.get("readOnly") else ""
        options.append(f"--volume={source}:{mount['mountPath']}{flag}")
    return options


def _shared(pod: Object) -> list[str]:
    """The host's namespaces that the pod is in."""
    names = {"hostNetwork": "network", "hostPID": "pid", "hostIPC": "ipc"}
    return [name for key, name in names.items() if pod.get(key)]


def make_host_directories(node: Node, pod: Object) -> None:
    """The directories of the pod's volumes, as the kubelet would make them or find them."""
    for volume in pod["volumes"]:
        path = volume.get("hostPath", {}).get("path", f"/run/test-{volume['name']}")
        node.run("mkdir", "-p", path)
