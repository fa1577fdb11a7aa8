"""Why a provider did not do what was asked, as far as it matters for when to ask again."""

from __future__ import annotations

import re

from netdevice_plugin.errors import PortError

MAX_TEXT = 500  # characters of what a provider says that are passed on


class QuotaError(PortError):
    """There are no more ports to be had, or no more addresses, until somebody gives some back."""


class BusyError(PortError):
    """Not now: the provider is starting, or is at work on this machine already."""


class RefusedError(PortError):
    """Not like this: wrong settings or missing rights. It stays so until somebody changes them."""


class UnansweredError(PortError):
    """No answer, or none that makes sense: it may have been done, or may yet be."""


KINDS: dict[str, type[PortError]] = {
    "quota": QuotaError,
    "busy": BusyError,
    "refused": RefusedError,
    "failed": PortError,
}


def kind_of(error: PortError) -> str:
    """Name an error's kind, as the contract and the metrics do."""
    names = {kind: name for name, kind in KINDS.items()}
    return names.get(type(error), "unanswered")


def plain(text: str) -> str:
    """Make one printable line of what a provider said, and not a long one."""
    line = re.sub(r"[^\x20-\x7e\xa0-\U0010ffff]+", " ", text[: 4 * MAX_TEXT]).strip()
    printable = "".join(letter for letter in line if letter.isprintable())
    return printable if len(printable) <= MAX_TEXT else printable[:MAX_TEXT] + "…"
