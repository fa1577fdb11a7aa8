"""An API server and who we are there: addresses, certificates, tokens.

A service account's token is replaced about every hour, and certificates are now and then:
what stands in files is read again when they changed, so that no agent needs a restart for it.
"""

from __future__ import annotations

import dataclasses
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from netdevice_plugin.errors import ClusterError

_MAX_FILE = 2**20  # bytes of a kubeconfig, a token, a certificate


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """PEM or a token: as a file, which may be replaced at any time, or as text."""

    path: Path | None = None
    text: str = dataclasses.field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.path or self.text)

    def mark(self) -> tuple[int, ...]:
        """Tell one state of the file from another; raises ClusterError if there is none."""
        if self.path is None:
            return ()
        try:
            status = self.path.stat()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> str:
        """Read it as it is now; raises ClusterError."""
        return self.text if self.path is None else read_text(self.path)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An API server, and who we are there."""

    host: str
    port: int
    tls: bool = True
    path: str = ""  # what stands before /apis: a server behind a proxy has such a thing
    server_name: str = ""  # what its certificate is for, if not `host`
    authorities: Material = Material()  # none is the system's
    insecure: bool = False  # nobody's certificate is asked for
    token: Material = Material()
    certificate: Material = Material()
    key: Material = Material()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


class Credentials:
    """What an `Access` refers to, read again when it changed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._context: ssl.SSLContext | None = None
        self._context_of: tuple[tuple[int, ...], ...] = ()
        self._token = ""
        self._token_of: tuple[int, ...] | None = None

    def token(self) -> str:
        """The bearer token as it is now, empty without one; raises ClusterError."""
        material = self._access.token
        if material and (mark := material.mark()) != self._token_of:
            self._token, self._token_of = _one_line(material), mark
        return self._token

    def forget(self) -> None:
        """Read all of it again: what was read has been refused."""
        self._token_of, self._context = None, None

    def context(self) -> ssl.SSLContext | None:
        """What to make a TLS connection with, None for plain HTTP; raises ClusterError."""
        access = self._access
        if not access.tls:
            return None
        marks = tuple(
            one.mark() for one in (access.authorities, access.certificate, access.key) if one
        )
        if self._context is None or marks != self._context_of:
            self._context, self._context_of = _context(access), marks
        return self._context


def read_text(path: Path) -> str:
    """Read a file of a sensible size; raises ClusterError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise ClusterError(f"{path}: larger than {_MAX_FILE} bytes")
        return data.decode()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise ClusterError(f"{path}: is not text") from error


def _unreadable(path: Path, error: OSError) -> ClusterError:
    hint = "in a pod it comes with the service account: automountServiceAccountToken"
    return ClusterError(f"cannot read {path}: {error.strerror}", hint=hint)


def _one_line(material: Material) -> str:
    """Read a token; what could not stand in a header is none."""
    token = material.read().strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ClusterError(f"{material.path or 'token'}: holds no token")
    return token


def _context(access: Access) -> ssl.SSLContext:
    # Not create_default_context: from Python 3.13 on it refuses CAs that some clusters have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if access.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif access.authorities:
        _load("certificate authority", lambda: _load_authorities(context, access.authorities))
    else:
        context.load_default_certs()
    if access.certificate:
        _load("client certificate", lambda: _load_pair(context, access))
    return context


def _load_authorities(context: ssl.SSLContext, authorities: Material) -> None:
    context.load_verify_locations(cadata=authorities.read())


def _load_pair(context: ssl.SSLContext, access: Access) -> None:
    """Load certificate and key; OpenSSL wants a file, so text goes through one in memory."""
    pem = f"{access.certificate.read()}\n{access.key.read()}"
    with open(os.memfd_create("client"), "wb") as file:  # noqa: PTH123 - has no name
        file.write(pem.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password="")


def _load(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(f"the {what} for the API server cannot be read: {error}") from error
    except OSError as error:
        raise ClusterError(f"the {what} cannot be loaded: {error.strerror}") from error
