from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from netdevice_plugin import config, fields, yamlnode, yamltree
from netdevice_plugin.config import Config, InvalidConfigError
from netdevice_plugin.errors import ConfigError
from netdevice_plugin.model import Frontend, Injection, PfRange, Pool, Selector
from netdevice_plugin.provisioning import (
    MODES,
    BindAt,
    CreatedKind,
    Creation,
    LinkState,
    OpenStack,
    PfCount,
    PortProvider,
    Ports,
    Userspace,
    VfSettings,
)

DOCS = Path(__file__).parents[2] / "docs" / "reference"
SCHEMA = json.loads((DOCS / "config.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
POOL = "pools:\n- name: net\n  selectors: [{ifNames: [eth1]}]\n"


def problems(text: str | bytes) -> tuple[str, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidConfigError) as caught:
        config.loads(data, "f")
    return caught.value.problems


def accepted(text: str) -> bool:
    try:
        config.loads(text.encode(), "f")
    except InvalidConfigError:
        return False
    return True


def plain(node: yamlnode.Node) -> object:
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


def valid_by_schema(text: str) -> bool:
    return bool(VALIDATOR.is_valid(plain(yamltree.parse(text, []))))


def test_the_example_of_the_manual_says_what_it_seems_to_say() -> None:
    text = (DOCS / "configuration.md").read_text()
    example = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[-1]
    assert config.loads(example.encode(), "f") == Config(
        node_addresses=("192.0.2.10", "2001:db8::10"),
        sriov=(PfCount(pf="ens1f0", num_vfs=16),),
        pools=(
            Pool(
                name="fast",
                frontend=Frontend.DRA,
                require_carrier=True,
                vf=VfSettings(
                    vlan=100,
                    qos=3,
                    protocol="802.1q",
                    spoof_check=True,
                    trust=False,
                    link_state=LinkState.AUTO,
                    min_tx_rate=0,
                    max_tx_rate=10000,
                ),
                rdma=True,
                selectors=(
                    Selector(
                        pf_names=(PfRange(name="ens1f0", vfs=((0, 7), (9, 9))),),
                        vendors=("8086",),
                        drivers=("iavf",),
                    ),
                    Selector(pci_addresses=("0000:03:00.1",)),
                ),
            ),
            Pool(
                name="dpdk",
                userspace=Userspace(driver="vfio-pci"),
                reset=True,
                selectors=(Selector(pf_names=(PfRange(name="ens1f0", vfs=((10, 15),)),)),),
            ),
            Pool(
                name="shared",
                create=Creation(kind=CreatedKind.MACVLAN, parent="ens2", mode="bridge", count=32),
            ),
            Pool(
                name="tenants",
                create=Creation(
                    kind=CreatedKind.VLAN, parent="ens2", vlans=((100, 107), (200, 200))
                ),
            ),
            Pool(
                name="nested",
                ports=Ports(
                    provider=PortProvider(
                        openstack=OpenStack(
                            cloud="here",
                            network="tenant",
                            subnet="tenant-v4",
                            security_groups=("default",),
                        )
                    )
                ),
                selectors=(Selector(if_names=("ens[5-9]",), drivers=("virtio_net",)),),
            ),
            Pool(
                name="netdevice",
                selectors=(
                    Selector(
                        if_names=("eth1", "data*"),
                        kinds=("physical",),
                        link_types=("ether",),
                        macs=("02:00:00:00:00:01",),
                    ),
                ),
            ),
        ),
    )
    assert valid_by_schema(example)


def test_the_manual_names_every_key_and_default_of_the_schema() -> None:
    manual = (DOCS / "configuration.md").read_text()
    places = [SCHEMA, *(one for one in SCHEMA["$defs"].values() if "properties" in one)]
    for name in ("of-dra", "on-demand"):
        places.remove(SCHEMA["$defs"][name])
    for key, value in [item for place in places for item in place["properties"].items()]:
        row = next(line for line in manual.splitlines() if line.startswith(f"| `{key}` |"))
        default = value.get("default")
        shown = json.dumps(default) if isinstance(default, bool) else default
        assert default is None or f"| `{shown}` |" in row


def test_the_defaults_of_the_schema_are_those_of_the_program() -> None:
    effective = json.loads(config.dump(config.loads(POOL.encode(), "f"), "json"))
    for key, value in SCHEMA["properties"].items():
        assert key == "pools" or effective[key] == value["default"]
    for key, value in SCHEMA["$defs"]["pool"]["properties"].items():
        assert "default" not in value or effective["pools"][0][key] == value["default"]


LONG = ".".join(["a" * 40] * 2)


def with_pool(**keys: str) -> str:
    """A pool with keys whose values are written in JSON, which is YAML as well."""
    return POOL + "".join(f"  {key}: {value}\n" for key, value in keys.items())


def with_create(text: str, **keys: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"pools: [{{name: net, create: {{{text}}}{more}}}]"


def with_sriov(*entries: str) -> str:
    return POOL + f"sriov: [{', '.join(entries)}]\n"


def with_ports(provider: str, more: str = "") -> str:
    return with_pool(ports=f"{{provider: {{{provider}}}{more}}}")


MACVLAN = "kind: macvlan, parent: eth0, count: 4"
VLAN = "kind: vlan, parent: eth0, vlans: ['100-107', '4094']"
COMMAND = "command: [/bin/provide, -v]"
DRA = "  frontend: dra\n"

VALID = {
    "no-pools": "pools: []",
    "smallest": POOL,
    "json": '{"pools": [{"name": "net", "selectors": [{"kinds": ["veth"]}]}]}',
    "byte-order-mark": "\ufeff" + POOL,
    "settings": POOL + "prefix: example.com\ncdiDir: /a\nrunDir: /b\nmoverPath: /c d/é\n",
    "dra-native": POOL + "  frontend: dra\n  injection: native\n",
    "words-of-yaml-1.1": POOL.replace("eth1", "no, on, y, 12:34:56"),
    "unquoted-pci": "pools: [{name: net, selectors: [{pciAddresses: [0000:03:00.1]}]}]",
    "vmd": "pools: [{name: net, selectors: [{pciAddresses: [10000:e1:00.0]}]}]",
    "globs": POOL.replace("eth1", '"eth[0-3]?", "[!a]*", "[]]x", a.b, "ns:1"'),
    "mac": POOL.replace("ifNames: [eth1", "macAddresses: [0A:00:00:00:00:01"),
    "infiniband": POOL.replace("ifNames: [eth1", "macAddresses: [" + ":".join(["0a"] * 20)),
    "pf-named-with-hash": POOL.replace("ifNames: [eth1", "pfNames: ['a#1#2', 'b*'"),
    "dotted-name": POOL.replace("net", "a.b_c-D"),
    "addresses": POOL + "nodeAddresses: [10.0.0.1, '::1']\n",
    "timeout": POOL + "hookTimeout: 600\n",
    "kubelet": POOL + "kubeletDir: /var/lib/k0s/kubelet\nregistration: plugins_registry\n",
    "carrier": POOL + "  requireCarrier: true\n",
    "slices": POOL + "slicesAtShutdown: remove\n",
    "dra-dotted": POOL.replace("net", "a.b-c") + "  frontend: dra\n",
    "long-prefix": POOL + "prefix: " + LONG,
    "driver": with_pool(driver="vfio-pci"),
    "driver-all": with_pool(driver="uio_pci_generic", bindAt="start", allowNoIommu="true"),
    "driver-vf": with_pool(driver="vfio-pci", vf="{vlan: 5}", resetAtReturn="true"),
    "driver-dra": with_pool(driver="vfio-pci", frontend="dra"),
    "driver-ports": with_ports(COMMAND) + "  driver: vfio-pci\n",
    "driver-no-rdma": with_pool(driver="vfio-pci", rdma="false", requireCarrier="false"),
    "vf-empty": with_pool(vf="{}"),
    "vf-no-vlan": with_pool(vf="{vlan: 0}"),
    "vf-vlan": with_pool(vf="{vlan: 4094, qos: 7, protocol: 802.1AD}"),
    "vf-rates": with_pool(vf="{minTxRate: 10, maxTxRate: 10}"),
    "vf-one-rate": with_pool(vf="{minTxRate: 4294967295, maxTxRate: 0}"),
    "vf-switches": with_pool(vf="{trust: true, spoofChk: false, linkState: disable}"),
    "native-plainly": with_pool(injection="native", vf="{}", rdma="false", resetAtReturn="false"),
    "macvlan": with_create(MACVLAN),
    "macvlan-mode": with_create(MACVLAN + ", mode: vepa, allowUplink: true"),
    "passthru": with_create("kind: macvlan, parent: eth0, count: 1, mode: passthru"),
    "ipvlan": with_create("kind: ipvlan, parent: a-long-name-of-a-link, count: 4096, mode: l3s"),
    "vlans": with_create(VLAN + ", protocol: 802.1ad"),
    "create-carrier": with_create(VLAN, requireCarrier="true", frontend="dra", rdma="false"),
    "ports": with_ports(COMMAND, ", spare: 0, max: 255"),
    "ports-none": with_ports(COMMAND, ", max: 0, spare: 0"),
    "ports-grpc": with_ports("grpc: /run/ports.sock"),
    "ports-on-demand": with_ports(COMMAND, ", onDemand: true") + DRA,
    "ports-on-demand-all": with_ports(
        COMMAND, ", onDemand: true, max: 0, claimParameters: [network, a.b_c-D]"
    )
    + DRA,
    "ports-not-on-demand": with_ports(COMMAND, ", onDemand: false, spare: 2"),
    "ports-openstack": with_ports("openstack: {network: tenant net}"),
    "sriov": with_sriov("{pf: eth0, numVfs: 4}", "{pf: '0000:03:00.0', numVfs: 0}"),
    "no-sriov": POOL + "sriov: []\n",
}

INVALID = {
    "driver-unknown": with_pool(driver="igb_uio"),
    "driver-empty": with_pool(driver="''"),
    "reset-alone": with_pool(resetAtReturn="true"),
    "bind-at-alone": with_pool(bindAt="start"),
    "consent-alone": with_pool(allowNoIommu="false"),
    "bind-at-word": with_pool(driver="vfio-pci", bindAt="never"),
    "driver-rdma": with_pool(driver="vfio-pci", rdma="true"),
    "driver-carrier": with_pool(driver="vfio-pci", requireCarrier="true"),
    "native-driver": with_pool(injection="native", driver="vfio-pci"),
    "native-vf": with_pool(injection="native", vf="{trust: true}"),
    "native-reset": with_pool(injection="native", resetAtReturn="true"),
    "native-rdma": with_pool(injection="native", rdma="true"),
    "native-create": with_create(MACVLAN, injection="native"),
    "vf-text": with_pool(vf="fast"),
    "vf-mac": with_pool(vf="{mac: '02:00:00:00:00:01'}"),
    "vf-unknown": with_pool(vf="{spoofcheck: true}"),
    "vf-vlan-high": with_pool(vf="{vlan: 4095}"),
    "vf-qos-alone": with_pool(vf="{qos: 1}"),
    "vf-qos-without": with_pool(vf="{vlan: 0, qos: 1}"),
    "vf-protocol-alone": with_pool(vf="{protocol: 802.1q}"),
    "vf-protocol": with_pool(vf="{vlan: 1, protocol: 802.1x}"),
    "vf-trust-word": with_pool(vf="{trust: 'on'}"),
    "vf-link-state": with_pool(vf="{linkState: up}"),
    "vf-rate": with_pool(vf="{maxTxRate: 4294967296}"),
    "create-selectors": with_create(MACVLAN, selectors="[{kinds: [veth]}]"),
    "create-driver": with_create(MACVLAN, driver="vfio-pci"),
    "create-vf": with_create(MACVLAN, vf="{trust: true}"),
    "create-reset": with_create(MACVLAN, resetAtReturn="true"),
    "create-rdma": with_create(MACVLAN, rdma="true"),
    "create-ports": with_create(MACVLAN, ports=f"{{provider: {{{COMMAND}}}}}"),
    "create-null": "pools: [{name: net, create: ~}]",
    "create-no-kind": with_create("parent: eth0, count: 4"),
    "create-no-parent": with_create("kind: macvlan, count: 4"),
    "create-no-count": with_create("kind: ipvlan, parent: eth0"),
    "create-no-vlans": with_create("kind: vlan, parent: eth0"),
    "create-kind": with_create("kind: veth, parent: eth0, count: 4"),
    "create-parent": with_create("kind: macvlan, parent: 'a/b', count: 4"),
    "create-count": with_create("kind: macvlan, parent: eth0, count: 0"),
    "create-mode": with_create(MACVLAN + ", mode: l2"),
    "ipvlan-mode": with_create("kind: ipvlan, parent: eth0, count: 4, mode: bridge"),
    "passthru-several": with_create(MACVLAN + ", mode: passthru"),
    "macvlan-vlans": with_create(MACVLAN + ", vlans: ['1']"),
    "macvlan-protocol": with_create(MACVLAN + ", protocol: 802.1q"),
    "vlan-count": with_create(VLAN + ", count: 4"),
    "vlan-mode": with_create(VLAN + ", mode: bridge"),
    "vlans-empty": with_create("kind: vlan, parent: eth0, vlans: []"),
    "vlans-number": with_create("kind: vlan, parent: eth0, vlans: [100]"),
    "vlans-zero": with_create("kind: vlan, parent: eth0, vlans: ['0']"),
    "vlans-high": with_create("kind: vlan, parent: eth0, vlans: ['4000-4095']"),
    "ports-no-provider": with_pool(ports="{spare: 1}"),
    "ports-null": with_pool(ports="~"),
    "provider-none": with_ports(""),
    "provider-two": with_ports(COMMAND + ", grpc: /run/ports.sock"),
    "provider-relative": with_ports("command: [provide]"),
    "provider-empty": with_ports("command: []"),
    "provider-newline": with_ports('command: [/bin/provide, "a\\nb"]'),
    "provider-socket": with_ports("grpc: ports.sock"),
    "openstack-no-network": with_ports("openstack: {cloud: here}"),
    "openstack-unknown": with_ports("openstack: {network: n, project: p}"),
    "on-demand-spare": with_ports(COMMAND, ", onDemand: true, spare: 1") + DRA,
    "on-demand-device-plugin": with_ports(COMMAND, ", onDemand: true"),
    "on-demand-native": with_ports(COMMAND, ", onDemand: true") + DRA + "  injection: native\n",
    "on-demand-driver": with_ports(COMMAND, ", onDemand: true") + DRA + "  driver: vfio-pci\n",
    "on-demand-word": with_ports(COMMAND, ", onDemand: 1"),
    "claim-parameters-of-stock": with_ports(COMMAND, ", claimParameters: [network]"),
    "claim-parameters-space": with_ports(COMMAND, ", onDemand: true, claimParameters: ['a b']")
    + DRA,
    "ports-max": with_ports(COMMAND, ", max: 256"),
    "ports-less-than-none": with_ports(COMMAND, ", max: -1, spare: 0"),
    "sriov-mapping": POOL + "sriov: {pf: eth0, numVfs: 4}\n",
    "sriov-null": with_sriov("~"),
    "sriov-no-pf": with_sriov("{numVfs: 4}"),
    "sriov-no-number": with_sriov("{pf: eth0}"),
    "sriov-glob": with_sriov("{pf: 'eth 0', numVfs: 4}"),
    "sriov-pci": with_sriov("{pf: '03:00.0', numVfs: 4}"),
    "sriov-negative": with_sriov("{pf: eth0, numVfs: -1}"),
    "sriov-huge": with_sriov("{pf: eth0, numVfs: 65536}"),
    "slices": POOL + "slicesAtShutdown: drop\n",
    "name-claim": POOL.replace("net", "claim"),
    "dra-upper": POOL.replace("net", "Net") + "  frontend: dra\n",
    "dra-underscore": POOL.replace("net", "a_b") + "  frontend: dra\n",
    "dra-long-prefix": POOL + f"  frontend: dra\nprefix: {LONG}\n",
    "empty": "",
    "null": "~",
    "registration": POOL + "registration: socket\n",
    "kubelet-dir": POOL + "kubeletDir: kubelet\n",
    "carrier-word": POOL + "  requireCarrier: 'true'\n",
    "carrier-number": POOL + "  requireCarrier: 1\n",
    "list": "[]",
    "no-pools-key": "prefix: a.b\n",
    "pools-null": "pools:\n",
    "pools-mapping": "pools: {}\n",
    "pool-null": "pools: [~]",
    "unknown-key": POOL + "what: 1\n",
    "merge-key": POOL + "<<: {prefix: a.b}\n",
    "prefix-number": POOL + "prefix: 5\n",
    "prefix-true": POOL + "prefix: true\n",
    "prefix-one-letter": POOL + "prefix: a\n",
    "prefix-upper": POOL + "prefix: Example.com\n",
    "prefix-digit": POOL + "prefix: 1a.com\n",
    "prefix-slash": POOL + "prefix: a.com/b\n",
    "prefix-dots": POOL + "prefix: a..b\n",
    "prefix-long": POOL + "prefix: " + ".".join(["a" * 60] * 3),
    "prefix-kubernetes": POOL + "prefix: x.kubernetes.io\n",
    "prefix-requests": POOL + "prefix: requests.io\n",
    "relative-path": POOL + "cdiDir: run/cdi\n",
    "root-path": POOL + "runDir: //\n",
    "dots-in-path": POOL + "cdiDir: /run/../etc\n",
    "nul-in-path": POOL + 'cdiDir: "/run/\\0"\n',
    "long-path": POOL + "cdiDir: /" + "a" * 2000,
    "timeout-text": POOL + "hookTimeout: '30'\n",
    "timeout-true": POOL + "hookTimeout: true\n",
    "timeout-float": POOL + "hookTimeout: 30.5\n",
    "timeout-small": POOL + "hookTimeout: 4\n",
    "timeout-huge": POOL + "hookTimeout: " + "9" * 5000,
    "address-cidr": POOL + "nodeAddresses: [10.0.0.1/24]\n",
    "address-text": POOL + "nodeAddresses: 10.0.0.1\n",
    "no-name": "pools: [{selectors: [{kinds: [veth]}]}]",
    "name-one-letter": POOL.replace("net", "n"),
    "name-64": POOL.replace("net", "n" * 64),
    "name-dash": POOL.replace("net", "net-"),
    "name-digit": POOL.replace("net", "1net"),
    "name-slash": POOL.replace("net", "a/b"),
    "name-list": POOL.replace("net", "[net]"),
    "frontend": POOL + "  frontend: both\n",
    "injection": POOL + "  injection: Hook\n",
    "no-selectors": "pools: [{name: net}]",
    "empty-selectors": "pools: [{name: net, selectors: []}]",
    "empty-selector": "pools: [{name: net, selectors: [{}]}]",
    "selector-null": "pools: [{name: net, selectors: [~]}]",
    "empty-field": POOL.replace("[eth1]", "[]"),
    "field-text": POOL.replace("[eth1]", "eth1"),
    "field-number": POOL.replace("eth1", "5"),
    "empty-name": POOL.replace("eth1", "''"),
    "space": POOL.replace("eth1", "'a b'"),
    "slash": POOL.replace("eth1", "a/b"),
    "long-glob": POOL.replace("eth1", "a" * 128),
    "vf-range": POOL.replace("ifNames: [eth1", "pfNames: ['eth0#'"),
    "vf-comma": POOL.replace("ifNames: [eth1", "pfNames: ['eth0#0-7,'"),
    "pci-no-domain": POOL.replace("ifNames: [eth1", "pciAddresses: ['03:00.1'"),
    "pci-function": POOL.replace("ifNames: [eth1", "pciAddresses: ['0000:03:00.8'"),
    "pci-device": POOL.replace("ifNames: [eth1", "pciAddresses: ['0000:03:20.0'"),
    "vendor-number": POOL.replace("ifNames: [eth1", "vendors: [8086"),
    "vendor-prefix": POOL.replace("ifNames: [eth1", "vendors: ['0x8086'"),
    "device-letters": POOL.replace("ifNames: [eth1", "devices: ['15g3'"),
    "driver-slash": POOL.replace("ifNames: [eth1", "drivers: [a/b"),
    "mac-short": POOL.replace("ifNames: [eth1", "macAddresses: ['02:00:00:00:00'"),
    "mac-dashes": POOL.replace("ifNames: [eth1", "macAddresses: ['02-00-00-00-00-01'"),
}

BEYOND_THE_SCHEMA = {
    "equal-names": POOL + POOL.removeprefix("pools:\n"),
    "equal-variables": (POOL + POOL.removeprefix("pools:\n").replace("net", "n-t")).replace(
        "name: net", "name: n.t"
    ),
    "bracket": POOL.replace("eth1", "'eth[0'"),
    "glob-range": POOL.replace("eth1", "'eth[9-0]'"),
    "vf-range-backwards": POOL.replace("ifNames: [eth1", "pfNames: ['eth0#7-0'"),
    "duplicate-key": POOL + "prefix: a.b\nprefix: a.b\n",
    "vf-rates-crossed": with_pool(vf="{minTxRate: 11, maxTxRate: 10}"),
    "vlans-backwards": with_create("kind: vlan, parent: eth0, vlans: ['107-100']"),
    "spare-over-max": with_ports(COMMAND, ", spare: 3, max: 2"),
    "sriov-twice": with_sriov("{pf: eth0, numVfs: 4}", "{pf: eth0, numVfs: 4}"),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in VALID.items()])
def test_program_and_schema_accept(text: str) -> None:
    assert config.loads(text.encode(), "f")
    assert valid_by_schema(text)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in INVALID.items()])
