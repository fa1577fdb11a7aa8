"""How failures with functions are said: which one, what failed, what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from netdevice_plugin.errors import FunctionError
from netdevice_plugin.functions import groups


def why_not_bound(number: int | None, driver: str) -> str:
    """What to do about an errno of a driver's `bind`, or of other attributes."""
    match number:
        case errno.ENOENT:
            return f"modprobe {driver}"
        case errno.EINVAL if groups.is_userspace(driver):
            return "there is no IOMMU, or it is off: the kernel's log has more"
        case errno.ENODEV:
            return f"{driver} does not know the device, or driver_override names another driver"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "the agent may not write to /sys"
    return "the kernel's log has more"


@contextlib.contextmanager
def doing(address: str, what: str) -> Iterator[None]:
    """Say of an OSError which function cannot do what."""
    try:
        yield
    except OSError as error:
        text = f"{address} cannot {what}: {os.strerror(error.errno or 0)}"
        raise FunctionError(text, hint=why_not_bound(error.errno, "")) from error


@contextlib.contextmanager
def after(error: FunctionError) -> Iterator[None]:
    """Undo what failed, and say so if that fails as well."""
    try:
        yield
    except FunctionError as another:
        text = f"{error}; and that could not be undone: {another}"
        raise FunctionError(text, hint=another.hint or error.hint) from error


@contextlib.contextmanager
def about(address: str) -> Iterator[None]:
    """Say of a failure which function it is about."""
    try:
        yield
    except FunctionError as error:
        raise FunctionError(f"{address}: {error}", hint=error.hint) from error
