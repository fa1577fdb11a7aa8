"""Admission: ValidatingAdmissionPolicies, which are written in CEL."""

from __future__ import annotations

from tests.fakes.apiserver.auth import User
from tests.fakes.apiserver.manifest import Manifest
from tests.fakes.apiserver.requests import Info


class Policies:
    """Those in force, and what binds them."""

    def apply(self, manifest: Manifest) -> None:
        """Take a policy or its binding."""

    def admit(
        self, operation: str, info: Info, user: User, new: Manifest | None, old: Manifest | None
    ) -> None:
        """Raise to refuse."""
