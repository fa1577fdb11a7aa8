from __future__ import annotations

import pytest

import cdi


def test_a_request_is_built_and_found_again() -> None:
    key = cdi.annotation_key("vendor.net", "pool/eth1")
    assert key == "cdi.k8s.io/vendor.net_pool_eth1"
    value = cdi.annotation_value(["vendor.com/net=eth1", "vendor.com/net=eth2"])
    assert value == "vendor.com/net=eth1,vendor.com/net=eth2"
    found = cdi.parse_annotations({"other": "x", key: value})
    assert found == {key: ("vendor.com/net=eth1", "vendor.com/net=eth2")}


def test_requests_come_in_the_order_of_their_keys() -> None:
    request = {f"cdi.k8s.io/{c}_x": f"vendor.com/net={c}" for c in "bca"}
    assert list(cdi.parse_annotations(request)) == [f"cdi.k8s.io/{c}_x" for c in "abc"]


def test_the_name_part_of_a_key_may_have_63_characters() -> None:
    assert len(cdi.annotation_key("p" * 31, "d" * 31)) == len("cdi.k8s.io/") + 63
    with pytest.raises(cdi.InvalidNameError, match="more than 63"):
        cdi.annotation_key("p" * 31, "d" * 32)


@pytest.mark.parametrize(
    ("plugin", "device"),
    [("", "x"), ("x", ""), ("-p", "d"), ("p", "d-"), ("p", "a:b"), ("p", "é"), ("p", "d\n")],
)
def test_a_key_that_kubernetes_would_refuse_is_not_built(plugin: str, device: str) -> None:
    with pytest.raises(cdi.InvalidNameError):
        cdi.annotation_key(plugin, device)


@pytest.mark.parametrize("devices", [[], ["eth0"], ["vendor.com/net=eth1", "v/c=d"]])
def test_a_value_has_qualified_names_and_at_least_one(devices: list[str]) -> None:
    with pytest.raises(cdi.InvalidNameError):
        cdi.annotation_value(devices)


@pytest.mark.parametrize("value", ["", "eth0", "vendor.com/net=eth1,", "a b,c"])
def test_one_bad_name_makes_the_request_void(value: str) -> None:
    with pytest.raises(cdi.InvalidNameError):
        cdi.parse_annotations({"cdi.k8s.io/p_d": value})
