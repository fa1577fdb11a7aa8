"""What validation is made of: problems with their places, and the forms that names have."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from collections.abc import Callable, Hashable, Iterable

from tests.fakes.apiserver.failure import Problem
from tests.fakes.apiserver.manifest import Manifest

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
CONDITION_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")


class Problems(list[Problem]):
    """Everything that is wrong with an object."""

    def required(self, where: str, why: str = "") -> None:
        """Say that something is not there."""
        self.append(Problem(where, "FieldValueRequired", f"Required value{why and ': ' + why}"))

    def invalid(self, where: str, value: object, why: str) -> None:
        """Say that a value cannot be had."""
        said = json.dumps(value) if isinstance(value, str | int | bool | list) else "{...}"
        self.append(Problem(where, "FieldValueInvalid", f"Invalid value: {said}: {why}"))

    def forbidden(self, where: str, why: str) -> None:
        """Say that nothing may stand there now."""
        self.append(Problem(where, "FieldValueForbidden", f"Forbidden: {why}"))

    def unsupported(self, where: str, value: object, known: Iterable[str]) -> None:
        """Say that a value is none of those known."""
        words = ", ".join(json.dumps(word) for word in sorted(known))
        text = f"Unsupported value: {json.dumps(value)}: supported values: {words}"
        self.append(Problem(where, "FieldValueNotSupported", text))

    def too_long(self, where: str, most: int) -> None:
        """Say that a text has too many bytes."""
        text = f"Too long: may not be more than {most} bytes"
        self.append(Problem(where, "FieldValueTooLong", text))

    def length(self, where: str, text: str, most: int) -> None:
        """Bound a text, in bytes."""
        if len(text.encode()) > most:
            self.too_long(where, most)

    def many(self, where: str, found: list[object], most: int) -> bool:
        """Bound a list; false when it is too long, and is not looked at further."""
        if len(found) <= most:
            return True
        text = f"Too many: {len(found)}: must have at most {most} items"
        self.append(Problem(where, "FieldValueTooMany", text))
        return False

    def unique(self, where: str, keys: Iterable[Hashable]) -> None:
        """Say which entries of a list are there twice."""
        seen = set()
        for index, key in enumerate(keys):
            if key in seen:
                text = f"Duplicate value: {json.dumps(key)}"
                self.append(Problem(f"{where}[{index}]", "FieldValueDuplicate", text))
            seen.add(key)

    def each(
        self,
        where: str,
        found: list[Manifest],
        most: int,
        check: Callable[[Problems, str, Manifest], None],
    ) -> None:
        """Check the entries of a list that is not too long."""
        if self.many(where, list(found), most):
            for index, entry in enumerate(found):
                check(self, f"{where}[{index}]", entry)


def label(problems: Problems, where: str, text: str) -> None:
    """A DNS label of RFC 1123; nothing is not one."""
    if len(text) > 63 or not LABEL.fullmatch(text):
        problems.invalid(
            where,
            text,
            "a lowercase RFC 1123 label must consist of lower case "
            "alphanumeric characters or '-', at most 63",
        )


def subdomain(problems: Problems, where: str, text: str) -> None:
    """Labels joined by dots."""
    if len(text) > 253 or not SUBDOMAIN.fullmatch(text):
        problems.invalid(
            where,
            text,
            "a lowercase RFC 1123 subdomain must consist of lower case "
            "alphanumeric characters, '-' or '.', at most 253",
        )


def driver(problems: Problems, where: str, text: str) -> None:
    """A driver's name: a subdomain of at most 63 bytes, upper case tolerated as for CSI."""
    if not text:
        problems.required(where)
        return
    problems.length(where, text, 63)
    subdomain(problems, where, text.lower())


def pool(problems: Problems, where: str, text: str) -> None:
    """Subdomains joined by slashes."""
    if not text:
        problems.required(where)
        return
    problems.length(where, text, 253)
    for part in text.split("/"):
        subdomain(problems, where, part)


def qualified(problems: Problems, where: str, text: str) -> None:
    """A C identifier, with or without a driver's name and a slash before it."""
    domain, slash, identifier = text.rpartition("/")
    if slash:
        if not domain:
            problems.invalid(where, "", "the domain must not be empty")
        elif "/" in domain:
            problems.invalid(where, text, "must not contain more than one slash")
            return
        else:
            driver(problems, where, domain)
    problems.length(where, identifier, 32)
    if not C_IDENTIFIER.fullmatch(identifier):
        problems.invalid(
            where,
            identifier,
            "a valid C identifier must start with an alphabetic "
            "character or '_', followed by alphanumerics or '_'",
        )


def label_name(problems: Problems, where: str, text: str) -> None:
    """The key of a label: a name of at most 63, with or without a subdomain before it."""
    domain, slash, name = text.rpartition("/")
    if slash:
        subdomain(problems, where, domain)
    if len(name) > 63 or not LABEL_NAME.fullmatch(name):
        problems.invalid(
            where,
            text,
            "name part must consist of alphanumeric characters, '-', '_' or '.', at most 63",
        )


def label_value(problems: Problems, where: str, text: str) -> None:
    """The value of a label; it may be empty."""
    if text and (len(text) > 63 or not LABEL_NAME.fullmatch(text)):
        problems.invalid(
            where,
            text,
            "a valid label must be an empty string or consist of "
            "alphanumeric characters, '-', '_' or '.', at most 63",
        )


def opaque(problems: Problems, where: str, value: object, most: int = 10 * 1024) -> None:
    """A JSON object of bounded size, as compact JSON since the bytes sent are not kept."""
    if value is None:
        problems.required(where)
    elif len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) > most:
        problems.too_long(where, most)
    elif not isinstance(value, dict):
        problems.invalid(where, "<value omitted>", "must be a valid JSON object")


def interface_address(problems: Problems, where: str, text: str) -> None:
    """An address with its prefix length, in the one way to write it: 10.0.0.1/24."""
    address, slash, prefix = text.partition("/")
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        problems.invalid(where, text, "must be a valid address in CIDR form")
        return
    canonical = str(interface.ip)
    if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped:
        problems.invalid(where, text, "must not be an IPv4-mapped IPv6 address")
    elif not slash or address != canonical or prefix != str(interface.network.prefixlen):
        said = f"must be in canonical form ({interface})"
        problems.invalid(where, text, said)


def condition(problems: Problems, where: str, found: Manifest) -> None:
    """A metav1.Condition: it says since when, and why in one word."""
    if not found.get("type"):
        problems.required(f"{where}.type")
    else:
        label_name(problems, f"{where}.type", found["type"])
    if found.get("status") not in ("True", "False", "Unknown"):
        problems.unsupported(
            f"{where}.status", found.get("status", ""), ("False", "True", "Unknown")
        )
    if found.get("observedGeneration", 0) < 0:
        problems.invalid(
            f"{where}.observedGeneration",
            found["observedGeneration"],
            "must be greater than or equal to zero",
        )
    if not found.get("lastTransitionTime"):
        problems.required(f"{where}.lastTransitionTime", "must be set")
    reason = found.get("reason") or ""
    if not reason:
        problems.required(f"{where}.reason")
    elif len(reason) > 1024:
        problems.too_long(f"{where}.reason", 1024)
    elif not CONDITION_REASON.fullmatch(reason):
        problems.invalid(
            f"{where}.reason",
            reason,
            "a condition reason must start with "
            "alphabetic character and end with an alphanumeric or '_'",
        )
    problems.length(f"{where}.message", found.get("message") or "", 32768)


def is_time(text: str) -> bool:
    """RFC 3339 with a zone."""
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None and "T" in text
    except ValueError:
        return False
