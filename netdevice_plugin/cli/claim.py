"""`netdevice-plugin claim`: are the parameters of claims right, before a pod waits for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netdevice_plugin.cli.boundary import fail, warn

if TYPE_CHECKING:
    from netdevice_plugin.cli.claims import Report

_HINT = (
    "see docs/reference/claim-parameters.md; give the files of DeviceClasses too, "
    "if these have parameters"
)
_WRONG = 2


@click.group()
def claim() -> None:
    """Check the parameters of ResourceClaims."""


@claim.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--driver",
    metavar="NAME",
    default="networking.k8s.io",
    show_default=True,
    help="Whose parameters: the configuration's prefix.",
)
@click.option(
    "-o", "--output", "form", type=click.Choice(("text", "json")), default="text", show_default=True
)
@click.pass_context
def check(context: click.Context, files: tuple[Path, ...], driver: str, form: str) -> None:
    """Report every problem of the parameters in manifests, or print what they come to.

    FILE is YAML or JSON with ResourceClaims, ResourceClaimTemplates and
    DeviceClasses, among others; `-` is standard input. The exit code is 0 if all
    parameters are right and 2 if they are not.
    """
    from netdevice_plugin.cli import claims  # noqa: PLC0415 - not for --help

    report = claims.check({str(file): _read(file) for file in files}, driver)
    if form == "json":
        _print_json(report)
    elif not report.problems:
        _print_text(report)
    for warning in report.warnings:
        warn(str(warning))
    for number, problem in enumerate(report.problems, 1):
        fail(str(problem), hint=_HINT if number == len(report.problems) else "")
    context.exit(_WRONG if report.problems else 0)


def _read(file: Path) -> bytes:
    from netdevice_plugin.config import MAX_SIZE, read  # noqa: PLC0415 - not for --help

    if str(file) == "-":
        return sys.stdin.buffer.read(MAX_SIZE + 1)
    return read(file)


def _print_text(report: Report) -> None:
    import shlex  # noqa: PLC0415 - not for JSON

    from netdevice_plugin.cli.render import printable  # noqa: PLC0415 - not for JSON

    for found in report.objects:
        click.echo(printable(f"{found.file}:{found.line}: {found.kind} {found.name}"))
        for request, options in found.options.items():
            click.echo(printable(f"  {request}: {shlex.join(options) or 'as on the host'}"))


def _print_json(report: Report) -> None:
    import dataclasses  # noqa: PLC0415 - not for text
    import json  # noqa: PLC0415 - not for text

    def plain(finding: object) -> dict[str, object]:
        assert dataclasses.is_dataclass(finding)  # noqa: S101 - as the report has them
        assert not isinstance(finding, type)  # noqa: S101
        return dataclasses.asdict(finding)

    value = {
        "objects": [plain(found) for found in report.objects],
        "problems": [plain(problem) for problem in report.problems],
        "warnings": [plain(warning) for warning in report.warnings],
    }
    click.echo(json.dumps(value, indent=2))
