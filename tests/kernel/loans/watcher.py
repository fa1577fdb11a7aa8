"""Watch one process as the agent does, from wherever this is started; told line by line."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from netdevice_plugin.attachments import Attachment, Holder, HostLink, Phase
from netdevice_plugin.loans.holders import Holders
from netdevice_plugin.loans.loan import Life


async def watch(proc: Path, pid: int, start_time: int, pidns: tuple[int, int] | None) -> None:
    """Say how it is, first and at each change, until it is dead or stdin ends."""
    holder = Holder(container="c", pid=pid, start_time=start_time)
    link = HostLink(name="eth1", ifindex=7)
    record = Attachment(
        device="eth1", phase=Phase.ATTACHED, link=link, holders=(holder,), pidns=pidns
    )
    changed = asyncio.Event()
    holders = Holders(changed.set, proc=proc, interval=0.05)
    print("blind" if holders.blind else "sees", flush=True)
    holders.follow([record])
    loop = asyncio.get_running_loop()
    end = loop.run_in_executor(None, sys.stdin.read)
    end.add_done_callback(lambda _: changed.set())
    while True:
        life = holders.seen(holder).life
        print(life.value, flush=True)
        if life is Life.DEAD or end.done():
            break
        await changed.wait()
        changed.clear()
    holders.close()


if __name__ == "__main__":
    _, place, *numbers = sys.argv
    own_pid, started, device, inode = map(int, numbers)
    asyncio.run(watch(Path(place), own_pid, started, (device, inode) if inode else None))
