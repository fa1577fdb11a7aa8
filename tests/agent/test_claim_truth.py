"""Whoever looks on in the end-to-end tests of claims sees what is wrong."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from tests.e2e.claimtruth import Truth
from tests.fakes.apiserver import ApiServer
from tests.fakes.dradriver import device
from tests.fakes.kubelet import one
from tests.fakes.scene import DRIVER, KIND, Scene, scene

POOL = "node/pool"


class Watched:
    """A kubelet and an API server which a driver and a test tell what they like."""

    def __init__(self, here: Scene, server: ApiServer, cdi: pathlib.Path) -> None:
        self.here = here
        self.server = server
        self.cdi = cdi
        self.driver = here.driver()
        self.truth = Truth(server, here.kubelet, cdi, "node", patience=0)

    def claim(self, name: str, device_name: str) -> None:
        """A claim that has a device, in both APIs."""
        exactly = {"deviceClassName": "any", "allocationMode": "ExactCount", "count": 1}
        made = self.server.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"devices": {"requests": [{"name": "all", "exactly": exactly}]}},
            }
        )
        result = {"driver": DRIVER, "pool": POOL, "request": "all", "device": device_name}
        with self.server.cluster.edit("resourceclaims", name, "default", status=True) as claim:
            claim["status"] = {"allocation": {"devices": {"results": [result]}}}
        self.here.api.add(name, DRIVER, device_name, uid=made["metadata"]["uid"])
        self.driver.devices[name] = [device(device_name, f"a.b/claim={name}")]

    def publish(self, *names: str) -> None:
        """A slice with these devices."""
        pool = {"name": POOL, "generation": 1, "resourceSliceCount": 1}
        spec = {
            "driver": DRIVER,
            "nodeName": "node",
            "pool": pool,
            "devices": [{"name": name} for name in names],
        }
        self.server.cluster.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"generateName": "s-"},
                "spec": spec,
            }
        )
        self.here.kubelet.cluster.tell()

    def run(self, name: str) -> None:
        """A pod with a claim."""
        self.here.kubelet.run_pod(one(name, claims=(name,)))

    def resolvable(self, *names: str) -> None:
        """A CDI file with these devices."""
        spec = {"kind": "a.b/claim", "devices": [{"name": name} for name in names]}
        (self.cdi / "file.json").write_text(json.dumps(spec))


@pytest.fixture
def watched(tmp_path: pathlib.Path) -> Iterator[Watched]:
    with scene() as here, ApiServer() as server:
        yield Watched(here, server, tmp_path)


def test_nothing_is_wrong_with_claims_that_have_devices_of_their_own(watched: Watched) -> None:
    watched.resolvable("a", "b")
    watched.publish("eth1", "eth2", "eth3")
    for name, device_name in (("a", "eth1"), ("b", "eth2")):
        watched.claim(name, device_name)
        watched.run(name)
    assert watched.truth.looks
    assert not watched.truth.wrongs


def test_a_device_that_is_prepared_for_two_claims(watched: Watched) -> None:
    watched.resolvable("a", "b")
    for name in ("a", "b"):
        watched.claim(name, "eth1")
        watched.run(name)
    (wrong,) = watched.truth.wrongs
    assert wrong.startswith(f"{POOL}/eth1 is prepared for ['claim a")


def test_a_device_that_the_device_plugin_gave_too(watched: Watched) -> None:
    watched.resolvable("a")
    watched.here.registered("eth1")
    watched.here.kubelet.run_pod(one("plain", {KIND: 1}))
    watched.claim("a", "eth1")
    watched.run("a")
    assert any("the device plugin's" in wrong for wrong in watched.truth.wrongs)


def test_a_device_that_a_claim_has_and_its_pool_has_not(watched: Watched) -> None:
    watched.claim("a", "eth1")
    watched.publish("eth2")
    assert watched.truth.wrongs == [f"{POOL}/eth1 of claim a is not published"]


def test_a_cdi_name_that_no_file_has(watched: Watched) -> None:
    watched.resolvable("b")
    watched.claim("a", "eth1")
    watched.run("a")
    assert watched.truth.wrongs == ["['a.b/claim=a'] of claim a are in no CDI file"]


def test_a_device_that_both_front_ends_offer(watched: Watched) -> None:
    watched.here.registered("eth1")
    watched.publish("eth1", "eth2")
    assert watched.truth.wrongs == [f"{POOL}/eth1 is published and healthy for {KIND}"]
