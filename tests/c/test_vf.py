"""The settings of a virtual function as the command line has them."""

from __future__ import annotations

import pytest

from tests.c.build import Driver
from tests.c.test_args import ATTACH, good, refusal

MAC = "02:00:00:00:00:0a"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f" mac  {MAC.upper()} ", f"mac {MAC}"),
        ("vlan 0", "vlan 0 qos 0 protocol 802.1q"),
        ("qos 7 protocol 802.1ad vlan 4094", "vlan 4094 qos 7 protocol 802.1ad"),
        ("spoofchk off trust on", "spoofchk off trust on"),
        ("trust off spoofchk on", "spoofchk on trust off"),
        ("link-state auto", "link-state auto"),
        ("link-state enable max-tx-rate 4294967295", "max-tx-rate 4294967295 link-state enable"),
        ("link-state disable min-tx-rate 0", "min-tx-rate 0 link-state disable"),
    ],
)
def test_settings_are_understood(mover: Driver, text: str, meant: str) -> None:
    assert good(mover.options(*ATTACH, "--vf", text)).text("vf") == meant.encode()


KEYS = "mac, vlan, qos, protocol, min-tx-rate, max-tx-rate, spoofchk, link-state, trust"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "'' asks for nothing"),
        ("state enable", f"'state' is none of {KEYS}"),
        ("mac", "'mac' has nothing behind it"),
        ("mac 02:0", "'02:0' is not a MAC address (as 02:00:00:00:00:01, at most 32 bytes)"),
        (f"mac {bytes(20).hex(':')}", f"'{bytes(20).hex(':')}' is not of 6 bytes"),
        (
            "mac 00:00:00:00:00:00",
            "'mac 00:00:00:00:00:00' is not the address of one host (multicast or zero)",
        ),
        (
            "mac 01:00:00:00:00:00",
            "'mac 01:00:00:00:00:00' is not the address of one host (multicast or zero)",
        ),
        ("vlan 4095", "'4095' is not a number from 0 to 4094"),
        ("vlan 7 qos 8", "'8' is not a number from 0 to 7"),
        ("vlan 7 protocol 802.1x", "'802.1x' is none of 802.1q, 802.1ad"),
        ("qos 1", "'qos 1' says qos or protocol without a vlan"),
        ("protocol 802.1q", "'protocol 802.1q' says qos or protocol without a vlan"),
        ("spoofchk yes", "'yes' is none of off, on"),
        ("trust on trust off", "'trust' is there twice"),
        ("link-state up", "'up' is none of auto, enable, disable"),
        ("max-tx-rate 4294967296", "'4294967296' is not a number from 0 to 4294967295"),
    ],
)
def test_settings_that_are_wrong_say_where(mover: Driver, text: str, line: str) -> None:
    assert refusal(mover.options(*ATTACH, "--vf", text)) == f"--vf: {line}"


def test_a_vf_has_one_mac(mover: Driver) -> None:
    vf = ("--vf", f"trust on mac {MAC}")
    assert good(mover.options(*ATTACH, *vf)).text("mac") == MAC.encode()
    assert good(mover.options(*ATTACH, *vf, "--mac", MAC)).text("mac") == MAC.encode()
    line = refusal(mover.options(*ATTACH, *vf, "--mac", "02:00:00:00:00:0b"))
    assert line == "--mac and --vf have different MACs"


@pytest.mark.parametrize("option", ["--vf=trust on", "--rdma=mlx5_0"])
def test_a_link_that_is_made_is_no_vf_and_has_no_rdma_device(mover: Driver, option: str) -> None:
    line = refusal(mover.options(*ATTACH, option, "--create=ipvlan mode l2", "--as=net1"))
    assert line == "--create excludes --vf and --rdma"


def test_an_rdma_device_is_a_word(mover: Driver) -> None:
    assert good(mover.options(*ATTACH, "--rdma", "mlx5_0")).text("rdma") == b"mlx5_0"
    for bad in ("", "mlx5 0", "m\n", "x" * 64):
        line = refusal(mover.options(*ATTACH, "--rdma", bad))
        assert line.endswith("is not an RDMA device (as mlx5_0)")
