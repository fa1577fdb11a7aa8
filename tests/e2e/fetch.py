"""Real runtimes for the tests, from Debian packages that are unpacked and never installed.

Bookworm has no containerd that does CDI, so it comes from the next release, by the
mirror that this machine's own apt uses. Everything lands in `.cache/e2e` of the
checkout; a second run finds it there and asks nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "e2e"
RELEASE = "trixie"
PACKAGES = (
    "containerd",  # 1.7.24; asks for no newer C library than bookworm's
    "containernetworking-plugins",
    "golang-github-kubernetes-cri-api-dev",  # api.proto
)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PROTO = "usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto"
INSTALLED = {
    "podman": "podman",
    "conmon": "podman",
    "runc": "runc",
    "crun": "crun",
    "busybox": "busybox-static",
    "ip": "iproute2",
}


class FetchError(Exception):
    """What the tests need cannot be had; one line that says what to do."""


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
        raise FetchError(f"missing on this machine: apt-get install {' '.join(missing)}")
    recipe = repr((RELEASE, PACKAGES, platform.machine(), sys.version_info[:2]))
    home = CACHE / hashlib.sha256(recipe.encode()).hexdigest()[:12]
    with _locked():
        if not home.exists():
            _fill(home)
    return Parts(home / "usr/bin", home / "usr/lib/cni", home / "stubs")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Two runs in one checkout: the second waits for what the first fetches."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(home: pathlib.Path) -> None:
    """Make the directory whole or not at all."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetching-") as name:
        work = pathlib.Path(name)
        made = work / "made"
        for package in _download(work):
            _run("dpkg", "-x", str(package), str(made))
        _stubs(made / PROTO, made / "stubs")
        made.rename(home)


def _download(work: pathlib.Path) -> list[pathlib.Path]:
    """Fetch the packages with an apt state of our own; the machine's is only read."""
    (work / "lists/partial").mkdir(parents=True)
    (work / "archives/partial").mkdir(parents=True)
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {RELEASE} main\n")
    options = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ("apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items()))
    _run(*apt, "--error-on=any", "update", cwd=work)  # else it succeeds without a mirror
    _run(*apt, "download", *PACKAGES, cwd=work)
    return sorted(work.glob("*.deb"))


def _mirror() -> str:
    """Ask apt where this machine gets its own release from."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = ("Created-By: Packages", f"Release: {release}", "Component: main")
    uris = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not uris:
        raise FetchError(f"apt knows no mirror of Debian {release or '(which release?)'} main")
    return uris[0]


def _stubs(proto: pathlib.Path, out: pathlib.Path) -> None:
    """Generate the CRI client; gogo's options mean something to Go alone."""
    out.mkdir()
    text = re.sub(r"^.*(gogoproto|gogo\.proto).*\n", "", proto.read_text(), flags=re.MULTILINE)
    (out / "api.proto").write_text(text)
    outputs = (f"--python_out={out}", f"--grpc_python_out={out}")
    _run(sys.executable, "-m", "grpc_tools.protoc", f"-I{out}", *outputs, "api.proto")


def _run(*argv: str, cwd: pathlib.Path | None = None) -> str:
    """Run a command, and say how its complaint began if it fails."""
    result = subprocess.run(argv, cwd=cwd, text=True, capture_output=True, check=False)
    if result.returncode:
        said = (result.stderr or result.stdout).strip().partition("\n")[0]
        raise FetchError(f"{argv[0]} … {argv[-1]}: {said or f'exit code {result.returncode}'}")
    return result.stdout
