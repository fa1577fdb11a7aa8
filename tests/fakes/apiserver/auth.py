"""Who asks, and whether he may: bearer tokens, RBAC, and the permissions of 1.36 for claims.

A token is an opaque word here; what a real one claims (service account, node, expiry) is
kept beside it. Nobody may do anything until a ClusterRole says so, but system:masters.
"""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from tests.fakes.apiserver.failure import Failure
from tests.fakes.apiserver.manifest import Manifest, at, items

NODE_CLAIM = "authentication.kubernetes.io/node-name"
_OPEN = ("/healthz", "/livez", "/readyz", "/version")  # to everybody
_DISCOVERY = ("/api", "/apis", "/openapi")  # to whoever has a name


@dataclasses.dataclass(frozen=True)
class User:
    """What authentication finds out; a service account's name has four parts."""

    name: str
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    uid: str = ""

    @property
    def node(self) -> str:
        """The node that the token is bound to, by way of its pod."""
        return next(iter(self.extra.get(NODE_CLAIM, ())), "")

    @property
    def info(self) -> Manifest:
        """As admission policies see it."""
        extra = {name: list(values) for name, values in self.extra.items()}
        made: Manifest = {"username": self.name, "groups": list(self.groups), "uid": self.uid}
        return {**made, "extra": extra} if extra else made


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


def service_account(namespace: str, name: str, node: str = "") -> User:
    """A pod's identity; with a node if it runs on one."""
    groups = (
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    )
    extra = {NODE_CLAIM: (node,)} if node else {}
    return User(f"system:serviceaccount:{namespace}:{name}", groups, extra)


@dataclasses.dataclass(frozen=True)
class Attributes:
    """What is to be done, in the authorizer's words; `path` is of what is no resource."""

    verb: str
    group: str = ""
    resource: str = ""  # with its subresource: "resourceclaims/status"
    namespace: str = ""
    name: str = ""
    path: str = ""

    def refusal(self, user: User, why: str = "") -> Failure:
        """403, in the words of the real one."""
        if self.path:
            message = f'forbidden: User "{user.name}" cannot {self.verb} path "{self.path}"'
            return Failure(403, "Forbidden", message)
        plural = self.resource.partition("/")[0]
        full = f"{plural}.{self.group}" if self.group else plural
        named = f' "{self.name}"' if self.name else ""
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        message = (
            f'{full}{named} is forbidden: User "{user.name}" cannot {self.verb} resource '
            f'"{self.resource}" in API group "{self.group}" {where}{why and ": " + why}'
        )
        details = {"name": self.name, "group": self.group, "kind": plural}
        said = {key: value for key, value in details.items() if value}
        return Failure(403, "Forbidden", message, details=said)


@dataclasses.dataclass(frozen=True)
class _Token:
    user: User
    expires: float


class Tokens:
    """Those that have been given out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}

    def issue(self, user: User, seconds: float = 3600) -> str:
        """Make a token that is good for a while."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[token] = _Token(user, self._clock() + seconds)
        return token

    def revoke(self, token: str) -> None:
        """Let a token be good no longer."""
        with self._lock:
            self._tokens.pop(token, None)

    def who(self, header: str | None) -> User:
        """Return who sends an Authorization header; 401 for one that says nothing to us."""
        if header is None:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        with self._lock:
            found = self._tokens.get(token.strip())
        if scheme.lower() != "bearer" or found is None or found.expires <= self._clock():
            raise Failure(401, "Unauthorized", "Unauthorized")
        return found.user


@dataclasses.dataclass(frozen=True)
class _Grant:
    subjects: tuple[Manifest, ...]
    rules: tuple[Manifest, ...]
    namespace: str = ""  # of a RoleBinding


