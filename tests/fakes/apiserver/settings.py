"""What of a cluster differs from another."""

from __future__ import annotations

import dataclasses

from tests.fakes.apiserver import gates


@dataclasses.dataclass(frozen=True)
class Settings:
    """One server. Times are seconds, as a cluster has them; tests shorten theirs."""

    minor: int = 36  # of Kubernetes 1.x: which gates are on
    # Which of resource.k8s.io are served, the preferred one first. A real 1.34 and later serves
    # v1 alone by default, 1.33 v1beta2 and v1beta1, 1.32 v1beta1; empty is DRA switched off.
    versions: tuple[str, ...] = ("v1",)
    gates: frozenset[str] | None = None  # those that are on; None is by release
    bookmarks: float = 60  # between two
    watch_timeout: float = 1800  # of a watch that says none; a real one takes up to twice that
    gone_by_http: bool = False  # 410 as the answer to a watch; else as an ERROR event in it
    history: int = 100_000  # events until the oldest is forgotten
    tls: bool = False  # needs the openssl program

    @property
    def gates_on(self) -> frozenset[str]:
        """The gates that are on."""
        return gates.of_release(self.minor) if self.gates is None else self.gates


def release(minor: int, **changes: object) -> Settings:
    """Return a server as that release comes, changed as said."""
    versions = {32: ("v1beta1",), 33: ("v1beta2", "v1beta1")}.get(minor, ("v1",))
    settings = Settings(minor=minor, versions=versions)
    return dataclasses.replace(settings, **changes)  # type: ignore[arg-type]
