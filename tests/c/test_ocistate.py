"""The OCI state, with Python's json as the oracle: the same texts, the same values.

`expected` says in Python what the scanner must say in C. Real shapes are in
corpus/state; hypothesis makes more, breaks them, and asks both.
"""

from __future__ import annotations

import errno
import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.c.build import HERE, Answer, Driver

MIB = 2**20
DEPTH = 64
ANNOTATIONS = {
    "pod_name": ("io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"),
    "pod_namespace": ("io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"),
    "pod_uid": ("io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"),
    "container": ("io.kubernetes.container.name", "io.kubernetes.cri.container-name"),
}
WANTED = [key for keys in ANNOTATIONS.values() for key in keys]
State = dict[str, int | bytes]


class NumberText(str):
    """A number as it was spelled."""

    __slots__ = ()


def refuse(what: str) -> Any:
    """For json's hooks: NaN and Infinity are no JSON."""
    raise ValueError(what)


def once(keys: list[str]) -> Callable[[list[tuple[str, Any]]], None]:
    """What refuses an object in which one of the keys comes twice."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs if name in keys]
        if len(names) != len(set(names)):
            raise ValueError("twice")

    return check


def depth(value: Any) -> int:
    """How deep objects (lists of pairs) and arrays (tuples of a list) are nested."""
    if isinstance(value, Pairs):
        return 1 + max((depth(item) for _, item in value), default=0)
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return 0


class Pairs(list[tuple[str, Any]]):
    """An object with its members in order, those that repeat too."""


def kept(value: Any, limit: int) -> bytes:
    """A string that the scanner keeps."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        raise TypeError("not a string")
    data = value.encode()
    if len(data) > limit or b"\0" in data:
        raise ValueError("too long, or a NUL")
    return data


def expected(text: bytes) -> State | None:
    """The state in the text, or None where there is none."""
    try:
        if len(text) > MIB or text.startswith(b"\xef\xbb\xbf"):
            return None
        whole = json.loads(
            text.decode(),
            object_pairs_hook=Pairs,
            parse_constant=refuse,
            parse_int=NumberText,
            parse_float=NumberText,
        )
        json.dumps(whole, ensure_ascii=False).encode()  # half a surrogate pair raises here
        return read(whole) if depth(whole) <= DEPTH else None
    except (ValueError, TypeError, RecursionError):
        return None


def read(whole: Any) -> State:
    """The state in a JSON value; raises where it is none."""
    if not isinstance(whole, Pairs):
        raise TypeError("no object")
    once(["id", "pid", "bundle", "annotations"])(whole)
    members = dict(whole)
    identity = kept(members["id"], 255) if "id" in members else b""
    if identity in (b"", b".", b"..") or any(b < 0x20 or b in b"/\x7f" for b in identity):
        raise ValueError("id")
    pid = members.get("pid", NumberText("0"))
    if not isinstance(pid, NumberText) or not pid.isdigit() or int(pid[:20]) > 2**31 - 1:
        raise ValueError("pid")
    state: State = {
        "id": identity,
        "pid": int(pid),
        "bundle": kept(members.get("bundle", ""), 4095),
    }
    return state | read_annotations(members.get("annotations"))


def read_annotations(annotations: Any) -> State:
    """Whose container it is; CRI-O's key outdoes containerd's."""
    if annotations is None:
        annotations = Pairs()
    if not isinstance(annotations, Pairs):
        raise TypeError("annotations")
    once(WANTED)(annotations)
    values = {}
    for key, value in annotations:
        values[key] = kept(value, 255) if key in WANTED else value
        if not isinstance(value, str) or isinstance(value, NumberText):
            raise TypeError("no string")
    return {
        field: next((values[key] for key in keys if key in values), b"")
        for field, keys in ANNOTATIONS.items()
    }


def said(answer: Answer) -> State | None:
    """What the scanner says, in the oracle's terms."""
    if answer.number("rc") < 0:
        assert answer.text("what")
        return None
    texts = ("id", "bundle", *ANNOTATIONS)
    return {"pid": answer.number("pid"), **{key: answer.text(key) for key in texts}}


