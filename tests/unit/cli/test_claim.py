"""`claim check`: what it finds in manifests, where, and what it leaves to Kubernetes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.cli import claims
from netdevice_plugin.dra.parameters import API_VERSION
from tests.unit.cli.running import run
from tests.unit.cli.test_imports import imported

EXAMPLES = sorted(Path(__file__).parents[3].joinpath("deploy", "examples").rglob("*.yaml"))
OURS = f"apiVersion: {API_VERSION}, kind: NetDeviceParameters"
CLAIM = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c}
spec:
  devices:
    requests:
    - name: nic
      exactly: {deviceClassName: fast}
    - name: either
      firstAvailable:
      - {name: a, deviceClassName: fast}
      - {name: b, deviceClassName: slow}
    config:
    - requests: [REQUESTS]
      opaque:
        driver: networking.k8s.io
        parameters: {OURS, FIELDS}
"""
CLASS = """\
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: fast}
spec:
  config:
  - opaque:
      driver: networking.k8s.io
      parameters: {OURS, FIELDS}
"""


def claim(fields: str, requests: str = "nic") -> str:
    return _filled(CLAIM, fields).replace("REQUESTS", requests)


def device_class(fields: str) -> str:
    return _filled(CLASS, fields)


def _filled(text: str, fields: str) -> str:
    return text.replace("OURS", OURS).replace("FIELDS", fields)


