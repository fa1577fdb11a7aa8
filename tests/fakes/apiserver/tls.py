"""A certificate for 127.0.0.1 that signs itself, made by the openssl program."""

from __future__ import annotations

import pathlib
import ssl
import subprocess
import tempfile


class Certificate:
    """A key and its certificate, which is its own authority; they are gone with `discard`."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="ndp-tls-")
        home = pathlib.Path(self._directory.name)
        self.path, key = home / "ca.crt", home / "key"
        command = (
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=kubernetes",
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(self.path),
        )
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.path, key)

    @property
    def pem(self) -> str:
        """What a client has to trust."""
        return self.path.read_text(encoding="ascii")

    def discard(self) -> None:
        """Remove the files."""
        self._directory.cleanup()
