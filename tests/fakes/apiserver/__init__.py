"""An API server to test with: real HTTP, real watches, the rules of resource.k8s.io.

It plays what a Kubernetes API server does by protocols C (and by the server's own sources),
odd as that may be, and is nowhere laxer as far as that is known. Nobody may do anything
without a token: `ApiServer.admin` is the administrator's.

    with ApiServer() as server:
        server.cluster.add_node("node1")
        client(server.url, server.admin)

What it does not have: server-side apply, strategic and JSON patches (415; merge patches in
v1 are served), protobuf, dryRun (400), OpenAPI documents, managedFields, CEL type checks
(expressions have to parse), priority and fairness.
"""

from __future__ import annotations

from tests.fakes.apiserver.auth import User, service_account
from tests.fakes.apiserver.cluster import Cluster
from tests.fakes.apiserver.failure import Failure
from tests.fakes.apiserver.faults import Asked, Fault
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.server import ApiServer
from tests.fakes.apiserver.settings import Settings, release

__all__ = [
    "ApiServer",
    "Asked",
    "Cluster",
    "Failure",
    "Fault",
    "Manifest",
    "Settings",
    "User",
    "release",
    "service_account",
]
