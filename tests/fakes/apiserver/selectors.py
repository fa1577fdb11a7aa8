"""Field and label selectors: which objects a client has asked for."""

from __future__ import annotations

import dataclasses
import re

from tests.fakes.apiserver.failure import bad_request
from tests.fakes.apiserver.kinds import Kind
from tests.fakes.apiserver.manifest import Manifest, at

_SET = re.compile(r"\s*(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)\s*")


@dataclasses.dataclass(frozen=True)
class Term:
    """One requirement: the value is (or is not) one of these; no values means that it exists."""

    key: str
    values: tuple[str, ...]
    wanted: bool = True

    def matches(self, value: str | None) -> bool:
        """Hold a value against it; None is one that is not there."""
        if not self.values:
            return (value is not None) is self.wanted
        return (value in self.values) is self.wanted


@dataclasses.dataclass(frozen=True)
class Selector:
    """Fields and labels together; with none of both everything matches."""

    kind: Kind
    fields: tuple[Term, ...] = ()
    labels: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fields or self.labels)

    def matches(self, manifest: Manifest | None) -> bool:
        """Tell whether an object is meant; one that is not there never is."""
        if manifest is None:
            return False
        if self.fields:
            values = self.kind.selectable(manifest)
            if not all(term.matches(values[term.key]) for term in self.fields):
                return False
        if not self.labels:
            return True
        labels = at(manifest, "metadata", "labels") or {}
        return all(term.matches(labels.get(term.key)) for term in self.labels)

    @property
    def node(self) -> str:
        """The one node whose objects are wanted: what the store has an index for."""
        for term in self.fields:
            if term.key == "spec.nodeName" and term.wanted:
                return term.values[0]
        return ""


def parse(kind: Kind, version: str, fields: str, labels: str) -> Selector:
    """Read both query parameters.

    Raises:
        Failure: 400, they cannot be read, or a field cannot be selected by.
    """
    known = {"metadata.name", *kind.fields, *(["metadata.namespace"] if kind.namespaced else [])}
    wanted = tuple(_equality(part) for part in fields.split(",") if part.strip())
    for term in wanted:
        if term.key not in known:
            raise bad_request(
                f'Unable to find "{kind.api_version(version)}, Resource={kind.plural}" that match '
                f'label selector "{labels}", field selector "{fields}": '
                f"field label not supported: {term.key}"
            )
    return Selector(kind, wanted, tuple(_label(part) for part in _split(labels)))


def _equality(text: str) -> Term:
    for operator in ("!=", "==", "="):
        key, found, value = text.partition(operator)
        if found:
            return Term(key.strip(), (value.strip(),), operator != "!=")
    raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")


def _split(text: str) -> list[str]:
    parts = re.split(r",(?![^(]*\))", text)
    return [part.strip() for part in parts if part.strip()]


def _label(text: str) -> Term:
    if found := _SET.fullmatch(text):
        values = tuple(value.strip() for value in found["values"].split(","))
        return Term(found["key"], values, found["op"] == "in")
    if re.fullmatch(r"!?[A-Za-z0-9./_-]+", text):
        return Term(text.removeprefix("!"), (), not text.startswith("!"))
    return _equality(text)
