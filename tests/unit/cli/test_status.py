from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
import yaml

from netdevice_plugin.attachments import HostLink, Identity, Phase
from netdevice_plugin.errors import AttachmentError
from netdevice_plugin.functions import record as functions
from netdevice_plugin.functions.record import FunctionRecord
from netdevice_plugin.functions.store import Store
from tests.unit.cli.running import ATTACHED, DEAD, LIVING, fails, keep, prepare, run
from tests.unit.dra.claimed import ref


def test_nothing_lent_is_said_and_fine(tmp_path: Path) -> None:
    result = run("status", "--run-dir", tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing is lent\n")


def test_each_holder_has_a_row_and_the_dead_are_marked(tmp_path: Path) -> None:
    recent = dataclasses.replace(LIVING, since=int(time.time()) - 150)
    keep(tmp_path, dataclasses.replace(ATTACHED, holders=(recent, DEAD)))
    result = run("--run-dir", tmp_path, "status")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["DEVICE", "PHASE", "CONTAINER", "POD", "SINCE", "LINK", "ERROR"],
        ["eth1", "attached", "cccccccccccc", "default/web-0", "2m", "eth1", "-"],
        ["eth1", "attached", "dddddddddddd", "(dead)", "-", lines[2][5], "eth1", "-"],
    ]


def test_wide_shows_where_the_link_is(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    head, row = run("status", "--run-dir", tmp_path, "-o", "wide").stdout.splitlines()
    for heading, cell in {
        "IN POD": "net1",
        "PID": str(LIVING.pid),
        "NETNS": "4:4026532177",
        "PIN": ATTACHED.pin,
    }.items():
        assert row[head.index(heading) :].startswith(cell)


def test_a_link_that_was_made_in_the_pod_is_shown_with_what_it_is_on(tmp_path: Path) -> None:
    link = HostLink(name="net1", ifindex=0, kind="macvlan", mac="02:00:00:00:00:01")
    keep(tmp_path, dataclasses.replace(ATTACHED, link=link, born=True, spec=Identity(link="eth0")))
    row = run("status", "--run-dir", tmp_path).stdout.splitlines()[1]
    assert "macvlan on eth0" in row
    (entry,) = json.loads(run("status", "--run-dir", tmp_path, "-o", "json").stdout)["lent"]
    assert (entry["link"], entry["linkInPod"]) == (None, "net1")
    assert entry["born"] == {"kind": "macvlan", "parent": "eth0"}


FUNCTION = FunctionRecord(
    device="pci-0000-03-10-1",
    address="0000:03:10.1",
    pool="networking.k8s.io/dpdk",
    phase=functions.Phase.BOUND,
    target="vfio-pci",
    driver="igbvf",
    holder="pci-0000-03-10-1",
    link=functions.Link(name="eth1v0"),
)


def bind(run_dir: Path, holder: str = "x") -> None:
    Store(run_dir).write(dataclasses.replace(FUNCTION, holder=holder))


@pytest.mark.parametrize(("holder", "phase"), [("x", "bound"), ("", "idle")])
def test_a_function_is_shown_with_its_driver(tmp_path: Path, holder: str, phase: str) -> None:
    bind(tmp_path, holder)
    result = run("status", "--run-dir", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    row = result.stdout.splitlines()[1]
    assert row.split()[:2] == ["pci-0000-03-10-1", phase]
    assert "vfio-pci, was igbvf" in row


def test_a_function_is_described_for_programs(tmp_path: Path) -> None:
    bind(tmp_path)
    found = json.loads(run("status", "--run-dir", tmp_path, "-o", "json").stdout)
    assert found["functions"] == [
        {
            "device": "pci-0000-03-10-1",
            "address": "0000:03:10.1",
            "phase": "bound",
            "lent": True,
            "driver": "vfio-pci",
            "driverBefore": "igbvf",
            "linkBefore": "eth1v0",
            "claim": None,
        }
    ]


def test_a_record_of_a_function_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "pci-0000-03-10-1.json").write_text("{")
    result = run("status", "--run-dir", tmp_path)
    assert result.exit_code == 1
    assert "pci-0000-03-10-1: its record" in result.stderr


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_the_keys_for_programs_are_stable(tmp_path: Path, form: str) -> None:
    keep(tmp_path, ATTACHED)
    fails(tmp_path, "eth2", "1700000000 find the link: none\n")
    result = run("status", "--run-dir", tmp_path, "-o", form)
    found = json.loads(result.stdout) if form == "json" else yaml.safe_load(result.stdout)
    assert found == {
        "lent": [
            {
                "device": "eth1",
                "phase": "attached",
                "link": "eth1",
                "born": None,
                "linkInPod": "net1",
                "netns": {"device": 4, "inode": 4026532177},
                "pin": "/run/netdevice-plugin/netns/eth1",
                "holders": [
                    {
                        "container": "c" * 64,
                        "containerName": "app",
                        "namespace": "default",
                        "pod": "web-0",
                        "podUid": "3f0c1c9a",
                        "pid": LIVING.pid,
                        "alive": True,
                        "since": "2023-11-14T22:13:20Z",
                    }
                ],
                "claim": None,
                "error": None,
            }
        ],
        "functions": [],
        "claims": [],
        "failures": [
            {
                "device": "eth2",
                "time": "2023-11-14T22:13:20Z",
                "message": "find the link: none",
            }
        ],
        "problems": [],
    }


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        (Phase.ATTACHED, 0),
        (Phase.ATTACHING, 0),
        (Phase.RETURNING, 0),
        (Phase.LOST, 4),
        (Phase.STRANDED, 4),
    ],
)
def test_the_exit_code_says_whether_somebody_has_to_look(
    tmp_path: Path, phase: Phase, code: int
) -> None:
    keep(tmp_path, dataclasses.replace(ATTACHED, phase=phase))
    assert run("status", "--run-dir", tmp_path).exit_code == code


