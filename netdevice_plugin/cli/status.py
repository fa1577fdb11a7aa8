"""`netdevice-plugin status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from netdevice_plugin.cli import render
from netdevice_plugin.cli.boundary import report
from netdevice_plugin.cli.options import output_option, run_dir, run_dir_option

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.attachments import Attachment, Failure

TROUBLE = 4  # what the mover ends with when a link is lost


@click.command()
@output_option
@run_dir_option
@click.pass_context
def status(context: click.Context, output: str) -> None:
    """Show what is lent, to whom, since when, and what went wrong last.

    The exit code is 0; 4 if a link is lost, or home but not as it was; 1 if a
    record cannot be read.
    """
    from netdevice_plugin import attachments  # noqa: PLC0415 - not for --help
    from netdevice_plugin.cli import loans  # noqa: PLC0415
    from netdevice_plugin.loans.loan import IN_TROUBLE  # noqa: PLC0415

    found, problems = attachments.load(run_dir())
    failures = attachments.errors(run_dir())
    if output in ("json", "yaml"):
        _print_document(found, failures, [str(problem) for problem in problems], output)
    else:
        _print_table(found, failures, loans.WIDE if output == "wide" else loans.HEADINGS)
    for problem in problems:
        report(problem)
    trouble = any(one.phase in IN_TROUBLE for one in found)
    context.exit(1 if problems else TROUBLE if trouble else 0)


def _print_table(
    found: tuple[Attachment, ...], failures: tuple[Failure, ...], headings: tuple[str, ...]
) -> None:
    from netdevice_plugin import attachments  # noqa: PLC0415 - imported already
    from netdevice_plugin.cli import loans  # noqa: PLC0415

    now = time.time()
    by_device = {failure.device: failure for failure in failures}
    if found:
        render.table(headings, loans.rows(found, by_device, attachments.alive, now))
    else:
        click.echo("nothing is lent", err=True)
    for device in sorted(by_device.keys() - {one.device for one in found}):
        failure = by_device[device]
        line = f"{device}: failed {render.age(failure.when, now)} ago: {failure.message}"
        click.echo(render.printable(line))


def _print_document(
    found: tuple[Attachment, ...], failures: tuple[Failure, ...], problems: list[str], form: str
) -> None:
    from netdevice_plugin import attachments  # noqa: PLC0415 - imported already
    from netdevice_plugin.cli import loans  # noqa: PLC0415

    document: Plain = {
        "lent": [loans.entry(one, attachments.alive) for one in found],
        "failures": [loans.failure_entry(failure) for failure in failures],
        "problems": [*problems],
    }
    render.document(document, form)