def test_program_and_schema_refuse(text: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert re.match(r"f:\d+: \S", found[0])
    assert len(found[0]) < 250
    assert not valid_by_schema(text)


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=name) for name, text in BEYOND_THE_SCHEMA.items()]
)
def test_the_program_refuses_what_a_schema_cannot_tell(text: str) -> None:
    assert len(problems(text)) == 1
    assert valid_by_schema(text)


FIELDS = {
    "prefix": ("prefix: {}", "abz019.-_A", "requests.kubernetes.io"),
    "cdiDir": ("cdiDir: {}", "/.ab é\0", "/a/../b/"),
    "name": ("name: {}", "abZ09._-é", "net.device-0"),
    "ifNames": ("ifNames: [{}]", "ab* ?/\té:.", "eth*.7"),
    "pfNames": ("pfNames: [{}]", "e#0,-7", "e#0-7,9"),
    "pciAddresses": ("pciAddresses: [{}]", "0123:.fFg", "0000:03:00.1"),
    "vendors": ("vendors: [{}]", "0123afAFgx", "15b3"),
    "drivers": ("drivers: [{}]", "az09_-./ ", "virtio_net"),
    "macAddresses": ("macAddresses: [{}]", "0123afAFg:-", "02:00:00:00:00:01"),
    "parent": ("kind: macvlan, count: 1, parent: {}", "ab.:/ é-", ".."),
    "vlans": ("kind: vlan, parent: eth0, vlans: [{}]", "0149-, ", "4000-4094"),
    "pf": ("pf: {}, numVfs: 1", "0f:.13/ é", "0000:03:00.1"),
    "protocol": ("kind: vlan, parent: eth0, vlans: ['1'], protocol: {}", "802.1qaDx", "802.1Q"),
    "network": ("openstack: {{network: {}}}", "a é\0\t/", "tenant net"),
}


