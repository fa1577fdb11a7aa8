"""Real runtimes for the tests, from Debian packages that are unpacked and never installed.

Bookworm has no containerd that does CDI, so it comes from the next release. Everything
lands in `.cache/e2e` of the checkout.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pathlib
import platform
import re
import shutil
import sys

from tests import debian

ROOT = pathlib.Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "e2e"
PACKAGES = (
    "containerd",  # 1.7.24; asks for no newer C library than bookworm's
    "containernetworking-plugins",
    "golang-github-kubernetes-cri-api-dev",  # api.proto
)
PROTO = "usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto"
INSTALLED = {
    "podman": "podman",
    "conmon": "podman",
    "runc": "runc",
    "crun": "crun",
    "busybox": "busybox-static",
    "ip": "iproute2",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """Where the unpacked pieces are."""

    containerd: pathlib.Path  # directory of containerd, its shim and ctr
    cni: pathlib.Path  # directory of the CNI plugins
    stubs: pathlib.Path  # directory of api_pb2.py and api_pb2_grpc.py


def parts() -> Parts:
    """Return the pieces, fetched first if this checkout has none of them yet."""
    missing = sorted({package for tool, package in INSTALLED.items() if not shutil.which(tool)})
    if missing:
        raise debian.FetchError(f"missing on this machine: apt-get install {' '.join(missing)}")
    generator = importlib.metadata.version("grpcio-tools")  # its code runs with none older
    recipe = (PACKAGES, platform.machine(), sys.version_info[:2], generator)
    home = debian.cached(CACHE, recipe, _fill)
    return Parts(home / "usr/bin", home / "usr/lib/cni", home / "stubs")


def _fill(work: pathlib.Path, made: pathlib.Path) -> None:
    for package in debian.Apt(work).download(*PACKAGES):
        debian.unpack(package, made)
    _stubs(made / PROTO, made / "stubs")


def _stubs(proto: pathlib.Path, out: pathlib.Path) -> None:
    """Generate the CRI client; gogo's options mean something to Go alone."""
    out.mkdir()
    text = re.sub(r"^.*(gogoproto|gogo\.proto).*\n", "", proto.read_text(), flags=re.MULTILINE)
    (out / "api.proto").write_text(text)
    outputs = (f"--python_out={out}", f"--grpc_python_out={out}")
    debian.run(sys.executable, "-m", "grpc_tools.protoc", f"-I{out}", *outputs, "api.proto")