# ---- texts that are states, and texts that nearly are ----

CHARACTERS = st.characters(codec="utf-8")
STRINGS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    ["\U0001f600", "a/b", "\0", "\x7f", "\u2028", "x" * 255, "x" * 256, "\u00e9" * 128, "..", '"\\']
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=8,
)
RANDOM = st.integers(0, 2**32).map(random.Random)
STATES = st.fixed_dictionaries(
    {"id": st.sampled_from(["demo", "f" * 64, "a.b-c_d"]) | STRINGS},
    optional={
        "ociVersion": st.just("1.0.2-dev"),
        "pid": st.integers(0, 2**31) | VALUES,
        "bundle": st.just("/run/containerd/io.containerd.runtime.v2.task/k8s.io/x") | STRINGS,
        "annotations": st.none()
        | st.dictionaries(st.sampled_from(WANTED) | STRINGS, STRINGS, max_size=8),
        "status": VALUES,
        "owner": VALUES,
    },
)


def spelled(value: Any, how: random.Random) -> str:
    """JSON text with the freedom that its grammar leaves: blanks, escapes, exponents."""
    space = how.choice(["", "", " ", "\n  ", "\t\r\n"])
    if isinstance(value, dict):
        members = [
            f"{space}{spelled(key, how)}{space}:{space}{spelled(item, how)}{space}"
            for key, item in value.items()
        ]
        return "{" + (",".join(members) or space) + "}"
    if isinstance(value, list):
        return "[" + (",".join(space + spelled(item, how) + space for item in value) or space) + "]"
    if isinstance(value, str):
        return '"' + "".join(spelled_character(character, how) for character in value) + '"'
    return json.dumps(value)


def spelled_character(character: str, how: random.Random) -> str:
    """One character, escaped in one of the ways that JSON has for it."""
    plain = json.dumps(character, ensure_ascii=how.random() < 0.3)[1:-1]
    if character == "/" and how.random() < 0.5:
        return "\\/"
    if how.random() < 0.1:
        units = character.encode("utf-16-be")
        pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
        return "".join("\\u" + (pair.upper() if how.random() < 0.5 else pair) for pair in pairs)
    return plain


def broken(text: bytes, how: random.Random) -> bytes:
    """The text with one small thing done to it."""
    at = how.randrange(len(text))
    to = min(len(text), at + how.choice([1, 1, 1, 4, 20]))
    new = how.choice([b'"', b",", b"}", b"{", b"[", b"\\", b"\0", b"\xff", b"0", b"-", b" ", b":"])
    new = how.choice(
        [new, b"", bytes([how.randrange(256)]), text[at:to], b"\\ud83d", b"\xed\xa0\x80"]
    )
    return how.choice([text[:at] + new + text[at:], text[:at] + new + text[to:], text[:at]])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(state=STATES, how=RANDOM)
def test_a_state_reads_as_python_reads_it(mover: Driver, state: Any, how: random.Random) -> None:
    text = spelled(state, how).encode()
    assert said(mover("state", text)) == expected(text), text


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(state=STATES, how=RANDOM, times=st.integers(1, 3))
def test_a_broken_state_is_refused_where_python_refuses_it(
    mover: Driver, state: Any, how: random.Random, times: int
) -> None:
    text = spelled(state, how).encode()
    for _ in range(times):
        text = broken(text, how) or b"{"
    assert said(mover("state", text)) == expected(text), text


@given(text=st.binary(max_size=200))
@example(b"")
def test_any_bytes_read_as_python_reads_them(mover: Driver, text: bytes) -> None:
    assert said(mover("state", text)) == expected(text)


