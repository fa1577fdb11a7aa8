"""What the agent tells is what is scraped."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from netdevice_plugin import __version__
from netdevice_plugin.attachments import Attachment, HostLink, Phase
from netdevice_plugin.deviceplugin import observer as deviceplugin
from netdevice_plugin.loans import reconciler
from netdevice_plugin.model import Device, Interface, Listed
from netdevice_plugin.mover import Exit
from netdevice_plugin.operations import catalogue
from netdevice_plugin.operations.catalogue import Kind
from netdevice_plugin.operations.metrics import CODES, Metrics, state_of

NET = "networking.k8s.io/netdevice"
FAST = "networking.k8s.io/fast"


@pytest.fixture
def metrics(tmp_path: pathlib.Path) -> Metrics:
    return Metrics(tmp_path)


@pytest.mark.parametrize("observer", [deviceplugin.Observer, reconciler.Observer])
def test_it_hears_what_servers_and_reconciler_have_to_tell(observer: type) -> None:
    told = {name: one for name, one in vars(observer).items() if inspect.isfunction(one)}
    told = {name: one for name, one in told.items() if not name.startswith("_")}
    assert len(told) > 2
    for name, method in told.items():
        assert inspect.signature(getattr(Metrics, name)) == inspect.signature(method)


def listed(name: str = "eth1", *, lent: bool = False, fault: str = "") -> Listed:
    interface = Interface(ifindex=1, name=name)
    return Listed(device=Device(name=name, pool="p", interface=interface, lent=lent), fault=fault)


def scraped(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric, by those of its labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            if sample.name == f"netdevice_plugin_{name}":
                found[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (listed(), "healthy"),
        (listed(lent=True), "lent"),
        (listed(fault="gone"), "unhealthy"),
        (listed(lent=True, fault="lost"), "unhealthy"),
    ],
)
def test_a_device_counts_once(one: Listed, state: str) -> None:
    assert state_of(one) == state


def test_devices_are_counted_by_resource_and_state(metrics: Metrics) -> None:
    metrics.listed({NET: [listed(), listed(), listed(lent=True), listed(fault="x")], FAST: []})
    found = scraped(metrics, "devices")
    assert {key[0] for key in found} == {NET, FAST}
    assert [found[NET, state] for state in ("healthy", "lent", "unhealthy")] == [2, 1, 1]
    assert [found[FAST, state] for state in ("healthy", "lent", "unhealthy")] == [0, 0, 0]


def test_a_resource_that_never_registers_shows(metrics: Metrics) -> None:
    metrics.listed({NET: []})
    assert scraped(metrics, "kubelet_registered") == {(NET,): 0}
    assert scraped(metrics, "kubelet_stream_open") == {(NET,): 0}
    assert scraped(metrics, "kubelet_registration_failures_total") == {(NET,): 0}
    metrics.registration_failed(NET, "no such file")
    assert scraped(metrics, "kubelet_registration_failures_total") == {(NET,): 1}


def test_a_resource_that_is_gone_leaves_no_gauge(metrics: Metrics) -> None:
    metrics.listed({NET: [], FAST: [listed()]})
    metrics.registered(FAST)
    metrics.stream_opened(FAST)
    metrics.listed({NET: []})
    metrics.stream_ended(FAST)  # late
    metrics.registration_failed(FAST, "late")
    assert {key[0] for key in scraped(metrics, "devices")} == {NET}
    for name in ("kubelet_registered", "kubelet_stream_open"):
        assert set(scraped(metrics, name)) == {(NET,)}


def test_without_a_kubelet_nothing_looks_as_if_it_had_gone_away(tmp_path: pathlib.Path) -> None:
    metrics = Metrics(tmp_path, kubelet=False)
    metrics.listed({NET: [listed()]})
    assert f'resource="{NET}",state="healthy"}} 1.0' in metrics.page().decode()
    assert scraped(metrics, "kubelet_registered") == {}
    assert scraped(metrics, "allocations_total") == {}
    metrics.listed({})
    assert NET not in metrics.page().decode()


def test_the_kubelets_side_is_followed(metrics: Metrics) -> None:
    metrics.listed({NET: []})
    metrics.registered(NET)
    metrics.stream_opened(NET)
    metrics.list_sent(NET, 1, 0)
    metrics.list_sent(NET, 0, 1)
    assert scraped(metrics, "kubelet_registered") == {(NET,): 1}
    assert scraped(metrics, "kubelet_registrations_total") == {(NET,): 1}
    assert scraped(metrics, "kubelet_stream_open") == {(NET,): 1}
    assert scraped(metrics, "kubelet_lists_sent_total") == {(NET,): 2}
    metrics.stream_ended(NET)
    metrics.registration_failed(NET, "refused")
    assert scraped(metrics, "kubelet_stream_open") == {(NET,): 0}
    assert scraped(metrics, "kubelet_registered") == {(NET,): 0}


def test_allocations_are_counted_by_code_and_timed(metrics: Metrics) -> None:
    metrics.listed({NET: []})
    metrics.allocated(NET, ("eth1", "eth2"), 0.0004)
    metrics.allocation_failed(NET, "NOT_FOUND")
    total = scraped(metrics, "allocations_total")
    assert {key[0]: count for key, count in total.items()} == dict.fromkeys(CODES, 0) | {
        "OK": 1,
        "NOT_FOUND": 1,
    }
    assert scraped(metrics, "allocated_devices_total") == {(NET,): 2}
    assert scraped(metrics, "allocation_duration_seconds_count") == {(NET,): 1}
    assert scraped(metrics, "allocation_duration_seconds_sum") == {(NET,): 0.0004}
    buckets = scraped(metrics, "allocation_duration_seconds_bucket")
    assert [buckets[le, NET] for le in ("0.00025", "0.0005", "+Inf")] == [0, 1, 1]


def test_loans_are_counted_by_phase(metrics: Metrics) -> None:
    link = HostLink(name="eth1", ifindex=1)
    phases = (Phase.ATTACHED, Phase.ATTACHED, Phase.LOST)
    metrics.loans([Attachment(device="eth1", phase=phase, link=link) for phase in phases], 2)
    found = scraped(metrics, "loans")
    assert found == {("attaching",): 0, ("attached",): 2, ("returning",): 0} | {
        ("lost",): 1,
        ("stranded",): 0,
    }
    assert scraped(metrics, "unreadable_records") == {(): 2}
    metrics.loans([])
    assert set(scraped(metrics, "loans").values()) == {0}


def test_reclaims_are_counted_by_outcome(metrics: Metrics) -> None:
    for code in (Exit.DONE, Exit.DONE, Exit.HELD, Exit.LOST, Exit.FAILED, Exit.USAGE, -9):
        metrics.reclaimed(code)
    found = scraped(metrics, "reclaims_total")
    assert found == {("home",): 2, ("held",): 1, ("lost",): 1, ("failed",): 3}


def test_only_the_running_configuration_is_named(metrics: Metrics) -> None:
    metrics.config_applied("aaaa")
    metrics.config_refused()
    assert scraped(metrics, "config_last_reload_successful") == {(): 0}
    metrics.config_applied("bbbb")
    assert scraped(metrics, "config_info") == {("bbbb",): 1}
    assert scraped(metrics, "config_last_reload_successful") == {(): 1}
    assert scraped(metrics, "config_reloads_total") == {("applied",): 2, ("refused",): 1}
    assert scraped(metrics, "config_applied_timestamp_seconds")[()] > 1.7e9


@pytest.mark.parametrize(
    ("name", "tell", "value"),
    [
        ("in_charge", lambda m: m.in_charge(True), 1),
        ("orphans", lambda m: m.orphans(2), 2),
        ("dead_holders_total", lambda m: m.holders_died(3), 3),
        ("inventory_snapshots_total", lambda m: m.snapshot(), 1),
        ("netlink_overruns_total", lambda m: m.netlink_overrun(2), 2),
        ("cdi_writes_total", lambda m: m.cdi_written(4), 4),
        ("cdi_write_failures_total", lambda m: m.cdi_write_failed(), 1),
    ],
)
def test_the_rest_is_counted(
    metrics: Metrics, name: str, tell: Callable[[Metrics], None], value: float
) -> None:
    assert scraped(metrics, name) == {(): 0}
    tell(metrics)
    assert scraped(metrics, name) == {(): value}


def test_questions_are_counted_by_source_and_outcome(metrics: Metrics) -> None:
    metrics.queried("podresources", ok=True)
    metrics.queried("checkpoint", ok=False)
    found = {
        frozenset(key): value for key, value in scraped(metrics, "kubelet_queries_total").items()
    }
    assert found[frozenset(("podresources", "answered"))] == 1
    assert found[frozenset(("checkpoint", "failed"))] == 1
    assert sum(found.values()) == 2
    assert len(found) == 4


def test_the_version_is_there(metrics: Metrics) -> None:
    assert scraped(metrics, "build_info") == {(__version__,): 1}


FILE = (
    "format=1\n"
    "runs=attach 3 1 {failed}\n"
    "times=attach 6500 1 1 1 0 0 0 0 0 0 0 0 0\n"
    "runs=detach 2 0 0\n"
    "times=detach 9000000 0 0 0 0 0 0 0 0 0 0 1 1\n"
    "failed=attach 2 take the device\n"
)


def test_what_the_mover_counted_is_scraped(metrics: Metrics, tmp_path: pathlib.Path) -> None:
    (tmp_path / "counters").mkdir()
    (tmp_path / "errors").mkdir()
    (tmp_path / "counters" / "eth1").write_text(FILE.format(failed=2))
    (tmp_path / "counters" / "eth2").write_text(FILE.format(failed=5))
    for name in ("eth1", ".eth1.new"):
        (tmp_path / "errors" / name).write_text("1 take the device: it is held")
    runs = scraped(metrics, "mover_runs_total")
    assert (runs["attach", "moved"], runs["attach", "idle"], runs["attach", "failed"]) == (6, 2, 7)
    assert runs["reclaim", "failed"] == 0
    assert scraped(metrics, "mover_failures_total") == {
        ("attach", "take the device"): 4,
        ("attach", "other"): 3,
    }
    buckets = scraped(metrics, "mover_duration_seconds_bucket")
    rising = [buckets["attach", le] for le in ("0.001", "0.0025", "0.005", "0.0075", "+Inf")]
    assert rising == [2, 4, 6, 6, 6]
    assert [buckets["detach", le] for le in ("1.0", "2.5", "+Inf")] == [0, 2, 4]
    assert scraped(metrics, "mover_duration_seconds_sum")["attach",] == 0.013
    assert scraped(metrics, "mover_duration_seconds_count")["detach",] == 4
    assert scraped(metrics, "mover_standing_errors") == {(): 1}


def test_hostile_counters_are_one_line_each(metrics: Metrics, tmp_path: pathlib.Path) -> None:
    (tmp_path / "counters").mkdir()
    step = 'x"} 1\r \\ \x1b\xff'
    (tmp_path / "counters" / "eth1").write_bytes(
        b"format=1\nfailed=attach 1 " + step.encode("latin-1") + b"\n"
    )
    ((_, shown),) = scraped(metrics, "mover_failures_total")
    assert shown.startswith('x"} 1\r \\ \x1b')


def test_every_family_is_in_the_catalogue_and_none_else(metrics: Metrics) -> None:
    metrics.listed({NET: []})
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.page().decode())
        if not family.name.startswith("process_")
    }
    kinds = {one.full_name.removesuffix("_total"): one.kind for one in catalogue.CATALOGUE}
    assert {name: Kind(family.type) for name, family in families.items()} == kinds
    texts = {one.full_name.removesuffix("_total"): one.text for one in catalogue.CATALOGUE}
    assert {name: family.documentation for name, family in families.items()} == texts


def test_labels_are_those_of_the_catalogue(metrics: Metrics) -> None:
    metrics.listed({NET: []})
    metrics.config_applied("aaaa")
    wanted = {name: set(one.labels) for one in catalogue.CATALOGUE for name in one.series}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            if not sample.name.startswith("process_"):
                assert set(sample.labels) - {"le"} == wanted[sample.name], sample.name


def test_the_page_is_small_and_has_no_dates_of_birth(metrics: Metrics) -> None:
    metrics.listed({f"networking.k8s.io/pool-{number}": [] for number in range(10)})
    assert b"_created" not in metrics.page()
    assert len(metrics.page()) < 50_000


def test_metrics_of_one_agent_are_not_another_ones(tmp_path: pathlib.Path) -> None:
    first, second = Metrics(tmp_path), Metrics(tmp_path)
    first.snapshot()
    assert scraped(second, "inventory_snapshots_total") == {(): 0}
