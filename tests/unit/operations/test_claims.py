"""What DRA's parts tell is what is scraped."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable

import pytest

from netdevice_plugin.dra import observer as kubelets_side
from netdevice_plugin.dra.cluster import observer as api_servers_side
from netdevice_plugin.operations.claims import ClaimMetrics
from netdevice_plugin.operations.metrics import Metrics
from tests.unit.operations.test_metrics import scraped

DRIVER = "networking.k8s.io"


@pytest.fixture
def metrics(tmp_path: pathlib.Path) -> Metrics:
    return Metrics(tmp_path)


@pytest.fixture
def claims(metrics: Metrics) -> ClaimMetrics:
    return ClaimMetrics(metrics, DRIVER)


@pytest.mark.parametrize("observer", [kubelets_side.Observer, api_servers_side.Observer])
def test_it_hears_what_both_sides_have_to_tell(observer: type) -> None:
    told = {name: one for name, one in vars(observer).items() if inspect.isfunction(one)}
    told = {name: one for name, one in told.items() if not name.startswith("_")}
    assert len(told) > 4
    for name, method in told.items():
        assert inspect.signature(getattr(ClaimMetrics, name)) == inspect.signature(method)


def test_nothing_of_dra_shows_where_nobody_asked_for_it(
    metrics: Metrics, claims: ClaimMetrics
) -> None:
    assert DRIVER not in metrics.page().decode()
    claims.began()
    for name in ("dra_registered", "claimed_devices", "slices", "slices_in_sync"):
        assert scraped(metrics, name) == {(DRIVER,): 0}


def test_a_first_failure_shows_as_a_rise(metrics: Metrics, claims: ClaimMetrics) -> None:
    claims.began()
    before = scraped(metrics, "claim_calls_total")
    assert set(before) == {
        (call, outcome) for call in ("prepare", "unprepare") for outcome in ("done", "failed")
    }
    assert scraped(metrics, "claim_status_writes_total") == {("done",): 0, ("failed",): 0}
    assert scraped(metrics, "slice_writes_total") == {
        (verb,): 0 for verb in ("create", "update", "delete")
    }
    assert set(before.values()) == {0}


def test_the_registration_is_followed(metrics: Metrics, claims: ClaimMetrics) -> None:
    claims.registered()
    assert scraped(metrics, "dra_registered") == {(DRIVER,): 1}
    claims.registration_failed("no such file")
    assert scraped(metrics, "dra_registered") == {(DRIVER,): 0}
    assert "no such file" not in metrics.page().decode()


@pytest.mark.parametrize(
    ("tell", "call", "outcome"),
    [
        (lambda c: c.prepared(2, 0.007), "prepare", "done"),
        (lambda c: c.prepare_failed("ClaimError"), "prepare", "failed"),
        (lambda c: c.unprepared(0.007), "unprepare", "done"),
        (lambda c: c.unprepare_failed("ClaimError"), "unprepare", "failed"),
    ],
    ids=["prepared", "not prepared", "unprepared", "not unprepared"],
)
def test_calls_are_counted_by_outcome_and_timed(
    metrics: Metrics,
    claims: ClaimMetrics,
    tell: Callable[[ClaimMetrics], None],
    call: str,
    outcome: str,
) -> None:
    claims.began()
    tell(claims)
    counted = {key: value for key, value in scraped(metrics, "claim_calls_total").items() if value}
    assert counted == {(call, outcome): 1}
    timed = scraped(metrics, "claim_call_duration_seconds_count").get((call,), 0)
    assert timed == (outcome == "done")
    if timed:
        buckets = scraped(metrics, "claim_call_duration_seconds_bucket")
        assert [buckets[call, le] for le in ("0.005", "0.01", "+Inf")] == [0, 1, 1]


def test_slices_are_in_sync_until_a_call_fails(metrics: Metrics, claims: ClaimMetrics) -> None:
    claims.began()
    claims.written("create")
    claims.written("update")
    claims.written("update")
    claims.synced(3, 300)
    assert scraped(metrics, "slices") == {(DRIVER,): 3}
    assert scraped(metrics, "slices_in_sync") == {(DRIVER,): 1}
    assert scraped(metrics, "slice_writes_total") == {
        ("create",): 1,
        ("update",): 2,
        ("delete",): 0,
    }
    claims.failed("503")
    assert scraped(metrics, "slice_failures_total") == {(): 1}
    assert scraped(metrics, "slices_in_sync") == {(DRIVER,): 0}
    assert scraped(metrics, "slices") == {(DRIVER,): 3}  # the API server still has them


def test_the_rest_is_counted(metrics: Metrics, claims: ClaimMetrics) -> None:
    claims.began()
    claims.held(4)
    claims.taken_over()
    claims.status_written()
    claims.status_failed("conflict")
    claims.health_sent(3, 1)
    assert scraped(metrics, "claimed_devices") == {(DRIVER,): 4}
    assert scraped(metrics, "claims_taken_over_total") == {(): 1}
    assert scraped(metrics, "claim_status_writes_total") == {("done",): 1, ("failed",): 1}