class Rbac:
    """Roles and bindings, as manifests have them."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str, str], tuple[Manifest, ...]] = {}
        self._bindings: dict[tuple[str, str, str], Manifest] = {}

    def apply(self, manifest: Manifest) -> None:
        """Take a (Cluster)Role or a (Cluster)RoleBinding."""
        metadata = manifest["metadata"]
        key = manifest["kind"], metadata.get("namespace", ""), metadata["name"]
        if manifest["kind"].endswith("Binding"):
            self._bindings[key] = manifest
        else:
            self._roles[key] = tuple(items(manifest, "rules"))

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Tell whether anything permits it."""
        if "system:masters" in user.groups:
            return True
        if wanted.path:
            named = "system:authenticated" in user.groups
            return wanted.verb == "get" and _under(wanted.path, _OPEN + _DISCOVERY * named)
        return any(
            _permits(rule, wanted)
            for grant in self._grants()
            if grant.namespace in ("", wanted.namespace)
            and any(_is(user, subject) for subject in grant.subjects)
            for rule in grant.rules
        )

    def _grants(self) -> Iterable[_Grant]:
        for (_, namespace, _), binding in self._bindings.items():
            role = binding["roleRef"]
            home = namespace if role["kind"] == "Role" else ""
            rules = self._roles.get((role["kind"], home, role["name"]), ())
            yield _Grant(tuple(items(binding, "subjects")), rules, namespace)


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _is(user: User, subject: Manifest) -> bool:
    if subject["kind"] == "ServiceAccount":
        name = f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
        return user.name == name
    return subject["name"] in (user.groups if subject["kind"] == "Group" else (user.name,))


def _permits(rule: Manifest, wanted: Attributes) -> bool:
    _, slash, subresource = wanted.resource.partition("/")
    resources = {"*", wanted.resource, *([f"*/{subresource}"] if slash else [])}
    names = items(rule, "resourceNames")
    return (
        bool({"*", wanted.verb} & set(items(rule, "verbs")))
        and bool({"*", wanted.group} & set(items(rule, "apiGroups")))
        and bool(resources & set(items(rule, "resources")))
        and (not names or wanted.name in names)
    )


def check_claim_status(rbac: Rbac, user: User, verb: str, new: Manifest, old: Manifest) -> None:
    """Ask what 1.36 asks beyond `resourceclaims/status`; per driver, and by its node.

    Raises:
        Failure: 403, allocation or reservedFor changed without `resourceclaims/binding`, or
            a driver's entries of status.devices without `resourceclaims/driver`.
    """
    where = {"group": "resource.k8s.io", "namespace": new["metadata"].get("namespace", "")}
    name = new["metadata"]["name"]
    if any(
        at(new, "status", part) != at(old, "status", part) for part in ("allocation", "reservedFor")
    ):
        wanted = Attributes(verb, resource="resourceclaims/binding", name=name, **where)
        if not rbac.allows(user, wanted):
            raise wanted.refusal(user)
    before, after = (_by_driver(claim) for claim in (old, new))
    nodes = _nodes(new if at(new, "status", "allocation") else old)
    for driver in sorted({*before, *after}):
        if before.get(driver) == after.get(driver):
            continue
        verbs = [f"arbitrary-node:{verb}"]
        if user.node and nodes == {user.node}:
            verbs.append(f"associated-node:{verb}")
        asked = [
            Attributes(v, resource="resourceclaims/driver", name=driver, **where) for v in verbs
        ]
        if not any(rbac.allows(user, wanted) for wanted in asked):
            raise asked[-1].refusal(user)


def _by_driver(claim: Manifest) -> dict[str, list[Manifest]]:
    made: dict[str, list[Manifest]] = {}
    for device in items(claim, "status", "devices"):
        made.setdefault(device.get("driver") or "", []).append(device)
    return made


def _nodes(claim: Manifest) -> set[str]:
    """The nodes that an allocation is restricted to by name."""
    terms = items(claim, "status", "allocation", "nodeSelector", "nodeSelectorTerms")
    return {
        name
        for term in terms
        for field in items(term, "matchFields")
        if field["key"] == "metadata.name" and field["operator"] == "In"
        for name in field["values"]
    }
