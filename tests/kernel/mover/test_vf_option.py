"""--vf for a link that is no virtual function; tests/vm has those that are."""

from __future__ import annotations

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import Containers, Mover, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns


def test_a_link_that_is_no_vf_stays_where_it_is(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth")
    before = settled(mover.host)
    result = mover.attach(containers.of(pod), *identity(mover.host), "--vf", "trust on")
    assert result.code == 1
    assert "look at the VF's settings: it is no virtual function (VF) of a NIC" in result.reason
    assert_same(mover.host, before)
