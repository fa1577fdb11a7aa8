"""The mover's bounded text: numbers, bytes, addresses and names, against Python's own."""

from __future__ import annotations

import errno
import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.c.build import Driver

U64 = 2**64 - 1
ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
ADDRESS_LIKE = st.text("0123456789abcdefABCDEF:./%x ", max_size=24)


@pytest.mark.parametrize(
    ("maximum", "text", "result"),
    [
        (U64, "0", 0),
        (U64, "18446744073709551615", U64),
        (U64, "18446744073709551616", -errno.ERANGE),
        (U64, "9" * 400, -errno.ERANGE),
        (255, "255", 255),
        (255, "256", -errno.ERANGE),
        (3, "7", -errno.ERANGE),
        (0, "0", 0),
        (255, "9" * 30 + "x", -errno.EINVAL),
        *((U64, bad, -errno.EINVAL) for bad in ("", "00", "01", "-1", "+1", " 1", "1 ", "0x1")),
        *((U64, bad, -errno.EINVAL) for bad in ("1.0", "1e3", "\N{ARABIC-INDIC DIGIT ONE}", "1\0")),
    ],
)
def test_a_number_is_decimal_digits_within_bounds(
    mover: Driver, maximum: int, text: str, result: int
) -> None:
    answer = mover("unsigned", f"{maximum} {text}".encode())
    assert answer.number("rc") == min(result, 0)
    if result >= 0:
        assert answer.number("number") == result
        assert answer.text("text").decode() == text


@given(maximum=st.integers(0, U64), number=st.integers(0, 2 * U64))
def test_a_number_is_accepted_up_to_its_maximum(mover: Driver, maximum: int, number: int) -> None:
    answer = mover("unsigned", f"{maximum} {number}".encode())
    assert answer.number("rc") == (0 if number <= maximum else -errno.ERANGE)


@given(data=st.binary(max_size=16))
def test_bytes_survive_hex(mover: Driver, data: bytes) -> None:
    for text in (data.hex(), data.hex().upper()):
        assert mover("hex", text.encode()).text("text").decode() == data.hex()


@pytest.mark.parametrize("bad", ["0", "000", "0g", "g0", " 0", "0x", "00 1", "\0\0"])
def test_hex_that_is_not_hex_is_refused(mover: Driver, bad: str) -> None:
    assert mover("hex", bad.encode()).number("rc") == -errno.EINVAL


def test_hex_of_too_many_bytes_is_refused(mover: Driver) -> None:
    assert mover("hex", b"00" * 17).number("rc") == -errno.ERANGE


@given(value=st.binary(max_size=80).map(lambda value: value.replace(b"\0", b"")))
def test_a_records_value_survives_escaping(mover: Driver, value: bytes) -> None:
    written = mover("escaped", b"1000 " + value).text("text")
    assert not re.search(rb"[\x00-\x1f\x7f]|\\(?!x[0-9a-f]{2})", written)
    answer = mover("unescape", b"100 " + written)
    assert (answer.number("rc"), answer.text("text")) == (0, value)


@given(word=st.binary(min_size=1, max_size=80).map(lambda word: word.replace(b"\0", b"x")))
def test_a_word_survives_escaping_and_can_be_joined_with_others(mover: Driver, word: bytes) -> None:
    written = mover("word", b"1000 " + word).text("text")
    assert not re.search(rb"[ /]", written)
    assert written != b"-"
    assert mover("unescape", b"100 " + written).text("text") == word


def test_a_word_that_is_empty_is_a_dash_and_a_dash_is_escaped(mover: Driver) -> None:
    assert mover("word", b"10 ").text("text") == b"-"
    assert mover("word", b"10 -").text("text") == rb"\x2d"
    assert mover("word", b"10 a-b").text("text") == b"a-b"


@pytest.mark.parametrize(
    "bad",
    [
        *(b"\\", b"\\x", b"\\x1", b"\\x1g", b"\\n", b"\\\\"),
        *(b"\\X41", b"\\x00", b"a\nb", b"\0", b"\x7f"),
    ],
)
def test_an_escape_that_the_mover_never_writes_is_refused(mover: Driver, bad: bytes) -> None:
    assert mover("unescape", b"100 " + bad).number("rc") == -errno.EINVAL


@pytest.mark.parametrize("operation", ["unescape", "copy"])
@pytest.mark.parametrize(("size", "result"), [(4, 0), (3, -errno.ERANGE), (1, -errno.ERANGE)])
def test_a_value_must_fit_with_its_terminator(
    mover: Driver, operation: str, size: int, result: int
) -> None:
    assert mover(operation, b"%d abc" % size).number("rc") == result


