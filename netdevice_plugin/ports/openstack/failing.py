"""What an error of the SDK's means for whoever asked."""

from __future__ import annotations

from keystoneauth1 import exceptions as auth
from openstack import exceptions

from netdevice_plugin.errors import PortError
from netdevice_plugin.ports.errors import BusyError, QuotaError, RefusedError

# Neutron's names for what all answer with 409: type of NeutronError, in the text that is kept.
_USED_UP = ("quota", "no more ip addresses", "ipaddressgenerationfailure")
_QUOTA = "raise the project's quota of ports, or the subnet's range of addresses"
_RIGHTS = "check the credentials, and that the role may create ports and attach interfaces"
_SETTINGS = "check ports.provider.openstack in the configuration"
_CONFIG = "check clouds.yaml, its place (OS_CLIENT_CONFIG_FILE) and the cloud's name"
_CLOUD = "see what Neutron and Nova log"


def error(problem: Exception) -> PortError:
    """Say it as the contract does."""
    text = str(problem)
    if isinstance(problem, PortError):
        return problem
    if isinstance(problem, exceptions.ConfigException):
        return RefusedError(text, hint=_CONFIG)
    if isinstance(problem, exceptions.HttpException):
        return _http(problem.status_code or 0, text)
    if isinstance(problem, auth.HttpError):
        return _http(problem.http_status or 0, text)
    if isinstance(
        problem, auth.ConnectFailure | auth.DiscoveryFailure | auth.RetriableConnectionFailure
    ):
        return BusyError(text, hint="is the cloud's API reachable from this node?")
    return PortError(text, hint=_CLOUD)


def _http(status: int, text: str) -> PortError:
    used_up = any(word in text.lower() for word in _USED_UP)
    if status in {403, 409, 413} and used_up:
        return QuotaError(text, hint=_QUOTA)
    if status in {401, 403}:
        return RefusedError(text, hint=_RIGHTS)
    if status in {400, 404}:
        return RefusedError(text, hint=_SETTINGS)
    if status in {409, 429, 503}:
        return BusyError(text, hint=_CLOUD)
    return PortError(text, hint=_CLOUD)
