"""How a call of the API server can fail, as far as somebody acts on the difference."""

from __future__ import annotations

from netdevice_plugin.errors import ClusterError


class UnreachableError(ClusterError):
    """No answer, or none that could be made sense of: another attempt may succeed."""


class RefusedError(ClusterError):
    """An answer that is an error; `retry_after` is the number of seconds it asks to wait."""

    def __init__(
        self, message: str, *, hint: str = "", status: int = 0, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after


class NotFoundError(RefusedError):
    """404: the object, or the whole resource, is not there."""


class ConflictError(RefusedError):
    """409: the object is not what it was when it was read, or is there already."""


class ForbiddenError(RefusedError):
    """403: RBAC or an admission policy says no, and will say so again."""


class ExpiredError(RefusedError):
    """410: the resourceVersion or continue token is too old; list anew."""
