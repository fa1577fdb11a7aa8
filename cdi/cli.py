"""The commands `list`, `validate` and `inject`, on their own or in another program's group.

Results go to standard output, all else to standard error. The commands raise
`cdi.Error`; whoever mounts them has a boundary of its own, `main` has this one.
"""

from __future__ import annotations

import pathlib
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import click

from cdi import codec, edits, files, names, syntax
from cdi.errors import Error, OciError, Problem, SpecError, printable, reason
from cdi.store import DEFAULT_DIRS, Entry, Registry
from cdi.versions import LATEST

F = TypeVar("F", bound=Callable[..., object])

STDIN = "-"


class Boundary(click.Group):
    """The one place that turns our errors into exit codes and lines on standard error."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an Error ends the program."""
        try:
            return super().invoke(ctx)
        except Error as error:
            click.echo(f"error: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            ctx.exit(error.exit_code)


@click.group(name="cdi", cls=Boundary)
@click.version_option(LATEST, message="CDI up to %(version)s")
def main() -> None:
    """Look at CDI files as container runtimes do."""


def spec_dir_option(command: F) -> F:
    """Add --spec-dir, which may be repeated, as the argument `spec_dirs`."""
    defaults = " and ".join(map(str, DEFAULT_DIRS))
    return click.option(
        "--spec-dir",
        "spec_dirs",
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path),
        help=f"A directory with CDI files; of several the later wins.  [default: {defaults}]",
    )(command)


def _complete_devices(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    registry = Registry.load(ctx.params.get("spec_dirs") or DEFAULT_DIRS)
    return [name for name in registry.devices if name.startswith(incomplete)]


@main.command("list")
@spec_dir_option
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table"
)
def list_command(spec_dirs: tuple[pathlib.Path, ...], output: str) -> None:
    """List the devices that can be asked for, and the files that they come from.

    Files that are wrong are named on standard error; they hide no device of
    another file.
    """
    registry = Registry.load(spec_dirs or DEFAULT_DIRS)
    for problem in registry.problems:
        click.echo(f"warning: {problem}", err=True)
    entries = tuple(registry.devices.values())
    if output in ("json", "yaml"):
        plain = [_entry_plain(entry) for entry in entries]
        data = syntax.dump(plain, "yaml" if output == "yaml" else "json")
        click.echo(data, nl=False)
    elif entries:
        _echo_table(_rows(entries, wide=output == "wide"))
    else:
        where = ", ".join(printable(str(directory)) for directory in registry.directories)
        click.echo(f"no CDI devices in {where}", err=True)


@main.command("validate")
@click.argument("paths", nargs=-1, metavar="[FILES]...", type=click.Path(allow_dash=True))
@spec_dir_option
def validate_command(paths: tuple[str, ...], spec_dirs: tuple[pathlib.Path, ...]) -> None:
    """Check CDI files, or without FILES all those in the directories.

    Every problem of every file is shown; with any, the exit code is 1. FILES may
    have `-`, standard input. Conflicts between files are found in directories only.
    """
    if paths and spec_dirs:
        raise click.UsageError("FILES and --spec-dir cannot both be given.")
    if paths:
        problems = [problem for path in paths for problem in _problems(path)]
        count = len(paths)
    else:
        registry = Registry.load(spec_dirs or DEFAULT_DIRS)
        problems, count = list(registry.problems), len(registry.files)
    if problems:
        raise SpecError(problems)
    click.echo(f"{count} CDI {'file' if count == 1 else 'files'} valid")


@main.command("inject")
@click.argument("oci_config", type=click.Path(allow_dash=True))
@click.argument(
    "devices", nargs=-1, required=True, metavar="DEVICE...", shell_complete=_complete_devices
)
@spec_dir_option
@click.option("--in-place", is_flag=True, help="Replace OCI_CONFIG instead of printing it.")
def inject_command(
    oci_config: str,
    devices: tuple[str, ...],
    spec_dirs: tuple[pathlib.Path, ...],
    *,
    in_place: bool,
) -> None:
    """Add devices to an OCI runtime configuration, all of them or none.

    OCI_CONFIG is a config.json, or `-` for standard input. A DEVICE is
    vendor/class=device.
    """
    if in_place and oci_config == STDIN:
        raise click.UsageError("--in-place needs a file, not standard input.")
    for device in devices:
        names.parse_name(device)
    changes = Registry.load(spec_dirs or DEFAULT_DIRS).resolve(devices)
    config = edits.inject(_read_config(oci_config), changes, source=_shown(oci_config))
    data = _dump_config(config, oci_config)
    if in_place:
        _replace(pathlib.Path(oci_config), data)
    else:
        click.echo(data, nl=False)


def _entry_plain(entry: Entry) -> syntax.Plain:
    spec = entry.file.spec
    return {
        "name": entry.name,
        "kind": spec.kind,
        "device": entry.device.name,
        "file": printable(str(entry.file.path)),
        "cdiVersion": spec.version,
        "annotations": dict(entry.device.annotations),
        "containerEdits": codec.encode_edits(entry.device.edits),
    }


def _rows(entries: Iterable[Entry], *, wide: bool) -> Iterator[tuple[str, ...]]:
    yield ("DEVICE", "VERSION", "EDITS", "FILE") if wide else ("DEVICE", "FILE")
    for entry in entries:
        path = printable(str(entry.file.path))
        more = (entry.file.spec.version, _summary(entry)) if wide else ()
        yield (entry.name, *more, path)


def _summary(entry: Entry) -> str:
    """Count the edits of each sort: hooks=2, mounts=1."""
    plain = codec.encode_edits(entry.file.spec.edits + entry.device.edits)
    counts = {key: len(part) if isinstance(part, list) else 1 for key, part in plain.items()}
    return ", ".join(f"{key}={count}" for key, count in counts.items())


def _echo_table(rows: Iterable[Sequence[str]]) -> None:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _problems(path: str) -> tuple[Problem, ...]:
    try:
        data = _read(path)
        chosen = files.format_of(path) or syntax.sniff(data)
        codec.loads(data, source=_shown(path), format=chosen)
    except OSError as error:
        return (Problem(source=_shown(path), message=f"cannot be read: {reason(error)}"),)
    except SpecError as error:
        return error.problems
    return ()


def _shown(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _read(path: str) -> bytes:
    """Read what was named on the command line, a pipe too, to one byte past the limit."""
    if path == STDIN:
        return sys.stdin.buffer.read(syntax.MAX_BYTES + 1)
    with pathlib.Path(path).open("rb") as file:
        return file.read(syntax.MAX_BYTES + 1)


def _read_config(path: str) -> syntax.Plain:
    try:
        return syntax.parse(_read(path), source=_shown(path), format="json")
    except OSError as error:
        message = f"cannot be read: {reason(error)}"
        raise OciError([Problem(source=_shown(path), message=message)]) from error
    except SpecError as error:
        raise OciError(error.problems) from error


def _dump_config(config: syntax.Plain, path: str) -> bytes:
    try:
        return syntax.dump(config, "json")
    except (ValueError, RecursionError) as error:
        message = "is nested too deeply, or has a number that JSON does not have"
        raise OciError([Problem(source=_shown(path), message=message)]) from error


def _replace(path: pathlib.Path, data: bytes) -> None:
    """Write the file that a link points to, with the mode and the owner that it has."""
    target = path.resolve()
    status = target.stat()
    owner = status.st_uid, status.st_gid
    files.write_bytes(target, data, mode=stat.S_IMODE(status.st_mode), owner=owner)