@pytest.mark.parametrize("field", FIELDS)
@given(data=st.data())
def test_program_and_schema_agree_on_every_text(field: str, data: st.DataObject) -> None:
    form, alphabet, sample = FIELDS[field]
    letters = st.sampled_from(alphabet)
    at = st.integers(0, len(sample))
    edited = st.builds(lambda a, b, new: sample[:a] + new + sample[b:], at, at, letters)
    value = data.draw(st.text(letters, max_size=12) | edited)
    line = form.format(json.dumps(value))
    if field in ("prefix", "cdiDir"):
        text = POOL + line + "\n"
    elif field == "name":
        text = POOL.replace("name: net", line)
    elif field in ("parent", "vlans", "protocol"):
        text = with_create(line)
    elif field == "pf":
        text = with_sriov(f"{{{line}}}")
    elif field == "network":
        text = with_ports(line)
    else:
        text = POOL.replace("ifNames: [eth1]", line)
    reversed_range = any(int(a) > int(b) for a, b in re.findall(r"(\d+)-(\d+)", value))
    if not reversed_range:
        assert accepted(text) == valid_by_schema(text)


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
prefx: a.b
hookTimeout: 1
pools:
- nme: net
  selectors:
  - ifnames: [eth1]
    vendors: ["0x1"]
