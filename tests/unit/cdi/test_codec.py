"""Every rule that a CDI file is held to, each with the place that its error names."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
from typing import Any, Literal

import pytest

import cdi
from cdi import reader
from tests.unit.cdi import specs

GOLDEN = pathlib.Path(__file__).parent / "golden"
FIRST = "devices[0].containerEdits"


def valid() -> dict[str, Any]:
    return copy.deepcopy(
        {
            "cdiVersion": "1.1.0",
            "kind": "vendor.com/net",
            "devices": [{"name": "eth1", "containerEdits": {"env": ["A=1"]}}],
        }
    )


def with_edits(**edits: object) -> dict[str, Any]:
    plain = valid()
    plain["devices"][0]["containerEdits"] = edits
    return plain


def hook(**members: object) -> dict[str, Any]:
    plain = {"hookName": "createRuntime", "path": "/bin/x"} | members
    return with_edits(hooks=[{key: value for key, value in plain.items() if value != "ABSENT"}])


def node(**members: object) -> dict[str, Any]:
    return with_edits(deviceNodes=[{"path": "/dev/x"} | members])


def problems(plain: object) -> list[tuple[str, str]]:
    with pytest.raises(cdi.SpecError) as caught:
        cdi.decode(plain, source="x.json")
    assert {problem.source for problem in caught.value.problems} == {"x.json"}
    return [(problem.path, problem.message) for problem in caught.value.problems]


RULES: dict[str, tuple[object, str, str]] = {
    # the file
    "not an object": ([], "", "must be an object, not a list"),
    "null": (None, "", "must be an object, not null"),
    "unknown key": (valid() | {"vendor": "x"}, "vendor", "unknown key"),
    "misspelt key": (valid() | {"device": []}, "device", "unknown key; did you mean devices?"),
    "key in another case": (
        with_edits(env=["A=1"], additionalGIDs=[1]),
        f"{FIRST}.additionalGIDs",
        "unknown key; did you mean additionalGids?",
    ),
    "odd key": (valid() | {"a b\n": 1}, r"['a b\n']", "unknown key"),
    "key that is no string": (valid() | {1: 2}, "", "has a key that is not a string: '1'"),
    "no version": ({"kind": "a.b/cc"} | valid() | {"cdiVersion": None}, "cdiVersion", "is missing"),
    "empty version": (valid() | {"cdiVersion": ""}, "cdiVersion", "is empty"),
    "version as a number": (
        valid() | {"cdiVersion": 1.0},
        "cdiVersion",
        "must be a string, not a number with a fraction; quote it",
    ),
    "unknown version": (
        valid() | {"cdiVersion": "1.2.0"},
        "cdiVersion",
        "unknown version '1.2.0'; 0.3.0 to 1.1.0 can be read",
    ),
    "version before the first": (
        valid() | {"cdiVersion": "0.2.0"},
        "cdiVersion",
        "0.2.0 is lower than 0.3.0, the earliest that runtimes read",
    ),
    # kind
    "no kind": (valid() | {"kind": None}, "kind", "is missing"),
    "empty kind": (valid() | {"kind": ""}, "kind", "is empty"),
    "kind without a class": (valid() | {"kind": "vendor.com"}, "kind", "must be vendor/class"),
    "kind that is no string": (
        valid() | {"kind": ["a"]},
        "kind",
        "must be a string, not a list",
    ),
    "vendor of one letter": (
        valid() | {"kind": "v/net"},
        "kind",
        "vendor 'v' has one letter only, which crashes runtimes with a CDI library up to 1.1.0",
    ),
    "class of one letter": (
        valid() | {"kind": "vendor.com/n"},
        "kind",
        "class 'n' has one letter only, which crashes runtimes with a CDI library up to 1.1.0",
    ),
    "vendor too long": (
        valid() | {"kind": "v" * 254 + "/net"},
        "kind",
        "the vendor is longer than 253 characters",
    ),
    # devices
    "no devices member": (valid() | {"devices": None}, "devices", "is missing"),
    "no devices": (
        valid() | {"devices": []},
        "devices",
        "is empty: a Spec has at least one device",
    ),
    "devices as an object": (
        valid() | {"devices": {}},
        "devices",
        "must be a list, not an object",
    ),
    "device that is null": (
        valid() | {"devices": [valid()["devices"][0], None]},
        "devices[1]",
        "must be an object, not null",
    ),
    "device twice": (
        valid() | {"devices": valid()["devices"] * 2},
        "devices[1].name",
        "'eth1' is in [0] already",
    ),
    "device without a name": (
        valid() | {"devices": [{"containerEdits": {"env": ["A=1"]}}]},
        "devices[0].name",
        "is missing",
    ),
    "device with a bad name": (
        valid() | {"devices": [{"name": "a/b", "containerEdits": {"env": ["A=1"]}}]},
        "devices[0].name",
        "device name 'a/b' must start and end with a letter or digit"
        " and have only letters, digits and . _ : - between",
    ),
    "device without edits": (
        valid() | {"devices": [{"name": "eth1"}]},
        FIRST,
        "is missing",
    ),
    "device with empty edits": (with_edits(), FIRST, "is empty: a device has at least one edit"),
    "device with hollow edits": (
        with_edits(env=[], hooks=None),
        FIRST,
        "is empty: a device has at least one edit",
    ),
    "edits as a list": (
        valid() | {"containerEdits": []},
        "containerEdits",
        "must be an object, not a list",
    ),
    # annotations
    "annotations as a list": (
        valid() | {"annotations": []},
        "annotations",
        "must be an object, not a list",
    ),
    "annotation that is no string": (
        valid() | {"annotations": {"a.b/c": 1}},
        "annotations['a.b/c']",
        "must be a string, not an integer; quote it",
    ),
    "annotations too large": (
        valid() | {"annotations": {"k": "x" * (256 << 10)}},
        "annotations",
        "has 262145 bytes of keys and values, more than 262144",
    ),
    # env
    "env without =": (with_edits(env=["A"]), f"{FIRST}.env[0]", "'A' must be NAME=value"),
    "env without a name": (with_edits(env=["=1"]), f"{FIRST}.env[0]", "'=1' must be NAME=value"),
    "env that is empty": (with_edits(env=["A=", ""]), f"{FIRST}.env[1]", "'' must be NAME=value"),
    "env that is null": (
        with_edits(env=[None]),
        f"{FIRST}.env[0]",
        "must be a string, not null",
    ),
    "env as a string": (with_edits(env="A=1"), f"{FIRST}.env", "must be a list, not a string"),
    "env with NUL": (with_edits(env=["A=\0"]), f"{FIRST}.env[0]", "has a NUL character"),
    "env with half a character": (
        with_edits(env=["A=\ud800"]),
        f"{FIRST}.env[0]",
        "has half of a surrogate pair, which is not a character",
    ),
    # hooks
    "hook with another name": (
        hook(hookName="prestop"),
        f"{FIRST}.hooks[0].hookName",
        "'prestop' must be one of prestart, createRuntime, createContainer, startContainer,"
        " poststart, poststop",
    ),
    "hook without a name": (
        hook(hookName="ABSENT"),
        f"{FIRST}.hooks[0].hookName",
        "is missing",
    ),
    "hook without a path": (hook(path="ABSENT"), f"{FIRST}.hooks[0].path", "is missing"),
    "hook with an empty path": (hook(path=""), f"{FIRST}.hooks[0].path", "is empty"),
    "hook with a relative path": (
        hook(path="bin/x"),
        f"{FIRST}.hooks[0].path",
        "'bin/x' must be absolute",
    ),
    "hook with a bad env": (
        hook(env=["A=1", "B"]),
        f"{FIRST}.hooks[0].env[1]",
        "'B' must be NAME=value",
    ),
    "hook with a number as an argument": (
        hook(args=["--mtu", 1400]),
        f"{FIRST}.hooks[0].args[1]",
        "must be a string, not an integer; quote it",
    ),
    "hook with a boolean as an argument": (
        hook(args=[True]),
        f"{FIRST}.hooks[0].args[0]",
        "must be a string, not a boolean; quote it",
    ),
    "hook with timeout 0": (
        hook(timeout=0),
        f"{FIRST}.hooks[0].timeout",
        "must be from 1 to 9223372036854775807",
    ),
    "hook with a timeout that is true": (
        hook(timeout=True),
        f"{FIRST}.hooks[0].timeout",
        "must be an integer, not a boolean",
    ),
    "hook with an endless timeout": (
        hook(timeout=2**63),
        f"{FIRST}.hooks[0].timeout",
        "must be from 1 to 9223372036854775807",
    ),
    # device nodes
    "node without a path": (
        with_edits(deviceNodes=[{"type": "c"}]),
        f"{FIRST}.deviceNodes[0].path",
        "is missing",
    ),
    "node that is null": (
        with_edits(deviceNodes=[None]),
        f"{FIRST}.deviceNodes[0]",
        "must be an object, not null",
    ),
    "node of another type": (
        node(type="char"),
        f"{FIRST}.deviceNodes[0].type",
        "'char' must be b, c, u or p",
    ),
    "node with other permissions": (
        node(permissions="rwx"),
        f"{FIRST}.deviceNodes[0].permissions",
        "'rwx' must be letters of rwm",
    ),
    "node with a word for permissions": (
        node(permissions="none"),
        f"{FIRST}.deviceNodes[0].permissions",
        "'none' must be letters of rwm",
    ),
    "node with a negative mode": (
        node(fileMode=-1),
        f"{FIRST}.deviceNodes[0].fileMode",
        "must be from 0 to 4294967295",
    ),
    "node with a mode in text": (
        node(fileMode="0660"),
        f"{FIRST}.deviceNodes[0].fileMode",
        "must be an integer, not a string",
    ),
    "node with a uid of 33 bits": (
        node(uid=2**32),
        f"{FIRST}.deviceNodes[0].uid",
        "must be from 0 to 4294967295",
    ),
    "node with a gid that is a fraction": (
        node(gid=1.0),
        f"{FIRST}.deviceNodes[0].gid",
        "must be an integer, not a number with a fraction",
    ),
    "node with a major of 65 bits": (
        node(major=2**63),
        f"{FIRST}.deviceNodes[0].major",
        "must be from -9223372036854775808 to 9223372036854775807",
    ),
    # network devices
    "net device without a host name": (
        with_edits(netDevices=[{"name": "net1"}]),
        f"{FIRST}.netDevices[0].hostInterfaceName",
        "is missing",
    ),
    "net device with an empty name": (
        with_edits(netDevices=[{"hostInterfaceName": "eth1", "name": ""}]),
        f"{FIRST}.netDevices[0].name",
        "is empty",
    ),
    "net device twice": (
        with_edits(netDevices=[{"hostInterfaceName": "eth1", "name": n} for n in "ab"]),
        f"{FIRST}.netDevices[1].hostInterfaceName",
        "'eth1' is in [0] already",
    ),
    "two net devices of one name": (
        with_edits(netDevices=[{"hostInterfaceName": n, "name": "net1"} for n in "ab"]),
        f"{FIRST}.netDevices[1].name",
        "'net1' is in [0] already",
    ),
    # mounts
    "mount without a source": (
        with_edits(mounts=[{"containerPath": "/x"}]),
        f"{FIRST}.mounts[0].hostPath",
        "is missing",
    ),
    "mount with an empty destination": (
        with_edits(mounts=[{"hostPath": "/x", "containerPath": ""}]),
        f"{FIRST}.mounts[0].containerPath",
        "is empty",
    ),
    "mount with options in one string": (
        with_edits(mounts=[{"hostPath": "/x", "containerPath": "/y", "options": "ro,bind"}]),
        f"{FIRST}.mounts[0].options",
        "must be a list, not a string",
    ),
    # resctrl
    "closID that is a path": (
        with_edits(intelRdt={"closID": "a/b"}),
        f"{FIRST}.intelRdt.closID",
        "'a/b' cannot name a directory",
    ),
    "closID that is a dot": (
        with_edits(intelRdt={"closID": ".."}),
        f"{FIRST}.intelRdt.closID",
        "'..' cannot name a directory",
    ),
    "closID that is long": (
        with_edits(intelRdt={"closID": "é" * 2048}),
        f"{FIRST}.intelRdt.closID",
        "'" + r"\xe9" * 60 + "...' cannot name a directory",
    ),
    "monitoring as a number": (
        with_edits(intelRdt={"enableMonitoring": 1}),
        f"{FIRST}.intelRdt.enableMonitoring",
        "must be a boolean, not an integer",
    ),
    "a field that 1.1.0 dropped": (
        with_edits(intelRdt={"enableCMT": True}),
        f"{FIRST}.intelRdt.enableCMT",
        "unknown key: dropped from CDI by 1.1.0",
    ),
    # groups
    "a negative group": (
        with_edits(additionalGids=[0, -1]),
        f"{FIRST}.additionalGids[1]",
        "must be from 0 to 4294967295",
    ),
    "a group that is true": (
        with_edits(additionalGids=[True]),
        f"{FIRST}.additionalGids[0]",
        "must be an integer, not a boolean",
    ),
    # edits of the whole file follow the same rules
    "a bad edit of the file": (
        valid() | {"containerEdits": {"env": ["B"]}},
        "containerEdits.env[0]",
        "'B' must be NAME=value",
    ),
}


@pytest.mark.parametrize(("plain", "path", "message"), RULES.values(), ids=RULES.keys())
def test_a_file_that_breaks_a_rule_is_refused(plain: object, path: str, message: str) -> None:
    assert problems(plain) == [(path, message)]


ALLOWED: dict[str, dict[str, Any]] = {
    "v before the version": valid() | {"cdiVersion": "v1.1.0"},
    "null for what may be left out": valid() | {"annotations": None, "containerEdits": None},
    "annotation keys that Kubernetes would refuse": valid() | {"annotations": {"a b": "c"}},
    "upper case and underscores in the vendor": valid() | {"kind": "My_Vendor/net"},
    "resctrl settings with nothing in them": with_edits(intelRdt={}),
    "the root group of resctrl": with_edits(intelRdt={"closID": "/"}),
    "permissions twice": node(permissions="rrw"),
    "a hook with nothing but name and path": hook(),
    "the deprecated hook": hook(hookName="prestart"),
    "group 0": with_edits(additionalGids=[0]),
    "a mount of no path": with_edits(mounts=[{"hostPath": "tmpfs", "containerPath": "x"}]),
}


@pytest.mark.parametrize("plain", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_runtimes_accept_is_read(plain: dict[str, Any]) -> None:
    assert cdi.decode(plain).devices[0].name == "eth1"


def test_all_problems_are_found_at_once_in_the_order_of_the_rules() -> None:
    plain = hook(path="x", timeout=0) | {"kind": "v/c", "cdiVersion": "9"}
    plain["devices"].append({"name": "", "containerEdits": {"mount": []}})
    assert [path for path, _ in problems(plain)] == [
        "kind",
        f"{FIRST}.hooks[0].path",
        f"{FIRST}.hooks[0].timeout",
        "devices[1].name",
        "devices[1].containerEdits.mount",
        "devices[1].containerEdits",
        "cdiVersion",
    ]


def test_the_error_shows_every_problem_with_its_file_in_one_line_each() -> None:
    with pytest.raises(cdi.SpecError) as caught:
        cdi.decode(valid() | {"kind": "v/c", "a\nb": 1}, source="/etc/cdi/a\x1b.json")
    first, *lines = str(caught.value).splitlines()
    assert first == "2 problems:"
    assert lines[0] == r"  /etc/cdi/a\x1b.json: ['a\nb']: unknown key"
    assert all(line.startswith("  /etc/cdi/a\\x1b.json: ") and line.isprintable() for line in lines)


def test_problems_without_end_are_cut() -> None:
    found = problems(valid() | {"devices": [0] * 5000})
    assert len(found) == reader.MAX_PROBLEMS + 1
    assert found[-1] == ("", "has more problems than these")


@pytest.mark.parametrize("format", specs.FORMATS)
@pytest.mark.parametrize(
    ("name", "spec"), [("hook", specs.hook_spec()), ("everything", specs.EVERYTHING)]
)
def test_a_spec_is_written_as_the_golden_file_says(
    name: str, spec: cdi.Spec, format: Literal["json", "yaml"]
) -> None:
    golden = (GOLDEN / f"{name}.{format}").read_bytes()
    assert cdi.dumps(spec, format).decode() == golden.decode()
    assert cdi.loads(golden, format=format) == spec


def test_equal_specs_give_equal_bytes_whatever_the_order_of_annotations() -> None:
    pairs = (("b", "2"), ("a", "1"))
    one = dataclasses.replace(specs.hook_spec(), annotations=pairs, version="")
    other = dataclasses.replace(specs.hook_spec(), annotations=pairs[::-1], version="")
    assert one == other
    assert cdi.dumps(one) == cdi.dumps(other)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"kind": "v/net"}, "kind", "one letter only"),
        ({"devices": ()}, "devices", "is missing"),
        ({"version": "1.2.0"}, "cdiVersion", "unknown version"),
        ({"annotations": (("a b", ""),), "version": ""}, "annotations", "'a b' is not a key"),
        ({"annotations": (("a/b/c", ""),), "version": ""}, "annotations", "'a/b/c' is not a key"),
        ({"annotations": (("_a", ""),), "version": ""}, "annotations", "'_a' is not a key"),
        ({"annotations": (("a" * 64, ""),), "version": ""}, "annotations", "is not a key"),
        ({"annotations": (("-.a/b", ""),), "version": ""}, "annotations", "is not a key"),
        ({"annotations": (("a", ""), ("a", "b")), "version": ""}, "annotations", "has a key twice"),
    ],
)
def test_what_may_not_be_in_a_file_is_not_written(
    change: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(cdi.SpecError, match=message) as caught:
        cdi.dumps(dataclasses.replace(specs.hook_spec(), **change))
    assert [problem.path for problem in caught.value.problems] == [path]


@pytest.mark.parametrize("key", ["a", "A.b_c-D", "vendor.com/key", "Vendor.COM/key", "a" * 63])
def test_annotation_keys_as_kubernetes_has_them_are_written(key: str) -> None:
    spec = dataclasses.replace(specs.hook_spec(), annotations=((key, ""),), version="")
    assert cdi.loads(cdi.dumps(spec)).annotations == ((key, ""),)