def test_a_broken_record_is_a_problem_and_hides_no_other(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    (tmp_path / "attachments" / "eth9").write_bytes(b"format=1\n\xff\0")
    result = run("status", "--run-dir", tmp_path, "-o", "json")
    assert result.exit_code == 1
    error, hint = result.stderr.splitlines()
    assert error == f"error: {tmp_path}/attachments/eth9:2: the last line is cut short"
    assert hint.startswith("hint: ")
    document = json.loads(result.stdout)
    assert [one["device"] for one in document["lent"]] == ["eth1"]
    assert document["problems"] == [error.removeprefix("error: ")]


def test_the_last_failure_shows_beside_what_is_lent_and_by_itself(tmp_path: Path) -> None:
    keep(tmp_path, ATTACHED)
    fails(tmp_path, "eth1", f"{int(time.time()) - 60} return it: busy\n")
    fails(tmp_path, "eth2", f"{int(time.time()) - 60} find it: \x1b[31m none\n")
    lines = run("status", "--run-dir", tmp_path).stdout.splitlines()
    assert lines[1].endswith("  return it: busy")
    assert lines[2] == r"eth2: failed 1m ago: find it: \x1b[31m none"


def test_odd_bytes_of_a_record_reach_no_terminal(tmp_path: Path) -> None:
    keep(tmp_path, dataclasses.replace(ATTACHED, error="\x1b]0;x\x07 \udcff"))
    result = run("status", "--run-dir", tmp_path)
    assert result.stdout.splitlines()[1].endswith(r"\x1b]0;x\x07 \xff")


def test_a_run_directory_that_is_none_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    result = run("status", "--run-dir", file)
    assert result.exit_code == AttachmentError.exit_code
    assert result.stderr == f"error: cannot list {file}/errors: Not a directory\n"


def configured(tmp_path: Path) -> tuple[str, Path]:
    """A kubelet's directory of the test's own."""
    file = tmp_path / "config.yaml"
    file.write_text(f"pools: []\nkubeletDir: {tmp_path}/kubelet\nrunDir: {tmp_path}/run\n")
    return "--config", file


def test_what_a_claim_has_shows_in_a_pod_and_before(tmp_path: Path) -> None:
    keep(tmp_path / "run", ATTACHED)
    prepare(tmp_path / "kubelet", ref(1, "nics"), "eth1", "eth2")
    result = run("status", *configured(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    head, *rows = [line.split() for line in result.stdout.splitlines()]
    assert head == ["DEVICE", "PHASE", "CONTAINER", "POD", "SINCE", "LINK", "CLAIM", "ERROR"]
    assert [(row[0], row[1], row[-2]) for row in rows] == [
        ("eth1", "attached", "ns/nics"),
        ("eth2", "prepared", "ns/nics"),
    ]
    document = json.loads(run("status", *configured(tmp_path), "-o", "json").stdout)
    whose = {"namespace": "ns", "name": "nics", "uid": ref(1).uid}
    assert document["lent"][0]["claim"] == whose
    assert document["claims"] == [{"device": name, **whose} for name in ("eth1", "eth2")]


def test_what_a_claim_may_only_look_at_is_not_its_own(tmp_path: Path) -> None:
    prepare(tmp_path / "kubelet", ref(1), "eth1", admin=True)
    assert run("status", *configured(tmp_path)).stderr == "nothing is lent\n"


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 99999, b"\xff\0", b" " * (3 << 20)])
def test_a_checkpoint_that_cannot_be_read_is_a_problem_and_hides_no_other(
    tmp_path: Path, content: bytes
) -> None:
    path = prepare(tmp_path / "kubelet", ref(1, "one"), "eth1")
    broken = path.with_name(f"{ref(2).uid}.json")
    broken.write_bytes(content)
    result = run("status", *configured(tmp_path))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {broken}: ")
    assert result.stderr.count("\n") == 1
    assert "ns/one" in result.stdout
    document = json.loads(run("status", *configured(tmp_path), "-o", "json").stdout)
    assert [one["device"] for one in document["claims"]] == ["eth1"]
    assert document["problems"] == [result.stderr.removeprefix("error: ").rstrip()]


def test_checkpoints_of_no_directory_are_a_problem(tmp_path: Path) -> None:
    claims = tmp_path / "kubelet" / "plugins" / "networking.k8s.io" / "claims"
    claims.parent.mkdir(parents=True)
    claims.write_text("")
    result = run("status", *configured(tmp_path))
    assert (result.exit_code, result.stderr) == (
        1,
        f"nothing is lent\nerror: cannot read {claims}: Not a directory\n",
    )


def test_a_holder_of_another_pid_namespace_may_live(tmp_path: Path) -> None:
    keep(tmp_path, dataclasses.replace(ATTACHED, holders=(DEAD,), pidns=(1, 2)))
    result = run("status", "--run-dir", tmp_path)
    assert "dddddddddddd (unknown)" in result.stdout
    document = json.loads(run("status", "--run-dir", tmp_path, "-o", "json").stdout)
    assert document["lent"][0]["holders"][0]["alive"] is None
