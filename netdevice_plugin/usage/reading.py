"""Both of the kubelet's sources, read and put together."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from netdevice_plugin.errors import KubeletError
from netdevice_plugin.usage import checkpoint, podresources
from netdevice_plugin.usage.usage import Answer, Grant, Usage, is_ours, join


async def read(kubelet_dir: Path, *prefixes: str) -> Usage:
    """Find out who has which device of the kinds under these prefixes.

    Never raises for what the kubelet does, or for there being none: `problems` says
    it. Takes no longer than podresources' deadline and the reading of a file.
    """
    problems: list[KubeletError] = []
    answer: Answer | None = None
    kept: tuple[Grant, ...] = ()
    try:
        answer = await podresources.ask(kubelet_dir)
        ours = tuple(grant for grant in answer.grants if is_ours(grant.kind, prefixes))
        answer = dataclasses.replace(answer, grants=ours)
    except KubeletError as error:
        problems.append(error)
    try:  # afterwards, so that it has the UIDs of all that were listed
        kept = await asyncio.to_thread(checkpoint.read, kubelet_dir, prefixes)
    except KubeletError as error:
        problems.append(error)
    return join(answer, kept, *problems)