- name: a
  frontend: x
  selectors: []
"""
    assert problems(text) == (
        "f:1: prefx: unknown key (did you mean prefix?)",
        "f:2: hookTimeout: must be a whole number from 5 to 600",
        "f:4: pools[0].name: is missing",
        "f:4: pools[0].nme: unknown key (did you mean name?)",
        "f:6: pools[0].selectors[0].ifnames: unknown key (did you mean ifNames?)",
        "f:7: pools[0].selectors[0].vendors[0]: '0x1' must be four hexadecimal digits, "
        "like 8086, without 0x",
        "f:8: pools[1].name: 'a' must have two characters at least: "
        "one makes container runtimes crash",
        "f:9: pools[1].frontend: 'x' must be device-plugin or dra",
        "f:10: pools[1].selectors: is missing or empty: without a selector the pool has no device",
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"pools: [\n\n", "f:3: not valid YAML: ", id="cut"),
        pytest.param(b"a: b\nc\0d: 1\n", "not valid YAML: control characters", id="nul"),
        pytest.param(b"a: b\n\xff\xfe", "f:2: not UTF-8 text (byte 0xff)", id="not-utf-8"),
        pytest.param(POOL.encode("utf-16"), "f:1: not UTF-8 text", id="utf-16"),
        pytest.param(b"x" * 10_000_000, "f:1: larger than 1048576 bytes", id="10MB"),
        pytest.param(b"[" * 1_000_000, "f:1: nested more than 16 levels", id="deep-flow"),
        pytest.param(b"- " * 500_000, "f:1: nested more than 16 levels", id="deep-block"),
        pytest.param(b"pools: &a [*a]", "f:1: pools[0]: aliases are not read", id="alias"),
        pytest.param(b"pools: !!python/name:os.system ''", "the tag 'tag:yaml.org", id="tag"),
        pytest.param(b"pools: []\n---\npools: []\n", "f:2: a second document", id="two"),
        pytest.param(b"? [a]\n: b\n", "f:1: the document: a key must be text", id="key"),
        pytest.param(b'"a\\nb": 1\npools: []', r"f:1: 'a\nb': unknown key", id="odd-key"),
    ],
)
def test_what_is_no_configuration_at_all_ends_in_one_line(data: bytes, message: str) -> None:
    (found,) = problems(data)
    assert message in found
    assert "\n" not in found


def test_a_file_that_is_something_else_does_not_flood_the_terminal() -> None:
    found = problems("key: 1\n" * 1000)
    assert len(found) == 101
    assert found[-1] == "f: and 901 more"  # 999 that are given twice, the unknown one, no pools


def test_a_bomb_of_aliases_is_refused_at_its_first() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert problems("\n".join(lines)) == ("f:2: a1[0]: aliases are not read; write it out",)


@given(st.binary(max_size=200) | st.text(st.sampled_from("{}[]&*:-'\"|>#!% \n\tapools")))
def test_arbitrary_input_gives_a_configuration_or_our_error(text: bytes | str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    found: tuple[str, ...] = ()
    try:
        config.loads(data, "f")
    except InvalidConfigError as error:
        found = error.problems
        assert found
    assert all("\n" not in problem for problem in found)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "absent", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "a\0b", "null byte"),
    ):
        with pytest.raises(ConfigError, match=reason) as caught:
            config.load(path)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 2


def test_a_file_is_read_and_its_problems_name_it(tmp_path: Path) -> None:
    path = tmp_path / "netdevice.yaml"
    path.write_text(POOL)
    assert config.load(path).pools[0].kind == "networking.k8s.io/net"
    path.write_text("pools: 5\n")
    with pytest.raises(InvalidConfigError, match=re.escape(f"{path}:1: pools: must be a list")):
        config.load(path)


def test_the_prefix_reaches_every_pool() -> None:
    loaded = config.loads((POOL + "prefix: example.com\n").encode(), "f")
    assert loaded.pools[0].kind == "example.com/net"
    assert loaded.pools[0].variable == "EXAMPLE_COM_NET"


def test_interfaces_on_the_command_line_make_one_pool() -> None:
    made = config.default(["dummy", "data*"])
    assert made.pools[0].kind == "networking.k8s.io/netdevice"
    assert made.pools[0].selectors == (Selector(if_names=("dummy", "data*")),)
    assert made == config.loads(config.dump(made).encode(), "f")


@pytest.mark.parametrize("names", [[], [""], ["a b"], ["eth[0"], ["eth0", "a/b", "x" * 200]])
def test_wrong_interfaces_on_the_command_line_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidConfigError, match="--interfaces: "):
        config.default(names)


words = st.from_regex(r"[A-Za-z0-9_-]{1,15}", fullmatch=True)
ids = st.from_regex(r"[0-9a-f]{4}", fullmatch=True)
globs = st.text("ab*?1.:~é", min_size=1, max_size=15)
pairs = st.tuples(st.integers(0, 99), st.integers(100, 255)) | st.integers(0, 9).map(
    lambda number: (number, number)
)
ranges = st.builds(
    PfRange, name=globs, vfs=st.none() | st.lists(pairs, min_size=1, max_size=3).map(tuple)
)


def some(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, max_size=2).map(tuple)


selectors = st.builds(
    Selector,
    if_names=some(globs),
    pf_names=some(ranges),
    vendors=some(ids),
    devices=some(ids),
    drivers=some(words),
    kinds=some(words),
    link_types=some(words),
    macs=some(st.just("02:00:00:00:00:01")),
).filter(lambda selector: selector != Selector())


flags = st.none() | st.booleans()
vlans = st.integers(1, 4094)
protocols = st.sampled_from(("802.1q", "802.1ad"))
link_names = st.from_regex(r"[a-z][a-z0-9.@~-]{1,30}", fullmatch=True)
vf_settings = st.builds(
    lambda tag, rates, **more: VfSettings(**tag, **rates, **more),
    st.fixed_dictionaries({}, optional={"vlan": st.just(0)})
    | st.fixed_dictionaries(
        {"vlan": vlans}, optional={"qos": st.integers(0, 7), "protocol": protocols}
    ),
    st.fixed_dictionaries({}, optional={"min_tx_rate": st.integers(0, 9)})
    | st.fixed_dictionaries({"min_tx_rate": st.integers(0, 9), "max_tx_rate": st.integers(9, 99)}),
    spoof_check=flags,
    trust=flags,
    link_state=st.none() | st.sampled_from(LinkState),
)
stacked = st.sampled_from((CreatedKind.MACVLAN, CreatedKind.IPVLAN)).flatmap(
    lambda kind: st.builds(
        Creation,
        kind=st.just(kind),
        parent=link_names,
        mode=st.sampled_from([mode for mode in MODES[kind] if mode != "passthru"]),
        count=st.integers(1, 4096),
        allow_uplink=st.booleans(),
    )
)
vlan_ranges = st.builds(lambda a, b: (min(a, b), max(a, b)), vlans, vlans)
creations = stacked | st.builds(
    Creation,
    kind=st.just(CreatedKind.VLAN),
    parent=link_names,
    vlans=st.lists(vlan_ranges, min_size=1, max_size=3).map(tuple),
    protocol=protocols,
    allow_uplink=st.booleans(),
)
arguments = st.text("aZ é-=/", min_size=1, max_size=9)
providers = st.one_of(
    st.builds(
        PortProvider, command=st.lists(arguments, max_size=2).map(lambda more: ("/bin/a", *more))
    ),
    st.builds(PortProvider, grpc=st.just(Path("/run/a.sock"))),
    st.builds(
        PortProvider,
        openstack=st.builds(
            OpenStack, network=arguments, cloud=arguments | st.just(""), server=arguments
        ),
    ),
)
several_ports = st.builds(
    Ports, provider=providers, spare=st.integers(0, 3), max=st.integers(3, 255)
)
userspaces = st.builds(
    Userspace,
    driver=st.sampled_from(("vfio-pci", "uio_pci_generic")),
    bind_at=st.sampled_from(BindAt),
    no_iommu=st.booleans(),
)
kinds_of_pools = st.one_of(
    st.fixed_dictionaries(
        {"selectors": st.tuples(selectors)},
        optional={"vf": vf_settings, "rdma": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"selectors": st.tuples(selectors), "userspace": userspaces},
        optional={"vf": vf_settings, "reset": st.booleans(), "ports": several_ports},
    ),
    st.fixed_dictionaries(
        {
            "selectors": st.tuples(selectors),
            "frontend": st.just(Frontend.DRA),
            "ports": st.builds(
                Ports,
                provider=providers,
                spare=st.just(0),
                max=st.integers(0, 255),
                on_demand=st.just(value=True),
                claim_parameters=st.lists(st.sampled_from(("network", "a.b-c_D"))).map(tuple),
            ),
        }
    ),
    st.fixed_dictionaries({"create": creations}, optional={"require_carrier": st.booleans()}),
    st.fixed_dictionaries(
        {"selectors": st.tuples(selectors), "injection": st.just(Injection.NATIVE)}
    ),
)


def configured(
    prefix: str, timeout: int, pools: dict[str, dict[str, Any]], pfs: dict[str, int]
) -> Config:
    made = [Pool(name=name, prefix=prefix, **keys) for name, keys in pools.items()]
    counts = [PfCount(pf=pf, num_vfs=number) for pf, number in pfs.items()]
    return Config(prefix=prefix, hook_timeout=timeout, sriov=tuple(counts), pools=tuple(made))


configs = st.builds(
    configured,
    st.sampled_from(("a.b", "example.com")),
    st.integers(5, 600),
    st.dictionaries(st.from_regex(r"[a-z]{1,9}1", fullmatch=True), kinds_of_pools, max_size=3),
    st.dictionaries(link_names | st.just("0000:03:00.1"), st.integers(0, 65535), max_size=2),
)


@settings(deadline=None, max_examples=50)  # each is read and written four times
@given(configs)
def test_what_is_in_effect_reads_back_as_itself(made: Config) -> None:
    assert config.loads(config.dump(made).encode(), "f") == made
    assert config.loads(config.dump(made, "json").encode(), "f") == made
    # Other readers of YAML see the same, whatever they take for a number.
    value = json.loads(config.dump(made, "json"))
    assert yaml.safe_load(config.dump(made)) == value
    assert VALIDATOR.is_valid(value)


@given(ranges)
def test_a_range_of_virtual_functions_reads_back_as_itself(made: PfRange) -> None:
    assert fields.pf_range(fields.pf_text(made)) == made
