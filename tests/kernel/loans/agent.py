"""An agent's reclaim alone, to be started in a container; it says how it went, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from netdevice_plugin.loans.reclaiming import capable, reclaim


def main(run_dir: Path, device: str) -> None:
    """Start before the link is lent, as an agent does; go on when told."""
    print("ready", flush=True)
    sys.stdin.readline()
    said: dict[str, object] = {"unable": capable(run_dir)}
    if not said["unable"]:
        outcome = asyncio.run(reclaim(device, run_dir))
        said |= {"code": outcome.code, "message": outcome.message}
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
