"""How the mover behaves as a process: privileges, files, descriptors, odd surroundings."""

from __future__ import annotations

import fcntl
import os
import pathlib
import shutil
import stat
import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel.mover.dump import Dump, assert_same, eventually, glance, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, finish, identity, mounts
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns

NOBODY = 65534


def arguments(mover: Mover) -> list[str]:
    """A whole attach command."""
    return [str(mover.binary), *mover.arguments("attach"), *identity(mover.host)]


def test_a_set_user_id_copy_refuses_to_run(
    stepped_binary: pathlib.Path, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    shared = pathlib.Path("/dev/shm", f"ndp-{os.getpid()}")
    shared.mkdir(mode=0o755)
    try:
        copy = shared / "mover"
        shutil.copy(stepped_binary, copy)
        copy.chmod(0o4755)
        as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        done = mover.host.run(
            *as_nobody,
            copy,
            *arguments(mover)[1:],
            stdin=containers.of(pod).state(),
            check=False,
        )
    finally:
        shutil.rmtree(shared)
    assert done.returncode in {1, 2}
    assert "set-user-ID" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not mover.run_dir.exists()
    assert_same(mover.host, before)


def test_an_unprivileged_user_is_refused_and_touches_nothing(
    stepped_binary: pathlib.Path, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    shared = pathlib.Path("/dev/shm", f"ndp-{os.getpid()}")
    shared.mkdir(mode=0o755)
    try:
        copy = shutil.copy(stepped_binary, shared / "mover")
        os.chown(shared, NOBODY, NOBODY)
        as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
        args = ("attach", "--device", DEVICE, "--run-dir", f"{shared}/run", "--link", DEVICE)
        done = mover.host.run(
            *as_nobody, copy, *args, stdin=containers.of(pod).state(), check=False
        )
    finally:
        shutil.rmtree(shared)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert_same(mover.host, before)


@pytest.mark.parametrize("umask", ["0000", "0777"])
def test_files_have_their_modes_whatever_the_umask(
    umask: str, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    command = ("sh", "-c", f'umask {umask}; exec "$0" "$@"', *arguments(mover))
    container = containers.of(pod)
    mover.host.run(*command, stdin=container.state())
    for path in [mover.run_dir, *mover.run_dir.rglob("*")]:
        if path == mover.pin():
            continue  # what is mounted there has modes of its own
        mode = path.stat().st_mode
        wanted = 0o755 if stat.S_ISDIR(mode) else 0o644
        assert stat.S_IMODE(mode) == wanted, (path, oct(mode))
    mover.detach(container).ok()


def test_it_needs_no_environment_no_stderr_and_no_directory_of_its_own(
    mover: Mover, pod: Netns, containers: Containers, tmp_path: pathlib.Path
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    gone = tmp_path / "gone"
    gone.mkdir()
    container = containers.of(pod)
    script = f'cd {gone}; rmdir {gone}; exec env -i "$0" "$@" >&- 2>&-'
    mover.host.run("sh", "-c", script, *arguments(mover), stdin=container.state())
    assert DEVICE in pod.links()
    assert DEVICE in mover.record().text
    mover.detach(container).ok()
    assert_same(mover.host, before)


def test_a_failure_with_stderr_closed_is_in_the_error_file_only(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    args = [*arguments(mover), "--route", "10.99.0.0/16 via 172.31.0.1"]
    command = ("sh", "-c", 'exec "$0" "$@" >&- 2>&-', *args)
    done = mover.host.run(*command, stdin=containers.of(pod).state(), check=False)
    assert done.returncode == 1
    assert mover.error()
    assert mover.leftovers() == [f"errors/{DEVICE}"]


def test_the_lock_is_free_when_it_ends(mover: Mover, pod: Netns, containers: Containers) -> None:
    make_up(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    with (mover.run_dir / "locks" / DEVICE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    mover.detach(container).ok()
    with (mover.run_dir / "locks" / DEVICE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_it_waits_while_another_mover_has_the_lock(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    with (mover.run_dir / "locks" / DEVICE).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = mover.start(*mover.arguments("detach"))
        assert process.stdin is not None
        process.stdin.write(container.stopped())
        process.stdin.close()
        process.stdin = None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        assert DEVICE in pod.links()
    finish(process).ok()
    assert_same(mover.host, before)


def test_other_devices_do_not_wait_for_that_lock(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    lock = mover.run_dir / "locks" / "another"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        mover.attach(containers.of(pod), *identity(mover.host)).ok()


@pytest.fixture
def shut(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory on a read-only file system."""
    place = tmp_path / "shut"
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "ro", "ndp-test", str(place))
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place: pathlib.Path) -> None:
    """Write until there is no more room."""
    command = ("dd", "if=/dev/zero", f"of={place}/ballast")
    subprocess.run(command, capture_output=True, check=False)


@pytest.fixture
def full(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A run directory on a file system with no byte left, but room for directories."""
    place = tmp_path / "full"
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=128k", "ndp-test", str(place))
    subprocess.run(mount, check=True)
    fill(place)
    yield place
    for point in mounts(place):
        subprocess.run(["umount", point], check=True)
    subprocess.run(["umount", str(place)], check=True)


def assert_nothing_touched(mover: Mover, before: Dump, code: int, stderr: str) -> None:
    """Exit 1, one line with the device, and the link where it was."""
    assert code == 1
    (line,) = stderr.splitlines()
    assert line.startswith(f"netdevice-mover: {DEVICE}: ")
    assert mounts(mover.run_dir) == []
    assert_same(mover.host, before, glance)


def test_a_run_directory_that_cannot_be_written_touches_nothing(
    mover: Mover, shut: pathlib.Path, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    there = Mover(mover.binary, mover.host, shut / "run")
    result = there.attach(containers.of(pod), *identity(mover.host))
    assert_nothing_touched(there, before, result.code, result.stderr)
    assert str(shut) in result.reason


def test_a_run_directory_below_a_file_touches_nothing(
    mover: Mover, tmp_path: pathlib.Path, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    (tmp_path / "file").write_text("")
    there = Mover(mover.binary, mover.host, tmp_path / "file" / "run")
    result = there.attach(containers.of(pod), *identity(mover.host))
    assert_nothing_touched(there, before, result.code, result.stderr)


def test_a_full_file_system_touches_nothing(
    mover: Mover, full: pathlib.Path, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host, glance)
    there = Mover(mover.binary, mover.host, full)
    result = there.attach(containers.of(pod), *identity(mover.host))
    assert_nothing_touched(there, before, result.code, result.stderr)
    attachments = full / "attachments"
    assert list(attachments.iterdir() if attachments.exists() else []) == []


def test_a_record_that_cannot_be_written_any_more_does_not_keep_the_link(
    mover: Mover, full: pathlib.Path, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    there = Mover(mover.binary, mover.host, full)
    container = containers.of(pod)
    (full / "ballast").unlink()
    there.attach(container, *identity(mover.host)).ok()
    fill(full)
    assert there.detach(container).code == 0
    there.reclaim()
    assert_same(mover.host, before)


def test_links_in_place_of_its_files_are_not_followed(
    mover: Mover, pod: Netns, containers: Containers, tmp_path: pathlib.Path
) -> None:
    make_up(mover.host)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for name in ("attachments", "errors"):
        (mover.run_dir / name).mkdir(parents=True)
    (mover.run_dir / "errors" / DEVICE).symlink_to(victim)
    mover.attach(containers.of(pod), "--link", "gone0")
    assert victim.read_text() == "untouched"


def test_nothing_keeps_the_pods_namespace_once_the_link_is_home(
    mover: Mover, containers: Containers
) -> None:
    make_up(mover.host)
    container = containers.alone()
    mover.host.ip(
        *("link", "add", "canary0", "type", "veth", "peer", "name", "eth0"),
        *("netns", str(container.pid)),
    )
    mover.attach(container, *identity(mover.host)).ok()
    container.end()
    assert "canary0" in mover.host.links()
    mover.detach(container).ok()
    assert eventually(mover.host, lambda: "canary0" not in mover.host.links())
