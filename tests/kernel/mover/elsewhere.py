"""Commands that start a mover where it does not see what there is on the host."""

from __future__ import annotations

import pathlib

OWN_PROCESSES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
OWN_NUMBERS = ("unshare", "--pid", "--fork", "--kill-child", "--")  # with the /proc of others


def hidden_from(
    pin: pathlib.Path, *, lacks: str = "sys_chroot", processes: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Start what follows with mounts of its own, without the pin, and no way to the host's.

    `lacks` is the capability that it would need for that. With `processes` it is
    among others, where the first of them is a shell.
    """
    script = f'umount --lazy "{pin}" 2>/dev/null || true; "$@" || exit $?'
    private = ("unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", script, "sh")
    limited = ("setpriv", f"--bounding-set=-{lacks}", "--inh-caps=-all", "--")
    return (*processes, *private, *limited)
