"""What lightkube makes of a configuration, as connections: TLS, credentials, a pool of httpx's.

Service accounts' tokens are replaced about every hour, and certificates are now and then:
what stands in files is read again when they changed, so that no agent needs a restart for it.
"""

from __future__ import annotations

import http.cookiejar
import socket
import ssl
from collections.abc import Generator
from pathlib import Path

import httpx2
from lightkube import ConfigError as LightkubeError
from lightkube import SingleConfig
from lightkube.config.client_adapter import user_auth, verify_cluster
from lightkube.config.models import User

from netdevice_plugin.dra.cluster.bounds import Limits
from netdevice_plugin.errors import ClusterError

Mark = tuple[int, int, int, int]

_MAX_TOKEN = 2**16  # bytes
_IDLE = 2  # connections that are kept between calls
_IDLE_SECONDS = 60.0  # API servers end those that are idle after 90 s
# A peer that vanished without a word is noticed within about 30 s, on a silent watch too.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)


def connect(config: SingleConfig, agent: str, limits: Limits) -> httpx2.AsyncClient:
    """Make a client: no proxies, no redirects, no compression, no cookies; raises ClusterError."""
    user = config.user or User()
    try:
        auth = TokenFile(_path(config, user.token_file)) if user.token_file else user_auth(user)
        client = httpx2.AsyncClient(
            base_url=config.cluster.server,
            auth=auth,
            headers={
                "User-Agent": agent,
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            timeout=httpx2.Timeout(None, connect=limits.connect),
            trust_env=False,
            transport=httpx2.AsyncHTTPTransport(
                verify=_context(config, user),
                limits=httpx2.Limits(
                    max_connections=limits.connections,
                    max_keepalive_connections=_IDLE,
                    keepalive_expiry=_IDLE_SECONDS,
                ),
                socket_options=_KEEPALIVE,
            ),
        )
    except (LightkubeError, httpx2.InvalidURL) as error:
        raise ClusterError(f"the API server's address or user cannot be used: {error}") from error
    # Whoever sets a new one with each answer would fill our memory.
    client.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return client


def marks(config: SingleConfig) -> tuple[Mark, ...]:
    """Tell one state of the files that TLS is made of from another; raises ClusterError."""
    user = config.user or User()
    files = (config.cluster.certificate_auth, user.client_cert, user.client_key)
    return tuple(_mark(_path(config, file)) for file in files if file)


class TokenFile(httpx2.Auth):
    """Sends the token that is in a file now.

    lightkube's reads it again only when it is refused, and API servers take an old one for
    long: but they count it as stale, and warn of who sends it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: Mark | None = None
        self._header = ""

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Let httpx send it with that token; raises ClusterError."""
        if (mark := _mark(self._path)) != self._read:
            self._header, self._read = f"Bearer {_token(self._path)}", mark
        request.headers["Authorization"] = self._header
        yield request


def _context(config: SingleConfig, user: User) -> ssl.SSLContext:
    try:
        context = verify_cluster(config.cluster, user, config.abs_file, trust_env=False)
    except (OSError, ValueError, TypeError) as error:  # TypeError: a certificate without its key
        raise ClusterError(
            f"certificates for the API server cannot be read: {error}",
            hint="they are files of PEM, or PEM in base64 in a kubeconfig; a key goes with its own",
        ) from error
    # From Python 3.13 on it is set, and refuses CAs that some clusters have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _path(config: SingleConfig, file: str) -> Path:
    return Path(config.abs_file(file))


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _token(path: Path) -> str:
    """Read a token; what could not stand in a header is none."""
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN + 1).decode("ascii").strip()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) > _MAX_TOKEN or not token.isprintable() or " " in token:
        raise ClusterError(f"{path}: holds no token")
    return token


def _unreadable(path: Path, error: Exception) -> ClusterError:
    reason = error.strerror if isinstance(error, OSError) else error
    hint = "in a pod it comes with the service account: automountServiceAccountToken"
    return ClusterError(f"cannot read {str(path)!r}: {reason}", hint=hint)
