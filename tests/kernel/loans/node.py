"""Process 1 of a node that is made of namespaces, with an agent in a container on it.

A link is lent to a container that is killed; then the agent is told to bring it home.
What the link was before and is afterwards, and what the agent said, is printed as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from netdevice_plugin import mover

LINK = "lend0"


def ip(*words: str) -> str:
    return subprocess.run(("ip", *words), check=True, capture_output=True, text=True).stdout


def show() -> object:
    """The link, its addresses and a setting; None if it is not here."""
    setting = Path("/proc/sys/net/ipv4/conf", LINK, "rp_filter")
    if not setting.exists():
        return None
    (link,) = json.loads(ip("-j", "-4", "addr", "show", "dev", LINK))
    kept = [link[key] for key in ("ifindex", "ifname", "mtu", "txqlen", "addr_info")]
    return [*kept, "UP" in link["flags"], setting.read_text()]  # the carrier is not ours


def lend(run_dir: Path) -> None:
    """Lend the link to a container, and kill that."""
    (link,) = json.loads(ip("-j", "link", "show", "dev", LINK))
    identity = (
        *("--link", LINK, "--link-kind", "veth"),
        *("--link-mac", link["address"], "--link-ifindex", str(link["ifindex"])),
    )
    command = (str(mover.BUNDLED), "attach", "--device", LINK, "--run-dir", str(run_dir))
    container = ("unshare", "--net", "cat")
    with subprocess.Popen(container, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pod:
        assert pod.stdin is not None
        assert pod.stdout is not None
        pod.stdin.write(b"ready\n")
        pod.stdin.flush()
        pod.stdout.readline()
        state = {
            "ociVersion": "1.0.2",
            "id": "c" * 64,
            "status": "creating",
            "pid": pod.pid,
            "bundle": "/",
        }
        subprocess.run((*command, *identity), input=json.dumps(state).encode(), check=True)
        pod.kill()


def main(run_dir: Path, *enter: str) -> None:
    """Play it all; `enter` is the command that starts a program in the agent's container."""
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    ip("link", "add", LINK, "type", "veth", "peer", "name", "peer0")
    ip("link", "set", "peer0", "up")
    ip("link", "set", LINK, "mtu", "1400", "up")
    ip("addr", "add", "10.1.0.5/24", "dev", LINK)
    Path("/proc/sys/net/ipv4/conf", LINK, "rp_filter").write_text("2")
    before = show()
    command = (*enter, sys.executable, "-m", "tests.kernel.loans.agent", str(run_dir), LINK)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"
        lend(run_dir)
        said, _ = agent.communicate("go\n")
    pinned = any(str(run_dir) in line for line in Path("/proc/mounts").read_text().splitlines())
    print(json.dumps([json.loads(said), before, show(), pinned]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
