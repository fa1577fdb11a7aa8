"""--sysctl, --feature, --ring and --channels, exactly as docs/reference/mover.md has them."""

from __future__ import annotations

import pytest

from tests.c.build import Driver
from tests.c.test_args import ATTACH, DETACH, good, refusal

GOOD = {  # what is given -> the line of a record, and the place among its group's names
    ("sysctl", "ipv4/conf/rp_filter=2"): ("ipv4/conf/rp_filter=2", 0),
    ("sysctl", "ipv6/neigh/gc_stale_time=60"): ("ipv6/neigh/gc_stale_time=60", 0),
    ("sysctl", "ipv6/conf/stable_secret=fe80::1 =/"): ("ipv6/conf/stable_secret=fe80::1 =/", 0),
    ("feature", "rx-gro=on"): ("feature/rx-gro=on", 0),
    ("feature", "tx-checksum-ipv4=off"): ("feature/tx-checksum-ipv4=off", 0),
    ("feature", f"{'x' * 31}=on"): (f"feature/{'x' * 31}=on", 0),
    ("ring", "rx=512"): ("ring/rx=512", 0),
    ("ring", "rx-mini=0"): ("ring/rx-mini=0", 1),
    ("ring", "rx-jumbo=4294967295"): ("ring/rx-jumbo=4294967295", 2),
    ("ring", "tx=1"): ("ring/tx=1", 3),
    ("channels", "rx=1"): ("channels/rx=1", 0),
    ("channels", "tx=1"): ("channels/tx=1", 1),
    ("channels", "other=1"): ("channels/other=1", 2),
    ("channels", "combined=1"): ("channels/combined=1", 3),
}
FORMS = {
    "sysctl": "is not a link's setting (as ipv4/conf/rp_filter=2)",
    "feature": "is not a feature, as the kernel calls it, '=' and on or off",
    "ring": "is not rx, rx-mini, rx-jumbo or tx, '=' and a number",
    "channels": "is not rx, tx, other or combined, '=' and a number",
}
BAD = {
    "sysctl": (
        *("", "=", "ipv4/conf/rp_filter", "ipv4/conf/rp_filter=", "ipv4/conf/=1", "ipv4/conf=1"),
        *("ipv5/conf/rp_filter=1", "ipv4/route/flush=1", "ipv4/conf/eth0/rp_filter=1"),
        *("ipv4/conf/../../x=1", "ipv4/conf/RP_FILTER=1", "net/ipv4/conf/x=1", "/ipv4/conf/x=1"),
        *(f"ipv4/conf/{'k' * 49}=1", f"ipv4/conf/x={'1' * 64}", "ipv4/conf/x=1\n"),
        *("ipv4/conf/x=\x7f", "ipv4/conf/x=\u00fc", "ipv4/conf/rp-filter=1"),
    ),
    "feature": (
        *("", "=on", "rx-gro", "rx-gro=", "rx-gro=1", "rx-gro=ON", "rx-gro=on ", "rx_gro=on"),
        *(" rx-gro=on", "RX-GRO=on", f"{'x' * 32}=on", "a/b=on", "rx-gro=on=off"),
    ),
    "ring": (
        *("", "=1", "rx", "rx=", "rx=-1", "rx=+1", "rx=0x10", "rx=4294967296", "rx=01", "rx=1 "),
        *("combined=1", "RX=1", "rx-=1", "rx-mini-pending=1", "rx=1=2"),
    ),
    "channels": ("", "=1", "combined", "combined=x", "rx-mini=1", "rx=1,tx=1", "all=1"),
}


@pytest.mark.parametrize(
    ("option", "value", "line", "place"),
    [(*given, *meant) for given, meant in GOOD.items()],
    ids=[f"{option} {value}" for option, value in GOOD],
)
def test_a_setting_is_understood(
    mover: Driver, option: str, value: str, line: str, place: int
) -> None:
    answer = good(mover.options(*ATTACH, f"--{option}", value))
    assert (answer.texts("setting"), answer.number("setting.place")) == ([line], place)


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in BAD.items() for value in values]
)
def test_a_wrong_setting_is_refused(mover: Driver, option: str, value: str) -> None:
    line = refusal(mover.options(*ATTACH, f"--{option}={value}"))
    assert line.startswith(f"--{option}: '")
    assert line.endswith(FORMS[option])


@pytest.mark.parametrize("option", FORMS)
def test_only_attach_has_settings(mover: Driver, option: str) -> None:
    line = refusal(mover.options(*DETACH, f"--{option}", "rx=1"))
    assert line == f"--{option}: not an option of detach"
    assert refusal(mover.options("attach", f"--{option}")) == f"--{option}: has no value"


def test_a_setting_is_there_once(mover: Driver) -> None:
    args = ("--ring=rx=1", "--channels=rx=1", "--sysctl=ipv4/conf/x=1", "--sysctl=ipv6/conf/x=1")
    assert len(good(mover.options(*ATTACH, *args)).texts("setting")) == len(args)
    for option, name in (("ring", "rx"), ("channels", "rx"), ("sysctl", "ipv6/conf/x")):
        line = refusal(mover.options(*ATTACH, *args, f"--{option}={name}=2"))
        assert line == f"--{option}: '{name}' is there twice"


def test_settings_are_bounded(mover: Driver) -> None:
    words = [f"--sysctl=ipv4/conf/x{number}=1" for number in range(257)]
    assert len(good(mover.options(*ATTACH, *words[1:])).texts("setting")) == 256
    assert refusal(mover.options(*ATTACH, *words)) == "--sysctl: more than 256 settings"
