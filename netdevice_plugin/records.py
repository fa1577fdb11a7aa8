"""The mover's records, read again only where they changed: the agent looks at each event."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from netdevice_plugin import attachments
from netdevice_plugin.attachments import Attachment
from netdevice_plugin.errors import AttachmentError

_Stamp = tuple[int, int, int]  # inode, mtime in ns, size: a record is replaced, never rewritten
_Result = Attachment | AttachmentError


def _texts(problems: Iterable[AttachmentError]) -> list[str]:
    return [str(problem) for problem in problems]


class Records:
    """All records below a run directory, by device name, as of the last `read`."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._cache: dict[str, tuple[_Stamp, _Result]] = {}
        self.attachments: tuple[Attachment, ...] = ()
        self.problems: tuple[AttachmentError, ...] = ()

    def read(self) -> bool:
        """Look again; whether anything is different. No directory means that nothing is lent."""
        trouble: tuple[AttachmentError, ...] = ()
        try:
            self._refresh(self._stamps())
        except AttachmentError as error:
            # What was known stays: a directory that cannot be read says nothing of its files.
            trouble = (error,)
        results = [result for _, result in self._cache.values()]
        present = tuple(one for one in results if isinstance(one, Attachment))
        problems = (*(one for one in results if isinstance(one, AttachmentError)), *trouble)
        changed = present != self.attachments or _texts(problems) != _texts(self.problems)
        self.attachments, self.problems = present, problems
        return changed

    def _refresh(self, stamps: dict[str, _Stamp]) -> None:
        cache = {}
        for name, stamp in stamps.items():
            known = self._cache.get(name)
            found = known if known and known[0] == stamp else self._parse(name, stamp)
            if found:
                cache[name] = found
        self._cache = cache

    def _stamps(self) -> dict[str, _Stamp]:
        directory = self._run_dir / "attachments"
        found = {}
        for path in attachments.device_files(directory):
            with contextlib.suppress(FileNotFoundError):  # it came home meanwhile
                status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
                found[path.name] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found

    def _parse(self, name: str, stamp: _Stamp) -> tuple[_Stamp, _Result] | None:
        try:
            return stamp, attachments.read(self._run_dir / "attachments" / name)
        except FileNotFoundError:
            return None
        except AttachmentError as error:
            return stamp, error
