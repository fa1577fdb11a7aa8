"""The configuration that runs, and a new one as soon as its file is another."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable

from netdevice_plugin import config as configs
from netdevice_plugin.agent.settings import FIXED, Settings
from netdevice_plugin.config import Config
from netdevice_plugin.directory import Watch
from netdevice_plugin.errors import ConfigError, WatchError
from netdevice_plugin.model import Frontend, Pool
from netdevice_plugin.operations.metrics import Metrics

AGAIN = 60.0  # seconds between looks without an event: a link may lead to another directory

_log = logging.getLogger(__name__)


class Configuration:
    """Reads the configuration when it is made; raises ConfigError if that is not valid.

    A later one that is not valid changes nothing: it is logged and counted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked = asyncio.Event()
        self._data = self._read()  # what runs
        self._refused: tuple[bytes | None, str] | None = None  # what does not, and why
        self.current = self._made(self._data)

    @property
    def digest(self) -> str:
        """A short hash of what runs."""
        return hashlib.sha256(self._data).hexdigest()[:12]

    def reload(self) -> None:
        """Look at the file now, if there is one."""
        self._asked.set()

    async def follow(self, metrics: Metrics, changed: Callable[[], object]) -> None:
        """Follow the file, for ever; `changed` is called when `current` is another."""
        metrics.config_applied(self.digest)
        if self._settings.config_file is None:
            await asyncio.Event().wait()
            return
        wake = asyncio.get_running_loop().call_soon_threadsafe
        with Watch(self._settings.config_file.parent, lambda: wake(self._asked.set)) as watch:
            while True:
                self._asked.clear()
                with contextlib.suppress(WatchError):  # looked at again in a minute
                    watch.arm()
                if self._renew(metrics):
                    changed()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN):
                        await self._asked.wait()

    def _renew(self, metrics: Metrics) -> bool:
        """Read again; whether there is another configuration now."""
        data: bytes | None = None
        try:
            data = self._read()
            if data == self._data and not self._refused:
                return False
            new = self._made(data)
        except ConfigError as error:
            self._refuse(data, str(error), metrics)
            return False
        self._refused = None
        fixed = {key: getattr(self.current, key) for key in FIXED}
        late = [name for key, name in FIXED.items() if getattr(new, key) != fixed[key]]
        pools = (*new.pools, *self.current.pools)
        if new.prefix != self.current.prefix and any(map(_by_dra, pools)):
            late.append("prefix, where it is a driver's name")
        if late:
            _log.warning("Takes effect at the next start only", extra={"keys": ", ".join(late)})
        self._data = data
        self.current = dataclasses.replace(new, **fixed)
        metrics.config_applied(self.digest)
        _log.info("Configuration applied", extra={"pools": len(new.pools), "hash": self.digest})
        return True

    def _refuse(self, data: bytes | None, reason: str, metrics: Metrics) -> None:
        """Say so, once: whatever happens in the directory, it is looked at again."""
        if (data, reason) == self._refused:
            return
        self._refused = data, reason
        _log.error(
            "Configuration refused; the one before stays in effect",
            extra={"file": str(self._settings.config_file), "reason": reason},
        )
        metrics.config_refused()

    def _read(self) -> bytes:
        file = self._settings.config_file
        if file and file.is_fifo():  # it would keep us waiting
            raise ConfigError(f"{file}: is not a regular file")
        return configs.read(file) if file else ",".join(self._settings.interfaces).encode()

    def _made(self, data: bytes) -> Config:
        settings = self._settings
        if settings.config_file:
            return settings.over(configs.loads(data, str(settings.config_file)))
        return settings.over(configs.default(settings.interfaces))


def _by_dra(pool: Pool) -> bool:
    return pool.frontend is Frontend.DRA
