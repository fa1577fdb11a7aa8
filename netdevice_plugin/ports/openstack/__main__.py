"""One call: a request on standard input, its answer on standard output."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports import contract
from netdevice_plugin.ports.contract import MAX_SIZE, Request
from netdevice_plugin.ports.errors import RefusedError
from netdevice_plugin.ports.openstack.identity import server_id
from netdevice_plugin.ports.provider import Call
from netdevice_plugin.provisioning import OpenStack

_MISSING = "pip install netdevice-plugin[openstack]"


def arguments(argv: Sequence[str] | None = None) -> OpenStack:
    """Read the settings, which are the configuration's."""
    parser = argparse.ArgumentParser(
        prog="python -m netdevice_plugin.ports.openstack",
        description="Attach Neutron's ports to the server that this machine is. "
        "Reads a request from standard input: docs/reference/port-provider.md.",
        allow_abbrev=False,
    )
    parser.add_argument("--cloud", default="", help="of clouds.yaml; else what OS_* say")
    parser.add_argument("--network", required=True, help="name or ID")
    parser.add_argument("--subnet", default="", help="name or ID")
    parser.add_argument("--security-group", action="append", default=[], help="any number")
    parser.add_argument("--server", default="", help="ID; else the metadata service is asked")
    given = parser.parse_args(argv)
    return OpenStack(
        cloud=given.cloud,
        network=given.network,
        subnet=given.subnet,
        security_groups=tuple(given.security_group),
        server=given.server,
    )


def answer(data: bytes, settings: OpenStack, server: Callable[[], str] = server_id) -> bytes:
    """Do what a request asks for; what goes wrong is an answer, too."""
    try:
        request = contract.read_request(data)
        try:
            from netdevice_plugin.ports.openstack import failing  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise RefusedError(f"there is no openstacksdk: {error}", hint=_MISSING) from None
        try:
            return _carry_out(request, settings, server)
        except Exception as error:
            raise failing.error(error) from error
    except PortError as error:
        return contract.write_error(error)


def _carry_out(request: Request, settings: OpenStack, server: Callable[[], str]) -> bytes:
    import openstack  # noqa: PLC0415 - half a second

    from netdevice_plugin.ports.openstack.calls import Cloud  # noqa: PLC0415 - an extra

    server_id = settings.server or server()
    with openstack.connect(
        cloud=settings.cloud or None, api_timeout=request.timeout / 2, app_name="netdevice-plugin"
    ) as connection:
        cloud = Cloud(connection, settings=settings, server=server_id, owner=request.owner)
        if request.call is Call.ATTACH:
            made = cloud.attach(request.parameters, request.timeout * 0.9, request.request)
            return contract.write_port(made)
        if request.call is Call.DETACH:
            cloud.detach(request.port, request.timeout * 0.9)
            return contract.write_done()
        return contract.write_ports(cloud.list())


def _end(_number: int, _frame: object) -> None:
    """Take back what was begun, once: who asked does not wait any more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


def main() -> None:
    """Answer, and be gone."""
    settings = arguments()
    signal.signal(signal.SIGTERM, _end)
    # What any library prints is no part of the answer.
    out = os.dup(1)
    os.dup2(2, 1)
    found = answer(sys.stdin.buffer.read(MAX_SIZE + 1), settings)
    with os.fdopen(out, "wb") as stream:
        stream.write(found)


if __name__ == "__main__":
    main()
