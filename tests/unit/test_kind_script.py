"""hack/kind-cdi.sh with stand-ins for kind, docker and kubectl; each call fails in turn."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
import yaml

import netdevice_plugin
from tests.manifests import ROOT, Object, parse

SCRIPT = ROOT / "hack" / "kind-cdi.sh"
IMAGE = f"netdevice-plugin:{netdevice_plugin.__version__}"
POD_YAML = "deploy/examples/pod.yaml"
CLAIM_YAML = ROOT / "deploy" / "examples" / "dra" / "claim-template.yaml"

# Logs how it was called, fails if the call is the one to fail, else says what is known of it.
STUB = f"""#!{sys.executable}
import json, os, pathlib, shlex, sys
home = pathlib.Path(sys.argv[0]).parent
call = " ".join([pathlib.Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])])
with (home / "calls").open("a") as log:
    log.write(call + "\\n")
if "--config=-" in sys.argv:
    (home / "config").write_text(sys.stdin.read())
if "--filename=-" in sys.argv:
    with (home / "applied").open("a") as applied:
        applied.write("---\\n" + sys.stdin.read())
answers = json.loads((home / "answers").read_text())
if call == os.environ.get("FAILING"):
    sys.exit("said by the stub")
if call in answers:
    print(answers[call], end="")
sys.exit(call in (home / "failing").read_text().splitlines())
"""

KUBE = "kubectl --context kind-netdevice"
AGENT = f"{KUBE} --namespace netdevice-plugin"
WORKER = "docker exec netdevice-worker"
SHOW_LINK = f"{WORKER} ip link show dev dummy0"
ADD_LINK = f"{WORKER} ip link add dummy0 type dummy"
CREATE = "kind create cluster --name netdevice --wait 3m --config=-"
RESTART = f"{AGENT} rollout restart daemonset/netdevice-plugin"
IN_POD = f"{KUBE} exec netdevice-demo -- ip address"
ON_WORKER = f"{WORKER} ip address show dev dummy0"
ALLOCATABLE = "jsonpath={.status.allocatable.networking\\.k8s\\.io/netdevice}=1"
CALLS = [
    "kind get clusters",
    CREATE,
    f"docker build --tag {IMAGE} .",
    f"kind load docker-image --name netdevice {IMAGE}",
    f"{KUBE} delete pod netdevice-demo --ignore-not-found --wait --timeout=60s",
    SHOW_LINK,
    ADD_LINK,
    f"{WORKER} ip address replace 192.168.8.8/32 dev dummy0",
    f"{WORKER} ip link set dummy0 up",
    f"{AGENT} get daemonset --ignore-not-found --output name",
    f"{KUBE} apply --filename install.yaml",
    f"{AGENT} rollout status daemonset/netdevice-plugin --timeout=180s",
    f"{KUBE} wait node/netdevice-worker --timeout=60s {shlex.quote(f'--for={ALLOCATABLE}')}",
    f"{KUBE} apply --filename {POD_YAML}",
    f"{KUBE} wait pod/netdevice-demo --for=condition=Ready --timeout=120s",
    IN_POD,
    f"{KUBE} delete pod netdevice-demo --wait --timeout=60s",
    ON_WORKER,
]
APPLY_INPUT = f"{KUBE} apply --filename=-"
KUSTOMIZE = "kubectl kustomize deploy/overlays/dra"
API_VERSIONS = f"{KUBE} api-versions"
CLAIM_IN_POD = f"{KUBE} exec netdevice-claim -- ip address"
SLICE = (
    f"{KUBE} wait resourceslices --field-selector "
    "spec.driver=networking.k8s.io,spec.nodeName=netdevice-worker --timeout=60s "
    + shlex.quote("--for=jsonpath={.spec.devices[0].name}=dummy0")
)


def by_claim(call: str) -> list[str]:
    """What stands for a call when the pod asks by a claim."""
    if call == f"{KUBE} apply --filename install.yaml":
        return [KUSTOMIZE, APPLY_INPUT]
    if call == f"{KUBE} apply --filename {POD_YAML}":
        return [APPLY_INPUT]
    if "allocatable" in call:
        return [SLICE]
    if call == CREATE:
        return [CREATE, API_VERSIONS]
    return [call.replace("netdevice-demo", "netdevice-claim")]


CALLS_BY_CLAIM = [made for call in CALLS for made in by_claim(call)]
HAS_ADDRESS = "2: dummy0: <UP>\n    inet 192.168.8.8/32 scope global dummy0\n"


CLASS = """\
apiVersion: resource.k8s.io/v1
kind: DeviceClass
spec:
  extendedResourceName: networking.k8s.io/netdevice
