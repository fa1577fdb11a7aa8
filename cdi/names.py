"""The names of CDI: vendor/class=device, and the rules for each part.

The characters are those that the reference library accepts (pkg/parser), the
lengths those of the specification (SPEC.md, Kind), which the library forgets.
One rule is ours: a vendor or a class of one letter is refused. Libraries up to
1.1.0 index past its end, and that panic ends the runtime's daemon, whoever
wrote the file.
"""

from __future__ import annotations

import dataclasses
import re

from cdi.errors import InvalidNameError, quoted

VENDOR_LIMIT = 253
CLASS_LIMIT = 63

_QUALIFIER = re.compile(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]")
_DEVICE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QualifiedName:
    """A device by its full name; `str` gives `vendor/class=device` back."""

    vendor: str
    class_name: str
    device: str

    @property
    def kind(self) -> str:
        """What a Spec file says in `kind`: vendor/class."""
        return f"{self.vendor}/{self.class_name}"

    def __str__(self) -> str:
        return f"{self.kind}={self.device}"


def parse_name(name: str) -> QualifiedName:
    """Take a qualified name apart; raises InvalidNameError with the part that is wrong."""
    kind, equals, device = name.partition("=")
    fault = kind_fault(kind) if equals else "'=' and a device are missing"
    fault = fault or device_fault(device)
    if fault:
        hint = "a device is named vendor/class=device, like networking.k8s.io/netdevice=eth1"
        raise InvalidNameError(f"CDI device {quoted(name)}: {fault}", hint=hint)
    vendor, _, class_name = kind.partition("/")
    return QualifiedName(vendor=vendor, class_name=class_name, device=device)


def is_qualified(name: str) -> bool:
    """Whether `parse_name` would accept the name, as runtimes ask before they take it for CDI's."""
    kind, _, device = name.partition("=")
    return not kind_fault(kind) and not device_fault(device)


def split_kind(kind: str) -> tuple[str, str]:
    """Take vendor/class apart; raises InvalidNameError."""
    fault = kind_fault(kind)
    if fault:
        raise InvalidNameError(f"CDI kind {quoted(kind)}: {fault}")
    vendor, _, class_name = kind.partition("/")
    return vendor, class_name


def kind_fault(kind: str) -> str:
    """Say what is wrong with vendor/class; empty when nothing is."""
    vendor, slash, class_name = kind.partition("/")
    if not slash:
        return "must be vendor/class"
    vendor_fault = _qualifier_fault("vendor", vendor, VENDOR_LIMIT)
    return vendor_fault or _qualifier_fault("class", class_name, CLASS_LIMIT)


def device_fault(device: str) -> str:
    """Say what is wrong with the name of a device; empty when nothing is."""
    if _DEVICE.fullmatch(device):
        return ""
    if not device:
        return "the device name is empty"
    return (
        f"device name {quoted(device)} must start and end with a letter or digit"
        " and have only letters, digits and . _ : - between"
    )


def _qualifier_fault(what: str, text: str, limit: int) -> str:
    if not text:
        return f"the {what} is empty"
    if len(text) == 1 and text.isascii() and text.isalpha():
        return (
            f"{what} {quoted(text)} has one letter only, which crashes runtimes"
            " with a CDI library up to 1.1.0"
        )
    if len(text) > limit:
        return f"the {what} is longer than {limit} characters"
    if _QUALIFIER.fullmatch(text):
        return ""
    return (
        f"{what} {quoted(text)} must start with a letter, end with a letter or digit"
        " and have only letters, digits and . _ - between"
    )
