"""Questions for devlink to the byte, and whatever comes for an answer."""

from __future__ import annotations

import errno
import struct
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.errors import InventoryError
from netdevice_plugin.inventory import devlink
from tests.unit.inventory.messages import attributes, framed, u16

FAMILY = 0x1D
PF, OTHER = "0000:03:00.0", "0000:05:00.0"


def answer(kind: int, *several: tuple[int, bytes]) -> bytes:
    return framed(kind, struct.pack("=BBxx", 1, 2) + attributes(*several))


def refusal(number: int) -> bytes:
    return framed(2, struct.pack("=i", -number) + bytes(16))


class Kernel:
    """Answers each question by what it says, or with an error."""

    def __init__(self, modes: dict[str, bytes | OSError], family: bytes) -> None:
        self.modes = modes
        self.family = family
        self.asked: list[bytes] = []

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def send(self, data: bytes, /) -> int:
        self.asked.append(data)
        return len(data)

    def recvmsg(self, _: int, /) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        question = self.asked[-1]
        found: bytes | OSError = self.family
        for address, mode in self.modes.items():
            if address.encode() in question:
                found = mode
        if isinstance(found, OSError):
            raise found
        return found, [], 0, None


KNOWN = answer(16, (1, u16(FAMILY)))


def modes(family: bytes = KNOWN, **more: bytes | OSError) -> dict[str, str]:
    kernel = Kernel({PF: more.get("pf", b""), OTHER: more.get("other", b"")}, family)
    return devlink.eswitch_modes([PF, OTHER], connect=lambda: kernel)


def test_questions_are_as_the_kernel_has_them() -> None:
    assert devlink.family_request() == bytes.fromhex(
        "20000000"
        "1000"
        "0100"
        "01000000"
        "00000000"  # nlmsghdr
        "03010000"  # CTRL_CMD_GETFAMILY
        "0c000200"
        "6465766c696e6b00"  # CTRL_ATTR_FAMILY_NAME "devlink"
    )
    assert devlink.mode_request(FAMILY, PF) == bytes.fromhex(
        "30000000"
        "1d00"
        "0100"
        "01000000"
        "00000000"
        "1d010000"  # DEVLINK_CMD_ESWITCH_GET
        "08000100"
        "70636900"  # DEVLINK_ATTR_BUS_NAME "pci"
        "11000200"
        "303030303a30333a30302e3000"
        "000000"  # DEVLINK_ATTR_DEV_NAME
    )


def test_each_physical_function_has_its_mode() -> None:
    found = modes(pf=answer(FAMILY, (25, u16(1)), (26, b"\1")), other=answer(FAMILY, (25, u16(0))))
    assert found == {PF: "switchdev", OTHER: "legacy"}


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(refusal(errno.ENODEV), id="no devlink of the driver's"),
        pytest.param(refusal(errno.EOPNOTSUPP), id="no switch"),
        pytest.param(refusal(errno.EPERM), id="not allowed"),
        pytest.param(answer(FAMILY, (25, u16(7))), id="a mode that is not known"),
        pytest.param(answer(FAMILY, (25, b"\1")), id="a number of another size"),
        pytest.param(answer(FAMILY), id="nothing"),
        pytest.param(b"", id="no message"),
    ],
)
def test_one_that_has_none_keeps_no_other_from_saying_its_own(said: bytes) -> None:
    assert modes(pf=said, other=answer(FAMILY, (25, u16(0)))) == {OTHER: "legacy"}


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(refusal(errno.ENOENT), id="a kernel without devlink"),
        pytest.param(answer(16, (2, b"devlink\0")), id="no number"),
        pytest.param(b"\1\2\3", id="half a message"),
    ],
)
def test_without_devlink_nothing_is_known(family: bytes) -> None:
    assert modes(family, pf=answer(FAMILY, (25, u16(1)))) == {}


def test_a_kernel_that_does_not_answer_is_not_waited_for() -> None:
    assert modes(pf=answer(FAMILY, (25, u16(1))), other=TimeoutError()) == {PF: "switchdev"}


def test_nothing_is_asked_where_there_is_nothing_to_ask_for() -> None:
    def connect() -> Kernel:
        raise AssertionError

    assert devlink.eswitch_modes([], connect=connect) == {}


def test_a_socket_that_is_not_to_be_had_is_no_failure() -> None:
    def connect() -> Kernel:
        raise OSError(errno.EPROTONOSUPPORT, "none")

    assert devlink.eswitch_modes([PF], connect=connect) == {}


@given(st.binary(max_size=64))
def test_whatever_the_bytes_it_is_a_mode_or_none(data: bytes) -> None:
    for body in (data, framed(FAMILY, data), answer(FAMILY, (25, data))):
        try:
            assert devlink.decode_mode(body) in ("", "legacy", "switchdev")
            assert 0 <= devlink.decode_family(body) <= 0xFFFF
        except InventoryError:
            continue
        assert modes(pf=body, other=body).keys() <= {PF, OTHER}