def test_a_copy_refuses_a_nul_within(mover: Driver) -> None:
    assert mover("copy", b"10 a\0b").number("rc") == -errno.EINVAL


@given(value=st.binary(max_size=40), size=st.integers(1, 48))
def test_what_does_not_fit_is_cut_and_said_to_be(mover: Driver, value: bytes, size: int) -> None:
    value = value.replace(b"\0", b"0")
    answer = mover("plain", b"%d " % size + value)
    assert answer.text("text") == value[: size - 1]
    assert answer.number("length") == len(value[: size - 1])
    assert answer.number("cut") == (len(value) >= size)


@given(value=st.binary(max_size=20), size=st.integers(1, 48))
def test_a_value_that_is_cut_while_it_is_escaped_stays_in_its_buffer(
    mover: Driver, value: bytes, size: int
) -> None:
    whole = mover("escaped", b"1000 " + value).text("text")
    answer = mover("escaped", b"%d " % size + value)
    assert answer.text("text") == whole[: size - 1]
    assert answer.number("cut") == (len(whole) >= size)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (b"", b"''"),
        (b"eth0", b"'eth0'"),
        (b"a\n'\\\x7f", rb"'a\x0a\x27\x5c\x7f'"),
        (b"x" * 64, b"'" + b"x" * 64 + b"'"),
        (b"x" * 65, b"'" + b"x" * 64 + b"...'"),
    ],
)
def test_a_value_is_quoted_for_one_line(mover: Driver, value: bytes, quoted: bytes) -> None:
    assert mover("quoted", b"1000 " + value).text("text") == quoted


@given(data=st.binary(max_size=30))
def test_a_cut_is_a_partition(mover: Driver, data: bytes) -> None:
    answer = mover("cut", data)
    head, separator, rest = data.partition(b" ")
    assert answer.text("head") == head
    assert answer.text("rest") == rest
    assert answer.number("found") == len(separator)


@given(address=st.binary(min_size=1, max_size=32))
def test_a_mac_of_any_length_survives(mover: Driver, address: bytes) -> None:
    for text in (address.hex(":"), address.hex(":").upper()):
        answer = mover("mac", text.encode())
        assert answer.text("text").decode() == address.hex(":")
        assert answer.number("length") == len(address)


@pytest.mark.parametrize(
    "bad",
    [
        *("", "0", "02:", ":02", "02:0", "2:00:00:00:00:01", "02-00-00-00-00-01", "020000000001"),
        *("02:00:00:00:00:0g", "02:00:00::00:01", "02:00:00:00:00:01 ", "0x:00", "02::"),
    ],
)
def test_a_mac_that_is_none_is_refused(mover: Driver, bad: str) -> None:
    answer = mover("mac", bad.encode())
    assert (answer.number("rc"), answer.number("length")) == (-errno.EINVAL, 0)


def test_a_mac_longer_than_the_kernels_is_refused(mover: Driver) -> None:
    assert mover("mac", bytes(33).hex(":").encode()).number("rc") == -errno.ERANGE


def canonical(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """RFC 5952, with section 5: Python itself writes mapped addresses so from 3.13 on."""
    mapped = None if address.version == 4 else address.ipv4_mapped
    return f"::ffff:{mapped}" if mapped else address.compressed


def ip_oracle(text: str) -> str | None:
    """The canonical form; we know no zones."""
    try:
        return None if "%" in text else canonical(ipaddress.ip_address(text))
    except ValueError:
        return None


@given(text=ADDRESSES.map(str) | ADDRESSES.map(lambda ip: ip.exploded) | ADDRESS_LIKE)
def test_an_ip_address_is_what_python_says_it_is(mover: Driver, text: str) -> None:
    expected = ip_oracle(text)
    answer = mover("ip", text.encode())
    assert answer.number("rc") == (-errno.EINVAL if expected is None else 0)
    if expected is not None:
        bits = 128 if ":" in expected else 32
        assert answer.text("text").decode() == f"{expected}/{bits}"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "::",
            "::1",
            "1::",
            "1:0:0:1::",
            "0:0:1::",
            "1:0:2:3:4:5:6:7",
            "1:0:0:4:0:0:7:8",
            "fe80::1",
        ),
        *("::ffff:192.0.2.1", "2001:0DB8::00a0", "0:1:0:1:0:1:0:1", "::2:3:4:5:6:7:8", "1.2.3.4"),
    ],
)
def test_an_ip_address_is_printed_as_rfc_5952_says(mover: Driver, text: str) -> None:
    written = mover("ip", text.encode()).text("text").decode().partition("/")[0]
    assert written == canonical(ipaddress.ip_address(text))


