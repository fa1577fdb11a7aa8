"""The one container image of the tests: this machine's static busybox, and no registry."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import platform
import shutil
import subprocess
import tarfile

NAME = "localhost/ndp-busybox:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(path: pathlib.Path, tree: pathlib.Path | None = None) -> None:
    """Write a docker-archive, which both podman and containerd load; with that tree's files."""
    layer = _layer(tree)
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "infinity"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        _file(archive, "config.json", json.dumps(config).encode())
        _file(archive, "layer.tar", layer)
        _file(archive, "manifest.json", json.dumps(manifest).encode())


def _layer(tree: pathlib.Path | None) -> bytes:
    """The root file system: busybox, under each of its names, and that tree."""
    busybox = pathlib.Path(shutil.which("busybox") or "/bin/busybox")
    listing = subprocess.run([busybox, "--list"], text=True, capture_output=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(directory)
        _file(layer, "bin/busybox", busybox.read_bytes())
        for applet in set(listing.stdout.split()) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(link)
        _file(layer, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        if tree:
            layer.add(tree, ".")
    return buffer.getvalue()


def _file(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o755, len(data)
    archive.addfile(entry, io.BytesIO(data))
