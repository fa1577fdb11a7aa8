from __future__ import annotations

import pytest

import cdi
from cdi import names


@pytest.mark.parametrize(
    "name",
    [
        "vendor.com/net=eth1",
        "networking.k8s.io/netdevice=0000:03:00.1",
        "Vendor_1-x/cl.a_s-s=A",
        "ab/cd=0",
        "v" * 253 + "/" + "c" * 63 + "=" + "d" * 300,
    ],
)
def test_a_qualified_name_is_taken_apart_and_put_together(name: str) -> None:
    parsed = cdi.parse_name(name)
    assert str(parsed) == name
    assert f"{parsed.kind}={parsed.device}" == name
    assert cdi.is_qualified(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "'=' and a device are missing"),
        ("eth0", "'=' and a device are missing"),
        ("/dev/null", "'=' and a device are missing"),
        ("vendor.com/net=", "the device name is empty"),
        ("=eth1", "must be vendor/class"),
        ("net=eth1", "must be vendor/class"),
        ("/net=eth1", "the vendor is empty"),
        ("vendor.com/=eth1", "the class is empty"),
        ("1vendor/net=eth1", "must start with a letter"),
        ("vendor./net=eth1", "end with a letter or digit"),
        ("vendor.com/a/b=eth1", "class 'a/b' must"),
        ("vendor.com/net=eth1\n", "device name 'eth1\\\\n' must"),
        ("vendor.com/net=-", "device name '-' must"),
        ("vendor.com/net=eth1:", "device name 'eth1:' must"),
        ("vendor.com/net=a b", "device name 'a b' must"),
        ("vendor.com/net=a=b", "device name 'a=b' must"),
        ("vendör.com/net=eth1", r"vendor 'vend\\xf6r.com' must"),
        ("vendor.com/net=é", r"device name '\\xe9' must"),
        ("v" * 254 + "/net=eth1", "the vendor is longer than 253"),
        ("vendor.com/" + "c" * 64 + "=eth1", "the class is longer than 63"),
    ],
)
def test_a_bad_name_is_refused_with_the_part_that_is_wrong(name: str, why: str) -> None:
    with pytest.raises(cdi.InvalidNameError, match=why) as caught:
        cdi.parse_name(name)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not cdi.is_qualified(name)


@pytest.mark.parametrize("kind", ["v/net", "vendor.com/n", "v/n"])
def test_one_letter_is_refused_because_it_crashes_runtimes(kind: str) -> None:
    with pytest.raises(cdi.InvalidNameError, match="one letter only, which crashes runtimes"):
        names.split_kind(kind)
    assert not cdi.is_qualified(f"{kind}=eth1")
