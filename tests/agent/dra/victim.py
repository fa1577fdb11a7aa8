"""An instance in a process of its own, which is killed at a step of its work.

python -m tests.agent.dra.victim DIRECTORY STEP
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.agent.dra.dialled import Kubelet, server
from tests.unit.dra.claimed import Node, link


def scene(root: Path) -> Node:
    """The same node for whoever is on it: four links, and two claims that want the first."""
    node = Node(root)
    node.offer(*(link(f"eth{number}", number) for number in range(1, 5)))
    node.give(1, "eth1", "eth2")
    node.give(2, "eth1")
    return node


async def main(root: Path, at: str) -> None:
    node = scene(root)
    node.step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == at else None
    await server(Kubelet(root), node.instance(), "victim").run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
