"""The one place that turns our errors into gRPC's status codes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from netdevice_plugin.errors import NetdevError
from netdevice_plugin.serving.errors import (
    MalformedCallError,
    UnhealthyDeviceError,
    UnknownDeviceError,
)

_CODES: dict[type[NetdevError], grpc.StatusCode] = {
    MalformedCallError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownDeviceError: grpc.StatusCode.NOT_FOUND,
    UnhealthyDeviceError: grpc.StatusCode.FAILED_PRECONDITION,
}

_log = logging.getLogger(__name__)

# A handler's messages and behaviour are of as many types as there are methods.
_Handler = Any
_Context = Any


def code_of(error: NetdevError) -> grpc.StatusCode:
    """Give the status code that stands for an error."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


class Guard(grpc.aio.ServerInterceptor):
    """Answers an error of ours with its code, a bug with INTERNAL, and goes on serving.

    Bytes that are no message are an error of ours too: gRPC itself would print a
    traceback for each.
    """

    def __init__(self) -> None:
        self._guarded: dict[str, _Handler] = {}  # by method, as making one takes its time

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Wrap the method's handler; None, for a method that there is not, is gRPC's to answer."""
        method = handler_call_details.method
        if method in self._guarded:
            return self._guarded[method]
        if handler := await continuation(handler_call_details):
            self._guarded[method] = handler = _guard(handler, method)
        return handler


def _guard(handler: _Handler, method: str) -> _Handler:
    make = grpc.unary_unary_rpc_method_handler
    behaviour = handler.unary_unary
    if handler.response_streaming:
        make, behaviour = grpc.unary_stream_rpc_method_handler, handler.unary_stream
    decode = handler.request_deserializer

    async def call(data: bytes, context: _Context) -> object:
        try:
            return await behaviour(_decode(decode, data, method), context)
        except NetdevError as error:
            said = f"{error}; {error.hint}" if error.hint else str(error)
            return await context.abort(code_of(error), said)
        except Exception:
            _log.exception("Call failed", extra={"method": method})
            said = "netdevice-plugin has a bug: see its log"
            return await context.abort(grpc.StatusCode.INTERNAL, said)

    return make(call, None, handler.response_serializer)


def _decode(decode: Callable[[bytes], object], data: bytes, method: str) -> object:
    try:
        return decode(data)
    except DecodeError as error:
        raise MalformedCallError(f"{method}: {len(data)} bytes that are no message") from error
