"""Every answer that is not a success: the API server's Status object, as an exception."""

from __future__ import annotations

import dataclasses

from tests.fakes.apiserver.manifest import Manifest


@dataclasses.dataclass(frozen=True)
class Problem:
    """One field that is wrong: `reason` is FieldValueInvalid and its like."""

    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


class Failure(Exception):  # noqa: N818 - what it makes is a Status with status: Failure
    """An HTTP status with a machine's reason and the message that a client logs."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Manifest | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> Manifest:
        """What stands in the body, and in an ERROR event of a watch."""
        body: Manifest = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return {name: value for name, value in body.items() if value != ""}


def bad_request(message: str) -> Failure:
    """400: it cannot be understood."""
    return Failure(400, "BadRequest", message)


def gone(message: str) -> Failure:
    """410: that state of the world is forgotten; list anew."""
    return Failure(410, "Expired", message)


def too_large_version(wanted: int, current: int) -> Failure:
    """504: the client has seen more than this server has; it may try again."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {wanted}, current: {current}"
    return Failure(504, "Timeout", message, details={"causes": [cause]}, retry_after=1)
