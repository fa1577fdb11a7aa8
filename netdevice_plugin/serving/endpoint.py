"""A gRPC server on a unix socket, from before its name is seen to after it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from netdevice_plugin.errors import KubeletError
from netdevice_plugin.serving.guard import Guard
from netdevice_plugin.serving.sockets import Mark, address, hidden, socket_mark

GRACE = 0.3  # seconds that a client has to take what was sent


class Endpoint:
    """Serves while it is entered.

    gRPC unlinks its path when it stops, whosoever's socket is there by then. So it
    is given a hidden path, and what it made is renamed: a successor's socket is
    left alone, and who sees ours finds it answering. Raises KubeletError.
    """

    def __init__(self, path: Path, add: Callable[[grpc.aio.Server], object]) -> None:
        self._path = path
        self._hidden = hidden(path)
        self._add = add
        self._mark: Mark | None = None

    def intact(self) -> bool:
        """Whether our socket is still there, under its name."""
        return self._mark is not None and socket_mark(self._path) == self._mark

    async def __aenter__(self) -> Self:
        server = grpc.aio.server(interceptors=(Guard(),))
        self._add(server)
        try:
            server.add_insecure_port(address(self._hidden))
        except RuntimeError as error:
            raise self._failure(_why(self._hidden)) from error
        self._server = server
        try:
            await server.start()
            self._mark = socket_mark(self._hidden)
            self._hidden.replace(self._path)
        except BaseException as error:
            await server.stop(None)
            if isinstance(error, OSError):
                raise self._failure(error.strerror or str(error)) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.intact():
            with contextlib.suppress(OSError):
                self._path.unlink()
        # In a task of its own: gRPC's stop loses a cancellation that comes as it ends.
        stopping = asyncio.ensure_future(self._server.stop(GRACE))
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await stopping
            raise

    def _failure(self, reason: str) -> KubeletError:
        hint = "the agent must be allowed to write there; what is in the way has to go"
        return KubeletError(f"cannot serve on {self._path}: {reason}", hint=hint)


def _why(path: Path) -> str:
    """Find out why gRPC, which does not say, cannot bind a path."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(os.fsencode(path))
        except OSError as error:
            return error.strerror or str(error)
    with contextlib.suppress(OSError):
        path.unlink()
    return "no reason given"
