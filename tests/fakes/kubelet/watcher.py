"""The other way to register: sockets in plugins_registry, which the kubelet finds by itself.

k8s.io/kubernetes pkg/kubelet/pluginmanager: pluginwatcher, reconciler, operationexecutor.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import grpc
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from tests.fakes.kubelet.changes import Changes
from tests.fakes.kubelet.plugin import PluginError
from tests.fakes.kubelet.settings import Interfere, RefusedError
from tests.fakes.kubelet.wire import DialError, dial, registration_grpc, said
from tests.fakes.kubelet.wire import registration as api

Answer = TypeVar("Answer")
GET_INFO = 1.0  # seconds
NOTIFY = 5.0
_NO_DELAY, _LONGEST = 0.25, 128.0  # seconds of back-off: twice as long after each failure


class Handler(Protocol):
    """Who has the plugins of one type."""

    def problem(self, name: str, versions: Sequence[str]) -> str:
        """Why a plugin cannot be one of these; empty when it can."""

    def connect(self, name: str, endpoint: pathlib.Path, versions: Sequence[str]) -> None:
        """Take a plugin; raises DialError, PluginError."""

    def disconnect(self, name: str, endpoint: pathlib.Path) -> None:
        """Forget a plugin whose socket is gone, or another one."""


class _Registered(NamedTuple):
    """What is known of a socket that has been asked."""

    number: int  # of its making
    handler: Handler
    name: str
    endpoint: pathlib.Path


class Watcher(FileSystemEventHandler):
    """Keeps what is registered equal to the sockets that are there.

    A socket that is made anew under its old name is another one. `seen_from` is where the
    plugins' root directory is for us: they name their endpoints by absolute paths.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        seen_from: pathlib.Path,
        handlers: Mapping[str, Handler],
        changes: Changes,
        interfere: Interfere,
    ) -> None:
        self._directory = directory
        self._seen_from = seen_from
        self._handlers = handlers  # by type
        self._changes = changes
        self._interfere = interfere
        self._numbers = itertools.count()
        self._wanted: dict[str, int] = {}  # sockets by path, each with the number of its making
        self._actual: dict[str, _Registered] = {}  # by path
        self._busy: set[str] = set()
        self._failed: dict[str, tuple[float, float]] = {}  # not before, last delay
        self.errors: dict[str, str] = {}  # what failed last, by path
        self._alive = True
        self._observer = Observer()
        self._thread = threading.Thread(target=self._run, name="plugin watcher", daemon=True)

    def start(self) -> None:
        """Watch, then look at what is there."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._observer.schedule(self, str(self._directory), recursive=True)
        self._observer.start()
        for path in sorted(self._directory.rglob("*")):
            self._appeared(str(path))
        self._thread.start()

    def close(self) -> None:
        """Stop watching. The thread ends with the call that it is in."""
        with self._changes.lock:
            self._alive = False
            self._changes.tell()
        self._observer.stop()
        self._observer.join()

    def on_created(self, event: FileSystemEvent) -> None:
        """A new name; of a directory, all in it."""
        path = pathlib.Path(os.fsdecode(event.src_path))
        for found in (path, *sorted(path.rglob("*") if path.is_dir() else ())):
            self._appeared(str(found))

    def on_moved(self, event: FileSystemEvent) -> None:
        """The new name appears; that the old one is gone is not noticed."""
        self._appeared(os.fsdecode(event.dest_path))

    def on_deleted(self, event: FileSystemEvent) -> None:
        """A name is gone."""
        with self._changes.lock:
            self._wanted.pop(os.fsdecode(event.src_path), None)
            self._changes.tell()

    def _appeared(self, path: str) -> None:
        relative = pathlib.Path(path).relative_to(self._directory)
        if any(part.startswith(".") for part in relative.parts):
            return
        if pathlib.Path(path).is_socket():
            with self._changes.lock:
                self._wanted[path] = next(self._numbers)
                self._changes.tell()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            threading.Thread(target=self._handle, args=due, name=due[0], daemon=True).start()

    def _next(self) -> tuple[str, int | None] | None:
        """The next socket to do something about; without a number it is to be forgotten."""
        with self._changes.lock:
            while self._alive:
                due, delay = self._due(time.monotonic())
                if due is not None:
                    self._busy.add(due[0])
                    return due
                self._changes.pause(delay)
        return None

    def _due(self, now: float) -> tuple[tuple[str, int | None] | None, float | None]:
        """What to do now, or in how many seconds there may be something."""
        for path, known in self._actual.items():
            if path not in self._busy and self._wanted.get(path) != known.number:
                return (path, None), None
        delays = []
        for path, number in self._wanted.items():
            if path not in self._busy and path not in self._actual:
                left = self._failed.get(path, (now, _NO_DELAY))[0] - now
                if left <= 0:
                    return (path, number), None
                delays.append(left)
        return None, min(delays, default=None)

    def _handle(self, path: str, number: int | None) -> None:
        failed = ""
        if number is None:
            self._forget(path)
        else:
            try:
                self._register(path, number)
            except (DialError, PluginError) as error:
                failed = str(error)
        with self._changes.lock:
            self._busy.discard(path)
            self.errors.pop(path, None)
            if failed:
                delay = min(self._failed.get(path, (0, _NO_DELAY))[1] * 2, _LONGEST)
                self._failed[path] = (time.monotonic() + delay, delay)
                self.errors[path] = failed
            self._changes.tell()

    def _forget(self, path: str) -> None:
        with self._changes.lock:
            known = self._actual.pop(path)
        known.handler.disconnect(known.name, known.endpoint)

    def _register(self, path: str, number: int) -> None:
        """Ask a plugin what it is, connect to it, and tell it what became of that."""
        channel = dial(pathlib.Path(path))
        try:
            stub = registration_grpc.RegistrationStub(channel)
            info = _call(lambda: stub.GetInfo(api.InfoRequest(), timeout=GET_INFO), "GetInfo")
            problem = self._problem(info) or self._connect(info, path, number)
            status = api.RegistrationStatus(plugin_registered=not problem, error=problem)
            try:
                _call(lambda: stub.NotifyRegistrationStatus(status, timeout=NOTIFY), "Notify")
            except PluginError:
                if not problem:
                    self._forget(path)
                raise
        finally:
            channel.close()
        if problem:
            raise PluginError(problem)

    def _connect(self, info: api.PluginInfo, path: str, number: int) -> str:
        """Returns what is wrong; then nothing more happens until the socket is made anew."""
        named = self._seen_from / info.endpoint.lstrip("/") if info.endpoint else path
        endpoint = pathlib.Path(named)
        handler = self._handlers[info.type]
        with self._changes.lock:
            self._actual[path] = _Registered(number, handler, info.name, endpoint)
        try:
            self._interfere("Register", info.name)
            handler.connect(info.name, endpoint, info.supported_versions)
            self._interfere("Registered", info.name)
        except (DialError, PluginError, RefusedError) as error:
            return str(error)
        return ""

    def _problem(self, info: api.PluginInfo) -> str:
        """Why a plugin cannot be taken; empty when it can."""
        handler = self._handlers.get(info.type)
        if handler is None:
            return f"no handler for plugins of type {info.type!r}"
        return handler.problem(info.name, info.supported_versions)


def _call(call: Callable[[], Answer], name: str) -> Answer:
    try:
        return call()
    except (grpc.RpcError, ValueError) as error:
        raise PluginError(f"{name} failed: {said(error)}") from error
