"""The records of functions on disk, a file for each, so that a broken one harms no other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from cdi import StoreError, files
from cdi.errors import reason
from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions import record
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.model import is_dns_label

MODE = 0o600

_EXTENSION = ".json"


class Store:
    """The directory `functions` of a run directory. Blocks; each device's file is by itself.

    `records` are those on disk, by device, also while they are being changed in other
    threads: the mapping is another one each time.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "functions"
        self.records: Mapping[str, FunctionRecord] = {}
        self._changing = threading.Lock()

    def load(self) -> Mapping[str, str]:
        """Read all records, and say by device what is wrong with those that cannot be.

        Raises FunctionError if the directory cannot be read.
        """
        found: dict[str, FunctionRecord] = {}
        problems: dict[str, str] = {}
        for device in self._list():
            path = self._file(device)
            try:
                found[device] = record.loads(files.read_bytes(path), device)
            except FileNotFoundError:
                continue
            except OSError as error:
                problems[device] = f"its record {path} cannot be read: {reason(error)}"
            except FunctionError as error:
                problems[device] = f"its record {path} is wrong: {error}; {error.hint}"
        self.records = found
        return problems

    def write(self, one: FunctionRecord) -> None:
        """Put a record there, whole and to last. Raises FunctionError."""
        try:
            files.write_bytes(self._file(one.device), record.dumps(one), mode=MODE)
        except StoreError as error:
            raise FunctionError(f"{one.device}: {error}") from error
        with self._changing:
            self.records = {**self.records, one.device: one}

    def remove(self, device: str) -> None:
        """Take a record away, if there is one. Raises FunctionError."""
        try:
            files.remove(self.path, f"{device}{_EXTENSION}")
        except StoreError as error:
            raise FunctionError(f"{device}: {error}") from error
        with self._changing:
            self.records = {name: one for name, one in self.records.items() if name != device}

    def _file(self, device: str) -> Path:
        return self.path / f"{device}{_EXTENSION}"

    def _list(self) -> list[str]:
        try:
            names = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FunctionError(f"cannot read {self.path}: {reason(error)}") from error
        devices = (name.removesuffix(_EXTENSION) for name in names if name.endswith(_EXTENSION))
        return sorted(device for device in devices if is_dns_label(device))
