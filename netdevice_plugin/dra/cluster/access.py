"""How to reach the API server: as a pod does, or as a kubeconfig says.

A service account's token is replaced about every hour, and certificates are now and then:
what stands in files is read again when they changed, so that no agent needs a restart for it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import yaml

from netdevice_plugin.errors import ClusterError, ConfigError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
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
        return self.text if self.path is None else _read(self.path)


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


def find(kubeconfig: Path | None, environ: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Say how to reach the API server: that file, else as a pod, else $KUBECONFIG.

    Raises ConfigError for what is wrong as written, ClusterError for what cannot be read.
    """
    if kubeconfig is not None:
        return read_kubeconfig(kubeconfig)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ, account)
    named = [Path(one) for one in environ.get("KUBECONFIG", "").split(os.pathsep) if one]
    if len(named) > 1:
        raise ConfigError(
            "KUBECONFIG names several files; they are not merged here",
            hint="give one with --kubeconfig",
        )
    if named:
        return read_kubeconfig(named[0])
    raise ConfigError(
        "there is no API server to talk to: not in a pod, and no kubeconfig",
        hint="a pool with `frontend: dra` needs one: give --kubeconfig FILE, or set KUBECONFIG",
    )


def in_cluster(environ: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Take what every pod is given; raises ConfigError."""
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"KUBERNETES_SERVICE_PORT: {port[:40]!r} is no port")
    return Access(
        host=environ["KUBERNETES_SERVICE_HOST"],
        port=int(port),
        authorities=Material(path=account / "ca.crt"),
        token=Material(path=account / "token"),
    )


def read_kubeconfig(path: Path) -> Access:
    """Take the current context of a kubeconfig; raises ConfigError, or ClusterError if unreadable.

    Paths in it are relative to its directory. Keys that mean nothing here are ignored, as
    kubectl does; ways of logging in that are not supported are errors.
    """
    return _Kubeconfig(path, _read(path)).access()


class _Kubeconfig:
    """One file, and where we are in it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        try:
            self._tree = yaml.load(text, Loader=_LOADER)  # noqa: S506 - one of the safe loaders
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._wrong("the file", "is not valid YAML") from error

    def access(self) -> Access:
        tree = self._mapping(self._tree, "the file")
        current = self._text(tree, "current-context", "current-context")
        if not current:
            raise self._wrong("current-context", "is missing")
        context = self._named(tree, "contexts", "context", current)
        at_cluster = self._text(context, "cluster", f"context {current}: cluster")
        cluster = self._named(tree, "clusters", "cluster", at_cluster)
        user_name = self._text(context, "user", f"context {current}: user")
        user = self._named(tree, "users", "user", user_name) if user_name else {}
        return self._assemble(cluster, user, f"cluster {at_cluster}", f"user {user_name}")

    def _assemble(
        self, cluster: Mapping[str, object], user: Mapping[str, object], where: str, who: str
    ) -> Access:
        if cluster.get("proxy-url"):
            raise self._wrong(f"{where}: proxy-url", "is not supported")
        for login in ("exec", "auth-provider", "username"):
            if user.get(login):
                what = "is not supported: use token, tokenFile or a client certificate"
                raise self._wrong(f"{who}: {login}", what)
        server = self._server(cluster, where)
        material = self._material
        token = material(user, "tokenFile", "", who)
        certificate = material(user, "client-certificate", "client-certificate-data", who)
        key = material(user, "client-key", "client-key-data", who)
        if bool(certificate) != bool(key):
            raise self._wrong(who, "client-certificate and client-key go together")
        return Access(
            host=server.hostname or "",
            port=server.port or (443 if server.scheme == "https" else 80),
            tls=server.scheme == "https",
            path=server.path.rstrip("/"),
            server_name=self._text(cluster, "tls-server-name", f"{where}: tls-server-name"),
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            authorities=material(
                cluster, "certificate-authority", "certificate-authority-data", where
            ),
            token=token or Material(text=self._text(user, "token", f"{who}: token")),
            certificate=certificate,
            key=key,
        )

    def _server(self, cluster: Mapping[str, object], where: str) -> SplitResult:
        text = self._text(cluster, "server", f"{where}: server")
        try:
            server = urlsplit(text)
            good = server.scheme in ("http", "https") and server.hostname and server.port != 0
        except ValueError:
            good = False
        if not good or server.query or server.fragment or server.username or not text.isascii():
            raise self._wrong(f"{where}: server", f"{text[:80]!r} is not https://HOST[:PORT]")
        return server

    def _named(
        self, tree: Mapping[str, object], several: str, one: str, name: str
    ) -> Mapping[str, object]:
        entries = tree.get(several)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") == name:
                return self._mapping(entry.get(one), f"{one} {name}")
        raise self._wrong(several, f"has no {name[:80]!r}")

    def _material(
        self, tree: Mapping[str, object], file_key: str, data_key: str, where: str
    ) -> Material:
        data = self._text(tree, data_key, f"{where}: {data_key}") if data_key else ""
        if data:
            try:
                return Material(text=base64.b64decode(data, validate=True).decode("ascii"))
            except (binascii.Error, UnicodeDecodeError) as error:
                raise self._wrong(f"{where}: {data_key}", "is not PEM in base64") from error
        file = self._text(tree, file_key, f"{where}: {file_key}")
        return Material(path=self._path.parent / file) if file else Material()

    def _text(self, tree: Mapping[str, object], key: str, where: str) -> str:
        value = tree.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or "\0" in value:
            raise self._wrong(where, "is not text")
        return value

    def _mapping(self, value: object, where: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._wrong(where, "is not a mapping")
        return value

    def _wrong(self, where: str, what: str) -> ConfigError:
        return ConfigError(f"{self._path}: {where}: {what}")


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _read(path: Path) -> str:
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
