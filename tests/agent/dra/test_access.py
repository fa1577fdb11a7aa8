"""Where the API server is: what a pod is given, kubeconfigs, and what is wrong with them."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra.cluster.access import Access, Material
from netdevice_plugin.dra.cluster.finding import find
from netdevice_plugin.dra.cluster.kubeconfig import read as read_kubeconfig
from netdevice_plugin.errors import ClusterError, ConfigError, NetdevError

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def kubeconfig(directory: Path, cluster: Any = None, user: Any = None, **more: Any) -> Path:
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster or {"server": "https://10.0.0.1:6443"}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        **more,
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_a_pod_finds_the_api_server(tmp_path: Path) -> None:
    access = find(None, POD, tmp_path)
    assert (access.host, access.port, access.tls) == ("10.96.0.1", 443, True)
    assert access.token == Material(path=tmp_path / "token")
    assert access.authorities == Material(path=tmp_path / "ca.crt")


def test_an_address_of_ipv6_is_written_in_brackets(tmp_path: Path) -> None:
    assert str(find(None, {**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"})) == "https://[fd00::1]:443"


@pytest.mark.parametrize("port", ["", "x", "0", "65536", "-1", "tcp://10.0.0.1:443", "٣"])
def test_a_port_that_is_none_is_an_error(port: str) -> None:
    with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_PORT"):
        find(None, {**POD, "KUBERNETES_SERVICE_PORT": port})


def test_a_file_that_is_named_comes_before_the_pod(tmp_path: Path) -> None:
    assert find(kubeconfig(tmp_path), POD).host == "10.0.0.1"
    assert find(None, {"KUBECONFIG": str(kubeconfig(tmp_path))}).host == "10.0.0.1"
    assert find(None, {**POD, "KUBECONFIG": "/nowhere"}).host == "10.96.0.1"


def test_neither_pod_nor_file_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match="no API server") as caught:
        find(None, {})
    assert "--kubeconfig" in caught.value.hint
    with pytest.raises(ConfigError, match="several files"):
        find(None, {"KUBECONFIG": "/a:/b"})


def test_all_of_a_kubeconfig_is_read(tmp_path: Path) -> None:
    pem = base64.b64encode(b"PEM").decode()
    cluster = {
        "server": "https://api.example:6443/path/",
        "certificate-authority-data": pem,
        "tls-server-name": "inside",
    }
    user = {"client-certificate": "pki/c.pem", "client-key-data": pem, "tokenFile": "/t"}
    assert read_kubeconfig(kubeconfig(tmp_path, cluster, user)) == Access(
        host="api.example",
        port=6443,
        path="/path",
        server_name="inside",
        authorities=Material(text="PEM"),
        token=Material(path=Path("/t")),
        certificate=Material(path=tmp_path / "pki/c.pem"),
        key=Material(text="PEM"),
    )


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "t0psecret" not in repr(
        read_kubeconfig(kubeconfig(tmp_path, user={"token": "t0psecret"}))
    )


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no context": ({"current-context": None}, "current-context: is missing"),
    "another context": ({"current-context": "x"}, "contexts: has no 'x'"),
    "contexts of text": ({"contexts": "x"}, "contexts: has no 'here'"),
    "a number for a name": ({"current-context": 7}, "current-context: is not text"),
    "no server": ({"cluster": {"insecure-skip-tls-verify": True}}, "cluster c: server: ''"),
    "a server of ftp": ({"cluster": {"server": "ftp://x"}}, "is not https://"),
    "a port of text": ({"cluster": {"server": "https://x:y"}}, "is not https://"),
    "a bad address": ({"cluster": {"server": "https://[::1"}}, "is not https://"),
    "a space": ({"cluster": {"server": "https://x/a b"}}, "is not https://"),
    "a line break": ({"cluster": {"server": "https://x/a\nb"}}, "is not https://"),
    "a NUL byte": ({"cluster": {"server": "https://x\0"}}, "server: is not text"),
    "a proxy": ({"cluster": {"server": "https://x", "proxy-url": "http://y"}}, "proxy-url"),
    "bad base64": (
        {"cluster": {"server": "https://x", "certificate-authority-data": "%"}},
        "is not PEM in base64",
    ),
    "a program": ({"user": {"exec": {"command": "aws"}}}, "user u: exec: is not supported"),
    "a plug-in": ({"user": {"auth-provider": {"name": "oidc"}}}, "auth-provider"),
    "a password": ({"user": {"username": "x", "password": "y"}}, "username"),
    "half a certificate": ({"user": {"client-key": "k"}}, "go together"),
    "a token that is a list": ({"user": {"token": ["t"]}}, "user u: token: is not text"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = kubeconfig(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        read_kubeconfig(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a mapping"),
        (b"[", "not valid YAML"),
        (b"- x", "is not a mapping"),
        (b"\xff\xfe", "is not text"),
        (b"\0", "not valid YAML"),
        (b"[" * 100_000, "levels deep"),
        (b"a: &a [*a]", "aliases are not read"),
        (b"users: []\nusers: []", "line 2: users: given twice"),
        (b"x" * 2_000_000, "larger than"),
        (b"!!python/object:os.system {}", "the tag"),
    ],
    ids=["empty", "half", "list", "bytes", "NUL", "deep", "alias", "twice", "large", "object"],
)
def test_a_file_that_is_no_kubeconfig_is_an_error(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NetdevError, match=said):
        read_kubeconfig(tmp_path / "file")


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="cannot read"):
        read_kubeconfig(tmp_path / "none")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(cluster=JSON, user=JSON, contexts=JSON)
def test_whatever_stands_there_is_access_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, cluster: Any, user: Any, contexts: Any
) -> None:
    directory = tmp_path_factory.getbasetemp()
    changes = {"contexts": contexts} if contexts else {}
    for path in (kubeconfig(directory, cluster, user), kubeconfig(directory, **changes)):
        with contextlib.suppress(ConfigError):  # anything else is a bug
            assert read_kubeconfig(path).host