@given(value=st.binary(max_size=6))
@example(b"\xed\xa0\xbd")
@example(b"\xf4\x90\x80\x80")
@example(b"\xc0\xaf")
@example(b"\xe0\x9f\xbf")
@example(b"\xf0\x8f\xbf\xbf")
@example(b"\xf5\x80\x80\x80")
@example(b"\xf9\x80\x80\x80")
@example(b"\xc1\xbf")
def test_a_string_is_utf_8_where_python_says_so(mover: Driver, value: bytes) -> None:
    text = b'{"id":"a","bundle":"' + value + b'"}'
    assert said(mover("state", text)) == expected(text)


@pytest.mark.parametrize(
    "path", sorted((HERE / "corpus" / "state").iterdir()), ids=lambda p: p.name
)
def test_the_fuzzers_seeds_read_as_python_reads_them(mover: Driver, path: pathlib.Path) -> None:
    text = path.read_bytes()
    assert said(mover("state", text)) == expected(text)
    assert (expected(text) is None) == path.name.startswith("bad-")


# ---- what runtimes write ----


def test_containerds_state_names_the_pod(mover: Driver) -> None:
    answer = mover("state", (HERE / "corpus" / "state" / "runc-containerd").read_bytes())
    assert answer.number("pid") == 48213
    assert answer.text("pod_name") == b"demo"
    assert answer.text("pod_namespace") == b"default"
    assert answer.text("pod_uid") == b"6f0a6a56-5b52-4c5f-9c4c-0d3c1c0f6a11"
    assert answer.text("container") == b"app"


def test_crun_writes_many_lines_and_escapes_slashes(mover: Driver) -> None:
    answer = mover("state", (HERE / "corpus" / "state" / "crun-podman").read_bytes())
    assert answer.text("bundle").startswith(b"/var/lib/containers/storage/overlay-containers/")


@pytest.mark.parametrize("crio_first", [False, True])
def test_a_user_of_crio_cannot_pose_as_another_pod(mover: Driver, crio_first: bool) -> None:
    names = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]
    values = {names[0]: "posed", names[1]: "real"}
    order = reversed(names) if crio_first else names
    state = {"id": "a", "annotations": {name: values[name] for name in order}}
    assert mover("state", json.dumps(state).encode()).text("pod_name") == b"real"


# ---- what is wrong is said with its place ----

PAIR = '{"id": "a", '
BAD_ID = "not a container id (1 to 255 bytes, no '/', no control character)"
BAD_PID = "pid is not a whole number from 0 to 2147483647"
BAD_PIDS = ("-1", "-0", "1.0", "1e3", '"1"', "2147483648", "9" * 40, "null", "[1]", "NaN")


