"""The CDI directory kept true: our files as the inventory wants them, whoever else is at it.

`store` is the part for the event loop, `mirror` does the file system's work in a
thread, `rendering` makes the contents, `others` looks at what is not ours.
"""

from __future__ import annotations

from netdevice_plugin.cdistore.others import on_disk
from netdevice_plugin.cdistore.pacing import Pace
from netdevice_plugin.cdistore.store import CdiStore, State

__all__ = ["CdiStore", "Pace", "State", "on_disk"]
