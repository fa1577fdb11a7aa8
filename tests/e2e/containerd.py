"""containerd in a node: its configuration, its life and its violent death."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import grpc

from tests.e2e import image
from tests.e2e.cri import Cri, Pod
from tests.e2e.fetch import Parts
from tests.e2e.node import PATH, GoneError, Node
from tests.e2e.waiting import TIMEOUT, until

SOCKET = "/run/containerd/containerd.sock"
_SHOWN = 60  # lines of its log, when a test failed
_PROBE = 5.0  # seconds
_CNI = """\
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {
  "type": "host-local", "dataDir": "/run/ipam", "subnet": "198.51.100.0/24"}}]}
"""
_CONFIG = """\
version = 2
root = "/run/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  enable_cdi = true
  cdi_spec_dirs = ["/run/cdi"]
  restrict_oom_score_adj = true  # where even root may not lower it
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "/run/cni"
"""


class Containerd:
    """The daemon; `cri` is the current connection to it."""

    def __init__(self, node: Node, parts: Parts) -> None:
        self._node = node
        self._parts = parts
        self._log = node.path("/run/containerd.log")
        self._process: subprocess.Popen[str] | None = None
        self._listeners: list[Callable[[str], None]] = []
        self.cri: Cri

    def configure(self) -> None:
        """Write the configuration of containerd and of the pods' network."""
        config = _CONFIG.format(socket=SOCKET, image=image.NAME, cni=self._parts.cni)
        self._node.path("/run/containerd.toml").write_text(config)
        self._node.path("/run/cni").mkdir()
        self._node.path("/run/cni/10-pods.conflist").write_text(_CNI)

    def start(self) -> None:
        """Start the daemon and return when it serves."""
        path = f"PATH={self._parts.containerd}:{PATH}"
        argv = ("env", path, "containerd", "--config", "/run/containerd.toml")
        with self._log.open("a") as log:
            self._process = self._node.popen(*argv, stdout=log, stderr=log)
        socket = self._node.path(SOCKET)
        socket.parent.mkdir(exist_ok=True)
        until(socket.parent, socket.exists, f"containerd serves; see {self._log}")
        self.cri = Cri(socket, self._parts.stubs, self._node.cgroup, self._tell)
        self._tell("")

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call somebody at each event, by the pod's uid, and at each start; returns the end."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, pod: str) -> None:
        for listener in tuple(self._listeners):
            listener(pod)

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up; the shims and the containers live on."""
        assert self._process is not None
        self.cri.close()
        for pid in self._node.pids("containerd"):
            with contextlib.suppress(GoneError):  # its child, which is another program by now
                self._node.kill(pid)
        self._process.wait(TIMEOUT)  # nsenter ends with it
        self._node.path(SOCKET).unlink()

    def show(self) -> None:
        """Print the end of its log, for a test that fails; what each start says is left out."""
        lines = self._log.read_text(errors="replace").splitlines()
        told = [line for line in lines if "loading plugin" not in line]
        print(self._log, *told[-_SHOWN:], sep="\n")

    def examine(self) -> str:
        """Find out why a call got no answer; where its goroutines are is printed."""
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            return f"containerd has ended with {code}; see {self._log}"
        other = "is" if self.cri.answers(_PROBE) else "is not"
        for pid in self._node.pids("containerd"):
            self._print_stacks(pid)
        return f"containerd runs, and another connection {other} answered"

    def _print_stacks(self, pid: int) -> None:
        name = f"/run/containerd.{pid}.stacks.log"  # in its TMPDIR
        before = self._log.read_text(errors="replace").count(name)
        self._node.run("sh", "-c", f"kill -USR1 {pid}")

        def written() -> bool:
            return self._log.read_text(errors="replace").count(name) > before

        try:
            until(self._log.parent, written, f"containerd writes {name}")
        except AssertionError as error:
            print(error)
        else:
            print(name, self._node.path(name).read_text(), sep="\n")

    def load(self, archive: pathlib.Path) -> None:
        """Import the image."""
        self._ctr("images", "import", archive)

    def end_task(self, container: str) -> None:
        """Kill what runs of a container, and forget it; CRI is not asked."""
        self._ctr("tasks", "delete", "--force", container, check=False)  # it may just have ended

    def _ctr(self, *argv: str | pathlib.Path, check: bool = True) -> None:
        ctr = (self._parts.containerd / "ctr", "--address", SOCKET, "--namespace", "k8s.io")
        self._node.run(*ctr, *argv, check=check)

    def shim(self, pod: Pod) -> int:
        """The process that looks after a pod's containers, as the node numbers it."""
        (pid,) = self._node.pids("containerd-shim-runc-v2", pod.sandbox)
        return pid

    def clear(self) -> None:
        """Leave no pod, whatever a test that failed half-way has left."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        try:
            self.cri.remove_all_pods()
        except grpc.RpcError:  # killed in mid start, it learns what is left when it starts anew
            self.kill()
            self.start()
            self.cri.remove_all_pods()


@contextlib.contextmanager
def containerd(node: Node, parts: Parts, archive: pathlib.Path) -> Iterator[Containerd]:
    """A daemon that has the image."""
    daemon = Containerd(node, parts)
    daemon.configure()
    daemon.start()
    try:
        daemon.load(archive)
        yield daemon
    finally:
        daemon.clear()
        daemon.kill()
