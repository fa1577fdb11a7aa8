"""`netdevice-plugin reclaim`: the mover's own command, for several devices, and told in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netdevice_plugin.cli.boundary import fail, report
from netdevice_plugin.cli.options import run_dir, run_dir_option
from netdevice_plugin.cli.render import printable

if TYPE_CHECKING:
    from netdevice_plugin.loans.returns import Result


def _complete(context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    from netdevice_plugin import attachments  # noqa: PLC0415 - not for --help

    with context.scope(cleanup=False):
        found, _ = attachments.load(run_dir())
    return [one.device for one in found if one.device.startswith(begun)]


@click.command()
@click.argument("devices", nargs=-1, metavar="[DEVICE]...", shell_complete=_complete)
@click.option("--all", "every", is_flag=True, help="All that no living container has.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--force", is_flag=True, help="Take it from a container that lives, too.")
@click.option("--forget", is_flag=True, help="Drop the record of a link that cannot be put back.")
@run_dir_option
@click.pass_context
def reclaim(
    context: click.Context, /, devices: tuple[str, ...], *, every: bool, **flags: bool
) -> None:
    """Bring links home whose container, or mover, was killed.

    The exit code is 0 if all are home, else that of the worst: 1 failed, 4 lost,
    3 held by a container that lives, or may live.
    """
    if every == bool(devices) or (every and flags["force"]):
        raise click.UsageError("Name devices, or give --all without --force.")
    from netdevice_plugin import attachments  # noqa: PLC0415 - not for --help
    from netdevice_plugin.loans import returns  # noqa: PLC0415
    from netdevice_plugin.mover import Exit  # noqa: PLC0415

    known, problems = attachments.load(run_dir())
    for problem in problems:
        report(problem)
    chosen = (
        returns.abandoned(known, run_dir()) if every else returns.named(devices, run_dir(), known)
    )
    unseen = returns.unseen(known) if every else ()
    for device in unseen:
        fail(f"{device}: whether its holder lives cannot be seen from here; run this on the host")
    if not chosen and not unseen:
        click.echo("nothing to reclaim", err=True)
    results = returns.each(chosen, run_dir(), returns.Flags(**flags), known)
    before = [1 if problems and every else 0, *(Exit.HELD for _ in unseen)]
    context.exit(returns.worst([*before, *map(_tell, results)]))


def _tell(result: Result) -> int:
    """Print how it went for one device, as soon as that is known."""
    if result.code:
        fail(result.text)
    else:
        click.echo(printable(result.text))
    return result.code
