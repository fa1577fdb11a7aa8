"""`netdevice-plugin run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from netdevice_plugin.cli.options import given_run_dir, host_path, offer_options


def _addresses(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    from netdevice_plugin import fields  # noqa: PLC0415 - not for --help

    try:
        return tuple(fields.address(value) for value in values)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


def _node_name(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    from netdevice_plugin import fields  # noqa: PLC0415 - not for --help

    try:
        return fields.node_name(value) if value else None
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}", context, option) from error


def end_at_once(_number: int, _frame: object) -> None:
    """Handle SIGTERM while nothing has begun: process 1 of a container has no handler of its own.

    It raises nothing, for an exception may be dropped: by Python in what it calls for a weak
    reference that dies, as each import has one, and by an extension that is just being imported,
    as that of PyYAML. The agent would be there, and know of no signal.
    """
    os._exit(0)


_ARENA_MAX = -8  # malloc.h


@click.command()
@offer_options
@click.option(
    "--kubelet-dir",
    metavar="DIR",
    callback=host_path,
    help="The kubelet's --root-dir.  [default: the configuration's kubeletDir]",
)
@click.option(
    "--node-address",
    "node_addresses",
    metavar="IP",
    multiple=True,
    callback=_addresses,
    help="A link with this address is never offered; beside nodeAddresses. May be repeated.",
)
@click.option("--no-kubelet", is_flag=True, help="Only keep the CDI files true.")
@click.option(
    "--reclaim/--no-reclaim", help="Bring links of dead containers home; needs privileges."
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT|none",
    default="127.0.0.1:9479",
    show_default=True,
    help="Where to serve /metrics, /healthz and /readyz.",
)
@click.option("--log-format", type=click.Choice(("text", "json")), default="text")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option(
    "--instance",
    metavar="ID",
    help="What tells this agent from the next one on the node.  [default: random]",
)
@click.option(
    "--host-proc",
    metavar="DIR",
    default="/proc",
    callback=host_path,
    show_default=True,
    help="Where the host's /proc is seen.",
)
@click.option(
    "--node-name",
    metavar="NAME",
    envvar="NODE_NAME",
    callback=_node_name,
    help="What Kubernetes calls the node; for DRA.  [default: the host's name]",
)
@click.option(
    "--kubeconfig",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="How to reach the API server; for DRA.  [default: as a pod does]",
)
def run(  # noqa: PLR0913 - an argument for each option
    interfaces: tuple[str, ...],
    config_file: Path | None,
    *,
    kubelet_dir: Path | None,
    node_addresses: tuple[str, ...],
    no_kubelet: bool,
    reclaim: bool,
    listen: str,
    log_format: str,
    verbose: bool,
    instance: str | None,
    host_proc: Path,
    node_name: str | None,
    kubeconfig: Path | None,
) -> None:
    """Serve the node: offer its links to the kubelet, and keep the CDI files true.

    Takes --interfaces or --config, and follows the file. Ends at SIGTERM; what it
    has lent stays lent.
    """
    if bool(interfaces) == bool(config_file):
        raise click.UsageError("One of --interfaces and --config must be given.")
    import logging  # noqa: PLC0415 - not for --help
    import signal  # noqa: PLC0415

    signal.signal(signal.SIGTERM, end_at_once)  # until the agent has its own
    _share_memory()
    from netdevice_plugin.operations import logs  # noqa: PLC0415
    from netdevice_plugin.operations.http import parse_listen  # noqa: PLC0415

    where = parse_listen(listen)
    logs.setup(logging.DEBUG if verbose else logging.INFO, log_format)
    import asyncio  # noqa: PLC0415
    import atexit  # noqa: PLC0415

    from netdevice_plugin.agent import agent  # noqa: PLC0415 - after the logs: gRPC reads that
    from netdevice_plugin.agent.settings import Settings  # noqa: PLC0415

    settings = Settings(
        config_file=config_file,
        interfaces=interfaces,
        run_dir=given_run_dir(),
        kubelet_dir=kubelet_dir,
        node_addresses=node_addresses,
        kubelet=not no_kubelet,
        reclaim=reclaim,
        listen=where,
        host_proc=host_proc,
        node_name=node_name or "",
        kubeconfig=kubeconfig,
        **({"instance": instance} if instance else {}),
    )
    asyncio.run(agent.run(settings))
    atexit.register(leave)


def leave() -> None:
    """End the process here: all that is ours has ended by now, and Python has joined its threads.

    What is left is to take the interpreter and the C libraries apart, for nothing, and beside
    whatever threads of theirs still run: an agent that had ended well once died there of SIGSEGV.
    """
    import contextlib  # noqa: PLC0415 - not for --help
    import logging  # noqa: PLC0415

    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(0)


def _share_memory() -> None:
    """Have the threads share two arenas of the C library's: each has one of its own otherwise.

    What a thread frees then serves the others too (mallopt(3), M_ARENA_MAX). Other C
    libraries than GNU's have no such thing.
    """
    import contextlib  # noqa: PLC0415 - not for --help
    import ctypes  # noqa: PLC0415

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)