@pytest.mark.parametrize(
    ("text", "offset", "what"),
    [
        ("", 0, "empty"),
        (" \n", 2, "empty"),
        ("null", 0, "expected an object"),
        ("[]", 0, "expected an object"),
        ("\ufeff{}", 0, "expected an object"),
        ("{}", 2, 'no "id" in it'),
        ('{"pid": 1}', 10, 'no "id" in it'),
        ("{", 1, "expected a string"),
        ('{"id"}', 5, "expected ':'"),
        ('{"id": "a" "pid": 1}', 11, "expected ',' or '}'"),
        ('{"id": "a",}', 11, "expected a string"),
        ('{"id": "a"', 10, "expected ',' or '}'"),
        ('{"id": "a"}}', 11, "more after the end of the object"),
        ('{"id": "a"}\0', 11, "more after the end of the object"),
        ("{'id': 'a'}", 1, "expected a string"),
        ('{"id": "a', 9, "unterminated string"),
        ('{"id": "a\n"}', 9, "control character in a string"),
        ('{"id": "\\x41"}', 8, "no such escape"),
        ('{"id": "\\u00', 10, "expected four hex digits"),
        ('{"id": "\\u00g0"}', 10, "expected four hex digits"),
        ('{"id": "\\ud83d"}', 8, "half of a surrogate pair"),
        ('{"id": "\\ude00\\ud83d"}', 8, "half of a surrogate pair"),
        ('{"id": "\\ud83d\\u0041"}', 8, "half of a surrogate pair"),
        ('{"id": "\\ud83d\\ue000"}', 8, "half of a surrogate pair"),
        ('{"id": "\\ude00\\ude00"}', 8, "half of a surrogate pair"),
        ('{"id": 7}', 7, "expected a string"),
        ('{"id": null}', 7, "expected a string"),
        *(
            (json.dumps({"id": bad}), 7, BAD_ID)
            for bad in ("", ".", "..", "a/b", "../../etc", "a\nb", "\x7f")
        ),
        (json.dumps({"id": "x" * 256}), 7, "this string is too long"),
        ('{"id": "a\\u0000b"}', 7, "a NUL in this string"),
        ('{"id": "a", "id": "b"}', 12, "this key is there twice"),
        ('{"id": "a", "\\u0069d": "b"}', 12, "this key is there twice"),
        (PAIR + '"annotations": null, "annotations": {}}', 33, "this key is there twice"),
        (PAIR + '"annotations": {"io.kubernetes.pod.uid": "", "io.kubernetes.pod.uid": ""}}', 57,
         "this key is there twice"),
        *((PAIR + f'"pid": {bad}}}', 19, BAD_PID) for bad in BAD_PIDS),
        (PAIR + '"pid": 01}', 20, "expected ',' or '}'"),
        (PAIR + '"bundle": null}', 22, "expected a string"),
        (PAIR + f'"bundle": "{"/" * 4096}"}}', 22, "this string is too long"),
        (PAIR + '"annotations": []}', 27, "expected an object"),
        (PAIR + '"annotations": {"x": 1}}', 33, "expected a string"),
        (PAIR + '"x": [1, ]}', 21, "expected a value"),
        (PAIR + '"x": [1 2]}', 20, "expected ',' or ']'"),
        (PAIR + '"x": .5}', 17, "expected a value"),
        (PAIR + '"x": 1.}', 19, "expected a digit"),
        (PAIR + '"x": 1e+}', 20, "expected a digit"),
        (PAIR + '"x": +1}', 17, "expected a value"),
        (PAIR + '"x": nul}', 17, "expected a value"),
        (PAIR + '"x": Infinity}', 17, "expected a value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(
    mover: Driver, text: str, offset: int, what: str
) -> None:
    answer = mover("state", text.encode())
    assert answer.number("rc") == -errno.EINVAL
    assert (answer.number("offset"), answer.text("what").decode()) == (offset, what)
    assert answer.text("id") == b""


@pytest.mark.parametrize("byte", range(0x21))
def test_a_string_holds_no_bare_control_byte(mover: Driver, byte: int) -> None:
    answer = mover("state", b'{"id": "a", "x": "' + bytes([byte]) + b'"}')
    assert answer.text("what") == (b"control character in a string" if byte < 0x20 else b"")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded_and_so_is_the_stack(mover: Driver, opening: str, closing: str) -> None:
    def nested(levels: int) -> Answer:
        inner = opening * (levels - 1) + "0" + closing * (levels - 1)
        return mover("state", (PAIR + '"x": ' + inner + "}").encode())

    assert nested(DEPTH).number("rc") == 0
    assert nested(DEPTH + 1).number("rc") == -errno.ELOOP
    assert nested(DEPTH + 1).text("what") == b"nested too deep"
    assert nested(100_000).number("rc") == -errno.ELOOP


@pytest.mark.parametrize(
    ("size", "result"), [(MIB, 0), (MIB + 1, -errno.E2BIG), (10 * MIB, -errno.E2BIG)]
)
def test_a_state_is_a_mebibyte_at_most(mover: Driver, size: int, result: int) -> None:
    text = b'{"id":"a"}'.ljust(size)
    answer = mover("state", text)
    assert answer.number("rc") == result
    assert answer.text("what") == (b"larger than 1 MiB" if result else b"")


@pytest.mark.parametrize("length", range(len(PAIR) + 20))
def test_a_truncated_state_is_refused(mover: Driver, length: int) -> None:
    text = (PAIR + '"pid": 12, "status": "created"}').encode()
    assert mover("state", text[:length]).number("rc") == -errno.EINVAL
