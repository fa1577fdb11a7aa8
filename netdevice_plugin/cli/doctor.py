"""`netdevice-plugin doctor`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netdevice_plugin.cli import render
from netdevice_plugin.cli.options import config_option, given_run_dir, run_dir_option

if TYPE_CHECKING:
    from cdi.syntax import Plain
    from netdevice_plugin.doctor.finding import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
_INDENT = " " * 6


@click.command()
@click.option(
    "--root",
    metavar="DIR",
    default="/",
    show_default=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the host's root directory is, when this runs in a container.",
)
@config_option
@run_dir_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "json", "yaml")),
    default="text",
    show_default=True,
)
@click.pass_context
def doctor(context: click.Context, root: Path, config_file: Path | None, output: str) -> None:
    """Look for what would keep a container from its device, and say what to do.

    Changes nothing. The exit code is that of the worst finding: 0 ok, 5 warn, 6 fail.
    """
    from netdevice_plugin.doctor import finding  # noqa: PLC0415 - not for --help

    findings = _findings(root, config_file)
    if output == "text":
        show(findings)
    else:
        render.document(describe(findings), output)
    context.exit(finding.EXIT_CODES[finding.worst(findings)])


def _findings(root: Path, config_file: Path | None) -> list[Finding]:
    from netdevice_plugin.doctor import examination  # noqa: PLC0415 - not for --help
    from netdevice_plugin.doctor.host import Host  # noqa: PLC0415
    from netdevice_plugin.look import look  # noqa: PLC0415

    config, found = examination.read_config(config_file)
    if run_dir := given_run_dir():
        config = dataclasses.replace(config, run_dir=run_dir)
    given = config_file is not None
    return [*found, *examination.examine(Host(root), config, look, given=given)]


def show(findings: Sequence[Finding]) -> None:
    """Print a line for each, its remedy below it, and how many there are of what."""
    colour = False if os.environ.get("NO_COLOR") else None  # None: on a terminal
    count = dict.fromkeys(_STYLES, 0)
    width = max(len(one.check) for one in findings)
    for one in findings:
        word = one.level.value
        count[word] += 1
        marked = click.style(f"{word:4}", fg=_STYLES[word], bold=word == "fail" or None)
        click.echo(f"{marked}  {one.check:{width}}  {render.printable(str(one))}", color=colour)
        if one.remedy:
            click.echo(f"{_INDENT}remedy: {render.printable(one.remedy)}")
    click.echo(", ".join(f"{number} {word}" for word, number in count.items()))


def describe(findings: Sequence[Finding]) -> Plain:
    """Describe all for programs; docs/reference/doctor.md has the keys."""
    from netdevice_plugin.doctor.finding import worst  # noqa: PLC0415 - imported already

    return {
        "worst": worst(findings).value,
        "findings": [
            {
                "level": one.level.value,
                "check": one.check,
                "subject": one.subject,
                "finding": one.text,
                "remedy": one.remedy or None,
            }
            for one in findings
        ],
    }
