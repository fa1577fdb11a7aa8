"""Where the API server is: what a pod is given, kubeconfigs, and what is wrong with them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from netdevice_plugin.dra.cluster.finding import find
from netdevice_plugin.errors import ConfigError

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


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod is given."""
    for name, value in POD.items():
        monkeypatch.setenv(name, value)  # lightkube reads it there
    for name in ("token", "namespace", "ca.crt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_pod_finds_the_api_server(account: Path) -> None:
    found = find(None, POD, account)
    assert found.user is not None
    assert found.cluster.server == "https://10.96.0.1:443"
    assert found.user.token_file == f"{account}/token"
    assert found.cluster.certificate_auth == f"{account}/ca.crt"


def test_a_pod_without_its_service_account_is_an_error_with_a_remedy(
    account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="service account") as caught:
        find(None, POD, account / "none")
    assert "automountServiceAccountToken" in caught.value.hint
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(ConfigError, match="KUBERNETES_SERVICE_PORT"):
        find(None, POD, account)


def test_a_file_that_is_named_comes_before_the_pod(account: Path) -> None:
    file = kubeconfig(account)
    for environ, named in ((POD, file), ({"KUBECONFIG": str(file)}, None)):
        assert find(named, environ, account).cluster.server == "https://10.0.0.1:6443"
    pod = find(None, {**POD, "KUBECONFIG": "/nowhere"}, account)
    assert pod.cluster.server == "https://10.96.0.1:443"


def test_neither_pod_nor_file_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match="no API server") as caught:
        find(None, {})
    assert "--kubeconfig" in caught.value.hint
    with pytest.raises(ConfigError, match="/a:/b"):  # lightkube merges nothing
        find(None, {"KUBECONFIG": "/a:/b"})


def test_paths_in_a_kubeconfig_are_relative_to_it(tmp_path: Path) -> None:
    found = find(kubeconfig(tmp_path, user={"client-certificate": "pki/c.pem"}), {})
    assert found.user is not None
    assert found.abs_file(str(found.user.client_cert)) == tmp_path / "pki/c.pem"


def test_a_context_without_a_user_is_nobody(tmp_path: Path) -> None:
    context = {"name": "here", "context": {"cluster": "c"}}
    found = find(kubeconfig(tmp_path, contexts=[context]), {})
    assert found.user is not None
    assert found.user.token is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no context": ({"current-context": None}, "No current context"),
    "another context": ({"current-context": "x"}, "'x' not found"),
    "contexts of text": ({"contexts": "x"}, ""),
    "no clusters": ({"clusters": []}, "'c'"),
    "clusters of nothing": ({"clusters": None}, ""),
    "a server of numbers": ({"cluster": {"server": 7}}, "server"),
    "a token that is a list": ({"user": {"token": ["t0psecret"]}}, "token"),
    "another name in the certificate": (
        {"cluster": {"server": "https://a", "tls-server-name": "b"}},
        "tls-server-name of its cluster is not supported",
    ),
    "a proxy": (
        {"cluster": {"server": "https://a", "proxy-url": "http://b"}},
        "proxy-url of its cluster is not supported",
    ),
    "a user of text": ({"user": "t0psecret"}, ""),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = kubeconfig(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        find(path, {})
    assert str(caught.value).startswith(f"{path} does not say how to reach the API server: ")
    assert said in str(caught.value)
    assert "t0psecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ""),
        (b"[", "line 1: expected the node content"),
        (b"users: [{user: {token: t0psecret}]", "line 1: "),
        (b"- x", ""),
        (b"\xff\xfe", ""),
        (b"\0", "special characters are not allowed"),
        (b"[" * 100_000, ""),
        (b"x" * 2_000_000, "larger than"),
        (b"!!python/object:os.system {}", "could not determine a constructor"),
        (None, "No such file"),
    ],
    ids=["empty", "half", "secret", "list", "bytes", "NUL", "deep", "large", "object", "none"],
)
def test_a_file_that_is_no_kubeconfig_is_an_error(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        find(tmp_path / "file", {})
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert "t0psecret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(cluster=JSON, user=JSON, contexts=JSON)
def test_whatever_stands_there_is_a_configuration_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, cluster: Any, user: Any, contexts: Any
) -> None:
    directory = tmp_path_factory.getbasetemp()
    changes = {"contexts": contexts} if contexts else {}
    for path in (kubeconfig(directory, cluster, user), kubeconfig(directory, **changes)):
        with contextlib.suppress(ConfigError):  # anything else is a bug
            assert find(path, {}).cluster
