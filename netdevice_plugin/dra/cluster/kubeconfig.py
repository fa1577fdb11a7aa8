"""Kubeconfig files, as far as an agent needs them: one cluster, a token or a certificate."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from netdevice_plugin import yamltree
from netdevice_plugin.dra.cluster.access import Access, Material, read_text
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.yamlnode import Node, Problem, YamlError


def read(path: Path) -> Access:
    """Take the current context of a kubeconfig; raises ConfigError, or ClusterError if unreadable.

    Paths in it are relative to its directory. Keys that mean nothing here are ignored, as
    kubectl does; ways of logging in that are not supported are errors.
    """
    return _Kubeconfig(path, read_text(path)).access()


class _Kubeconfig:
    """One file, and where we are in it."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        # Not yaml.load: on deep nesting PyYAML with libyaml ends the process.
        problems: list[Problem] = []
        try:
            self._tree = _plain(yamltree.parse(text, problems))
        except YamlError as error:
            raise self._wrong(f"line {error.line}", str(error)) from error
        for problem in problems:
            raise self._wrong(f"line {problem.line}: {problem.path}", problem.text)

    def access(self) -> Access:
        tree = self._mapping(self._tree, "the file")
        current = self._text(tree, "current-context", "current-context")
        if not current:
            raise self._wrong("current-context", "is missing")
        context = self._named(tree, "contexts", "context", current)
        at_cluster = self._text(context, "cluster", f"context {current}: cluster")
        cluster = self._named(tree, "clusters", "cluster", at_cluster)
        user_name = self._text(context, "user", f"context {current}: user")
        user = self._named(tree, "users", "user", user_name) if user_name else {}
        return self._assemble(cluster, user, f"cluster {at_cluster}", f"user {user_name}")

    def _assemble(
        self, cluster: Mapping[str, object], user: Mapping[str, object], where: str, who: str
    ) -> Access:
        if cluster.get("proxy-url"):
            raise self._wrong(f"{where}: proxy-url", "is not supported")
        for login in ("exec", "auth-provider", "username"):
            if user.get(login):
                what = "is not supported: use token, tokenFile or a client certificate"
                raise self._wrong(f"{who}: {login}", what)
        server = self._server(cluster, where)
        material = self._material
        token = material(user, "tokenFile", "", who)
        certificate = material(user, "client-certificate", "client-certificate-data", who)
        key = material(user, "client-key", "client-key-data", who)
        if bool(certificate) != bool(key):
            raise self._wrong(who, "client-certificate and client-key go together")
        return Access(
            host=server.hostname or "",
            port=server.port or (443 if server.scheme == "https" else 80),
            tls=server.scheme == "https",
            path=server.path.rstrip("/"),
            server_name=self._text(cluster, "tls-server-name", f"{where}: tls-server-name"),
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            authorities=material(
                cluster, "certificate-authority", "certificate-authority-data", where
            ),
            token=token or Material(text=self._text(user, "token", f"{who}: token")),
            certificate=certificate,
            key=key,
        )

    def _server(self, cluster: Mapping[str, object], where: str) -> SplitResult:
        text = self._text(cluster, "server", f"{where}: server")
        try:
            server = urlsplit(text)
            good = server.scheme in ("http", "https") and server.hostname and server.port != 0
        except ValueError:
            good = False
        plain = text.isascii() and text.isprintable() and " " not in text
        if not good or not plain or server.query or server.fragment or server.username:
            raise self._wrong(f"{where}: server", f"{text[:80]!r} is not https://HOST[:PORT]")
        return server

    def _named(
        self, tree: Mapping[str, object], several: str, one: str, name: str
    ) -> Mapping[str, object]:
        entries = tree.get(several)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") == name:
                return self._mapping(entry.get(one), f"{one} {name}")
        raise self._wrong(several, f"has no {name[:80]!r}")

    def _material(
        self, tree: Mapping[str, object], file_key: str, data_key: str, where: str
    ) -> Material:
        data = self._text(tree, data_key, f"{where}: {data_key}") if data_key else ""
        if data:
            try:
                return Material(text=base64.b64decode(data, validate=True).decode("ascii"))
            except (binascii.Error, UnicodeDecodeError) as error:
                raise self._wrong(f"{where}: {data_key}", "is not PEM in base64") from error
        file = self._text(tree, file_key, f"{where}: {file_key}")
        return Material(path=self._path.parent / file) if file else Material()

    def _text(self, tree: Mapping[str, object], key: str, where: str) -> str:
        value = tree.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or "\0" in value:
            raise self._wrong(where, "is not text")
        return value

    def _mapping(self, value: object, where: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._wrong(where, "is not a mapping")
        return value

    def _wrong(self, where: str, what: str) -> ConfigError:
        return ConfigError(f"{self._path}: {where}: {what}")


def _plain(node: Node) -> object:
    """Make a tree into what it is without its lines."""
    if isinstance(node.value, dict):
        return {key: _plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(value) for value in node.value]
    return node.value
