from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.doctor.host import Host, Process, run_program
from tests.unit.doctor.roots import BOOT, Root


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/var/run/cdi/a.json", "/run/cdi/a.json"),
        ("/relative/a.json", "/run/cdi/a.json"),
        ("/above/etc/passwd", "/etc/passwd"),
        ("/../../etc", "/etc"),
        ("//run/./cdi//", "/run/cdi"),
        ("/not/there/at/all", "/not/there/at/all"),
        ("/var/run/../x", "/x"),
    ],
)
def test_links_are_followed_below_the_root(root: Root, path: str, real: str) -> None:
    root.write("/run/cdi/a.json", "{}")
    root.link("/var/run", "/run")
    root.link("/relative", "var/run/cdi")
    root.link("/above", "../../../..")
    assert root.host().real(path) == real
    assert root.host().local(path) == root.at(real)


def test_a_link_never_leads_to_our_own_files(root: Root, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("ours")
    root.link("/etc/a", str(tmp_path / "secret"))
    root.link("/etc/b", "../../secret")
    for path in ("/etc/a", "/etc/b"):
        with pytest.raises(FileNotFoundError):
            root.host().read(path)


def test_a_loop_of_links_is_an_error(root: Root) -> None:
    root.link("/a", "/b")
    root.link("/b", "/a")
    with pytest.raises(OSError, match="symbolic links"):
        root.host().read("/a/x")
    assert not root.host().exists("/a")
    assert root.host().word("/a") == ""


@given(st.text())
def test_any_path_is_read_or_is_an_os_error(path: str) -> None:
    host = Host(Path("/nonexistent"))
    with pytest.raises(OSError):  # noqa: PT011 - whichever
        host.read(path)
    assert host.glob(path + "*") == [] or "\0" not in path


def test_a_fifo_does_not_make_anybody_wait(root: Root) -> None:
    os.mkfifo(root.at("/fifo"))
    with pytest.raises(OSError, match="not a regular file"):
        root.host().read("/fifo")


def test_a_file_is_read_whole_or_not_at_all(root: Root) -> None:
    root.write("/large", b"x" * (10 << 20))
    with pytest.raises(OSError, match="larger than 1048576 bytes"):
        root.host().read("/large")
    assert root.host().head("/large", 4) == b"xxxx"


def test_stars_match_names_as_a_shell_has_it(root: Root) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "a.txt"):
        root.write(f"/etc/conf.d/{name}")
    host = root.host()
    assert host.glob("/etc/conf.d/*.toml") == ["/etc/conf.d/a.toml", "/etc/conf.d/b.toml"]
    assert host.glob("/etc/*/a.*") == ["/etc/conf.d/a.toml", "/etc/conf.d/a.txt"]
    assert host.glob("/none/*.toml") == []


def test_processes_tell_what_they_run_and_since_when(root: Root) -> None:
    root.process(7, "/usr/bin/containerd", "--config=/etc/c.toml", program="/usr/bin/containerd")
    root.process(8, "kubelet", started=90)
    root.write("/proc/9/cmdline", b"")  # a kernel thread
    root.directory("/proc/self")
    first, second = root.host().processes()
    assert (first.pid, first.name, first.program) == (7, "containerd", "/usr/bin/containerd")
    assert (second.name, second.started) == ("kubelet", BOOT + 90)


@pytest.mark.parametrize("name", ["cmdline", "stat"])
def test_a_process_that_is_told_of_by_a_fifo_makes_nobody_wait(root: Root, name: str) -> None:
    for other in {"cmdline", "stat"} - {name}:
        root.write(f"/proc/77/{other}", b"kubelet\0")
    os.mkfifo(root.at(f"/proc/77/{name}"))
    assert all(process.started is None for process in root.host().processes())


def test_a_process_of_a_container_is_not_the_hosts(root: Root) -> None:
    root.process(7, "containerd")
    root.link("/proc/7/root", "/")  # our root, which is not that of the host
    assert root.host().processes() == ()


def test_a_process_whose_root_is_hidden_is_known_by_its_control_group(root: Root) -> None:
    for pid, group in ((7, f"0::/docker/{'a' * 64}"), (8, "0::/system.slice/containerd.service")):
        root.process(pid, "containerd")
        root.write(f"/proc/{pid}/cgroup", f"{group}\n")
    assert [one.pid for one in root.host().processes()] == [8]


def test_a_process_of_somebody_else_does_not_count(root: Root) -> None:
    root.process(7, "containerd", "--config", "/tmp/mine.toml")
    assert Host(root.path, owner=os.getuid() + 1).processes() == ()


@pytest.mark.parametrize(
    "argv",
    [
        ("kubelet", "--root-dir=/first", "--root-dir", "/data"),
        ("kubelet", "--root-dir", "/data"),
        ("kubelet --root-dir=/data --v=2",),
    ],
)
def test_the_last_of_an_option_counts(argv: tuple[str, ...]) -> None:
    assert Process(1, argv).option("--root-dir") == "/data"
    assert Process(1, argv).option("--config") == ""
    assert Process(1, ("kubelet", "--root-dir")).option("--root-dir") == ""


def test_what_others_can_replace_is_not_trusted(root: Root) -> None:
    root.write("/opt/bin/mover", mode=0o755)
    host = root.host()
    assert host.trusted("/opt/bin/mover") == ""
    root.at("/opt").chmod(0o777)
    assert host.trusted("/opt/bin/mover") == "/opt can be written by others (mode 0777)"
    root.at("/opt").chmod(0o1777)  # where nobody can remove what is another's
    assert host.trusted("/opt/bin/mover") == ""
    assert "belongs to user" in Host(root.path, owner=os.getuid() + 1).trusted("/opt/bin/mover")


def test_a_program_is_run_and_its_failure_is_an_os_error(tmp_path: Path) -> None:
    assert run_program((sys.executable, "-c", "print('x 1.2.3')")) == "x 1.2.3\n"
    with pytest.raises(OSError, match="it ended with 3: no"):
        run_program((sys.executable, "-c", "import sys; sys.stderr.write('no'); sys.exit(3)"))
    with pytest.raises(FileNotFoundError):
        run_program((str(tmp_path / "none"), "--version"))