"""


class Bench:
    """A PATH with the stand-ins, and what they were asked for."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.answers = dict.fromkeys((IN_POD, CLAIM_IN_POD, ON_WORKER), HAS_ADDRESS)
        self.answers[API_VERSIONS] = "apps/v1\nresource.k8s.io/v1\nresource.k8s.io/v1beta1\n"
        self.answers[KUSTOMIZE] = CLASS
        self.failing = [SHOW_LINK]  # there is no such link yet
        for name in ("kind", "docker", "kubectl"):
            (home / name).write_text(STUB)
            (home / name).chmod(0o755)

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        (self.home / "answers").write_text(json.dumps(self.answers))
        (self.home / "failing").write_text("\n".join(self.failing))
        (self.home / "calls").write_text("")
        path = f"{self.home}:/usr/bin:/bin"
        return subprocess.run(
            [str(SCRIPT), *argv],
            env={"PATH": path, **environment},
            text=True,
            capture_output=True,
            check=False,
        )

    def config(self) -> Object:
        """The configuration of the cluster that was made."""
        (found,) = parse((self.home / "config").read_text())
        return found

    def applied(self) -> list[Object]:
        """All that was applied from standard input."""
        return parse((self.home / "applied").read_text())

    def calls(self) -> list[str]:
        """Every call so far."""
        return (self.home / "calls").read_text().splitlines()


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Bench:
    """Where all goes well, and there is no cluster yet."""
    return Bench(tmp_path)


def test_a_pod_gets_a_link_of_a_new_cluster_and_the_link_comes_home(bench: Bench) -> None:
    result = bench.run()
    assert result.returncode == 0, result.stderr
    assert bench.calls() == CALLS
    assert result.stdout.count("inet 192.168.8.8/32") == 2
    assert "ok: dummy0 is as it was" in result.stdout
    assert "error" not in result.stderr


def test_a_pod_gets_a_link_by_a_claim(bench: Bench) -> None:
    result = bench.run("--dra")
    assert result.returncode == 0, result.stderr
    assert bench.calls() == CALLS_BY_CLAIM
    assert bench.applied() == [*parse(CLASS), *parse(CLAIM_YAML.read_text())]


DRAS_OWN = (KUSTOMIZE, API_VERSIONS, APPLY_INPUT, SLICE, CLAIM_IN_POD)
FAILING = [(call,) for call in CALLS] + [(call, "--dra") for call in DRAS_OWN]


@pytest.mark.parametrize(
    ("failing", "options"),
    [(call, options) for call, *options in FAILING if call != SHOW_LINK],
)
def test_a_step_that_fails_is_named_and_is_the_last(
    bench: Bench, failing: str, options: list[str]
) -> None:
    result = bench.run(*options, FAILING=failing)
    assert result.returncode == 1
    assert bench.calls()[-1] == failing
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    (step,) = re.findall(r"^==> (.*)$", result.stderr, re.MULTILINE)[-1:]
    assert errors == [f"error: cannot {step}"]
    assert "said by the stub" in result.stderr


@pytest.mark.parametrize(
    ("call", "step"),
    [(IN_POD, "find 192.168.8.8/32 in the pod"), (ON_WORKER, "find 192.168.8.8/32 on netdevice-")],
)
def test_a_link_without_its_address_is_a_failure(bench: Bench, call: str, step: str) -> None:
    bench.answers[call] = "2: dummy0: <UP>\n"
    result = bench.run()
    assert result.returncode == 1
    assert f"error: cannot {step}" in result.stderr


def test_a_second_run_uses_what_is_there_and_brings_the_new_image_in(bench: Bench) -> None:
    bench.answers["kind get clusters"] = "other\nnetdevice\n"
    bench.answers[f"{AGENT} get daemonset --ignore-not-found --output name"] = (
        "daemonset.apps/netdevice-plugin\n"
    )
    bench.failing = []
    result = bench.run()
    assert result.returncode == 0, result.stderr
    expected = [call for call in CALLS if call not in {CREATE, ADD_LINK}]
    expected.insert(expected.index(f"{KUBE} apply --filename install.yaml") + 1, RESTART)
    assert bench.calls() == expected


def test_a_cluster_whose_name_only_begins_alike_is_another(bench: Bench) -> None:
    bench.answers["kind get clusters"] = "netdevice-2\nmy-netdevice\n"
    assert bench.run().returncode == 0
    assert CREATE in bench.calls()


def test_name_and_node_image_are_passed_on(bench: Bench) -> None:
    bench.run("--name", "lab", "--node-image", "kindest/node:v1.32.0", FAILING="docker build")
    create = "kind create cluster --name lab --image kindest/node:v1.32.0 --wait 3m --config=-"
    assert create in bench.calls()
    assert "docker exec lab-worker ip link set dummy0 up" in bench.calls()


def test_delete_removes_the_cluster_and_does_nothing_else(bench: Bench) -> None:
    result = bench.run("--delete", "--name", "lab")
    assert result.returncode == 0
    assert bench.calls() == ["kind delete cluster --name lab"]


