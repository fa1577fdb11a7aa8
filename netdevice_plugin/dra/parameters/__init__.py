"""What a claim asks of its links: opaque JSON in, arguments of the mover out. Pure.

`reading` decodes one entry, `merging` puts the entries of a request together,
`together` and `fitting` check the whole against itself and against the link, and
`options` writes it down. docs/reference/claim-parameters.md is the user's page.
"""

from netdevice_plugin.dra.parameters.fitting import check, check_all, names_in_pod, pod_name
from netdevice_plugin.dra.parameters.merging import InvalidParametersError, applies, of_request
from netdevice_plugin.dra.parameters.model import (
    Ethtool,
    Neighbour,
    Parameters,
    Route,
    Rule,
    Vlan,
    Vrf,
)
from netdevice_plugin.dra.parameters.options import mover_options
from netdevice_plugin.dra.parameters.reading import API_VERSION, KIND

__all__ = [
    "API_VERSION",
    "KIND",
    "Ethtool",
    "InvalidParametersError",
    "Neighbour",
    "Parameters",
    "Route",
    "Rule",
    "Vlan",
    "Vrf",
    "applies",
    "check",
    "check_all",
    "mover_options",
    "names_in_pod",
    "of_request",
    "pod_name",
]
