"""Debian packages for the tests, unpacked into a cache of the checkout and never installed.

They come from one release, by the mirror that this machine's own apt uses. What was
fetched once is found there, and nobody is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import pathlib
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator

RELEASE = "trixie"

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class FetchError(Exception):
    """What the tests need cannot be had; one line that says what to do."""


def cached(
    cache: pathlib.Path, recipe: object, fill: Callable[[pathlib.Path, pathlib.Path], None]
) -> pathlib.Path:
    """Return the directory that `fill(work, made)` made of the recipe: whole, or not at all."""
    home = cache / hashlib.sha256(repr((RELEASE, recipe)).encode()).hexdigest()[:12]
    with _locked(cache):
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as name:
                work = pathlib.Path(name)
                (work / "made").mkdir()
                fill(work, work / "made")
                (work / "made").rename(home)
    return home


@contextlib.contextmanager
def _locked(cache: pathlib.Path) -> Iterator[None]:
    """Two runs in one checkout: the second waits for what the first fetches."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Apt:
    """apt with a state of its own, in a scratch directory; the machine's is only read."""

    def __init__(self, work: pathlib.Path, architecture: str = "") -> None:
        """Without `architecture`, Debian's name of one, packages are for this machine."""
        self._work = work
        (work / "lists/partial").mkdir(parents=True)
        (work / "archives/partial").mkdir(parents=True)
        (work / "status").touch()  # nothing is installed
        source = f"deb [signed-by={_KEYRING}] {_mirror()} {RELEASE} main\n"
        (work / "sources.list").write_text(source)
        options = {
            "Dir::Etc::sourcelist": work / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::Lists": work / "lists",
            "Dir::State::status": work / "status",
            "Dir::Cache": work,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "0",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "1",  # a user who is not root may fetch
        }
        if architecture:
            options |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        self._apt = ("apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items()))
        self._run("--error-on=any", "update")  # else it succeeds without a mirror

    def download(self, *packages: str) -> list[pathlib.Path]:
        """Fetch these packages alone."""
        before = set(self._work.glob("*.deb"))
        self._run("download", *packages)
        return sorted(set(self._work.glob("*.deb")) - before)

    def download_all(self, *packages: str) -> list[pathlib.Path]:
        """Fetch these packages and all that they depend on, down to the C library."""
        self._run("--yes", "--download-only", "install", *packages)
        return sorted((self._work / "archives").glob("*.deb"))

    def _run(self, *args: str) -> None:
        run(*self._apt, *args, cwd=self._work)


def unpack(package: pathlib.Path, into: pathlib.Path) -> None:
    """Unpack a package's files; its scripts are not run."""
    run("dpkg", "-x", str(package), str(into))


def _mirror() -> str:
    """Ask apt where this machine gets its own release from."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = ("Created-By: Packages", f"Release: {release}", "Component: main")
    uris = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not uris:
        raise FetchError(f"apt knows no mirror of Debian {release or '(which release?)'} main")
    return uris[0]


def run(*argv: str, cwd: pathlib.Path | None = None) -> str:
    """Run a command, and say how its complaint began if it fails."""
    try:
        result = subprocess.run(argv, cwd=cwd, text=True, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise FetchError(f"{argv[0]} is not there: the tests fetch from Debian") from error
    if result.returncode:
        said = (result.stderr or result.stdout).strip().partition("\n")[0]
        raise FetchError(f"{argv[0]} … {argv[-1]}: {said or f'exit code {result.returncode}'}")
    return result.stdout
