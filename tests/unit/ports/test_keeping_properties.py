"""Whatever happens: never more than max, no pod loses its NIC, and it ends as it should be."""

from __future__ import annotations

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netdevice_plugin.ports import keeping
from netdevice_plugin.ports.keeping import Memory, Use
from tests.unit.ports import world
from tests.unit.ports.world import World

FAILURES = strategies.sampled_from(["", "", "", "failed", "lost", "halfway"])
SECONDS = strategies.sampled_from([0.5, 5.0, 20.0, 59.0, 61.0, 301.0, 2000.0])


class Life(RuleBasedStateMachine):
    """A node's life, in any order."""

    @initialize(spare=strategies.integers(0, 3), more=strategies.integers(0, 3))
    def begin(self, spare: int, more: int) -> None:
        self.world = World(world.settings(spare, spare + more))

    @rule(seconds=SECONDS)
    def time_goes_by(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule()
    def the_agent_takes_a_turn(self) -> None:
        self.world.publish()

    @rule()
    def the_kubelet_is_asked(self) -> None:
        self.world.ask()

    @rule()
    def the_kubelet_answers(self) -> None:
        self.world.answer()

    @rule(failure=FAILURES, nic=strategies.sampled_from([0.5, 0.5, 30.0, None]))
    def something_is_done(self, failure: str, nic: float | None) -> None:
        self.world.step(failure, nic)

    @rule(seconds=SECONDS, times=strategies.integers(1, 20))
    def all_is_well_for_a_while(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.world.settle(seconds, seconds)

    @rule(number=strategies.integers(0, 20))
    def a_pod_is_given_a_device(self, number: int) -> None:
        if one := self._free(number):
            self.world.held.add(one)

    @rule(number=strategies.integers(0, 20), seconds=strategies.floats(1, keeping.DRAIN - 1))
    def a_claim_is_given_a_device(self, number: int, seconds: float) -> None:
        if one := self._free(number):
            self.world.promised[one] = self.world.now + seconds

    def _free(self, number: int) -> str:
        """One that is listed as healthy; it may have been another's for a moment already."""
        world = self.world
        free = [
            one
            for one, use in sorted(world.published.items())
            if use is Use.FREE and one not in world.held and one not in world.promised
            if one in world.here()
        ]
        return free[number % len(free)] if free else ""

    @rule(number=strategies.integers(0, 20))
    def a_pod_ends(self, number: int) -> None:
        if held := sorted(self.world.held):
            self.world.held.remove(held[number % len(held)])

    @rule()
    def the_agent_is_restarted(self) -> None:
        # What was on its way may happen yet, and a new agent knows of none of it.
        self.world.pass_time(keeping.SETTLE if self.world.late else 0.0)
        self.world.memory = Memory()
        self.world.ask()
        self.world.answer()

    @rule(spare=strategies.integers(0, 3))
    def the_configuration_wants_another_number(self, spare: int) -> None:
        self.world.settings = world.settings(spare, max(spare, self.world.settings.max))

    @invariant()
    def there_are_never_more_than_the_most(self) -> None:
        life = self.world
        assert len(life.cloud) + len(life.late) <= life.settings.max

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        life = self.world
        life.settle()
        life.settle()
        assert not any(one.port.leftover for one in life.cloud.values())
        assert {one.port.mac for one in life.cloud.values()} == life.here()
        free = life.here() - life.held
        most = life.settings.max - len(life.held)
        assert len(free) == min(life.settings.spare, most)
        assert life.decide() == keeping.Plan()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
