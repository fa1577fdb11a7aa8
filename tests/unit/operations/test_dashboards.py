"""Whatever the dashboard, the alerts and the reference ask for is there, under that name."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from netdevice_plugin.operations.catalogue import CATALOGUE, Kind, Metric
from netdevice_plugin.operations.metrics import Metrics
from tests.unit.operations import promql

ROOT = pathlib.Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "netdevice-plugin.json"
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
PAGE = ROOT / "docs" / "reference" / "metrics.md"

OURS = {name: one for one in CATALOGUE for name in one.series}
PROMETHEUS = {"up"}  # what it adds itself
ADDED = {"instance", "job"}  # labels likewise


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return list(dashboard()["panels"])


def queries() -> Iterator[tuple[str, str]]:
    """Where, and what, of every query of the dashboard; those of its variables too."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"${variable['name']}", variable["definition"]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def process_metrics() -> set[str]:
    """The metrics of any process, as the library has them."""
    page = Metrics(pathlib.Path("/nonexistent")).page().decode()
    families = text_string_to_metric_families(page)
    samples = {sample.name for family in families for sample in family.samples}
    return {name for name in samples if name.startswith("process_")}


def check(expression: str) -> None:
    """Fail unless its metrics exist, and have the labels that it speaks of."""
    if found := re.fullmatch(r"label_values\((.*), (\w+)\)", expression):
        expression = f"sum by ({found[2]}) ({found[1]})"
    names = promql.names(expression)
    assert names.metrics, "no metric in it"
    unknown = names.metrics - OURS.keys() - process_metrics() - PROMETHEUS
    assert not unknown, f"no such metric: {unknown}"
    labels = {label for name in names.metrics & OURS.keys() for label in OURS[name].labels}
    if any(OURS[name].kind is Kind.HISTOGRAM for name in names.metrics & OURS.keys()):
        labels.add("le")
    assert names.labels <= labels | ADDED, f"no such label: {names.labels - labels - ADDED}"


@pytest.mark.parametrize(
    ("expression", "metrics", "labels"),
    [
        ("a", {"a"}, set()),
        ('sum by (x, y) (rate(a_total{z="b{c}", w!~"d"}[5m])) > 1e3', {"a_total"}, set("xyzw")),
        ("histogram_quantile(0.9, sum by (le) (rate(a_b[$__rate_interval])))", {"a_b"}, {"le"}),
        ("a == 0 and on (instance) b offset 5m unless c", {"a", "b", "c"}, {"instance"}),
        ("a * on (i) group_left () b / vector(0)", {"a", "b"}, {"i"}),
        ("SUM(a{}) BY (x)", {"a"}, {"x"}),
        ("up{job='x'}", {"up"}, {"job"}),
    ],
)  # fmt: skip
def test_an_expression_is_taken_apart(expression: str, metrics: set[str], labels: set[str]) -> None:
    assert promql.names(expression.replace("'", '"')) == promql.Names(
        frozenset(metrics), frozenset(labels)
    )


@pytest.mark.parametrize(
    "wrong",
    [
        "sum(netdevice_plugin_device)",
        "rate(netdevice_plugin_reclaims[5m])",
        "netdevice_plugin_mover_duration_seconds",
        'netdevice_plugin_devices{pool="a"}',
        "sum by (device) (netdevice_plugin_devices)",
        "label_values(netdevice_plugin_devices, pod)",
        "vector(1)",
    ],
)
def test_a_query_for_what_there_is_not_is_found(wrong: str) -> None:
    with pytest.raises(AssertionError):
        check(wrong)


@pytest.mark.parametrize("query", [pytest.param(expr, id=where) for where, expr in queries()])
def test_every_query_of_the_dashboard_names_what_there_is(query: str) -> None:
    check(query)


@pytest.mark.parametrize("alert", [pytest.param(one, id=one["alert"]) for one in alerts()])
def test_every_alert_names_what_there_is(alert: dict[str, Any]) -> None:
    check(alert["expr"])
    for text in alert["annotations"].values():
        for label in re.findall(r"\$labels\.(\w+)", text):
            assert label in {*ADDED, *_labels(alert["expr"])}, text


def _labels(expression: str) -> set[str]:
    """The labels that an expression's result can have."""
    if "by (" in expression:
        return set(promql.names(expression).labels)
    return {
        label
        for name in promql.names(expression).metrics & OURS.keys()
        for label in OURS[name].labels
    }


def test_alerts_are_complete_and_named_once() -> None:
    names = [one["alert"] for one in alerts()]
    assert len(names) == len(set(names))
    for one in alerts():
        assert one["labels"]["severity"] in {"info", "warning", "critical"}
        assert one["annotations"]["summary"]


def test_every_metric_is_on_the_dashboard() -> None:
    text = " ".join(query for _, query in queries())
    shown = promql.names(text.replace("$__rate_interval", "5m")).metrics
    for one in CATALOGUE:
        assert shown & set(one.series), one.full_name


def test_counters_are_asked_for_their_rise() -> None:
    for where, query in queries():
        for name in promql.names(query).metrics & OURS.keys():
            if OURS[name].kind is not Kind.GAUGE:
                assert re.search(rf"(rate|increase)\({name}\{{", query), where


def test_panels_have_their_own_number_and_place() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
    places = [panel["gridPos"] for panel in panels()]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_panels_ask_the_source_that_is_chosen() -> None:
    (source,) = (one for one in dashboard()["templating"]["list"] if one["type"] == "datasource")
    wanted = {"type": "prometheus", "uid": "${" + source["name"] + "}"}
    for panel in panels():
        for target in panel.get("targets", []):
            assert panel["datasource"] == target["datasource"] == wanted


def test_variables_that_are_used_are_there() -> None:
    text = DASHBOARD.read_text()
    used = set(re.findall(r"\$\{?([a-z]\w*)", text)) - {"__rate_interval"}
    assert used == {one["name"] for one in dashboard()["templating"]["list"]}


def row(metric: Metric) -> str:
    """A metric's line in the reference."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.full_name}` | {metric.kind.value} | {labels} | {metric.text} |"


def test_the_reference_has_every_metric_and_none_else() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `netdevice_")]
    assert rows == [row(one) for one in CATALOGUE]


def test_the_reference_has_the_metrics_of_the_process() -> None:
    named = set(re.findall(r"`(process_\w+)`", PAGE.read_text()))
    assert named == process_metrics()


def test_the_reference_has_every_alert() -> None:
    named = set(re.findall(r"`(Netdevice\w+)`", PAGE.read_text()))
    assert named == {one["alert"] for one in alerts()}
