"""Which server this machine is."""

from __future__ import annotations

import http.client
import json
import urllib.request
import uuid
from pathlib import Path

from netdevice_plugin.ports.errors import RefusedError

METADATA = "http://169.254.169.254/openstack/latest/meta_data.json"
PRODUCT = Path("/sys/class/dmi/id/product_uuid")  # Nova gives it the server's ID; root's alone
PATIENCE = 5.0  # seconds
_MAX_SIZE = 2**20

_HINT = "set ports.provider.openstack.server, or let the node reach the metadata service"


def server_id(url: str = METADATA, product: Path = PRODUCT) -> str:
    """Ask the metadata service, else the firmware; raises RefusedError."""
    try:
        return _metadata(url)
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = error
    try:
        return str(uuid.UUID(product.read_text().strip()))
    except (OSError, ValueError):
        what = f"which server this is cannot be told: {url}: {problem}"
        raise RefusedError(what, hint=_HINT) from None


def _metadata(url: str) -> str:
    # No proxy: the address is the node's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as answer:
        found = json.loads(answer.read(_MAX_SIZE))
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - of what was read, not of a caller's
    return str(uuid.UUID(str(found.get("uuid"))))
