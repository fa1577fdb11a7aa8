"""The scheduler and the controller of claims, as far as claims go.

What happens in several steps and after a while in a cluster (a claim is made of a template,
allocated, reserved; released, deallocated, collected) is done at once and as one. A claim is
deallocated as soon as nobody has it reserved, as the claim controller does it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from tests.fakes.apiserver import allocator, inventory
from tests.fakes.apiserver.allocator import UnallocatableError
from tests.fakes.apiserver.failure import Failure
from tests.fakes.apiserver.kinds import CLAIMS, CLASSES, NODES, PODS, SLICES, TEMPLATES, Kind
from tests.fakes.apiserver.manifest import Manifest, at, copied, items
from tests.fakes.apiserver.registry import Registry
from tests.fakes.apiserver.selectors import Selector

FINALIZER = "resource.kubernetes.io/delete-protection"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
BY_CLASS = "deviceclass.resource.kubernetes.io/"


class UnschedulableError(Exception):
    """A pod has to wait; the text is what its status says."""


@dataclasses.dataclass(frozen=True)
class Hidden:
    """What a pod's extended resources became: requests of a claim that is made for it."""

    spec: Manifest
    mappings: list[Manifest]


class Scheduler:
    """Decides with the store's lock held, so that two pods never get one device."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def schedule(self, pod: Manifest, node: str, absent: Collection[str] = ()) -> Manifest:
        """Allocate a pod's claims on a node, and reserve them; returns the pod with its status.

        The pod (v1, with its uid) is kept in the API server from here on; `absent` are names
        of extended resources that the node's status has none of, so that device classes may
        serve them. All of it is done or nothing; what was made of templates stays.

        Raises:
            UnschedulableError: not now.
        """
        with self._registry.store.lock:
            made = self._pod(pod, node)
            claims = self._claims(made)
            hidden = self._hidden(made, absent)
            try:
                self._allocate(made, claims, hidden, node)
            except (UnallocatableError, Failure) as error:
                raise UnschedulableError(str(error)) from error
            return copied(self._registry.get(PODS, _key(made)))

    def ended(self, namespace: str, name: str) -> None:
        """Hear that a pod is over: its reservations go, and what nobody has any more."""
        with self._registry.store.lock:
            pod = self._registry.store.get(PODS, (namespace, name))
            if pod is None:
                return
            uid = pod["metadata"]["uid"]
            for claim in self._all(CLAIMS, namespace):
                if any(user["uid"] == uid for user in items(claim, "status", "reservedFor")):
                    self._release(claim, uid)
            options = {"gracePeriodSeconds": 0}
            self._registry.remove(PODS, (namespace, name), options)  # and its own claims with it

    def _pod(self, pod: Manifest, node: str) -> Manifest:
        known = self._registry.store.get(PODS, _key(pod))
        if known is not None and known["metadata"]["uid"] == pod["metadata"]["uid"]:
            return copied(known)
        made = {"apiVersion": "v1", "kind": "Pod", **copied(pod)}
        made["spec"] = {**made["spec"], "nodeName": node}
        return self._registry.adopt(PODS, made)

    def _claims(self, pod: Manifest) -> list[Manifest]:
        """Return the claims that a pod refers to; those of templates are made."""
        return [
            self._named(pod, one["resourceClaimName"])
            if one.get("resourceClaimName")
            else self._of_template(pod, one)
            for one in items(pod, "spec", "resourceClaims")
        ]

    def _named(self, pod: Manifest, name: str) -> Manifest:
        found = self._registry.store.get(CLAIMS, (pod["metadata"]["namespace"], name))
        if found is None:
            raise UnschedulableError(f'resourceclaim "{name}" not found')
        if found["metadata"].get("deletionTimestamp"):
            raise UnschedulableError(f'resourceclaim "{name}" is being deleted')
        return found

    def _of_template(self, pod: Manifest, wanted: Manifest) -> Manifest:
        for status in items(pod, "status", "resourceClaimStatuses"):
            if status["name"] == wanted["name"]:
                return self._named(pod, status["resourceClaimName"])
        namespace, name = pod["metadata"]["namespace"], wanted["resourceClaimTemplateName"]
        template = self._registry.store.get(TEMPLATES, (namespace, name))
        if template is None:
            raise UnschedulableError(f'resourceclaimtemplate "{name}" not found')
        inner = copied(template["spec"])
        metadata = inner.get("metadata") or {}
        annotations = {**(metadata.get("annotations") or {}), POD_CLAIM: wanted["name"]}
        generated = f"{pod['metadata']['name']}-{wanted['name']}-"
        metadata.update(generateName=generated, annotations=annotations)
        claim = self._create(pod, metadata, inner["spec"])
        status = {"name": wanted["name"], "resourceClaimName": claim["metadata"]["name"]}
        self._set_status(pod, "resourceClaimStatuses", [status], add=True)
        return claim

    def _create(self, pod: Manifest, metadata: Manifest, spec: Manifest) -> Manifest:
        owner = {"apiVersion": "v1", "kind": "Pod", "controller": True, "blockOwnerDeletion": True,
                 "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}  # fmt: skip
        metadata = {
            **metadata,
            "namespace": pod["metadata"]["namespace"],
            "ownerReferences": [owner],
        }
        claim = {"apiVersion": CLAIMS.api_version("v1"), "kind": CLAIMS.kind}
        return self._registry.create(CLAIMS, {**claim, "metadata": metadata, "spec": spec})

    def _hidden(self, pod: Manifest, absent: Collection[str]) -> Hidden | None:
        """Make requests of the resources that a device class serves.

        Raises:
            UnschedulableError: none does.
        """
        requests: list[Manifest] = []
        mappings: list[Manifest] = []
        containers = [*items(pod, "spec", "initContainers"), *items(pod, "spec", "containers")]
        for index, container in enumerate(containers):
            limits = at(container, "resources", "limits") or {}
            wanted = [(n, int(limits[n])) for n in sorted(limits) if n in absent and int(limits[n])]
            for number, (resource, count) in enumerate(wanted):
                name = f"container-{index}-request-{number}"
                exact = {"deviceClassName": self._class_of(resource),
                         "allocationMode": "ExactCount", "count": count}  # fmt: skip
                requests.append({"name": name, "exactly": exact})
                mappings.append({"containerName": container["name"], "resourceName": resource,
                                 "requestName": name})  # fmt: skip
        return Hidden({"devices": {"requests": requests}}, mappings) if requests else None

    def _class_of(self, resource: str) -> str:
        """The newest class wins, then the first by name."""
        classes = self._all(CLASSES)
        named = [c for c in classes if at(c, "spec", "extendedResourceName") == resource]
        named.sort(key=lambda class_: str(class_["metadata"]["creationTimestamp"]), reverse=True)
        named += [c for c in classes if resource == BY_CLASS + c["metadata"]["name"]]
        if not named:
            raise UnschedulableError(f"Insufficient {resource}")
        return str(named[0]["metadata"]["name"])

    def _allocate(
        self, pod: Manifest, claims: list[Manifest], hidden: Hidden | None, node: str
    ) -> None:
        host = self._registry.get(NODES, ("", node))
        for claim in claims:
            if not inventory.fits(at(claim, "status", "allocation", "nodeSelector"), host):
                raise UnallocatableError("node(s) didn't match the claim's allocation")
        known = at(pod, "status", "extendedResourceClaimStatus")
        todo = [claim for claim in claims if not at(claim, "status", "allocation")]
        specs = [*todo, {"spec": hidden.spec}] if hidden and not known else todo
        allocations = self._decide(specs, host)
        if hidden and not known:
            todo.append(self._make_hidden(pod, hidden))
            claims = [*claims, todo[-1]]
        for claim, allocation in zip(todo, allocations, strict=True):
            self._write(claim, allocation)
        for claim in claims:
            self._reserve(claim, pod)

    def _decide(self, claims: list[Manifest], host: Manifest) -> list[Manifest]:
        there = inventory.of_node(self._all(SLICES), host)
        classes = {class_["metadata"]["name"]: class_ for class_ in self._all(CLASSES)}
        held = allocator.taken(self._all(CLAIMS))
        return allocator.allocate(claims, classes, there, held, host["metadata"]["name"])

    def _make_hidden(self, pod: Manifest, hidden: Hidden) -> Manifest:
        generated = f"{pod['metadata']['name']}-extended-resources-"
        metadata = {"generateName": generated, "annotations": {EXTENDED: "true"}}
        claim = self._create(pod, metadata, hidden.spec)
        status = {
            "resourceClaimName": claim["metadata"]["name"],
            "requestMappings": hidden.mappings,
        }
        self._set_status(pod, "extendedResourceClaimStatus", status)
        return claim

    def _write(self, claim: Manifest, allocation: Manifest) -> None:
        with self._editing(claim) as made:
            made["metadata"]["finalizers"] = [*items(made, "metadata", "finalizers"), FINALIZER]
        with self._editing(claim, status=True) as made:
            made["status"]["allocation"] = allocation

    def _reserve(self, claim: Manifest, pod: Manifest) -> None:
        metadata = pod["metadata"]
        user = {"resource": "pods", "name": metadata["name"], "uid": metadata["uid"]}
        with self._editing(claim, status=True) as made:
            reserved = items(made, "status", "reservedFor")
            if user not in reserved:
                made["status"]["reservedFor"] = [*reserved, user]

    def _release(self, claim: Manifest, uid: str) -> None:
        with self._editing(claim, status=True) as made:
            left = [user for user in items(made, "status", "reservedFor") if user["uid"] != uid]
            made["status"]["reservedFor"] = left
            if not left:
                del made["status"]["reservedFor"], made["status"]["allocation"]
        if not left:
            with self._editing(claim) as made:
                made["metadata"]["finalizers"].remove(FINALIZER)

    def _set_status(self, pod: Manifest, name: str, value: object, *, add: bool = False) -> None:
        """Write part of a pod's status, in the pod at hand as well."""
        status = pod.setdefault("status", {})
        status[name] = [*status.get(name, []), *value] if add and isinstance(value, list) else value
        made = copied(self._registry.get(PODS, _key(pod)))
        made["status"] = status
        self._registry.replace(PODS, made, status=True)

    def _editing(self, claim: Manifest, *, status: bool = False) -> _Editing:
        return _Editing(self._registry, _key(claim), status)

    def _all(self, kind: Kind, namespace: str = "") -> list[Manifest]:
        return self._registry.store.select(Selector(kind), namespace)


@dataclasses.dataclass
class _Editing:
    """A claim that is written at the end of a `with` statement."""

    registry: Registry
    key: tuple[str, str]
    status: bool

    def __enter__(self) -> Manifest:
        self._made = copied(self.registry.get(CLAIMS, self.key))
        return self._made

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.registry.replace(CLAIMS, self._made, status=self.status)


def _key(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata["namespace"], metadata["name"]
