"""A program as a provider: run once for each call, JSON on its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import contract
from netdevice_plugin.ports.contract import MAX_SIZE, Request
from netdevice_plugin.ports.errors import RefusedError, UnansweredError, plain
from netdevice_plugin.ports.provider import LIMITS, Call, Owner, Port

GRACE = 10.0  # seconds from SIGTERM to SIGKILL: time to take back what was begun

_CHUNK = 2**16
_HINT = "run it by hand: docs/reference/port-provider.md shows how"


class Command:
    """Runs `argv` for each call, in a session of its own, and leaves no process of it behind.

    `environment` is the agent's unless it is given; `limits` are seconds by call.
    """

    def __init__(
        self,
        argv: Sequence[str],
        owner: Owner,
        *,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[Call, float] = LIMITS,
        grace: float = GRACE,
    ) -> None:
        self._argv = tuple(argv)
        self._owner = owner
        self._environment = environment
        self._limits = limits
        self._grace = grace
        self._name = argv[0]

    async def attach(self, parameters: Mapping[str, str], request: str = "") -> Port:
        """See `Provider`."""
        answer = await self._ask(Call.ATTACH, parameters=parameters, request=request)
        return contract.read_port(answer, self._name)

    async def detach(self, port: str) -> None:
        """See `Provider`."""
        contract.read_done(await self._ask(Call.DETACH, port=port), self._name)

    async def list(self) -> tuple[Port, ...]:
        """See `Provider`."""
        return contract.read_ports(await self._ask(Call.LIST), self._name)

    async def _ask(
        self,
        call: Call,
        *,
        parameters: Mapping[str, str] | None = None,
        request: str = "",
        port: str = "",
    ) -> bytes:
        limit = self._limits[call]
        asked = Request(
            call=call,
            owner=self._owner,
            timeout=limit,
            parameters=parameters or {},
            request=request,
            port=port,
        )
        process = await self._start()
        try:
            async with asyncio.timeout(limit):
                answer, said = await _talk(process, contract.write_request(asked))
        except TimeoutError:
            what = f"{self._name}: no answer to {call.value} within {limit:g} s"
            raise UnansweredError(what, hint=_HINT) from None
        except ValueError as error:
            raise UnansweredError(f"{self._name}: {error}", hint=_HINT) from None
        finally:
            await self._end(process)
        if process.returncode == 0 or contract.is_error(answer):
            return answer
        raise self._failed(process.returncode or 0, said)

    async def _start(self) -> asyncio.subprocess.Process:
        """Start it; whoever is cancelled meanwhile ends it in the same way as later."""
        starting = asyncio.ensure_future(self._run())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(RefusedError):
                await self._end(await starting)
            raise

    async def _run(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = "the path is one of the agent's own mounts, and the file must be executable"
            raise RefusedError(f"cannot run {self._name}: {reason}", hint=hint) from error

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Have it end, with all that it started, even if whoever waits is cancelled meanwhile."""
        ending = asyncio.ensure_future(_stop(process, self._grace))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    def _failed(self, code: int, said: bytes) -> PortError:
        how = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
        lines = plain(said.decode(errors="replace").strip().rpartition("\n")[2])
        what = f"{self._name}: {how}" + (f": {lines}" if lines else "")
        # Of a program that died nobody knows how far it had got.
        return UnansweredError(what, hint=_HINT) if code < 0 else PortError(what, hint=_HINT)


async def _talk(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """Exchange a request for the answer, and the end of what was said besides."""
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - they are pipes
    complaint = asyncio.ensure_future(_tail(process.stderr))
    try:
        with contextlib.suppress(ConnectionError):  # it need not read what it does not care for
            process.stdin.write(request)
            await process.stdin.drain()
        process.stdin.close()
        answer = await _all(process.stdout)
        await process.wait()
        return answer, await complaint
    finally:
        complaint.cancel()
        await asyncio.gather(complaint, return_exceptions=True)


async def _all(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while chunk := await stream.read(_CHUNK):
        found += chunk
        if len(found) > MAX_SIZE:
            raise ValueError(f"its answer has more than {MAX_SIZE} bytes")
    return bytes(found)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    found = b""
    while chunk := await stream.read(_CHUNK):
        found = (found + chunk)[-_CHUNK:]
    return found


async def _stop(process: asyncio.subprocess.Process, grace: float) -> None:
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        await _ended(process, grace)
    _signal(process.pid, signal.SIGKILL)  # what it started and left behind is in its group
    await _ended(process, GRACE)


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Wait for its end, and for that of its pipes: asyncio knows of none while they are full."""
    assert process.stdout and process.stderr  # noqa: S101, PT018 - they are pipes
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(_tail(process.stdout), _tail(process.stderr), process.wait())


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
