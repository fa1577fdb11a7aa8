"""Programs as providers, of every kind of conduct."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.command import Command
from netdevice_plugin.ports.errors import BusyError, RefusedError, UnansweredError
from netdevice_plugin.ports.provider import LIMITS, Call, Owner, Port

OWNER = Owner(node="worker-1", pool="networking.k8s.io/fast")
PORT = Port(id="f2b1", mac="fa:16:3e:00:00:01")
ANSWER = '{"port": {"id": "f2b1", "mac": "FA:16:3E:00:00:01"}}'

_T = TypeVar("_T")


def program(tmp_path: Path, text: str, **more: Any) -> Command:
    path = tmp_path / "provide"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Command((str(path), "--vswitch", "dpdk0"), OWNER, **more)


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    async def limited() -> _T:
        async with asyncio.timeout(20):
            return await coroutine

    return asyncio.run(limited())


def test_it_is_asked_on_standard_input_and_answers_on_standard_output(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    provider = program(tmp_path, f"echo $@ >{asked}; cat >>{asked}; echo '{ANSWER}'")
    assert run(provider.attach({"network": "a"})) == PORT
    assert asked.read_text() == (
        "--vswitch dpdk0\n"
        '{"version": 1, "call": "attach", "node": "worker-1", "pool": "networking.k8s.io/fast",'
        ' "timeout": 120.0, "parameters": {"network": "a"}}\n'
    )


def test_it_hears_what_a_port_is_for(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    provider = program(tmp_path, f"cat >{asked}; echo '{ANSWER}'")
    run(provider.attach({}, "uid-1/fast-0"))
    assert '"parameters": {}, "request": "uid-1/fast-0"}' in asked.read_text()


def test_one_that_reads_nothing_answers_all_the_same(tmp_path: Path) -> None:
    provider = program(tmp_path, "exec <&-; echo '{\"ports\": []}'")
    assert run(provider.list()) == ()


def test_an_error_counts_whatever_the_exit_status(tmp_path: Path) -> None:
    provider = program(tmp_path, 'echo \'{"error": {"kind": "busy", "message": "m"}}\'; exit 3')
    with pytest.raises(BusyError, match="provide: m"):
        run(provider.detach("f2b1"))


def test_an_exit_status_without_an_answer_is_told_with_its_last_line(tmp_path: Path) -> None:
    provider = program(tmp_path, "echo first >&2; echo no such bridge >&2; exit 3")
    with pytest.raises(PortError, match=r"exit status 3: no such bridge$") as caught:
        run(provider.list())
    assert type(caught.value) is PortError


def test_one_that_dies_may_have_done_it(tmp_path: Path) -> None:
    with pytest.raises(UnansweredError, match="ended by signal 9"):
        run(program(tmp_path, "kill -9 $$").attach({}))


@pytest.mark.parametrize("text", ["yes", "yes >&2"], ids=["answer", "complaint"])
def test_one_that_says_more_than_anybody_reads_is_ended(tmp_path: Path, text: str) -> None:
    provider = program(tmp_path, f"exec {text}", limits=dict.fromkeys(Call, 1.0))
    with pytest.raises(UnansweredError):
        run(provider.list())


@pytest.mark.parametrize("path", ["/nonexistent/provide", "/etc/passwd", "/tmp/\0"])
def test_one_that_cannot_be_run_is_refused(path: str) -> None:
    with pytest.raises(RefusedError, match="cannot run"):
        run(Command((path,), OWNER).list())


def ends(pid: int) -> bool:
    """Whether a process is gone, or about to be."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 5.0)[0])
    finally:
        os.close(process)


def test_one_that_is_late_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"trap '' TERM; sleep 60 & echo $! $$ >{pids}; wait; sleep 60"
    limits = {**LIMITS, Call.LIST: 0.5}
    provider = program(tmp_path, text, limits=limits, grace=0.1)
    with pytest.raises(UnansweredError, match=r"no answer to list within 0\.5 s"):
        run(provider.list())
    assert all(map(ends, map(int, pids.read_text().split())))


def test_one_that_is_cancelled_has_time_to_take_back_what_it_began(tmp_path: Path) -> None:
    began, ended = tmp_path / "began", tmp_path / "ended"
    os.mkfifo(began)
    text = f"trap 'echo back >{ended}; exit 1' TERM; echo >{began}; while :; do sleep 0.05; done"
    provider = program(tmp_path, text)

    async def cancelled() -> None:
        task = asyncio.create_task(provider.attach({}))
        await asyncio.to_thread(began.read_text)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    run(cancelled())
    assert ended.read_text() == "back\n"


def test_what_it_leaves_running_does_not_hold_up_its_answer(tmp_path: Path) -> None:
    provider = program(tmp_path, f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/pid; echo {{}}")
    run(provider.detach("f2b1"))
    assert ends(int((tmp_path / "pid").read_text()))


def test_its_environment_is_the_agents_if_nothing_else_is_said(tmp_path: Path) -> None:
    provider = program(
        tmp_path, '[ "$PORTS" = here ] && echo {}', environment={**os.environ, "PORTS": "here"}
    )
    run(provider.detach("f2b1"))
