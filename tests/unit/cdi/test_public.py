"""What `import cdi` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cdi


def test_every_public_name_is_there_and_documented() -> None:
    for name in cdi.__all__:
        value = getattr(cdi, name)
        assert isinstance(value, tuple) or value.__doc__, name
    assert set(cdi.__all__) <= set(dir(cdi))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sepc'"):
        cdi.Sepc  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import cdi", "dataclasses"),
        ("import cdi; cdi.loads(cdi.dumps(SPEC))", "yaml"),
        ("import cdi; cdi.dumps(SPEC, 'yaml'); cdi.Registry, cdi.inject", "yaml"),
        ("import cdi; cdi.dumps(SPEC); cdi.Registry, cdi.inject", "watchdog"),
        ("import cdi; [getattr(cdi, name) for name in cdi.__all__]", "click"),
        ("import cdi.cli", "yaml"),
        ("import cdi.cli, cdi.watch", "netdevice_plugin"),
    ],
)
def test_nothing_is_imported_that_is_not_needed(code: str, absent: str) -> None:
    spec = "cdi.Spec(kind='vendor.com/net', devices=(cdi.Device(name='a', edits=EDITS),))"
    code = code.replace("SPEC", spec).replace("EDITS", "cdi.ContainerEdits(env=('A=1',))")
    check = f"{code}; import sys; sys.exit({absent!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
