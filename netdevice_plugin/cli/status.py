"""`netdevice-plugin status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from netdevice_plugin.cli import render
from netdevice_plugin.cli.boundary import fail, report
from netdevice_plugin.cli.options import (
    config_option,
    load_config,
    output_option,
    run_dir_option,
)

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.attachments import Attachment, Failure
    from netdevice_plugin.cli.bound import Bound
    from netdevice_plugin.cli.claimed import Claimed

TROUBLE = 4  # what the mover ends with when a link is lost


class Noted(NamedTuple):
    """What is known of devices besides the mover's records."""

    claims: Claimed
    functions: Bound

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each file that cannot be read."""
        return (*self.claims.problems, *self.functions.problems)


@click.command()
@output_option
@config_option
@run_dir_option
@click.pass_context
def status(context: click.Context, config_file: Path | None, output: str) -> None:
    """Show what is lent, to whom, since when, and what went wrong last.

    The exit code is 0; 4 if a link is lost, or home but not as it was; 1 if a
    record or a claim's checkpoint cannot be read.
    """
    from netdevice_plugin import attachments  # noqa: PLC0415 - not for --help
    from netdevice_plugin.cli import bound, claimed  # noqa: PLC0415
    from netdevice_plugin.loans.loan import IN_TROUBLE  # noqa: PLC0415

    config = load_config(config_file)
    found, problems = attachments.load(config.run_dir)
    failures = attachments.errors(config.run_dir)
    noted = Noted(claimed.read(config), bound.read(config.run_dir))
    if output in ("json", "yaml"):
        lines = [*map(str, problems), *noted.problems]
        _print_document(found, failures, noted, lines, output)
    else:
        _print_table(found, failures, noted, wide=output == "wide")
    for problem in problems:
        report(problem)
    for line in noted.problems:
        fail(line)
    trouble = any(one.phase in IN_TROUBLE for one in found)
    context.exit(1 if problems or noted.problems else TROUBLE if trouble else 0)


def _print_table(
    found: tuple[Attachment, ...], failures: tuple[Failure, ...], noted: Noted, *, wide: bool
) -> None:
    from netdevice_plugin.cli import bound, loans  # noqa: PLC0415 - not for --help
    from netdevice_plugin.loans.seeing import PROC, view  # noqa: PLC0415

    now = time.time()
    by_device = {failure.device: failure for failure in failures}
    functions, holders = noted.functions, noted.claims.holders
    if found or holders or functions.records:
        headings = loans.CLAIMS if holders else loans.HEADINGS
        others = {name: one for name, one in holders.items() if name not in functions.records}
        rows = loans.rows(found, by_device, others, view(PROC).judge, now)
        table = [*rows, *bound.rows(functions, holders)]
        render.table(loans.WIDE if wide else headings, table)
    else:
        click.echo("nothing is lent", err=True)
    for device in sorted(by_device.keys() - {one.device for one in found}):
        failure = by_device[device]
        line = f"{device}: failed {render.age(failure.when, now)} ago: {failure.message}"
        click.echo(render.printable(line))


def _print_document(
    found: tuple[Attachment, ...],
    failures: tuple[Failure, ...],
    noted: Noted,
    problems: list[str],
    form: str,
) -> None:
    from netdevice_plugin.cli import bound, loans  # noqa: PLC0415 - not for --help
    from netdevice_plugin.loans.seeing import PROC, view  # noqa: PLC0415

    judge, holders = view(PROC).judge, noted.claims.holders
    document: Plain = {
        "lent": [loans.entry(one, holders.get(one.device), judge) for one in found],
        "functions": bound.entries(noted.functions, holders),
        "claims": [loans.claim_entry(device, holders[device]) for device in sorted(holders)],
        "failures": [loans.failure_entry(failure) for failure in failures],
        "problems": [*problems],
    }
    render.document(document, form)
