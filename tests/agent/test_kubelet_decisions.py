"""What the fake kubelet decides without asking anybody: requests, choices, next steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.kubelet import ContainerSpec, Phase, PodSpec, Restart
from tests.fakes.kubelet.choice import affinity, choose
from tests.fakes.kubelet.runtime import Container, Observed, Sandbox, State
from tests.fakes.kubelet.sync import NewSandbox, Start, next_steps, phase

KIND = "networking.k8s.io/netdevice"
ONE, TWO = {KIND: 1}, {KIND: 2}
IDS = st.frozensets(st.sampled_from("abcdefgh"))


def wants(count: int, *, sidecar: bool = False) -> ContainerSpec:
    return ContainerSpec(name=f"c{count}", limits={KIND: count}, sidecar=sidecar)


@pytest.mark.parametrize(
    ("init", "apps", "requests"),
    [
        ((), (1, 2), 3),
        ((3,), (1, 1), 3),
        ((1, 2), (4,), 4),
    ],
)
def test_a_pod_requests_the_most_that_it_has_at_one_time(
    init: tuple[int, ...], apps: tuple[int, ...], requests: int
) -> None:
    spec = PodSpec(
        name="pod",
        init_containers=tuple(map(wants, init)),
        containers=tuple(map(wants, apps)),
    )
    assert spec.requests == {KIND: requests}


def test_sidecars_add_to_what_comes_after_them() -> None:
    spec = PodSpec(
        name="pod",
        init_containers=(wants(1, sidecar=True), wants(4)),
        containers=(wants(2),),
    )
    assert spec.requests == {KIND: 5}


@given(
    healthy=IDS,
    reusable=IDS,
    preferred=IDS,
    size=st.integers(1, 8),
    nodes=st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 1))),
)
def test_a_choice_has_the_right_size_and_only_what_may_be_given(
    healthy: frozenset[str],
    reusable: frozenset[str],
    preferred: frozenset[str],
    size: int,
    nodes: dict[str, tuple[int]],
) -> None:
    free = healthy - reusable
    if len(free) + len(reusable) < size:
        return
    chosen = choose(
        size,
        reusable,
        affinity(free, nodes, size - len(reusable)),
        lambda _free, _must, _size: preferred,
        sorted,
    )
    assert len(chosen) == len(set(chosen)) == size
    assert set(chosen) <= free | reusable
    assert set(chosen) >= reusable or set(chosen) <= reusable


def sandbox(attempt: int = 0, *, ready: bool = True) -> Sandbox:
    return Sandbox(id=f"s{attempt}", pod="uid", attempt=attempt, ready=ready)


def container(
    attempt: int = 0,
    state: State = State.RUNNING,
    code: int = 0,
    *,
    name: str = "main",
    at: int = 0,
) -> Container:
    return Container(
        id=f"{name}{attempt}",
        pod="uid",
        sandbox="s0",
        name=name,
        attempt=attempt,
        state=state,
        exit_code=code,
    )


MAIN = ContainerSpec()
INIT = ContainerSpec(name="init")
SIDE = ContainerSpec(name="side", sidecar=True)


def pod(restart: Restart = Restart.ALWAYS, *init: ContainerSpec) -> PodSpec:
    return PodSpec(name="pod", init_containers=init, containers=(MAIN,), restart=restart)


def steps(spec: PodSpec, *seen: Sandbox | Container) -> list[tuple[str, int]] | NewSandbox:
    sandboxes = tuple(entry for entry in seen if isinstance(entry, Sandbox))
    containers = tuple(entry for entry in seen if isinstance(entry, Container))
    found = next_steps(spec, Observed(sandboxes, containers))
    if isinstance(found, NewSandbox):
        return found
    assert all(isinstance(step, Start) for step in found)
    return [(step.container.name, step.attempt) for step in found]


EXITED = State.EXITED


@pytest.mark.parametrize(
    ("spec", "seen", "expected"),
    [
        (pod(), (), NewSandbox(attempt=0)),
        (pod(), (sandbox(),), [("main", 0)]),
        (pod(), (sandbox(), container()), []),
        (pod(), (sandbox(), container(0, EXITED)), [("main", 1)]),
        (pod(), (sandbox(), container(3, State.CREATED)), [("main", 4)]),
        (pod(Restart.ON_FAILURE), (sandbox(), container(0, EXITED)), []),
        (pod(Restart.ON_FAILURE), (sandbox(), container(0, EXITED, 1)), [("main", 1)]),
        (pod(Restart.NEVER), (sandbox(), container(0, EXITED, 1)), []),
        (pod(), (sandbox(ready=False), container()), NewSandbox(attempt=1)),
        (pod(Restart.NEVER), (sandbox(ready=False), container(0, EXITED)), []),
        (pod(Restart.NEVER), (sandbox(ready=False),), NewSandbox(attempt=1)),
        (pod(Restart.ON_FAILURE), (sandbox(ready=False), container(0, EXITED)), []),
        (
            pod(),
            (sandbox(ready=False), sandbox(1), container(2, EXITED)),
            [("main", 3)],
        ),
        (pod(Restart.ALWAYS, INIT), (sandbox(),), [("init", 0)]),
        (pod(Restart.ALWAYS, INIT), (sandbox(), container(name="init")), []),
        (pod(Restart.ALWAYS, INIT), (sandbox(), container(0, EXITED, name="init")), [("main", 0)]),
        (
            pod(Restart.ALWAYS, INIT),
            (sandbox(), container(0, EXITED, 1, name="init")),
            [("init", 1)],
        ),
        (pod(Restart.NEVER, INIT), (sandbox(), container(0, EXITED, 1, name="init")), []),
        (pod(Restart.ALWAYS, SIDE), (sandbox(), container(name="side")), [("main", 0)]),
        (
            pod(Restart.ALWAYS, SIDE),
            (sandbox(), container(name="side", state=EXITED), container()),
            [("side", 1)],
        ),
    ],
)
def test_the_next_steps_of_a_pod(
    spec: PodSpec,
    seen: tuple[Sandbox | Container, ...],
    expected: list[tuple[str, int]] | NewSandbox,
) -> None:
    assert steps(spec, *seen) == expected


@pytest.mark.parametrize(
    ("spec", "seen", "expected"),
    [
        (pod(), (), Phase.PENDING),
        (pod(), (container(),), Phase.RUNNING),
        (pod(), (container(0, EXITED),), Phase.RUNNING),
        (pod(Restart.ON_FAILURE), (container(0, EXITED, 1),), Phase.RUNNING),
        (pod(Restart.ON_FAILURE), (container(0, EXITED),), Phase.SUCCEEDED),
        (pod(Restart.NEVER), (container(0, EXITED, 1),), Phase.FAILED),
        (pod(Restart.NEVER, INIT), (container(0, EXITED, 1, name="init"),), Phase.FAILED),
        (pod(Restart.ALWAYS, INIT), (container(0, EXITED, 1, name="init"),), Phase.PENDING),
    ],
)
def test_the_phase_of_a_pod(spec: PodSpec, seen: tuple[Container, ...], expected: Phase) -> None:
    assert phase(spec, Observed((sandbox(),), seen)) is expected
