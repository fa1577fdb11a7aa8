"""`netdevice-plugin cdi prune`."""

from __future__ import annotations

from pathlib import Path

import click

from cdi.cli import spec_dir_option
from netdevice_plugin.cli.boundary import warn
from netdevice_plugin.cli.options import config_option, load_config, run_dir_option
from netdevice_plugin.cli.render import printable


@click.command()
@spec_dir_option
@config_option
@run_dir_option
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def prune(spec_dirs: tuple[Path, ...], config_file: Path | None, *, dry_run: bool) -> None:
    """Remove our CDI files of which no device exists any more, here or in a pod.

    Ours are those with the prefix of the configuration and no edit but our own. A
    file with a device that is left is for `generate` to write anew.
    """
    import cdi  # noqa: PLC0415 - not for --help
    from netdevice_plugin import cdifiles, look  # noqa: PLC0415
    from netdevice_plugin.cli import pruning  # noqa: PLC0415

    config = load_config(config_file)
    view = look.look(config)
    for path in pruning.candidates(spec_dirs or (*cdi.DEFAULT_DIRS, config.cdi_dir), config.prefix):
        try:
            spec = cdi.load(path)
        except cdi.SpecError as error:
            for problem in error.problems:  # the file may be anybody's
                warn(str(problem))
            continue
        if cdifiles.is_ours(path, spec, config.prefix) and pruning.is_stale(spec, view, config):
            if not dry_run:
                cdi.remove(path.parent, path.name)
            click.echo(printable(f"{'would remove' if dry_run else 'removed'} {path}"))
