"""Ending a connection as a machine does that has lost it: with a reset, not in order."""

from __future__ import annotations

import asyncio
import socket
import struct

_NOW = struct.pack("ii", 1, 0)  # SO_LINGER for no time: what is unsent is lost, and a RST sent


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection, if it is not over yet; its peer reads ECONNRESET."""
    if transport is None or transport.is_closing():
        return
    end = transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
