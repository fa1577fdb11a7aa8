"""What a call may take, and errors of ours for all that httpx and lightkube fail with."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import Iterator

import httpx2
from lightkube import ConfigError as LightkubeError

from netdevice_plugin.dra.cluster.errors import UnreachableError

_MAX_REASON = 300
_WHO = "it has just ended, or it is no API server: is it the right address?"

# The libraries' own; what stands behind `exec` in a kubeconfig; hosts that are none (ValueError).
_OTHERS = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    LightkubeError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a call may take: seconds, bytes, connections."""

    connect: float = 4.0  # for TCP, and again for TLS
    call: float = 10.0  # from the wish for a connection to the last byte; more than 2 * connect
    body: int = 16 * 2**20
    line: int = 8 * 2**20  # one event of a watch: an object is 1.5 MiB at most, in protobuf
    connections: int = 9  # calls at the same time, a watch among them


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of calls of one server."""

    server: str
    limits: Limits

    def time(self) -> asyncio.Timeout:
        """For a call."""
        return asyncio.timeout(self.limits.call)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Raise UnreachableError for what fails inside."""
        try:
            yield
        except TimeoutError as error:
            raise self._late(self.limits.call) from error
        except httpx2.ConnectTimeout as error:
            raise self._late(self.limits.connect) from error
        except httpx2.ConnectError as error:
            raise self._unconnected(error) from error
        except httpx2.LocalProtocolError as error:  # its text has the token in it
            hint = "a token is one line of plain text"
            raise UnreachableError(f"{self.server}: our request is none", hint=hint) from error
        except httpx2.RemoteProtocolError as error:
            raise UnreachableError(f"{self.server}: {_reason(error)}", hint=_WHO) from error
        except _OTHERS as error:
            raise UnreachableError(f"{self.server}: {_reason(error)}") from error

    def nonsense(self, what: str) -> UnreachableError:
        """Describe what no API server says."""
        said = f"{self.server} does not talk as an API server: {what}"
        return UnreachableError(said, hint=_WHO)

    def _late(self, seconds: float) -> UnreachableError:
        return UnreachableError(f"{self.server}: no answer within {seconds:g} s")

    def _unconnected(self, error: httpx2.ConnectError) -> UnreachableError:
        cause = _cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "its certificate has to be of the authority that the agent was given"
            return UnreachableError(f"{self.server}: {cause.verify_message}", hint=hint)
        return UnreachableError(f"cannot reach {self.server}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    """Say in one line what is behind an error."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError):
        return cause.reason or str(cause)
    if isinstance(cause, OSError):
        return cause.strerror or str(cause) or type(cause).__name__
    return " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__


def _cause(error: BaseException) -> BaseException:
    """Find what the system has said, wherever the libraries have wrapped it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found
        found = found.__cause__ or found.__context__
    return error
