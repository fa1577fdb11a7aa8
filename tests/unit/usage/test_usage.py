from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import KubeletError
from netdevice_plugin.usage.usage import Answer, Grant, Pod, Usage, join
from tests.unit.usage.entries import KIND

WEB = Pod(namespace="default", name="web-0", container="app")


def listed(*devices: str, pod: Pod = WEB, kind: str = KIND) -> Grant:
    """As podresources tells it: no UID."""
    return Grant(kind=kind, devices=devices, pod=pod)


def told(*grants: Grant) -> Answer:
    """Podresources' whole answer."""
    pods = frozenset((one.pod.namespace, one.pod.name) for one in grants)
    return Answer(active=pods, grants=grants)


def kept(*devices: str, uid: str, container: str = "app", kind: str = KIND) -> Grant:
    """As the checkpoint has it: no name."""
    return Grant(kind=kind, devices=devices, pod=Pod(uid=uid, container=container))


def test_a_pod_gets_its_uid_from_the_checkpoint() -> None:
    usage = join(told(listed("eth1")), [kept("eth1", uid="a"), kept("eth2", uid="b")])
    pod = Pod(namespace="default", name="web-0", uid="a", container="app")
    assert usage.holders == {(KIND, "eth1"): (pod,)}
    assert usage.complete
    assert usage.devices == {"eth1"}


def test_two_pods_in_the_checkpoint_leave_the_uid_open() -> None:
    """One of them has ended, and the file was not written since."""
    usage = join(told(listed("eth1")), [kept("eth1", uid="a"), kept("eth1", uid="b")])
    assert usage.holders == {(KIND, "eth1"): (WEB,)}


def test_the_container_and_the_kind_must_be_the_same() -> None:
    others = [kept("eth1", uid="a", container="init"), kept("eth1", uid="b", kind="x.io/y")]
    assert join(told(listed("eth1")), others).holders == {(KIND, "eth1"): (WEB,)}


def test_a_device_that_is_told_of_once_for_each_numa_node_is_one() -> None:
    usage = join(told(listed("eth1"), listed("eth1")), [])
    assert usage.holders == {(KIND, "eth1"): (WEB,)}


def test_without_an_answer_the_checkpoint_is_all_there_is() -> None:
    problem = KubeletError("no answer")
    usage = join(None, [kept("eth1", "eth2", uid="a"), kept("eth2", uid="b")], problem)
    first, second = Pod(uid="a", container="app"), Pod(uid="b", container="app")
    assert usage.holders == {(KIND, "eth1"): (first,), (KIND, "eth2"): (first, second)}
    assert not usage.complete
    assert usage.problems == (problem,)


def test_an_answer_of_nothing_is_an_answer() -> None:
    usage = join(Answer(), [kept("eth1", uid="a")])
    assert usage.complete
    assert usage.holders == {}
    assert usage.kept


def test_the_same_usage_is_equal_whatever_was_wrong_on_the_way() -> None:
    def read() -> Usage:
        return join(None, [kept("eth1", uid="a")], KubeletError("no answer"))

    assert read() == read()


def test_a_device_is_in_use_whatever_its_kind_is_now() -> None:
    assert join(told(listed("eth1", kind="old.example/pool")), []).devices == {"eth1"}


def test_an_init_container_is_told_by_the_checkpoint_while_its_pod_is_active() -> None:
    """podresources leaves it out; the checkpoint may be of a pod that has ended."""
    usage = join(
        Answer(active=frozenset({("default", "web-0")})),
        [kept("eth1", uid="a", container="init"), kept("eth1", uid="c")],
    )
    pod = Pod(namespace="default", name="web-0", uid="a")
    assert usage.keeps("eth1", [pod])
    assert not usage.keeps("eth2", [pod])
    assert not usage.keeps("eth1", [])
    assert not usage.keeps("eth1", [Pod(namespace="default", name="web-0", uid="b")])
    assert not usage.keeps("eth1", [Pod(namespace="default", name="gone", uid="c")])


def test_a_pod_is_called_by_its_name_or_else_its_uid() -> None:
    assert str(WEB) == "default/web-0"
    assert str(Pod(uid="a", container="app")) == "a"


NAMES = st.sampled_from("abc")
PODS = st.builds(Pod, namespace=NAMES, name=NAMES, container=NAMES)
DEVICES = st.lists(NAMES, max_size=3).map(tuple)
LISTED = st.lists(st.builds(Grant, kind=NAMES, devices=DEVICES, pod=PODS), max_size=5)
KEPT = st.lists(
    st.builds(Grant, kind=NAMES, devices=DEVICES, pod=st.builds(Pod, uid=NAMES, container=NAMES)),
    max_size=5,
)


@given(LISTED, KEPT)
def test_nothing_is_added_to_an_answer_or_lost_but_uids(
    answer: list[Grant], file: list[Grant]
) -> None:
    usage = join(told(*answer), file)
    expected = {(one.kind, device) for one in answer for device in one.devices}
    assert usage.holders.keys() == expected
    for (kind, device), pods in usage.holders.items():
        given_to = {g.pod for g in answer if g.kind == kind and device in g.devices}
        assert {(p.namespace, p.name, p.container) for p in pods} == {
            (p.namespace, p.name, p.container) for p in given_to
        }


@given(LISTED, KEPT, st.randoms(use_true_random=False))
def test_the_order_of_what_was_told_does_not_matter(
    answer: list[Grant], file: list[Grant], random: Random
) -> None:
    expected = join(told(*answer), file)
    shuffled = list(answer)
    random.shuffle(shuffled)
    assert join(told(*shuffled), file) == expected
    assert list(join(told(*shuffled), file).holders) == list(expected.holders)
