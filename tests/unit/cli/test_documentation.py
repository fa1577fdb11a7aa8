"""docs/reference/cli.md names all that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netdevice_plugin.cli import main

TEXT = Path(__file__).parents[3].joinpath("docs/reference/cli.md").read_text()


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command, name
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


FOUND = dict(commands(main))


def test_the_table_of_commands_is_complete() -> None:
    table = TEXT.partition("## What holds for all")[0]
    assert [name for name in FOUND if f"`{name}`" not in table] == []


@pytest.mark.parametrize("name", FOUND)
def test_a_command_is_shown_at_work_and_its_options_are_explained(name: str) -> None:
    assert f" netdevice-plugin {name}" in TEXT
    options = [
        max(parameter.opts, key=len)
        for parameter in FOUND[name].params
        if isinstance(parameter, click.Option) and parameter.opts != ["--help"]
    ]
    assert [option for option in options if option not in TEXT] == []
