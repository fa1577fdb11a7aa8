"""A client of the API server that hides nothing, and manifests to send."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator
from typing import Any, NamedTuple

from tests.fakes.apiserver import ApiServer, Manifest

DRA = "/apis/resource.k8s.io/v1"
SLICES = f"{DRA}/resourceslices"
DRIVER = "networking.k8s.io"
JSON = "application/json"


class Answer(NamedTuple):
    """A status, the body and the headers of an answer."""

    status: int
    body: Manifest
    headers: http.client.HTTPMessage

    @property
    def name(self) -> str:
        """Of the object in it."""
        return str(self.body["metadata"]["name"])


class Client:
    """Calls over HTTP, one connection each, as one user: the administrator unless told."""

    def __init__(self, server: ApiServer, token: str | None = None) -> None:
        self._server = server
        self._token = server.admin if token is None else token

    def ask(
        self, method: str, path: str, body: Any = None, *, media: str = JSON, raw: bytes = b""
    ) -> Answer:
        """Make one call."""
        connection = self._connect()
        try:
            data = raw or (json.dumps(body).encode() if body is not None else None)
            connection.request(method, path, data, self._headers(media))
            response = connection.getresponse()
            return Answer(response.status, json.loads(response.read() or b"{}"), response.headers)
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, body)

    def put(self, path: str, body: Any) -> Answer:
        return self.ask("PUT", path, body)

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.ask("DELETE", path, body)

    def watch(self, path: str) -> Generator[Manifest, None, None]:
        """Watch, and give event after event; it has begun when this returns."""
        connection = self._connect()
        connection.request("GET", path, headers=self._headers(JSON))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return _events(connection, response)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)

    def _headers(self, media: str) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"Content-Type": media, **token}


def _events(
    connection: http.client.HTTPConnection, response: http.client.HTTPResponse
) -> Generator[Manifest, None, None]:
    try:
        for line in response:
            yield json.loads(line)
    finally:
        response.close()
        connection.close()


def slice_of(node: str = "node1", *devices: Manifest, **spec: Any) -> Manifest:
    """A ResourceSlice (v1), whose name the server makes."""
    given = {
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": f"{node}/net", "generation": 1, "resourceSliceCount": 1},
        "devices": list(devices) or [nic("eth0")],
    }
    made = {name: value for name, value in {**given, **spec}.items() if value is not None}
    metadata = {"generateName": f"{node}-"}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": metadata,
        "spec": made,
    }


def nic(name: str, **attributes: str | int | bool) -> Manifest:
    """A device with attributes of our own domain."""
    kinds = {str: "string", bool: "bool", int: "int"}
    typed = {key: {kinds[type(value)]: value} for key, value in attributes.items()}
    return {"name": name, "attributes": typed} if typed else {"name": name}


def class_(name: str = "nic", *expressions: str, **spec: Any) -> Manifest:
    """A DeviceClass."""
    selectors = [{"cel": {"expression": one}} for one in expressions]
    spec = {"selectors": selectors, **spec}
    metadata = {"name": name}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": metadata,
        "spec": spec,
    }


def request(name: str = "nic", class_name: str = "nic", **exactly: Any) -> Manifest:
    """A request of a claim."""
    return {"name": name, "exactly": {"deviceClassName": class_name, **exactly}}


def claim(name: str, *requests: Manifest, namespace: str = "default", **devices: Any) -> Manifest:
    """A ResourceClaim."""
    devices = {"requests": list(requests) or [request()], **devices}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": devices},
    }


def result(device: str = "eth0", **more: Any) -> Manifest:
    """A device in a claim's allocation."""
    return {"request": "nic", "driver": DRIVER, "pool": "node1/net", "device": device, **more}


def allocation(*results: Manifest, node: str = "node1") -> Manifest:
    """A claim's status.allocation."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"devices": {"results": list(results) or [result()]}, "nodeSelector": terms}
