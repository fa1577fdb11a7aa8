from __future__ import annotations

import dataclasses
import os

import pytest

import cdi
from netdevice_plugin.doctor import claims
from netdevice_plugin.doctor.finding import Finding, Level
from netdevice_plugin.dra import claimfiles
from netdevice_plugin.dra.claim import ClaimRef
from tests.unit.cli.running import prepare
from tests.unit.doctor.roots import CONFIG, Root, checks, lines, only
from tests.unit.dra.claimed import ref

KUBELET = str(CONFIG.kubelet_dir)
DATA = f"{KUBELET}/plugins/{CONFIG.prefix}"
CDI = str(CONFIG.cdi_dir)
POD = "3f0c1c9a-8d7e-4f6c-9b0a-0d8a3a1c2b3d"


def judge(root: Root) -> list[Finding]:
    return list(claims.check(claims.read(root.host(), CONFIG)))


def describe(root: Root, whose: ClaimRef, *devices: str) -> str:
    """Write a claim's CDI file as the agent does, but for what its devices are."""
    edits = cdi.ContainerEdits(env=("A=b",))
    made = tuple(cdi.Device(name=f"{whose.uid}-{one}", edits=edits) for one in devices)
    spec = cdi.Spec(kind=claimfiles.kind(CONFIG.prefix), devices=made)
    path = f"{CDI}/{claimfiles.file_name(CONFIG.prefix, whose.uid)}"
    root.write(path, cdi.dumps(spec, "json"))
    return path


def grant(root: Root, device: str, *, kind: str = "networking.k8s.io/netdevice") -> None:
    """Have the kubelet's note say that a pod has a device by the device plugin."""
    entry = {"PodUID": POD, "ContainerName": "app", "ResourceName": kind}
    entries = [{**entry, "DeviceIDs": {"-1": [device]}, "AllocResp": ""}]
    note = {"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 0}
    root.json(f"{KUBELET}/device-plugins/kubelet_internal_checkpoint", note)


def test_where_no_claim_was_ever_prepared_there_is_nothing_to_say(root: Root) -> None:
    assert judge(root) == []


def test_a_claim_whose_files_agree(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1, "nics"), "eth1", "eth2")
    describe(root, ref(1), "eth1", "eth2")
    assert lines(judge(root)) == ["dra/claim claim ns/nics: has eth1 eth2"]


def test_a_claim_that_waits_for_its_nic(root: Root) -> None:
    nics = {"fast-0": "", "fast-1": "02:00:00:00:00:07"}
    prepare(root.at(KUBELET), ref(1, "nics"), *nics, nics=nics)
    found = only(judge(root), "dra/cdi-file")
    assert (found.level, found.text) == (
        Level.WARN,
        "waits for the NIC of fast-0, which is attached for it",
    )


def test_a_claim_without_its_cdi_file(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1, "nics"), "eth1", "eth2")
    found = only(judge(root), "dra/cdi-file")
    assert (found.level, found.subject) == (Level.FAIL, "claim ns/nics")
    assert "start the agent anew" in found.remedy
    describe(root, ref(1), "eth1")
    assert only(judge(root), "dra/cdi-file").text.endswith(f"does not have {ref(1).uid}-eth2")


def test_what_a_claim_may_look_at_is_in_its_file_under_another_name(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1), "eth1", admin=True)
    describe(root, ref(1), "eth1")
    assert ("fail", "dra/cdi-file") in checks(judge(root))
    describe(root, ref(1), "eth1.admin")
    assert checks(judge(root)) == [("ok", "dra/claim")]


def test_a_cdi_file_that_is_no_claims(root: Root) -> None:
    path = describe(root, ref(7), "eth1")
    found = only(judge(root), "dra/cdi-file")
    assert (found.level, found.subject, found.remedy) == (Level.WARN, path, f"rm {path}")


def test_files_of_pools_and_of_others_are_no_claims(root: Root) -> None:
    for name in ("networking.k8s.io-netdevice.json", "gpu.example.com-claim_7.json", "x"):
        root.write(f"{CDI}/{name}", "{}")
    assert judge(root) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 99999, b"\xff\0", b" " * (3 << 20), b'{"format": 2}', b"9" * 5000]
)
def test_a_checkpoint_that_cannot_be_read(root: Root, content: bytes) -> None:
    prepare(root.at(KUBELET), ref(1), "eth1").with_name(f"{ref(2).uid}.json").write_bytes(content)
    describe(root, ref(1), "eth1")
    describe(root, ref(2), "eth2")  # not nobody's: it is not known whose
    found = judge(root)
    assert checks(found) == [("fail", "dra/checkpoint"), ("ok", "dra/claim")]
    assert found[0].subject == f"{DATA}/claims/{ref(2).uid}.json"
    assert "\n" not in str(found[0])


def test_a_checkpoint_that_is_a_fifo_is_not_waited_for(root: Root) -> None:
    root.directory(f"{DATA}/claims")
    os.mkfifo(root.at(f"{DATA}/claims/{ref(1).uid}.json"))
    assert checks(judge(root)) == [("fail", "dra/checkpoint")]


def test_checkpoints_of_no_directory(root: Root) -> None:
    root.write(f"{DATA}/claims", "a file")
    found = only(judge(root), "dra/checkpoint")
    assert str(found) == f"{DATA}/claims: cannot be read: Not a directory"


def test_half_a_checkpoint_that_was_to_be_renamed_is_none(root: Root) -> None:
    root.write(f"{DATA}/claims/.{ref(1).uid}.json.tmp", "{")
    assert judge(root) == []


def test_a_device_of_a_claim_and_of_a_pod_of_the_device_plugin(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1, "nics"), "eth1")
    describe(root, ref(1), "eth1")
    grant(root, "eth1")
    assert checks(judge(root)) == [("ok", "dra/claim")]  # the pod is gone, its note is not
    root.directory(f"{KUBELET}/pods/{POD}")
    found = only(judge(root), "dra/twice")
    assert (found.level, found.subject) == (Level.FAIL, "eth1")
    assert "claim ns/nics" in found.text
    assert POD in found.text
    grant(root, "eth1", kind="example.com/nic")
    assert checks(judge(root)) == [("ok", "dra/claim")]


def test_a_note_of_the_kubelets_that_cannot_be_read(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1), "eth1")
    describe(root, ref(1), "eth1")
    root.write(f"{KUBELET}/device-plugins/kubelet_internal_checkpoint", b"\xff")
    assert ("warn", "dra/twice") in checks(judge(root))


def test_a_directory_that_others_can_change(root: Root) -> None:
    root.directory(f"{DATA}/claims")
    assert judge(root) == []
    root.at(DATA).chmod(0o777)
    found = only(judge(root), "dra/data-dir")
    assert found.level is Level.FAIL
    assert found.text == f"{DATA} can be written by others (mode 0777)"
    root.at(f"{DATA}/claims").rmdir()
    root.at(DATA).rmdir()
    root.write(DATA, "a file")
    assert only(judge(root), "dra/data-dir").text == "is not a directory"


def test_another_prefix_is_another_driver(root: Root) -> None:
    prepare(root.at(KUBELET), ref(1), "eth1")
    config = dataclasses.replace(CONFIG, prefix="example.com")
    assert list(claims.check(claims.read(root.host(), config))) == []
