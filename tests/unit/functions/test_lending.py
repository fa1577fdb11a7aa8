"""Functions lent and home again, whatever happens in between."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import pathlib
import tempfile
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions.failures import RETRY
from netdevice_plugin.functions.lending import GRACE, NOTED, Functions
from netdevice_plugin.functions.record import Phase
from netdevice_plugin.model import Device, Pool
from netdevice_plugin.provisioning import Node, Userspace, VfSettings
from tests.unit.functions.agents import IDLE, NAME, NOTHING, SETTINGS, VFIO, Agent, device
from tests.unit.functions.kernel import NO_MAC, PF, RANDOM, VF, Kernel
from tests.unit.inventory.trees import vf_address

KILLS = range(14)
NODES = (Node("/dev/vfio/vfio"), Node("/dev/vfio/10"))


@pytest.fixture
def kernel(tmp_path: pathlib.Path) -> Kernel:
    return Kernel(tmp_path)


def pools(*several: Pool) -> dict[str, Pool]:
    return {pool.name: pool for pool in several}


def test_a_function_is_bound_while_it_is_lent_and_as_before_afterwards(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    before = kernel.outline()
    one = device(kernel)

    async def work(functions: Functions) -> None:
        assert await functions.lend(one, VFIO, SETTINGS) == NODES
        assert kernel.driver(VF) == "vfio-pci"
        assert kernel.vf_settings[0].vlan == 100
        assert kernel.vf_settings[0].mac == SETTINGS.mac
        record = functions.records[NAME]
        assert (record.phase, record.driver) == (Phase.BOUND, "igbvf")
        assert record.link
        assert record.link.name == "vf0"
        await functions.release(NAME)
        assert functions.records == {}

    agent = Agent(kernel, tmp_path)
    agent.run(work)
    assert kernel.outline() == before
    assert ("reset", "1") in kernel.log
    assert ("reset_method", "flr") not in kernel.log  # it is the first anyway
    assert list((tmp_path / "run/functions").iterdir()) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lives=st.lists(
        st.tuples(
            st.lists(
                st.tuples(
                    st.sampled_from(["lend", "lend idle", "release", "home", "reconcile"]),
                    st.sampled_from([0, 1]),
                ),
                max_size=6,
            ),
            st.integers(-1, 20),
        ),
        max_size=4,
    )
)
def test_whatever_agents_do_and_wherever_they_are_killed_all_can_be_brought_home(
    lives: list[tuple[list[tuple[str, int]], int]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory)
        kernel = Kernel(path)
        before = kernel.outline()
        for works, kill_at in lives:
            Agent(kernel, path, kill_at=kill_at).run(lambda f, w=works: live(kernel, f, w))  # type: ignore[misc]
        last = Agent(kernel, path)

        async def end(functions: Functions) -> None:
            last.now += GRACE
            await functions.reconcile({}, ())
            assert functions.records == {}

        last.run(end)
        assert kernel.outline() == before


async def live(kernel: Kernel, functions: Functions, works: list[tuple[str, int]]) -> None:
    """What an agent is asked for, one after the other."""
    for work, number in works:
        pool = IDLE if work == "lend idle" else VFIO
        one = device(kernel, vf_address(number), pool)
        match work:
            case "release":
                await functions.release(one.name)
            case "home":
                await functions.bring_home(one.name)
            case "reconcile":
                await functions.reconcile({one.name: (one, IDLE)}, ())
            case _:
                await functions.lend(one, pool, SETTINGS)


def test_what_was_before_is_not_forgotten_when_it_is_lent_once_more(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    before = kernel.outline()
    one = device(kernel)

    async def lend(functions: Functions) -> None:
        for _ in range(2):
            await functions.lend(one, VFIO, SETTINGS, holder="claim")

    Agent(kernel, tmp_path).run(lend)
    Agent(kernel, tmp_path).run(lambda functions: functions.bring_home(NAME))  # reads the record
    assert kernel.outline() == before


def test_several_devices_of_one_claim_are_bound_at_once(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    both = threading.Barrier(2, timeout=10)
    write = kernel.write

    def together(path: pathlib.Path, text: str) -> None:
        if path.name == "bind":
            both.wait()
        write(path, text)

    kernel.write = together  # type: ignore[method-assign]
    devices = [device(kernel, vf_address(number)) for number in range(2)]

    async def work(functions: Functions) -> None:
        await asyncio.gather(*(functions.lend(one, VFIO, NOTHING, holder="pod") for one in devices))
        assert len(functions.records) == 2

    Agent(kernel, tmp_path).run(work)


@pytest.mark.parametrize("pool", [VFIO, IDLE], ids=["lending", "start"])
def test_a_mac_that_a_vf_has_chosen_is_no_order_of_the_pf_s_afterwards(
    pool: Pool, kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)

    async def work(functions: Functions) -> None:
        await functions.reconcile({NAME: (one, pool)}, ())
        await functions.lend(one, pool, SETTINGS)
        assert kernel.given == {0: SETTINGS.mac}
        await functions.release(NAME)
        await functions.bring_home(NAME)

    Agent(kernel, tmp_path).run(work)
    assert kernel.given == {0: NO_MAC}
    assert kernel.interface(VF).mac == one.interface.mac


def test_a_mac_that_a_vf_was_given_by_its_pf_is_given_again(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    (kernel.bus.links(VF)[0] / "addr_assign_type").write_text("0")
    one = device(kernel)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, SETTINGS)
        await functions.release(NAME)

    Agent(kernel, tmp_path).run(work)
    assert kernel.given == {0: one.interface.mac}


@pytest.mark.parametrize("kill_at", KILLS)
def test_an_agent_killed_while_it_binds_leaves_nothing_that_the_next_one_does_not_undo(
    kernel: Kernel, tmp_path: pathlib.Path, kill_at: int
) -> None:
    before = kernel.outline()
    one = device(kernel)
    killed = Agent(kernel, tmp_path, kill_at=kill_at)
    killed.run(lambda functions: functions.lend(one, VFIO, SETTINGS))
    after = Agent(kernel, tmp_path)
    after.now += GRACE

    async def work(functions: Functions) -> None:
        after.now += GRACE
        await functions.reconcile({NAME: (one, VFIO)}, ())
        assert functions.records == {}

    after.run(work)
    assert kernel.outline() == before
    assert len(killed.steps) == min(kill_at, 6)  # record, override, unbind, vf, bind, record


@pytest.mark.parametrize("kill_at", KILLS)
def test_an_agent_killed_while_it_binds_is_followed_by_one_that_binds_just_the_same(
    kernel: Kernel, tmp_path: pathlib.Path, kill_at: int
) -> None:
    before = kernel.outline()
    one = device(kernel)
    Agent(kernel, tmp_path, kill_at=kill_at).run(lambda f: f.lend(one, VFIO, SETTINGS))

    async def work(functions: Functions) -> None:
        assert await functions.lend(device(kernel), VFIO, SETTINGS) == NODES
        assert kernel.driver(VF) == "vfio-pci"
        assert kernel.vf_settings[0].trust
        record = functions.records[NAME]
        assert record.link
        assert (record.link.name, record.driver, record.override) == ("vf0", "igbvf", "")
        await functions.release(NAME)

    Agent(kernel, tmp_path).run(work)
    assert kernel.outline() == before


@pytest.mark.parametrize("kill_at", KILLS)
def test_an_agent_killed_on_the_way_home_is_followed_by_one_that_goes_on(
    kernel: Kernel, tmp_path: pathlib.Path, kill_at: int
) -> None:
    before = kernel.outline()
    one = device(kernel)
    Agent(kernel, tmp_path).run(lambda functions: functions.lend(one, VFIO, SETTINGS))
    killed = Agent(kernel, tmp_path, kill_at=kill_at)
    killed.run(lambda functions: functions.bring_home(NAME))
    assert len(killed.steps) == min(kill_at, 8)
    after = Agent(kernel, tmp_path)

    async def work(functions: Functions) -> None:
        after.now += GRACE
        await functions.reconcile({NAME: (one, VFIO)}, ())
        assert functions.records == {}

    after.run(work)
    assert kernel.outline() == before


@pytest.mark.parametrize("kill_at", KILLS)
def test_killed_at_release_and_lent_to_another_it_has_nothing_of_the_first_one_s(
    kernel: Kernel, tmp_path: pathlib.Path, kill_at: int
) -> None:
    one = device(kernel, pool=IDLE)
    before = dict(kernel.vf_settings)
    wanted = {NAME: (one, IDLE)}

    async def first(functions: Functions) -> None:
        await functions.reconcile(wanted, ())
        await functions.lend(one, IDLE, SETTINGS, holder="first")

    Agent(kernel, tmp_path).run(first)
    Agent(kernel, tmp_path, kill_at=kill_at).run(lambda functions: functions.release(NAME))

    async def second(functions: Functions) -> None:
        await functions.lend(one, IDLE, NOTHING, holder="second")
        assert kernel.vf_settings == before | {0: dataclasses.replace(before[0], mac=NO_MAC)}
        assert functions.records[NAME].holder == "second"

    Agent(kernel, tmp_path).run(second)
    assert kernel.driver(VF) == "vfio-pci"


def test_a_pool_that_binds_at_start_has_its_functions_bound_and_keeps_them_so(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    before = kernel.outline()
    one = device(kernel, pool=IDLE)
    agent = Agent(kernel, tmp_path)

    async def work(functions: Functions) -> None:
        assert functions.faults([one], pools(IDLE)) == {NAME: "it is not bound to vfio-pci yet"}
        await functions.reconcile({NAME: (one, IDLE)}, ())
        assert functions.faults([one], pools(IDLE)) == {}
        steps = list(agent.steps)
        await functions.reconcile({NAME: (one, IDLE)}, ())
        assert agent.steps == steps
        await functions.lend(one, IDLE, SETTINGS)
        await functions.release(NAME)
        assert kernel.driver(VF) == "vfio-pci"
        assert kernel.vf_settings[0].vlan == 0
        assert ("reset", "1") in kernel.log
        await functions.reconcile({}, ())  # no pool has it any more
        assert functions.records == {}

    agent.run(work)
    assert kernel.outline() == before


def test_what_was_just_lent_is_not_brought_home_before_the_kubelet_can_know_of_it(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)
    agent = Agent(kernel, tmp_path)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        await functions.reconcile({NAME: (one, VFIO)}, ())
        assert kernel.driver(VF) == "vfio-pci"
        await functions.reconcile({NAME: (one, VFIO)}, {NAME})
        await functions.reconcile({NAME: (one, VFIO)}, ())  # the pod before had it
        assert kernel.driver(VF) == "vfio-pci"
        asked = agent.now
        agent.now += NOTED
        await functions.reconcile({NAME: (one, VFIO)}, {NAME}, asked)
        await functions.reconcile({NAME: (one, VFIO)}, ())  # that was asked too early
        assert kernel.driver(VF) == "vfio-pci"
        await functions.reconcile({NAME: (one, VFIO)}, {NAME})
        assert kernel.driver(VF) == "vfio-pci"
        await functions.reconcile({NAME: (one, VFIO)}, ())  # it was seen, and is no more
        assert kernel.driver(VF) == "igbvf"
        await functions.lend(one, VFIO, NOTHING)
        agent.now += GRACE + 1  # the pod never came to be
        await functions.reconcile({NAME: (one, VFIO)}, ())
        assert kernel.driver(VF) == "igbvf"

    agent.run(work)


def test_what_was_just_lent_to_a_claim_is_brought_home_as_soon_as_that_is_over(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        functions.claimed([NAME])
        await functions.reconcile({NAME: (one, VFIO)}, {NAME}, 0)
        assert kernel.driver(VF) == "vfio-pci"
        await functions.reconcile({NAME: (one, VFIO)}, ())
        assert kernel.driver(VF) == "igbvf"

    Agent(kernel, tmp_path).run(work)


def test_a_function_that_a_program_holds_goes_home_once_it_does_no_longer(
    kernel: Kernel, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = device(kernel)
    agent = Agent(kernel, tmp_path)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        kernel.open(4711, "/dev/vfio/10", "testpmd")
        with pytest.raises(FunctionError, match=r"is held by testpmd \(4711\)"):
            await functions.release(NAME)
        assert "testpmd (4711)" in functions.faults([one], pools(VFIO))[NAME]
        assert functions.records[NAME].phase is Phase.BOUND
        await functions.reconcile({}, {NAME})  # it is a pod's after all
        assert functions.faults([one], pools(VFIO)) == {}
        with pytest.raises(FunctionError, match=r"is held by testpmd \(4711\)"):
            await functions.release(NAME)
        kernel.close(4711)
        await functions.reconcile({}, ())  # too early
        assert kernel.driver(VF) == "vfio-pci"
        agent.now += RETRY
        await functions.reconcile({}, ())
        assert kernel.driver(VF) == "igbvf"
        assert functions.faults([one], pools(VFIO)) == {}

    agent.run(work)
    assert [record.message for record in caplog.records].count("Function is not home") == 2


def test_a_driver_that_does_not_let_go_is_waited_for_by_nobody(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)
    let_go = threading.Event()
    write = kernel.write

    def slowly(path: pathlib.Path, text: str) -> None:
        if path.name == "unbind":
            assert let_go.wait(30)
        write(path, text)

    agent = Agent(kernel, tmp_path, patience=0.5)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        kernel.write = slowly  # type: ignore[method-assign]
        functions._bus._write = slowly
        for _ in range(2):
            with pytest.raises(FunctionError, match="vfio-pci has not let go of it for"):
                await functions.release(NAME)
        let_go.set()
        while kernel.driver(VF):
            await asyncio.sleep(0.01)
        await functions.bring_home(NAME)
        assert kernel.driver(VF) == "igbvf"

    agent.run(work)
    assert [name for name, _ in kernel.log].count("unbind") == 2  # and not four times


@pytest.mark.parametrize(
    ("attribute", "number", "message"),
    [
        ("bind", errno.EINVAL, "cannot be bound to vfio-pci: Invalid argument"),
        ("unbind", errno.EIO, "cannot be unbound from igbvf: Input/output error"),
        ("driver_override", errno.EROFS, "cannot be kept for vfio-pci: Read-only file system"),
    ],
)
def test_what_fails_is_undone_and_said(
    kernel: Kernel, tmp_path: pathlib.Path, attribute: str, number: int, message: str
) -> None:
    before = kernel.outline()
    one = device(kernel)
    kernel.fail[attribute] = number
    agent = Agent(kernel, tmp_path)

    async def work(functions: Functions) -> None:
        with pytest.raises(FunctionError, match=message):
            await functions.lend(one, VFIO, SETTINGS)
        kernel.fail.clear()
        agent.now += RETRY
        await functions.reconcile({}, ())
        assert functions.records == {}

    agent.run(work)
    assert kernel.outline() == before


def test_a_setting_that_the_driver_lacks_undoes_the_others(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    before = kernel.outline()
    kernel.unknown = {"trust"}
    one = device(kernel)

    async def work(functions: Functions) -> None:
        with pytest.raises(FunctionError, match=f"{VF}: VF 0: the PF's driver does not set trust"):
            await functions.lend(one, VFIO, SETTINGS)
        assert functions.records == {}

    Agent(kernel, tmp_path).run(work)
    assert kernel.outline() == before


def test_settings_are_for_virtual_functions_alone(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    kernel.add("0000:04:00.0", "igb", "0x020000", 20)
    kernel._netdev("0000:04:00.0", "eth7", RANDOM)
    one = device(kernel, "0000:04:00.0")

    async def work(functions: Functions) -> None:
        with pytest.raises(FunctionError, match="is no virtual function"):
            await functions.lend(one, VFIO, SETTINGS)
        await functions.lend(one, dataclasses.replace(VFIO, vf=SETTINGS), SETTINGS)  # its pool's

    Agent(kernel, tmp_path).run(work)
    assert kernel.driver("0000:04:00.0") == "vfio-pci"
    assert kernel.given == {}


def refused(kernel: Kernel, path: pathlib.Path, one: Device, pool: Pool, **how: str) -> str:
    """Why it is not lent; nothing was touched."""
    before = kernel.outline()

    async def work(functions: Functions) -> str:
        with pytest.raises(FunctionError) as raised:
            await functions.lend(one, pool, NOTHING)
        assert functions.records == {}
        return str(raised.value)

    reason = Agent(kernel, path).run(work, **how)
    assert reason
    assert kernel.outline() == before
    assert kernel.log == []
    return reason


def test_a_function_whose_link_stays_on_the_host_is_not_touched(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    why = "it carries the IPv4 default route"
    reason = refused(kernel, tmp_path, device(kernel), VFIO, protected=why)
    assert reason == f"{VF} stays on the host: {why}"


def test_a_function_whose_link_is_in_a_pod_is_not_touched(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)
    (kernel.path(VF) / "net").rename(tmp_path / "elsewhere")
    assert "its link is in another network namespace" in refused(kernel, tmp_path, one, VFIO)


def test_a_pf_that_has_virtual_functions_is_not_touched(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    reason = refused(kernel, tmp_path, device(kernel, PF), VFIO)
    assert reason == f"{PF} has 2 virtual functions, which it would lose"


def test_a_group_that_is_shared_is_refused_with_the_names(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    kernel.add("0000:00:1f.3", "i801_smbus", "0x0c0500", 10)
    one = device(kernel)
    reason = refused(kernel, tmp_path, one, VFIO)
    assert reason == f"{VF} shares IOMMU group 10 with 0000:00:1f.3 (i801_smbus)"


def test_a_driver_that_is_not_there_is_missed_before_anything_is_touched(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    (kernel.root / "bus/pci/drivers/vfio-pci").rmdir()
    reason = refused(kernel, tmp_path, device(kernel), VFIO)
    assert reason == f"{VF} needs vfio-pci, which is not loaded"


def test_a_group_is_lent_to_one_holder_at_a_time(kernel: Kernel, tmp_path: pathlib.Path) -> None:
    other = "0000:03:10.2"
    kernel.join(other, 10)
    kernel.path(VF)
    one, two = device(kernel, pool=IDLE), device(kernel, other, pool=IDLE)
    kernel.write(kernel.path(VF) / "driver/unbind", VF)
    kernel.write(kernel.path(other) / "driver/unbind", other)

    async def work(functions: Functions) -> None:
        await functions.reconcile({one.name: (one, IDLE), two.name: (two, IDLE)}, ())
        await functions.lend(one, IDLE, NOTHING, holder="pod")
        with pytest.raises(FunctionError, match=rf"with {VF} \(lent\)"):
            await functions.lend(two, IDLE, NOTHING, holder="another")
        await functions.lend(two, IDLE, NOTHING, holder="pod")
        await functions.lend(two, IDLE, NOTHING, holder="pod")

    Agent(kernel, tmp_path).run(work)


def test_a_group_that_a_stranger_has_open_is_not_lent(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)
    kernel.add("0000:04:00.0", "vfio-pci", "0x030000", 10)
    kernel.open(31, "/dev/vfio/10", "qemu-system-x86")
    assert refused(kernel, tmp_path, one, VFIO) == f"{VF} is held by qemu-system-x86 (31)"


def test_a_function_that_was_pulled_is_forgotten(
    kernel: Kernel, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    one = device(kernel)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        kernel.pull(VF)
        assert functions.faults([one], pools(VFIO)) == {NAME: "it is not there"}
        await functions.bring_home(NAME)
        assert functions.records == {}

    Agent(kernel, tmp_path).run(work)
    assert [one.message for one in caplog.records] == ["Function is bound", "Function was pulled"]


def test_a_function_that_is_pulled_while_a_program_has_it_keeps_nobody_waiting(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one, other = device(kernel), device(kernel, vf_address(1))
    agent = Agent(kernel, tmp_path, patience=0.5)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        kernel.open(4711, "/dev/vfio/10")
        kernel.begin_to_pull(VF)
        lost = {NAME: "it is not bound to vfio-pci any more"}
        assert functions.faults([one, other], pools(VFIO)) == lost
        with pytest.raises(FunctionError, match=r"is held by testpmd \(4711\)"):
            await functions.release(NAME)
        kernel.close(4711)  # or is not seen any more
        for _ in range(2):
            with pytest.raises(FunctionError, match="vfio-pci has not let go of it for"):
                await functions.release(NAME)
        await functions.lend(other, VFIO, NOTHING)
        await functions.release(other.name)
        kernel.pull(VF)
        await functions.release(NAME)
        assert functions.records == {}

    agent.run(work)


def test_a_function_that_somebody_bound_otherwise_meanwhile_is_left_to_them(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)

    async def work(functions: Functions) -> None:
        await functions.lend(one, VFIO, NOTHING)
        kernel.write(kernel.path(VF) / "driver/unbind", VF)
        kernel.write(kernel.path(VF) / "driver_override", "pci-stub")
        kernel.write(kernel.root / "bus/pci/drivers/pci-stub/bind", VF)
        assert functions.faults([one], pools(VFIO)) == {
            NAME: "it is not bound to vfio-pci any more"
        }
        await functions.bring_home(NAME)
        assert functions.records == {}

    Agent(kernel, tmp_path).run(work)
    assert kernel.driver(VF) == "pci-stub"
    assert kernel.bus.override(VF) == "pci-stub"


def test_a_function_that_had_this_driver_before_keeps_it(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    kernel.write(kernel.path(VF) / "driver/unbind", VF)
    kernel.write(kernel.path(VF) / "driver_override", "vfio-pci")
    kernel.write(kernel.root / "bus/pci/drivers/vfio-pci/bind", VF)
    before = kernel.outline()

    async def work(functions: Functions) -> None:
        assert await functions.lend(device(kernel), VFIO, SETTINGS) == NODES
        await functions.release(NAME)

    Agent(kernel, tmp_path).run(work)
    assert kernel.outline() == before


def test_without_an_iommu_it_goes_by_consent_and_by_the_group_that_vfio_makes(
    tmp_path: pathlib.Path,
) -> None:
    kernel = Kernel(tmp_path, iommu=False)
    one = device(kernel)
    assert refused(kernel, tmp_path, one, VFIO) == f"{VF} has no IOMMU to keep it apart"
    consent = Pool(name="raw", userspace=Userspace(driver="vfio-pci", no_iommu=True))
    assert "vfio takes none without" in refused(kernel, tmp_path, one, consent)
    kernel.tree.file("module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")

    async def work(functions: Functions) -> None:
        assert functions.nodes(one, consent) == ()
        made = await functions.lend(one, consent, NOTHING)
        assert made == (Node("/dev/vfio/vfio"), Node("/dev/vfio/noiommu-77"))

    Agent(kernel, tmp_path).run(work)


def test_uio_has_a_node_of_its_own(tmp_path: pathlib.Path) -> None:
    kernel = Kernel(tmp_path, iommu=False)
    one = device(kernel)
    pool = Pool(name="raw", userspace=Userspace(driver="uio_pci_generic", no_iommu=True))

    async def work(functions: Functions) -> None:
        assert await functions.lend(one, pool, NOTHING) == (Node("/dev/uio3"),)
        kernel.open(12, "/dev/uio3", "vpp_main")
        with pytest.raises(FunctionError, match=r"held by vpp_main \(12\)"):
            await functions.release(NAME)

    Agent(kernel, tmp_path).run(work)


def test_a_record_that_is_wrong_leaves_its_function_alone(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)
    directory = tmp_path / "run/functions"
    directory.mkdir(parents=True)
    (directory / f"{NAME}.json").write_text('{"format": 1, "device": "pci-0", "fhase": "bound"}')

    async def work(functions: Functions) -> None:
        fault = functions.faults([one], pools(VFIO))[NAME]
        assert "fhase: unknown key (did you mean phase?)" in fault
        assert "address: is missing" in fault
        assert "remove the file" in fault
        with pytest.raises(FunctionError, match="fhase"):
            await functions.lend(one, VFIO, NOTHING)
        await functions.reconcile({NAME: (one, IDLE)}, ())

    Agent(kernel, tmp_path).run(work)
    assert kernel.log == []


def test_whoever_asks_and_goes_away_leaves_nothing_half_done(
    kernel: Kernel, tmp_path: pathlib.Path
) -> None:
    one = device(kernel)

    async def work(functions: Functions) -> None:
        asking = asyncio.create_task(functions.lend(one, VFIO, VfSettings()))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await functions.lend(one, VFIO, NOTHING)  # after the other
        assert functions.records[NAME].driver == "igbvf"

    Agent(kernel, tmp_path).run(work)
    assert [name for name, _ in kernel.log].count("bind") == 1