def test_a_delete_that_fails_says_so(bench: Bench) -> None:
    call = "kind delete cluster --name netdevice"
    result = bench.run("--delete", FAILING=call)
    assert result.returncode == 1
    assert "error: cannot delete cluster netdevice" in result.stderr


def test_containerd_is_told_to_read_cdi_files(bench: Bench) -> None:
    bench.run()
    config = yaml.safe_load((bench.home / "config").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker"]
    (patch,) = config["containerdConfigPatches"]
    assert tomllib.loads(patch) == {
        # kind's own files say 2, and it merges no patch that says otherwise.
        "version": 2,
        "plugins": {
            "io.containerd.grpc.v1.cri": {
                "enable_cdi": True,
                "cdi_spec_dirs": ["/etc/cdi", "/var/run/cdi"],
            }
        },
    }


@pytest.mark.parametrize(
    ("image", "gates", "runtime"),
    [
        ("", None, None),
        (
            "kindest/node:v1.32.5",
            {"DynamicResourceAllocation": True, "DRAResourceClaimDeviceStatus": True},
            {"resource.k8s.io/v1beta1": "true"},
        ),
        (
            "kindest/node:v1.33.1@sha256:0123",
            {"DynamicResourceAllocation": True, "DRAResourceClaimDeviceStatus": True},
            {"resource.k8s.io/v1beta1": "true"},
        ),
        ("kindest/node:v1.34.0", {"DRAExtendedResource": True}, None),
        ("kindest/node:v1.36.0", None, None),
    ],
)
def test_a_cluster_for_claims_has_on_what_its_version_has_not(
    bench: Bench, image: str, gates: Object | None, runtime: Object | None
) -> None:
    bench.run("--dra", *(("--node-image", image) if image else ()))
    config = bench.config()
    assert (config.get("featureGates"), config.get("runtimeConfig")) == (gates, runtime)
    bench.run(*(("--node-image", image) if image else ()))
    assert {"featureGates", "runtimeConfig"}.isdisjoint(bench.config())
    assert {**config, **bench.config()} == config


def test_a_cluster_without_v1_is_given_v1beta1(bench: Bench) -> None:
    bench.answers[API_VERSIONS] = "apps/v1\nresource.k8s.io/v1beta1\n"
    result = bench.run("--dra")
    assert result.returncode == 0, result.stderr
    template, pod = parse(CLAIM_YAML.read_text())
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    request |= request.pop("exactly")
    template["apiVersion"] = "resource.k8s.io/v1beta1"
    device_class = {"apiVersion": "resource.k8s.io/v1beta1", "kind": "DeviceClass", "spec": None}
    assert bench.applied() == [device_class, template, pod]
    assert request == {"name": "nic", "deviceClassName": "netdevice"}


def test_a_cluster_without_dra_is_left_as_it_is(bench: Bench) -> None:
    bench.answers["kind get clusters"] = "netdevice\n"
    bench.answers[API_VERSIONS] = "apps/v1\nresource.k8s.io/v1alpha3\n"
    result = bench.run("--dra")
    assert result.returncode == 1
    assert "error: cluster netdevice has no DRA\n" in result.stderr
    assert result.stderr.count("error: ") == 1
    assert bench.calls() == ["kind get clusters", API_VERSIONS]


def test_the_claim_names_the_pod_that_the_script_waits_for() -> None:
    _, pod = parse(CLAIM_YAML.read_text())
    assert pod["metadata"]["name"] == "netdevice-claim"


def test_the_pod_asks_for_what_the_script_waits_for() -> None:
    (pod,) = parse((ROOT / POD_YAML).read_text())
    assert pod["metadata"]["name"] == "netdevice-demo"
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == {"limits": {"networking.k8s.io/netdevice": 1}}


def test_help_says_how_to_call_it_and_calls_nothing(bench: Bench) -> None:
    result = bench.run("--help")
    assert result.returncode == 0
    assert {"--name NAME", "--node-image IMAGE", "--delete", "--dra"} <= set(
        re.findall(r"--[a-z-]+(?: [A-Z]+)?", result.stdout)
    )
    assert bench.calls() == []


@pytest.mark.parametrize("argv", [("--frob",), ("cluster",), ("--name",), ("--name", "")])
def test_wrong_arguments_are_refused_before_anything_is_done(
    bench: Bench, argv: tuple[str, ...]
) -> None:
    result = bench.run(*argv)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert bench.calls() == []


def test_what_is_not_installed_is_named(bench: Bench) -> None:
    for name in ("kind", "kubectl"):
        (bench.home / name).unlink()
    tools = bench.home / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    result = bench.run(PATH=f"{bench.home}:{tools}")
    assert result.returncode == 1
    assert "error: missing: kind kubectl\n" in result.stderr
    assert bench.calls() == []
    assert os.access(bench.home / "docker", os.X_OK)
