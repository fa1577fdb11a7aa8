"""The eye that the soaks have for what an agent has."""

from __future__ import annotations

import pytest

from tests.e2e.agent import Agents
from tests.e2e.lender import KIND, Lender
from tests.e2e.sizes import Size, assert_no_more, grown

BEFORE = Size(threads={"http": 1, "claims": 3}, descriptors={"unix": 6, "pipe": 2})


def test_one_thread_or_descriptor_more_is_seen() -> None:
    now = Size(threads={"http": 2, "claims": 3}, descriptors={"unix": 6, "pipe": 3, "netlink": 1})
    assert grown(BEFORE, now, {}) == ["http 1 -> 2", "pipe 2 -> 3", "netlink 0 -> 1"]


def test_less_of_one_is_no_room_for_another() -> None:
    now = Size(threads={"http": 2, "claims": 2}, descriptors={"unix": 5, "pipe": 3})
    assert grown(BEFORE, now, {}) == ["http 1 -> 2", "pipe 2 -> 3"]


@pytest.mark.parametrize(("count", "more"), [(8, []), (9, ["claims 3 -> 9"])])
def test_what_comes_when_it_is_needed_may_be_up_to_its_ceiling(count: int, more: list[str]) -> None:
    now = Size(threads={"claims": count}, descriptors={})
    assert grown(BEFORE, now, {"claims": 8}) == more


def test_an_agents_threads_bear_their_names(agents: Agents, lender: Lender) -> None:
    lender.make("veth")
    agent = agents.serve(kind=KIND)
    rest = Size.at_rest(agent)
    assert {"http", "inventory", "cdi", "InotifyObserver", "event_engine"} <= rest.threads.keys()
    assert "Thread" not in " ".join(rest.threads)
    assert rest.descriptors["netlink"], rest
    assert_no_more(agent, rest)
