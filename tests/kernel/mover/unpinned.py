"""Process 1 of a node that is made of namespaces, on which somebody unmounts a pin.

Ends with 0 if the mover makes of that what it must.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

from tests.kernel.mover.harness import DEVICE, At, Containers, Mover, identity
from tests.kernel.mover.links import make_up


def main(binary: pathlib.Path, run_dir: pathlib.Path, end: str) -> None:
    """The link is fetched from a pod that lives, and lost with one that has died."""
    mover = Mover(binary, At("/proc/1/ns/net"), run_dir)
    containers = Containers()
    make_up(mover.host)
    container = containers.alone()
    mover.attach(container, *identity(mover.host)).ok()
    subprocess.run(("umount", str(mover.pin())), check=True)
    assert mover.pin().is_file()
    if end == "pod lives":
        mover.reclaim("--force").ok()
        assert mover.host.links()[DEVICE]["mtu"] == 1400
    else:
        container.end()
        while "peer0" in mover.host.links():  # which ends with the link
            time.sleep(0.01)
        assert mover.reclaim().code == 4
        assert mover.record().one("phase") == "lost"
        assert mover.reclaim("--forget").code == 0
    assert mover.leftovers() == []
    containers.end()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])