@given(address=ADDRESSES, prefix=st.integers(0, 130))
def test_a_prefix_length_has_its_familys_bounds(
    mover: Driver, address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    answer = mover("cidr", f"{address}/{prefix}".encode())
    if prefix > address.max_prefixlen:
        assert answer.number("rc") == -errno.ERANGE
        return
    interface = ipaddress.ip_interface((address, prefix))
    assert answer.text("text").decode() == f"{canonical(address)}/{prefix}"
    assert answer.number("host_bits") == (interface.network.network_address != address)


@pytest.mark.parametrize("size", [32, 128])
def test_a_host_bit_is_one_beyond_the_prefix(mover: Driver, size: int) -> None:
    for bit in range(size):
        address = ipaddress.ip_address((1 << (size - 1 - bit)).to_bytes(size // 8, "big"))
        assert mover("cidr", f"{address}/{bit}".encode()).number("host_bits") == 1
        assert mover("cidr", f"{address}/{bit + 1}".encode()).number("host_bits") == 0


@pytest.mark.parametrize(
    "bad",
    [
        *("192.0.2.1", "192.0.2.1/", "/24", "192.0.2.1/024", "192.0.2.1/24/", "192.0.2.1/24 ", "/"),
        *(
            "192.0.2.1/-1",
            "192.0.2.1/255.255.255.0",
            "fe80::1%eth0/64",
            "192.0.2.01/24",
            "192.0.2/24",
        ),
    ],
)
def test_an_address_without_a_proper_prefix_length_is_refused(mover: Driver, bad: str) -> None:
    assert mover("cidr", bad.encode()).number("rc") == -errno.EINVAL


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0000:03:00.1", "0000:03:00.1"),
        ("0000:AF:1F.7", "0000:af:1f.7"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("fffffffe:00:00.0", "fffffffe:00:00.0"),
    ],
)
def test_a_pci_address_is_in_lower_case(mover: Driver, text: str, canonical: str) -> None:
    answer = mover("pci", text.encode())
    assert (answer.number("rc"), answer.text("text").decode()) == (0, canonical)


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "",
            "03:00.1",
            "0000:03:00",
            "0000:03:00.8",
            "0000:03:20.0",
            "0000-03-00.1",
            "0000:03:00.1 ",
        ),
        *("00000:03:00.1", "123456789:03:00.1", "000g:03:00.1", "0000:03:0g.1", "0000:03:00.11"),
        *("0000:0300.1", "0000:03:00.1\0"),
    ],
)
def test_a_pci_address_that_is_none_is_refused(mover: Driver, bad: str) -> None:
    answer = mover("pci", bad.encode())
    assert (answer.number("rc"), answer.text("text")) == (-errno.EINVAL, b"")


NAMES = st.binary(max_size=20) | st.text("abz-09AZ._:% /", max_size=66).map(str.encode)


@given(name=NAMES)
def test_a_device_name_is_a_dns_label(mover: Driver, name: bytes) -> None:
    label = re.fullmatch(rb"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)
    assert mover("names", name).number("device") == bool(label)


@pytest.mark.parametrize(("length", "good"), [(0, 0), (1, 1), (63, 1), (64, 0)])
def test_a_device_name_has_at_most_63_bytes(mover: Driver, length: int, good: int) -> None:
    assert mover("names", b"a" * length).number("device") == good


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *((good, 1) for good in (b"eth0", b"a.b", b"UPPER", b"...", b"-x", b"a" * 15, b"\xc3\xa9")),
        *((good, 1) for good in (b"\x01", b"\xff", b"\x85", b'a"b', b"a@b", b"a\\b")),
        *((bad, 0) for bad in (b"", b".", b"..", b"a" * 16, b"ns:1", b"a/b", b"a b", b"a\tb")),
        *((bad, 0) for bad in (b"a\x0bb", b"x\xa0y", b"a%d", b"%", b"a\0b", b"\n", b"\r", b"\f")),
    ],
)
def test_a_link_name_is_what_the_kernel_takes(mover: Driver, name: bytes, good: int) -> None:
    assert mover("names", name).number("link") == good


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *((good, 1) for good in (b"a", b"f" * 64, b"x" * 255, b"...", b"a b", b"\xc3\xa9")),
        *((bad, 0) for bad in (b"", b".", b"..", b"x" * 256, b"a/b", b"/")),
        *((bad, 0) for bad in (b"a\nb", b"\x7f", b"\0")),
    ],
)
def test_a_container_id_is_safe_in_a_path_and_a_line(mover: Driver, name: bytes, good: int) -> None:
    assert mover("names", name).number("container") == good
