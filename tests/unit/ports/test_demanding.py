"""Which port goes, whatever else there is: never one that a claim may have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.ports.demanding import Known, Sight, decide
from netdevice_plugin.ports.keeping import ARRIVAL
from netdevice_plugin.ports.provider import Port

NOW = 1000.0
IDS = "abcdef"
MACS = {one: f"02:00:00:00:00:0{number}" for number, one in enumerate(IDS)}

requests = st.sampled_from(["", "r1", "r2", "r3"])
some_macs = st.frozensets(st.sampled_from(sorted(MACS.values())))
times = st.dictionaries(st.sampled_from(IDS), st.sampled_from([NOW - ARRIVAL, NOW - 1, NOW + 9]))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Known, Sight, dict[str, str]]:
    ports = tuple(
        Port(id=one, mac=MACS[one], request=draw(requests), leftover=draw(st.booleans()))
        for one in sorted(draw(st.frozensets(st.sampled_from(IDS))))
    )
    away, here = draw(some_macs), draw(some_macs)
    listed = dict.fromkeys(draw(some_macs), "eth1")
    missing = {
        one.id: draw(st.sampled_from([NOW - ARRIVAL, NOW - 1]))
        for one in ports
        if one.mac not in here
    }
    return (
        Known(ports=ports, missing=missing, held=draw(times)),
        Sight(listed=listed, away=away & here, here=here, hidden=draw(st.booleans())),
        draw(st.dictionaries(requests.filter(bool), st.sampled_from(["", *MACS.values()]))),
    )


@given(worlds())
def test_only_what_is_sure_to_be_nobodys_goes(world: tuple[Known, Sight, dict[str, str]]) -> None:
    known, sight, asked = world
    plan = decide(known, sight, asked, NOW)
    if plan.detach is None:
        return
    port = plan.detach
    assert port.mac not in asked.values()
    assert asked.get(port.request) != ""
    assert port.mac not in sight.away | sight.listed.keys()
    assert known.held.get(port.id, NOW) <= NOW
    if port.mac not in sight.here:
        assert known.missing[port.id] <= NOW - ARRIVAL
        assert port.leftover or not sight.hidden


@given(worlds())
def test_what_is_nobodys_goes_in_the_end_or_is_told(
    world: tuple[Known, Sight, dict[str, str]],
) -> None:
    known, sight, asked = world
    mine = {one.id for one in known.ports if one.mac in asked.values()}
    mine |= {one.id for one in known.ports if asked.get(one.request) == ""}
    over = [one for one in known.ports if one.id not in mine]
    plan = decide(known, sight, asked, NOW)
    assert plan.leaving == len(over)
    settled = [one for one in over if one.mac in sight.away or _told(one, plan.problems)]
    waits = plan.detach is not None or plan.again is not None
    assert waits == (len(settled) < len(over))


def _told(port: Port, problems: tuple[str, ...]) -> bool:
    return any(f"of the port {port.id}," in line for line in problems)
