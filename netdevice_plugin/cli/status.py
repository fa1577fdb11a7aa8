"""`netdevice-plugin status`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

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
    from netdevice_plugin.cli.claimed import Claimed

TROUBLE = 4  # what the mover ends with when a link is lost


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
    from netdevice_plugin.cli import claimed  # noqa: PLC0415
    from netdevice_plugin.loans.loan import IN_TROUBLE  # noqa: PLC0415

    config = load_config(config_file)
    found, problems = attachments.load(config.run_dir)
    failures = attachments.errors(config.run_dir)
    claims = claimed.read(config)
    if output in ("json", "yaml"):
        lines = [*map(str, problems), *claims.problems]
        _print_document(found, failures, claims, lines, output)
    else:
        _print_table(found, failures, claims, wide=output == "wide")
    for problem in problems:
        report(problem)
    for line in claims.problems:
        fail(line)
    trouble = any(one.phase in IN_TROUBLE for one in found)
    context.exit(1 if problems or claims.problems else TROUBLE if trouble else 0)


def _print_table(
    found: tuple[Attachment, ...], failures: tuple[Failure, ...], claims: Claimed, *, wide: bool
) -> None:
    from netdevice_plugin.cli import loans  # noqa: PLC0415 - not for --help
    from netdevice_plugin.loans.seeing import PROC, view  # noqa: PLC0415

    now = time.time()
    by_device = {failure.device: failure for failure in failures}
    if found or claims.holders:
        headings = loans.CLAIMS if claims.holders else loans.HEADINGS
        rows = loans.rows(found, by_device, claims.holders, view(PROC).judge, now)
        render.table(loans.WIDE if wide else headings, rows)
    else:
        click.echo("nothing is lent", err=True)
    for device in sorted(by_device.keys() - {one.device for one in found}):
        failure = by_device[device]
        line = f"{device}: failed {render.age(failure.when, now)} ago: {failure.message}"
        click.echo(render.printable(line))


def _print_document(
    found: tuple[Attachment, ...],
    failures: tuple[Failure, ...],
    claims: Claimed,
    problems: list[str],
    form: str,
) -> None:
    from netdevice_plugin.cli import loans  # noqa: PLC0415 - not for --help
    from netdevice_plugin.loans.seeing import PROC, view  # noqa: PLC0415

    judge, holders = view(PROC).judge, claims.holders
    document: Plain = {
        "lent": [loans.entry(one, holders.get(one.device), judge) for one in found],
        "claims": [loans.claim_entry(device, holders[device]) for device in sorted(holders)],
        "failures": [loans.failure_entry(failure) for failure in failures],
        "problems": [*problems],
    }
    render.document(document, form)
