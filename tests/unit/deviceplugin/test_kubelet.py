"""Names of sockets, and how long to wait."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.deviceplugin import Kubelet
from netdevice_plugin.errors import ConfigError, KubeletError
from netdevice_plugin.model import Registration
from netdevice_plugin.serving.backoff import CAP, FIRST, Backoff
from netdevice_plugin.serving.guard import code_of

ROOT = Path("/var/lib/kubelet")


@pytest.mark.parametrize(
    ("route", "path"),
    [
        (Registration.SOCKET, "device-plugins/networking.k8s.io-netdevice.sock"),
        (Registration.WATCHER, "plugins_registry/networking.k8s.io-netdevice.sock"),
    ],
    ids=["kubelet.sock", "plugins_registry"],
)
def test_a_socket_is_named_after_its_resource(route: Registration, path: str) -> None:
    assert Kubelet(ROOT, route).path_of("networking.k8s.io/netdevice") == ROOT / path


@pytest.mark.parametrize(
    "kind",
    ["a/" + "x" * 200, ".hidden/x", "a/ü", "a/\udcff", "a/b c", "a/%41"],
)
def test_a_resource_of_an_odd_or_long_name_gets_a_short_plain_one(kind: str) -> None:
    path = Kubelet(ROOT).path_of(kind)
    assert path.parent == ROOT / "device-plugins"
    assert path.name.startswith("netdevice-")
    assert path.name.isascii()


@given(st.text(max_size=120))
def test_no_name_leaves_the_directory_hides_or_takes_the_kubelets(name: str) -> None:
    path = Kubelet(ROOT).path_of(f"networking.k8s.io/{name}")
    assert path.parent == ROOT / "device-plugins"
    assert not path.name.startswith(".")
    assert path.name != "kubelet.sock"
    assert len(os.fsencode(path)) < 107


def test_long_names_that_differ_at_their_end_get_different_sockets() -> None:
    kubelet = Kubelet(ROOT)
    paths = {kubelet.path_of(f"a.b/{'x' * 100}{end}") for end in "abc"}
    assert len(paths) == 3


def test_a_directory_that_leaves_no_room_for_a_name_is_refused_at_once() -> None:
    root = Path("/" + "d" * 58)
    assert Kubelet(root).path_of("networking.k8s.io/netdevice").name.startswith("netdevice-")
    with pytest.raises(ConfigError, match="more than 107 bytes") as caught:
        Kubelet(Path("/" + "d" * 59))
    assert "kubeletDir" in caught.value.hint


def test_waits_get_longer_up_to_a_cap_and_are_short_again_after_a_success() -> None:
    backoff = Backoff(chance=lambda: 1.0)
    waits = [backoff.next() for _ in range(10)]
    assert waits[0] == FIRST
    assert all(later == min(2 * earlier, CAP) for earlier, later in itertools.pairwise(waits))
    assert waits[-1] == CAP
    backoff.reset()
    assert backoff.next() == FIRST


def test_half_of_a_wait_is_chance() -> None:
    assert Backoff(chance=lambda: 0.0).next() == FIRST / 2


def test_an_error_without_a_code_of_its_own_is_an_internal_one() -> None:
    assert code_of(KubeletError("x")).name == "INTERNAL"
