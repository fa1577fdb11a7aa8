"""Admission: ValidatingAdmissionPolicies, which are written in CEL.

Odd on purpose: an expression sees objects in v1, whatever version the request was in; nor are
paramKind, matchResources of bindings, and namespace selectors looked at.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.apiserver import expressions
from tests.fakes.apiserver.auth import User
from tests.fakes.apiserver.expressions import ExpressionError
from tests.fakes.apiserver.failure import Failure
from tests.fakes.apiserver.manifest import Manifest, at, items
from tests.fakes.apiserver.requests import Info

_CODES = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
Given = dict[str, Any]


class Policies:
    """Those in force, and what binds them; one that is not bound does nothing."""

    def __init__(self) -> None:
        self._policies: dict[str, Manifest] = {}
        self._bindings: dict[str, Manifest] = {}

    def apply(self, manifest: Manifest) -> None:
        """Take a policy or its binding."""
        bound = manifest["kind"].endswith("Binding")
        (self._bindings if bound else self._policies)[manifest["metadata"]["name"]] = manifest

    def admit(
        self, operation: str, info: Info, user: User, new: Manifest | None, old: Manifest | None
    ) -> None:
        """Raise to refuse: 422 unless a validation gives another reason."""
        for name, binding in self._bindings.items():
            policy = self._policies.get(binding["spec"]["policyName"])
            denies = "Deny" in items(binding, "spec", "validationActions")
            if policy is None or not denies or not _concerned(policy["spec"], operation, info):
                continue
            given = _given(operation, info, user, new, old)
            if refused := _refusal(policy["spec"], given):
                why, reason = refused
                policy_name = policy["metadata"]["name"]
                said = f"ValidatingAdmissionPolicy '{policy_name}' with binding '{name}'"
                raise _denied(info, (new or old or {}), f"{said} denied request: {why}", reason)


def _concerned(spec: Manifest, operation: str, info: Info) -> bool:
    assert info.kind is not None
    return any(
        {"*", operation} & set(items(rule, "operations"))
        and {"*", info.kind.group} & set(items(rule, "apiGroups"))
        and {"*", info.version} & set(items(rule, "apiVersions"))
        and {"*", info.resource, "*/*"} & set(items(rule, "resources"))
        for rule in items(spec, "matchConstraints", "resourceRules")
    )


def _given(
    operation: str, info: Info, user: User, new: Manifest | None, old: Manifest | None
) -> Given:
    request = {
        "operation": operation,
        "name": info.name,
        "namespace": info.namespace,
        "userInfo": user.info,
        "subResource": info.subresource,
    }
    given = {"request": request, "object": new, "oldObject": old}
    return {name: expressions.cel(found) for name, found in given.items()}


def _refusal(spec: Manifest, given: Given) -> tuple[str, str] | None:
    """Say why, and by which reason; None of what is admitted."""
    try:
        conditions = [one["expression"] for one in items(spec, "matchConditions")]
        if not all(expressions.true(one, given) for one in conditions):
            return None
        variables: Given = {}
        for one in items(spec, "variables"):
            given = {**given, "variables": expressions.made(variables)}
            variables[one["name"]] = expressions.value(one["expression"], given)
        given = {**given, "variables": expressions.made(variables)}
        for one in items(spec, "validations"):
            if not expressions.true(one["expression"], given):
                said = one.get("message") or f"failed expression: {one['expression']}"
                return said, one.get("reason", "Invalid")
    except ExpressionError as error:
        fails = spec.get("failurePolicy", "Fail") == "Fail"
        return (f"expression resulted in error: {error}", "Invalid") if fails else None
    return None


def _denied(info: Info, manifest: Manifest, why: str, reason: str) -> Failure:
    assert info.kind is not None
    name = at(manifest, "metadata", "name") or ""
    message = f'{info.kind.resource} "{name}" is forbidden: {why}'
    return Failure(_CODES.get(reason, 422), reason, message, details=info.kind.details(name))