class Outcome:
    """What a check of a manifest comes to."""

    def __init__(self, tmp_path: Path, *texts: str, options: tuple[str, ...] = ()) -> None:
        files = [tmp_path / f"{number}.yaml" for number, _ in enumerate(texts)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        result = run("claim", "check", *options, *files)
        self.code = result.exit_code
        self.out = result.stdout.replace(f"{tmp_path}/", "")
        lines = result.stderr.replace(f"{tmp_path}/", "").splitlines()
        self.errors = [line[7:] for line in lines if line.startswith("error: ")]
        self.warnings = [line[9:] for line in lines if line.startswith("warning: ")]
        assert (self.code == 2) == bool(self.errors)
        assert len(lines) == len(self.errors) + len(self.warnings) + bool(self.errors)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_right(path: Path) -> None:
    result = run("claim", "check", path)
    assert result.exit_code == 0, result.stderr
    if "NetDeviceParameters" in path.read_text():
        assert result.stdout
        assert result.stderr == ""


def test_what_the_mover_is_told_is_printed(tmp_path: Path) -> None:
    found = Outcome(tmp_path, claim("mtu: 1400, routes: [{destination: 10.0.0.0/8, metric: 5}]"))
    assert found.out.splitlines() == [
        "0.yaml:1: ResourceClaim c",
        "  nic: --mtu 1400 --route '10.0.0.0/8 metric 5'",
    ]
    assert found.code == 0


def test_an_entry_is_for_alternatives_too(tmp_path: Path) -> None:
    assert (
        "  either/a: --mtu 1400\n  either/b: --mtu 1400"
        in Outcome(tmp_path, claim("mtu: 1400", "either")).out
    )
    only = Outcome(tmp_path, claim("mtu: 1400", "either/b")).out
    assert "  either/b: --mtu 1400" in only
    assert "either/a" not in only


def test_every_problem_has_its_file_line_and_field(tmp_path: Path) -> None:
    text = claim("mtu: 1").replace(", mtu: 1}", ",\n          mtu: 1,\n          vlan: {id: 0}}")
    assert Outcome(tmp_path, text).errors == [
        "0.yaml:18: spec.devices.config[0].opaque.parameters.mtu: "
        "must be a whole number from 68 to 65535",
        "0.yaml:19: spec.devices.config[0].opaque.parameters.vlan.id: "
        "must be a whole number from 1 to 4094",
    ]


def test_a_template_is_read_as_its_claim(tmp_path: Path) -> None:
    lines = claim("mtu: 1").replace("ResourceClaim", "ResourceClaimTemplate").splitlines()
    text = "\n".join([*lines[:4], "  spec:", *(f"  {line}" for line in lines[4:])])
    (error,) = Outcome(tmp_path, text).errors
    assert error.startswith("0.yaml:18: spec.spec.devices.config[0].opaque.parameters.mtu: ")


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2", "v1"])
def test_every_version_is_read(tmp_path: Path, version: str) -> None:
    text = claim("mtu: 1").replace("k8s.io/v1\n", f"k8s.io/{version}\n")
    if version == "v1beta1":
        text = text.replace("exactly: {deviceClassName: fast}", "deviceClassName: fast")
    assert len(Outcome(tmp_path, text).errors) == 1
    right = Outcome(tmp_path, text.replace("mtu: 1}", "mtu: 1400}"), device_class("mac: 1"))
    assert right.errors == [
        "1.yaml:8: spec.config[0].opaque.parameters.mac: "
        "must be text, not the number 1; put it in quotes"
    ]


def test_a_list_is_searched(tmp_path: Path) -> None:
    lines = claim("mtu: 1").splitlines()
    items = ["apiVersion: v1", "kind: List", "items:", f"- {lines[0]}"]
    text = "\n".join([*items, *(f"  {line}" for line in lines[1:])])
    (error,) = Outcome(tmp_path, text).errors
    assert error.startswith("0.yaml:20: items[0].spec.devices.config[0].opaque.parameters.mtu: ")


def test_a_class_of_another_file_has_the_defaults(tmp_path: Path) -> None:
    found = Outcome(
        tmp_path, claim("mtu: 1400"), device_class("mtu: 9000, keepHostAddresses: false")
    )
    assert "  nic: --mtu 1400 --no-addresses\n" in found.out
    assert "  either/a: --mtu 9000 --no-addresses\n" in found.out
    assert "either/b" not in found.out
    assert "1.yaml:1: DeviceClass fast\n" in found.out


def test_a_class_by_itself_need_not_be_complete(tmp_path: Path) -> None:
    assert Outcome(tmp_path, device_class("gateway: true")).code == 0


def test_what_a_class_and_a_claim_are_together_is_checked(tmp_path: Path) -> None:
    found = Outcome(tmp_path, claim("mtu: 1400"), device_class("gateway: true"))
    place = "1.yaml:8: spec.config[0].opaque.parameters.gateway: has no next hop without addresses"
    assert [error.startswith(place) for error in found.errors] == [True, True]
    assert found.errors[0].endswith("(request either/a of ResourceClaim c)")


def test_devices_of_one_claim_that_are_alike_are_refused(tmp_path: Path) -> None:
    everybody = claim("interfaceName: net1", "").replace("requests: []", "requests: [nic, either]")
    assert Outcome(tmp_path, everybody).errors == [
        "0.yaml:5: spec.devices: request either/a, device #1: interfaceName: net1 "
        "is that of request nic, device #1 too"
    ]
    twice = claim("mac: 02:00:00:00:00:01").replace(
        "fast}\n    - name: e", "fast, count: 2}\n    - name: e"
    )
    assert Outcome(tmp_path, twice).errors == [
        "0.yaml:5: spec.devices: request nic, device #2: mac: 02:00:00:00:00:01 "
        "is that of request nic, device #1 too"
    ]


def test_a_request_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    found = Outcome(tmp_path, claim("mtu: 1400", "nick"))
    assert found.warnings == [
        "0.yaml:14: spec.devices.config[0].requests[0]: 'nick' is no request of this claim "
        "(did you mean nic?)"
    ]


def test_an_entry_for_no_request_is_checked_all_the_same(tmp_path: Path) -> None:
    assert len(Outcome(tmp_path, claim("mtu: 1", "nick")).errors) == 1


def test_parameters_with_admin_access_are_a_warning(tmp_path: Path) -> None:
    text = claim("mtu: 1400").replace("{deviceClassName: fast}", "{adminAccess: true}", 1)
    found = Outcome(tmp_path, text)
    assert found.warnings == [
        "0.yaml:7: spec.devices.requests[0]: has adminAccess, with which no link is moved: "
        "its parameters have no effect"
    ]
    assert "--mtu" not in found.out


def test_other_drivers_are_passed_by_but_not_for_our_kind(tmp_path: Path) -> None:
    text = claim("mtu: 1").replace("driver: networking.k8s.io", "driver: example.com")
    found = Outcome(tmp_path, text)
    assert found.code == 0
    (warning,) = found.warnings
    assert "is for networking.k8s.io, and this is for 'example.com'; is --driver meant?" in warning
    assert Outcome(tmp_path, text.replace("NetDev", "Dev")).warnings == []
    assert len(Outcome(tmp_path, text, options=("--driver", "example.com")).errors) == 1


def test_an_entry_without_parameters_is_an_error(tmp_path: Path) -> None:
    text = claim("").partition("        parameters")[0]
    assert Outcome(tmp_path, text).errors == [
        "0.yaml:15: spec.devices.config[0].opaque.parameters: "
        "is missing: without parameters the entry says nothing"
    ]


def test_keys_that_are_there_twice_are_errors(tmp_path: Path) -> None:
    (error,) = Outcome(tmp_path, claim("mtu: 1400, mtu: 1500")).errors
    assert error == (
        "0.yaml:17: spec.devices.config[0].opaque.parameters.mtu: given twice, first in line 17"
    )


def test_a_file_without_claims_is_a_warning_and_one_without_objects_an_error(
    tmp_path: Path,
) -> None:
    found = Outcome(tmp_path, "kind: Pod", "# nothing\n---\n", claim("mtu: 1400"))
    assert found.warnings == [
        "0.yaml:1: has none of ResourceClaim, ResourceClaimTemplate, DeviceClass: nothing to check"
    ]
    assert found.errors == ["1.yaml:1: has no object in it"]


def test_json_says_all_of_it(tmp_path: Path) -> None:
    right = json.loads(Outcome(tmp_path, claim("mtu: 1400"), options=("-o", "json")).out)
    assert right == {
        "objects": [
            {
                "file": "0.yaml",
                "line": 1,
                "kind": "ResourceClaim",
                "name": "c",
                "options": {"nic": ["--mtu", "1400"]},
            }
        ],
        "problems": [],
        "warnings": [],
    }
    wrong = json.loads(Outcome(tmp_path, claim("mtu: 1", "nick"), options=("-o", "json")).out)
    assert wrong["problems"] == [
        {
            "file": "0.yaml",
            "line": 17,
            "path": "spec.devices.config[0].opaque.parameters.mtu",
            "text": "must be a whole number from 68 to 65535",
        }
    ]
    assert [warning["line"] for warning in wrong["warnings"]] == [14]


def test_standard_input_is_a_file() -> None:
    result = run("claim", "check", "-", stdin=claim("mtu: 1").encode())
    assert result.stderr.startswith("error: -:17: ")


@pytest.mark.parametrize(
    "text",
    [
        "kind: ResourceClaim\napiVersion: resource.k8s.io/v1\nspec: 1",
        "kind: ResourceClaim\napiVersion: resource.k8s.io/v1\nspec: {devices: {requests: [1, {}]}}",
        "kind: ResourceClaim\napiVersion: resource.k8s.io/v1\n"
        "spec: {devices: {config: [1, {opaque: 1}, {requests: 1, opaque: {driver: 2}}]}}",
        "kind: DeviceClass\napiVersion: resource.k8s.io/v1\nmetadata: []\nspec: {config: {}}",
        "kind: List\nitems: 1",
        "kind: []\napiVersion: {}",
    ],
)
def test_what_kubernetes_would_refuse_is_left_to_it(tmp_path: Path, text: str) -> None:
    assert Outcome(tmp_path, text).code == 0


words = st.sampled_from(
    [
        *("apiVersion", "kind", "items", "metadata", "name", "spec", "devices", "requests"),
        *("exactly", "firstAvailable", "deviceClassName", "count", "adminAccess", "config"),
        *("opaque", "driver", "parameters", "mtu", "routes", "resource.k8s.io/v1", "List"),
        *("ResourceClaim", "ResourceClaimTemplate", "DeviceClass", "networking.k8s.io"),
        *("NetDeviceParameters", API_VERSION),
    ]
)
shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=30,
)


@given(st.lists(shapes, max_size=3), words, shapes)
def test_whatever_a_manifest_is_it_ends_in_a_report(
    items: list[object], kind: str, spec: object
) -> None:
    ours = {"apiVersion": "resource.k8s.io/v1", "kind": kind, "spec": spec, "items": items}
    claims.check(
        {"a": json.dumps(ours).encode(), "b": json.dumps(items).encode()}, "networking.k8s.io"
    )


def test_no_server_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "claim.yaml"
    file.write_text(claim("mtu: 1400"))
    found = imported("claim", "check", str(file))
    assert not found & {"asyncio", "grpc", "google", "httpx", "pyroute2", "rich", "watchdog"}
