"""A pod that may do what it likes in its own namespace keeps no hold on the link."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernel.mover.dump import assert_same, settled
from tests.kernel.mover.harness import DEVICE, Containers, Mover, identity
from tests.kernel.mover.links import make_up
from tests.kernel.scratch import Netns


def info(space: Netns) -> dict[str, Any]:
    """What there is to know of the link."""
    (found,) = space.json("link", "show", "dev", DEVICE)
    return found


def test_nothing_of_the_pods_stands_on_a_link_that_is_home(
    mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host)
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    pod.batch(
        [
            *(f"link add mac{n} link {DEVICE} type macvlan mode bridge" for n in range(40)),
            f"link add tap0 link {DEVICE} type macvtap mode bridge",
            f"link add vx0 type vxlan id 9 dstport 4789 dev {DEVICE}",
        ]
    )
    mover.detach(container).ok()
    assert_same(mover.host, before)
    assert set(pod.links()) == {"lo"}


# What the kernel lets a link have: 64 KB of them in one message.
@pytest.mark.parametrize("size", [127, 16])
def test_a_link_comes_home_with_as_many_altnames_as_it_can_have(
    size: int, mover: Mover, pod: Netns, containers: Containers
) -> None:
    make_up(mover.host, "veth", f"link property add dev {DEVICE} altname kept")
    before = settled(mover.host)
    container = containers.of(pod)
    mover.attach(container, *identity(mover.host)).ok()
    names = [f"{number:0{size}}" for number in range(65536 // size)]
    pod.run(
        "ip",
        "-batch",
        "-",
        stdin="".join(f"link property add dev {DEVICE} altname {name}\n" for name in names),
        check=False,
    )
    assert len(info(pod)["altnames"]) > 400
    mover.detach(container).ok()
    assert_same(mover.host, before)
